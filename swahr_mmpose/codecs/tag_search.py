# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Best cells of many missing keypoints of one map, in bounded time.

The objective is that of :mod:`.block_search`: ``heatmap - round(|tag -
mean_tag|)``.  Cells are sorted by their tags and split into blocks of
neighbours in tag space.  The tag intervals of these blocks are narrow on any
map, also on noise, so that the bound of most blocks is below the objective
reached.  Sorting costs more than the search in rows of the map where tags are
smooth; therefore this form is for maps that are not.

Bounds are computed by the operations of the objective in the same order.
Correctly rounded operations are monotone, so the bounds hold without a margin
for rounding.

N cells of a map, L tag dimensions, G missing keypoints (queries), M blocks of
S cells, R pairs of a query and a block.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple, Sequence, Tuple

import numpy as np

__all__ = ['FoundCells', 'search_by_tags']

# Cells per block.
_BLOCK_SIZE = 128
# Queries whose bounds are computed in one step, and pairs that are read in
# one step: they fit into the CPU cache.
_QUERIES_PER_STEP = 64
_PAIRS_PER_STEP = 1 << 8
# Blocks that are read one after the other, each the most promising one of a
# query, before the remaining ones are read together.
_SINGLE_STEPS = 3
# Where distances are below `limit * max(1, |maximum|)` of a block, only values
# down to `maximum - slack * max(1, |maximum|)` can give the objective of the
# maximum by rounding; pairs of slack and limit.  The first one is exact.
_TIES = (
    (0.0, 0.5),
    (2.0**-19, 8.0),
    (2.0**-13, 512.0),
    (2.0**-7, 32768.0),
    (np.inf, np.inf),
)


class FoundCells(NamedTuple):
    """Best cell of each query, arrays of shape (G,).

    ``cells`` are int64 flat indices into the map, ``values`` the heatmap there
    and ``objectives`` the maxima, ``-inf`` where no cell has a finite
    distance.
    """

    cells: np.ndarray
    values: np.ndarray
    objectives: np.ndarray


class _Blocks(NamedTuple):
    """Cells in M blocks of neighbours in tag space.

    ``values`` and ``cells`` (int32 indices into the map) are (M, S), ``tags``
    (L, M, S), their minima and maxima ``low`` and ``high`` (L, M), ``maxima``
    of the values (M,).  ``first`` are int32 cells (T, M): the smallest cell of
    a block whose value may give the objective of the maximum, for each of
    ``_TIES``.
    """

    values: np.ndarray
    cells: np.ndarray
    tags: np.ndarray
    low: np.ndarray
    high: np.ndarray
    maxima: np.ndarray
    first: np.ndarray


@np.errstate(over='ignore', invalid='ignore')  # infinite distances
def search_by_tags(
    values: np.ndarray,
    tags: Sequence[np.ndarray],
    means: np.ndarray,
    max_pairs: int,
) -> FoundCells:
    """Find the first cell of each query with the largest objective.

    Cells with a tag that is not finite, and queries with such a mean, have the
    objective ``-inf``.

    Args:
        values (np.ndarray): Heatmap, float32, shape (N,).
        tags (Sequence[np.ndarray]): L tag maps, float32, shape (N,) each.
        means (np.ndarray): Mean tag of each query, float32, shape (G, L).
        max_pairs (int): Maximum number of pairs of a query and a block that
            are read after the first ones.  Beyond it, the pairs with the
            largest excess of the bound over the objective are read, the
            remaining ones are not, and a warning is issued: the objective of
            a cell found then is not necessarily the largest one.

    Returns:
        FoundCells: Cells; any cell where the objective is ``-inf``.
    """
    best = FoundCells(
        np.zeros(len(means), np.int64),
        np.zeros(len(means), np.float32),
        np.full(len(means), -np.inf, np.float32),
    )
    usable = np.isfinite(tags).all(axis=0) & (values > -np.inf)
    queries = np.flatnonzero(np.isfinite(means).all(axis=1))
    if not usable.any() or not len(queries):
        return best
    blocks = _sort_into_blocks(
        np.flatnonzero(usable), values, np.asarray(tags)
    )
    means = means[queries]
    bounds, distances = _bound_objectives(blocks, means)
    found = _search_most_likely(blocks, means, bounds)
    pairs = _select_pairs(blocks, bounds, distances, found, max_pairs)
    _read_pairs(blocks, means, pairs, found)
    for array, part in zip(best, found):
        array[queries] = part
    return best


