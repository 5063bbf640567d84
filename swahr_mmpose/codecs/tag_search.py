# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Best cells of many missing keypoints of one map, in bounded time.

The objective is ``heatmap - round(|tag - mean_tag|)``.  The tag intervals of
the blocks of :mod:`.tag_blocks` are narrow on any map, also on noise, so that
the bound of most blocks is below the objective reached.  The cells with the
highest values are searched first: an objective above all other values is
final, and cells with a value below all objectives are not sorted.

Bounds are computed by the operations of the objective in the same order.
Correctly rounded operations are monotone, so the bounds hold without a margin
for rounding.

Imports NumPy only: ``codecs`` and ``deploy/runtime`` have the same file.

N cells of a map, L tag dimensions, G missing keypoints (queries), M blocks of
S cells, R pairs of a query and a block.
"""

from __future__ import annotations

import warnings
from typing import List, NamedTuple, Sequence, Tuple, Union

import numpy as np

from .tag_blocks import TIES, TagBlocks, sort_into_blocks

__all__ = ['FoundCells', 'search_by_tags']

# Number of cells with the highest values that are searched first.
_NUM_HIGHEST = 1 << 14
# Queries whose bounds are computed in one step, and pairs that are read in
# one step: they fit into the CPU cache.
_QUERIES_PER_STEP = 64
_PAIRS_PER_STEP = 1 << 8
# Pairs that are read before the remaining ones are compared with the new
# objectives.
_PAIRS_PER_ROUND = 1 << 11
# Blocks that are read one after the other, each the most promising one of a
# query, before the remaining ones are read together.
_SINGLE_STEPS = 3


class FoundCells(NamedTuple):
    """Best cell of each query, arrays of shape (G,).

    ``cells`` are int64 flat indices into the map, ``values`` the heatmap there
    and ``objectives`` the maxima, ``-inf`` where no cell has a finite
    distance.
    """

    cells: np.ndarray
    values: np.ndarray
    objectives: np.ndarray

    def select(self, queries: Union[slice, np.ndarray]) -> FoundCells:
        """Select the cells of some queries; a view if they are a slice."""
        return FoundCells(*(array[queries] for array in self))

    def update(self, queries: np.ndarray, found: FoundCells) -> None:
        """Replace the cells of some queries."""
        for array, part in zip(self, found):
            array[queries] = part


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
    usable = values > -np.inf
    for tag in tags:
        usable &= np.isfinite(tag)
    cells = np.flatnonzero(usable)
    queries = np.flatnonzero(np.isfinite(means).all(axis=1))
    if len(cells) > 4 * _NUM_HIGHEST and len(queries):
        chosen, lowest = _select_highest(values[cells])
        found = best.select(queries)
        complete = _search(
            cells[chosen], values, tags, means[queries], found, max_pairs // 4
        )
        best.update(queries, found)
        if complete:
            queries = queries[~_are_final(found, lowest)]
        least = best.objectives[queries].min(initial=np.inf)
        cells = cells[values[cells] >= least]
    if len(cells) and len(queries):
        found = best.select(queries)
        if not _search(cells, values, tags, means[queries], found, max_pairs):
            _warn()
        best.update(queries, found)
    return best


def _are_final(found: FoundCells, lowest: np.float32) -> np.ndarray:
    """Check which cells are final after a search of the highest values.

    A final cell has a larger objective than all cells that were not searched,
    or an equal one and a smaller index.
    """
    is_first = (found.objectives == lowest) & (found.values == lowest)
    return (found.objectives > lowest) | is_first


def _warn() -> None:
    """Warn of a search that is cut off."""
    warnings.warn(
        'decoding: missing keypoints of a map could be at more cells '
        'than are read in bounded time, so some are placed at a cell '
        'that is good, not best; expected only where heatmaps and tags '
        'are not those of a trained network: check the checkpoint, or '
        'raise decode_keypoint_thr',
        stacklevel=2,  # this module; the next frame is np.errstate's
    )


def _select_highest(values: np.ndarray) -> Tuple[np.ndarray, np.float32]:
    """Select ``_NUM_HIGHEST`` of the highest values; of equal ones the first.

    Returns:
        tuple[np.ndarray, np.float32]: int64 indices, increasing, and the
        lowest of their values.
    """
    lowest = np.partition(values, -_NUM_HIGHEST)[-_NUM_HIGHEST]
    above = np.flatnonzero(values > lowest)
    equal = np.flatnonzero(values == lowest)[: _NUM_HIGHEST - len(above)]
    return np.sort(np.concatenate([above, equal])), lowest


def _search(
    cells: np.ndarray,
    values: np.ndarray,
    tags: Sequence[np.ndarray],
    means: np.ndarray,
    found: FoundCells,
    max_pairs: int,
) -> bool:
    """Search some cells for better ones.

    Args:
        cells (np.ndarray): int64 flat indices of the cells that are searched,
            with finite tags, increasing.
        values (np.ndarray): Heatmap, all cells of the map.
        tags (Sequence[np.ndarray]): Tags, all cells of the map.
        means (np.ndarray): Finite mean tags, shape (G, L).
        found (FoundCells): Best cells so far; modified.
        max_pairs (int): See :func:`search_by_tags`.

    Returns:
        bool: Whether all cells that may be better were read.
    """
    blocks = sort_into_blocks(cells, values, tags)
    bounds, distances = _bound_objectives(blocks, means)
    _search_most_likely(blocks, means, bounds, found)
    pairs = _select_pairs(blocks, means, bounds, distances, found)
    chosen = _choose_best(pairs, bounds, found, max_pairs)
    _read_in_rounds(blocks, means, chosen, bounds, found)
    return len(chosen) == len(pairs)


def _bound_objectives(
    blocks: TagBlocks, means: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Bound the objective of each query in each block.

    Args:
        blocks (TagBlocks): Blocks.
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
    blocks: TagBlocks, means: np.ndarray, bounds: np.ndarray, found: FoundCells
) -> None:
    """Read the blocks with the largest bounds, a few of each query.

    Args:
        blocks (TagBlocks): Blocks.
        means (np.ndarray): Mean tags, shape (G, L).
        bounds (np.ndarray): Upper bounds (G, M); those of the blocks that were
            read become ``-inf``.
        found (FoundCells): Best cells so far; modified.
    """
    queries = np.arange(len(means))
    for _ in range(_SINGLE_STEPS):
        block = bounds[queries].argmax(axis=1)
        promising = bounds[queries, block] > found.objectives[queries]
        queries, block = queries[promising], block[promising]
        if not len(queries):
            break
        _read_pairs(blocks, means, (queries, block), found)
        bounds[queries, block] = -np.inf


def _select_pairs(
    blocks: TagBlocks,
    means: np.ndarray,
    bounds: np.ndarray,
    distances: np.ndarray,
    found: FoundCells,
) -> np.ndarray:
    """Select the pairs that may hold a better, or an equal and earlier, cell.

    Args:
        blocks (TagBlocks): Blocks.
        means (np.ndarray): Mean tags, shape (G, L).
        bounds (np.ndarray): Upper bounds, shape (G, M).
        distances (np.ndarray): Rounded distances, shape (G, M).
        found (FoundCells): Best cells so far; modified.

    Returns:
        np.ndarray: int64 flat indices of pairs, (R,).
    """
    selected: List[np.ndarray] = []
    for start in range(0, len(bounds), _QUERIES_PER_STEP):
        step = slice(start, start + _QUERIES_PER_STEP)
        part = found.select(step)
        _read_earliest_ties(blocks, means[step], bounds[step], part)
        better = np.flatnonzero(bounds[step] > part.objectives[:, None])
        ties = _select_ties(blocks, bounds[step], distances[step], part)
        offset = start * bounds.shape[1]
        selected += [better + offset, ties + offset]
    return np.concatenate(selected)


def _mark_ties(
    blocks: TagBlocks, bounds: np.ndarray, found: FoundCells
) -> np.ndarray:
    """Mark the pairs with the bound found and an earlier cell, (G, M)."""
    reached = np.where(
        found.objectives > -np.inf, found.objectives, np.float32(np.nan)
    )
    ties = bounds == reached[:, None]
    if ties.any():
        ties &= blocks.first[-1] < found.cells[:, None].astype(np.int32)
    return ties


def _read_earliest_ties(
    blocks: TagBlocks, means: np.ndarray, bounds: np.ndarray, found: FoundCells
) -> None:
    """Read the tie with the earliest cell of each query.

    Where all objectives are equal by rounding no other one is left.
    """
    ties = _mark_ties(blocks, bounds, found)
    query = np.flatnonzero(ties.any(axis=1))
    if len(query):
        beyond = np.iinfo(blocks.first.dtype).max
        first = np.where(ties[query], blocks.first[-1], beyond)
        pairs = query, first.argmin(axis=1)
        _read_pairs(blocks, means, pairs, found)


def _choose_best(
    pairs: np.ndarray, bounds: np.ndarray, found: FoundCells, max_pairs: int
) -> np.ndarray:
    """Choose at most ``max_pairs`` pairs, the most promising ones.

    Those with the largest excess of the bound over the objective are first if
    the pairs are many.
    """
    if len(pairs) <= min(_PAIRS_PER_ROUND, max_pairs):
        return pairs
    excess = found.objectives[pairs // bounds.shape[1]]
    excess -= bounds.ravel()[pairs]
    if len(pairs) > max_pairs:
        kept = np.argpartition(excess, max_pairs)[:max_pairs]
        pairs, excess = pairs[kept], excess[kept]
    return pairs[np.argsort(excess, kind='stable')]


def _select_ties(
    blocks: TagBlocks,
    bounds: np.ndarray,
    distances: np.ndarray,
    found: FoundCells,
) -> np.ndarray:
    """Select the pairs that may hold an equal and earlier cell.

    Args:
        blocks (TagBlocks): Blocks.
        bounds (np.ndarray): Upper bounds, shape (G, M).
        distances (np.ndarray): Rounded distances, shape (G, M).
        found (FoundCells): Best cells so far of G queries.

    Returns:
        np.ndarray: int64 flat indices of pairs.
    """
    pairs = np.flatnonzero(_mark_ties(blocks, bounds, found))
    query, block = np.divmod(pairs, len(blocks.maxima))
    unit, distances = np.maximum(1, np.abs(blocks.maxima)), distances.ravel()
    for first, (_, limit) in zip(blocks.first, TIES[:-1]):
        earlier = first[block] < found.cells[query]
        earlier |= distances[pairs] >= np.float32(limit) * unit[block]
        pairs, query, block = pairs[earlier], query[earlier], block[earlier]
    return pairs


def _read_in_rounds(
    blocks: TagBlocks,
    means: np.ndarray,
    pairs: np.ndarray,
    bounds: np.ndarray,
    found: FoundCells,
) -> None:
    """Read pairs, except those that cannot be better any more.

    Args:
        blocks (TagBlocks): Blocks.
        means (np.ndarray): Mean tags, shape (G, L).
        pairs (np.ndarray): int64 flat indices of pairs, (R,).
        bounds (np.ndarray): Upper bounds, shape (G, M).
        found (FoundCells): Best cells so far; modified.
    """
    query, block = np.divmod(pairs, bounds.shape[1])
    bound, first = bounds[query, block], blocks.first[-1][block]
    for start in range(0, len(pairs), _PAIRS_PER_ROUND):
        part = slice(start, start + _PAIRS_PER_ROUND)
        reached = found.objectives[query[part]]
        better = bound[part] > reached
        better |= (bound[part] == reached) & (
            first[part] < found.cells[query[part]]
        )
        chosen = query[part][better], block[part][better]
        _read_pairs(blocks, means, chosen, found)


def _read_pairs(
    blocks: TagBlocks,
    means: np.ndarray,
    pairs: Tuple[np.ndarray, np.ndarray],
    found: FoundCells,
) -> None:
    """Read blocks and update the best cells of their queries.

    Args:
        blocks (TagBlocks): Blocks.
        means (np.ndarray): Mean tags, shape (G, L).
        pairs (tuple): int64 queries and blocks, (R,) each.
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