def _sort_into_blocks(
    cells: np.ndarray, values: np.ndarray, tags: np.ndarray
) -> _Blocks:
    """Sort cells into blocks of neighbours in tag space.

    Args:
        cells (np.ndarray): int64 flat indices of the usable cells, increasing,
            shape (N,).
        values (np.ndarray): Heatmap, all cells of the map.
        tags (np.ndarray): Tags, L rows with all cells of the map.

    Returns:
        _Blocks: Blocks, ordered by the first cell near their maximum.
    """
    number = -(-len(cells) // _BLOCK_SIZE)
    cells = cells[_order_by_tags(tags[:, cells])]
    padding = number * _BLOCK_SIZE - len(cells)
    cells = np.pad(cells, (0, padding), mode='edge')
    sorted_values = values[cells]
    sorted_values[len(cells) - padding :] = -np.inf  # never the best
    sorted_values = sorted_values.reshape(number, -1)
    cells = cells.reshape(number, -1).astype(np.int32)
    first = _find_first_cells(sorted_values, cells)
    order = np.argsort(first[1], kind='stable')
    sorted_values, cells = sorted_values[order], cells[order]
    sorted_tags = np.stack([tag[cells] for tag in tags])
    return _Blocks(
        sorted_values,
        cells,
        sorted_tags,
        sorted_tags.min(axis=2),
        sorted_tags.max(axis=2),
        sorted_values.max(axis=1),
        first[:, order],
    )


def _order_by_tags(tags: np.ndarray) -> np.ndarray:
    """Order cells so that blocks of them have narrow tag intervals.

    By the first component; with more than one, strips of that order are sorted
    by the second component.

    Args:
        tags (np.ndarray): Finite tags, shape (L, N).

    Returns:
        np.ndarray: int64 order, shape (N,).
    """
    order = np.argsort(tags[0])
    if len(tags) > 1:
        number = max(len(order) // _BLOCK_SIZE, 1)
        size = -(-len(order) // round(number**0.5))
        size += -size % _BLOCK_SIZE
        for start in range(0, len(order), size):
            strip = order[start : start + size]
            strip[:] = strip[np.argsort(tags[1, strip])]
    return order


def _find_first_cells(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Find ``first`` of :class:`_Blocks`."""
    maxima = values.max(axis=1, keepdims=True)
    unit = np.maximum(1, np.abs(maxima))
    beyond = np.iinfo(cells.dtype).max
    return np.stack(
        [
            np.where(values >= maxima - slack * unit, cells, beyond).min(
                axis=1
            )
            for slack in np.array(_TIES, np.float32)[:, 0]
        ]
    )


def _bound_objectives(
    blocks: _Blocks, means: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Bound the objective of each query in each block.

    Args:
        blocks (_Blocks): Blocks.
        means (np.ndarray): Finite mean tags, shape (G, L).

    Returns:
        tuple[np.ndarray, np.ndarray]: float32 upper bounds and the rounded
        distances in them, (G, M) each.
    """
    shape = (len(means), len(blocks.values))
    bounds = np.empty(shape, np.float32)
    distances = np.empty(shape, np.float32)
    for start in range(0, len(means), _QUERIES_PER_STEP):
        rows = slice(start, start + _QUERIES_PER_STEP)
        gaps = [
            np.maximum(np.maximum(low - mean, mean - high), 0)
            for low, high, mean in zip(
                blocks.low, blocks.high, means[rows].T[..., None]
            )
        ]
        distances[rows] = _round_norm(gaps)
        np.subtract(blocks.maxima, distances[rows], out=bounds[rows])
    return bounds, distances


def _round_norm(components: Sequence[np.ndarray]) -> np.ndarray:
    """Compute the rounded norm of vectors; overwrites the components."""
    total, *others = (np.multiply(c, c, out=c) for c in components)
    for other in others:
        total += other
    return np.rint(np.sqrt(total, out=total), out=total)


def _search_most_likely(
    blocks: _Blocks, means: np.ndarray, bounds: np.ndarray
) -> FoundCells:
    """Read the blocks with the largest bounds, a few of each query.

    Args:
        blocks (_Blocks): Blocks.
        means (np.ndarray): Mean tags, shape (G, L).
        bounds (np.ndarray): Upper bounds (G, M); those of the blocks that were
            read become ``-inf``.

    Returns:
        FoundCells: Best cells so far.
    """
    found = FoundCells(
        np.zeros(len(means), np.int64),
        np.zeros(len(means), np.float32),
        np.full(len(means), -np.inf, np.float32),
    )
    queries = np.arange(len(means))
    for _ in range(_SINGLE_STEPS):
        block = bounds[queries].argmax(axis=1)
        promising = bounds[queries, block] > found.objectives[queries]
        queries, block = queries[promising], block[promising]
        if not len(queries):
            break
        _read_pairs(blocks, means, (queries, block), found)
        bounds[queries, block] = -np.inf
    return found


def _select_pairs(
    blocks: _Blocks,
    bounds: np.ndarray,
    distances: np.ndarray,
    found: FoundCells,
    max_pairs: int,
) -> Tuple[np.ndarray, np.ndarray]:
    """Select the pairs that may hold a better, or an equal and earlier, cell.

    Args:
        blocks (_Blocks): Blocks.
        bounds (np.ndarray): Upper bounds, shape (G, M).
        distances (np.ndarray): Rounded distances, shape (G, M).
        found (FoundCells): Best cells so far.
        max_pairs (int): See :func:`search_by_tags`.

    Returns:
        tuple[np.ndarray, np.ndarray]: int64 queries, increasing, and blocks,
        (R,) each.
    """
    steps = [
        slice(start, start + _QUERIES_PER_STEP)
        for start in range(0, len(bounds), _QUERIES_PER_STEP)
    ]
    selected = np.concatenate(
        [
            _select_step(
                blocks,
                bounds[step],
                distances[step],
                found.objectives[step, None],
                found.cells[step, None].astype(np.int32),
            )
            for step in steps
        ]
    )
    pairs = np.flatnonzero(selected)
    if len(pairs) > max_pairs:
        excess = bounds.ravel()[pairs]
        excess -= found.objectives[pairs // bounds.shape[1]]
        order = np.argpartition(-excess, max_pairs)
        pairs = np.sort(pairs[order[:max_pairs]])
        warnings.warn(
            'decoding: missing keypoints of a map could be at more cells '
            'than are read in bounded time, so some are placed at a cell '
            'that is good, not best; expected only where heatmaps and tags '
            'are not those of a trained network: check the checkpoint, or '
            'raise decode_keypoint_thr',
            stacklevel=2,
        )
    query, block = np.divmod(pairs, bounds.shape[1])
    return query, block


def _select_step(
    blocks: _Blocks,
    bounds: np.ndarray,
    distances: np.ndarray,
    reached: np.ndarray,
    cells: np.ndarray,
) -> np.ndarray:
    """Select pairs of some queries; objectives and cells reached are (G, 1).

    Returns:
        np.ndarray: Bool, shape (G, M).
    """
    equal = (bounds == reached) & (bounds > -np.inf)
    if equal.any():
        unit = np.maximum(1, np.abs(blocks.maxima))
        for first, (_, limit) in zip(blocks.first, _TIES):
            far = distances >= np.float32(limit) * unit
            equal &= far | (first < cells)
    return equal | (bounds > reached)


def _read_pairs(
    blocks: _Blocks,
    means: np.ndarray,
    pairs: Tuple[np.ndarray, np.ndarray],
    found: FoundCells,
) -> None:
    """Read blocks and update the best cells of their queries.

    Args:
        blocks (_Blocks): Blocks.
        means (np.ndarray): Mean tags, shape (G, L).
        pairs (tuple): int64 queries, increasing, and blocks, (R,) each.
        found (FoundCells): Best cells so far; modified.
    """
    for start in range(0, len(pairs[0]), _PAIRS_PER_STEP):
        step = slice(start, start + _PAIRS_PER_STEP)
        query, block = pairs[0][step], pairs[1][step]
        values = blocks.values[block]
        differences = [
            tag[block] - mean[query, None]
            for tag, mean in zip(blocks.tags, means.T)
        ]
        objectives = values - _round_norm(differences)
        best = objectives.max(axis=1)
        reached = np.flatnonzero(best >= found.objectives[query])
        _update(
            found,
            query[reached],
            best[reached],
            objectives[reached],
            values[reached],
            blocks.cells[block[reached]],
        )


def _update(
    found: FoundCells,
    query: np.ndarray,
    best: np.ndarray,
    objectives: np.ndarray,
    values: np.ndarray,
    cells: np.ndarray,
) -> None:
    """Update the best cells by R blocks (R, S) with the objectives ``best``.

    Of equal objectives the smallest cell is kept.
    """
    beyond = np.iinfo(cells.dtype).max
    cells = np.where(objectives == best[:, None], cells, beyond)
    column = cells.argmin(axis=1)
    row = np.arange(len(query))
    cells, values = cells[row, column], values[row, column]
    order = np.lexsort((cells, -best, query))
    order = order[np.diff(query[order], prepend=-1) > 0]
    query, best, cells, values = (
        array[order] for array in (query, best, cells, values)
    )
    better = (best > found.objectives[query]) | (
        (best == found.objectives[query]) & (cells < found.cells[query])
    )
    better &= best > -np.inf
    query = query[better]
    found.objectives[query] = best[better]
    found.cells[query] = cells[better]
    found.values[query] = values[better]
