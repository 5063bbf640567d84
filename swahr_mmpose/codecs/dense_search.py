# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Exact search for missing keypoints on an accelerator, without read-backs.

The objective is that of :mod:`.missing_keypoints`.  Maps are split into blocks
of 4 x 8 cells.  For each missing keypoint, the largest heatmap value of a
block minus the rounded distance of the mean tag to the block's tag interval
bounds the objective from above.  A few blocks with the largest bounds give an
objective that is reached; then the pairs of missing keypoint and block with
the largest excess of the bound over it are read, a number fixed in advance.
Only where further pairs could still win, all cells are read, in a second pass:
the host learns that from the result.

B images, P people of an image, K keypoints, R = B * K maps of padded size
H x W, L tag dimensions, T taps, G missing keypoints (queries), F keypoints of
people, N pairs.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Iterator, List, NamedTuple, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import enlarge

from .block_search import take_root
from .dense_maps import BLOCK, DenseMaps, TagMaps, pad, read_taps, upload
from .missing_keypoints import MissingKeypoints
from .peaks import read_neighbours
from .tag_interpolation import bound_blocks, interpolate, list_block_taps

__all__ = ['Found', 'search']

# Blocks of each query that are read first.
_FIRST_BLOCKS = 30
# Pairs that are read afterwards, on average of each query: so many, and more
# for each person of the image, whose keypoints have blocks with loose bounds.
_PAIRS = 40
_PAIRS_PER_PERSON = 5
_MAX_PAIRS = 220
# Cells of a map for each pair, its inverse, from which on all are read.
_TOO_MANY = 256
# Memory of the queries that are searched together.
_MAX_BYTES = 1 << 30
# Margin of the tag intervals and means for rounding, relative.
_MARGIN = 1e-6
# Objective of cells without a finite distance.
_LOWEST = float(np.finfo(np.float32).min)


class Found(NamedTuple):
    """What was found of one image with G missing keypoints and P people.

    ``cells`` are the int64 best cells ``(x, y)`` (G, 2), ``usable`` is bool
    (G,), ``False`` where no cell has a finite distance.  ``values`` (5, G) are
    the heatmap there and at the neighbours, see
    :func:`.peaks.read_neighbours`, ``people_values`` (5, P, K) those of the
    keypoints of people.
    """

    cells: np.ndarray
    usable: np.ndarray
    values: np.ndarray
    people_values: np.ndarray


class _Queries(NamedTuple):
    """Missing keypoints of all images.

    ``rows`` are the int64 maps (G,), increasing by image; ``means`` the
    float32 mean tags (G, L); ``signed_means`` (2, G, 1) minus and plus their
    first component, less a margin for rounding.  ``pairs`` (G,) are the pairs
    that are read of each, on average; always on the host.
    """

    rows: Tensor
    means: Tensor
    signed_means: Tensor
    pairs: np.ndarray

    def select(self, part: Union[slice, np.ndarray]) -> _Queries:
        """Select queries."""
        return _Queries(
            self.rows[part],
            self.means[part],
            self.signed_means[:, part],
            self.pairs[part],
        )


class _Tables(NamedTuple):
    """Tables for the blocks of a map, int64, on the device.

    ``row_taps`` and ``column_taps`` are those of
    :func:`.tag_interpolation.list_block_taps`; ``centre_rows`` and
    ``centre_columns`` one of them near the centre of each block.  ``first`` is
    the flat index of the first cell of each block, and ``offsets`` (32,) those
    of its cells.
    """

    row_taps: Tensor
    column_taps: Tensor
    centre_rows: Tensor
    centre_columns: Tensor
    first: Tensor
    offsets: Tensor


class _Best(NamedTuple):
    """Best cell of each query.

    ``index`` are int64 flat indices into the padded map (G,), ``objectives``
    float32 (G,).  ``needed`` is the number of pairs, of all queries that are
    searched together, that may hold the best cells, int32 (G,).
    """

    index: Tensor
    objectives: Tensor
    needed: Tensor


class _Result(NamedTuple):
    """The arrays of :class:`_Best`, and values (5, F + G), on the host.

    ``needed`` are the pairs of each query on average, 0 where all were read.
    """

    index: np.ndarray
    objectives: np.ndarray
    needed: np.ndarray
    values: np.ndarray


def search(
    maps: DenseMaps,
    block_maxima: Tensor,
    missing: Sequence[MissingKeypoints],
    cells: Sequence[np.ndarray],
    step: int,
) -> List[Found]:
    """Find the best cells of missing keypoints, and read all neighbours.

    Args:
        maps (DenseMaps): Maps of B images.
        block_maxima (Tensor): Upper bounds of the heatmaps in each block,
            float32 (R, H / 4, W / 8).
        missing (Sequence[MissingKeypoints]): Missing keypoints of each image.
        cells (Sequence[np.ndarray]): Cells ``(x, y)`` of the people of each
            image, int64 (P, K, 2).
        step (int): Distance of the neighbours in cells.

    Returns:
        list[Found]: What was found of each image.
    """
    queries, finite = _make_queries(missing, cells, maps)
    rows, index = _list_cells(cells, maps.width)
    search_pairs = partial(
        _search_pairs, maps, maps.tags.enlarge_halfway(), block_maxima
    )
    result = _search_and_read(maps, queries, (rows, index), step, search_pairs)
    for search_part in (search_pairs, partial(_search_all_cells, maps)):
        unsure = np.flatnonzero(finite & (result.needed > 0))
        if not len(unsure):
            break
        queries.pairs[:] = result.needed  # known now
        if queries.pairs.max() * _TOO_MANY > maps.planes[0].numel():
            search_part = partial(_search_all_cells, maps)
        again = _search_and_read(
            maps,
            queries.select(unsure),
            (rows[:0], index[:0]),
            step,
            search_part,
        )
        result.index[unsure] = again.index
        result.objectives[unsure] = again.objectives
        result.needed[unsure] = again.needed
        result.values[:, len(index) + unsure] = again.values
    usable = finite & (result.objectives > _LOWEST)
    return _split_by_image(result, usable, missing, cells, maps.width)


def _make_queries(
    missing: Sequence[MissingKeypoints],
    cells: Sequence[np.ndarray],
    maps: DenseMaps,
) -> Tuple[_Queries, np.ndarray]:
    """Make the queries of all images, on the host.

    Returns:
        tuple[_Queries, np.ndarray]: G queries, and whether their mean tag is
        finite, bool (G,).
    """
    rows = [m.keypoint + b * maps.num_keypoints for b, m in enumerate(missing)]
    pairs = [
        np.full(len(m.keypoint), _count_pairs(len(c)))
        for m, c in zip(missing, cells)
    ]
    means = np.concatenate([m.means for m in missing])
    finite = np.isfinite(means).all(axis=1)
    means = np.where(finite[:, None], means, np.float32(0))
    first = torch.from_numpy(means[:, :1])
    margin = first.abs() * _MARGIN
    queries = _Queries(
        torch.from_numpy(np.concatenate(rows)),
        torch.from_numpy(means),
        torch.stack([-first - margin, first - margin]),
        np.concatenate(pairs),
    )
    return queries, finite


def _count_pairs(num_people: int) -> int:
    """Count the pairs that are read of a query in an image, on average."""
    return min(_PAIRS + _PAIRS_PER_PERSON * num_people, _MAX_PAIRS)


def _list_cells(
    cells: Sequence[np.ndarray], width: int
) -> Tuple[Tensor, Tensor]:
    """List the maps and flat indices of cells (P, K, 2), int64 (F,) each."""
    rows = [
        np.broadcast_to(np.arange(c.shape[1]) + b * c.shape[1], c.shape[:2])
        for b, c in enumerate(cells)
    ]
    index = [c[..., 1] * width + c[..., 0] for c in cells]
    return (
        torch.from_numpy(np.concatenate([r.reshape(-1) for r in rows])),
        torch.from_numpy(np.concatenate([i.reshape(-1) for i in index])),
    )


def _search_and_read(
    maps: DenseMaps,
    queries: _Queries,
    cells: Tuple[Tensor, Tensor],
    step: int,
    search_part: Callable[[_Queries, _Tables], _Best],
) -> _Result:
    """Search cells on the device, read neighbours, copy both to the host.

    Args:
        maps (DenseMaps): Maps of B images.
        queries (_Queries): G queries, on the host.
        cells (tuple[Tensor, Tensor]): Maps and flat indices of F other cells
            whose neighbours are read, on the host.
        step (int): Distance of the neighbours in cells.
        search_part (Callable): Search of some queries.

    Returns:
        _Result: Result on the host.
    """
    number = len(queries.rows)
    rows, cell_rows, index, *tables = upload(
        [queries.rows, *cells, *_list_blocks(maps)], maps.device
    )
    means, signed = upload([queries.means, queries.signed_means], maps.device)
    on_device = _Queries(rows, means, signed, queries.pairs)
    split = list(_split_queries(maps, queries))
    found = [
        search_part(on_device.select(part), _Tables(*tables)) for part in split
    ]
    parts = [_join(part) for part in zip(*found)]
    if found:
        cell_rows = torch.cat([cell_rows, rows])
        index = torch.cat([index, parts[0]])
        parts[0] = parts[0].to(torch.int32)
    y = torch.div(index, maps.width, rounding_mode='floor')
    xy = torch.stack([index.remainder(maps.width), y], dim=-1)
    planes = maps.planes[:, : maps.size[0], : maps.size[1]]
    values = read_neighbours(planes, cell_rows, xy, step)
    packed = [part.view(torch.int32) for part in [values.flatten(), *parts]]
    result = _unpack(_join(packed).cpu().numpy(), number, values.shape[1])
    for part in split:
        needed = result.needed[part]
        enough = needed[0] <= queries.pairs[part].sum()
        needed[:] = 0 if enough else -(-needed // len(needed))
    return result


def _list_blocks(maps: DenseMaps) -> _Tables:
    """List the tables of the blocks, on the host."""
    rows, columns = BLOCK
    y = torch.arange(maps.height, device='cpu')[:, None] * maps.width
    x = torch.arange(maps.width, device='cpu')
    centres = [
        axis.cells[size // 2 :: size, axis.cells.shape[1] // 2]
        for axis, size in zip(maps.tags.taps, BLOCK)
    ]
    return _Tables(
        *list_block_taps(maps.tags.taps, BLOCK),
        centres[0][:, None],
        centres[1],
        (y[::rows] + x[::columns]).flatten(),
        (y[:rows] + x[:columns]).flatten(),
    )


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors, a single one without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _unpack(host: np.ndarray, num_queries: int, num_cells: int) -> _Result:
    """Unpack the int32 values of :func:`_search_and_read`."""
    values, queries = np.split(host, [5 * num_cells])
    index, objectives, needed = queries.reshape(3, num_queries)
    return _Result(
        index.astype(np.int64),
        objectives.view(np.float32).copy(),
        needed.copy(),
        values.view(np.float32).reshape(5, num_cells).copy(),
    )


def _split_by_image(
    result: _Result,
    usable: np.ndarray,
    missing: Sequence[MissingKeypoints],
    cells: Sequence[np.ndarray],
    width: int,
) -> List[Found]:
    """Split the result by image."""
    counts = [len(m.keypoint) for m in missing]
    sizes = [c[..., 0].size for c in cells]
    of_people, of_queries = np.split(result.values, [sum(sizes)], axis=1)
    y, x = np.divmod(result.index, width)
    ends = np.cumsum(counts)[:-1]
    return [
        Found(xy, flags, values, people.reshape(5, *c.shape[:2]))
        for c, xy, flags, values, people in zip(
            cells,
            np.split(np.stack([x, y], axis=-1), ends),
            np.split(usable, ends),
            np.split(of_queries, ends, axis=1),
            np.split(of_people, np.cumsum(sizes)[:-1], axis=1),
        )
    ]


def _split_queries(maps: DenseMaps, queries: _Queries) -> Iterator[slice]:
    """Split queries so that each part takes bounded memory.

    Args:
        maps (DenseMaps): Maps of B images.
        queries (_Queries): G queries.

    Yields:
        slice: Queries.
    """
    cells = BLOCK[0] * BLOCK[1]
    taps = 4 * queries.means.shape[1]  # of the last step of enlargement
    per_pair = 4 * cells * (2 * taps + 6)
    blocks = maps.height * maps.width // cells
    pairs = int(queries.pairs.max(initial=0)) + _FIRST_BLOCKS
    per_query = pairs * per_pair + 4 * blocks * 6
    number = max(_MAX_BYTES // per_query, 1)
    for start in range(0, len(queries.rows), number):
        yield slice(start, start + number)


def _search_pairs(
    maps: DenseMaps,
    tags: TagMaps,
    block_maxima: Tensor,
    queries: _Queries,
    tables: _Tables,
) -> _Best:
    """Read the pairs of query and block that are most promising.

    Args:
        maps (DenseMaps): Maps.
        tags (TagMaps): Their tags, enlarged halfway.
        block_maxima (Tensor): See :func:`search`.
        queries (_Queries): G queries.
        tables (_Tables): Tables.

    Returns:
        _Best: Best cells of these pairs.
    """
    bounds = _bound_objectives(maps, block_maxima, queries, tables)
    num_queries, num_blocks = bounds.shape
    first = _select_first(maps, bounds, queries, tables)
    objectives = _read_objectives(
        maps, tags, queries.rows[:, None], first, queries.means[:, None]
    )
    best = objectives.flatten(1).amax(dim=1)
    number = min(int(queries.pairs.sum()), num_queries * num_blocks)
    excess = bounds.sub_(best[:, None])
    promising = (excess >= 0).sum(dtype=torch.int32)
    pairs = excess.flatten().topk(number).indices
    query = torch.div(pairs, num_blocks, rounding_mode='floor')
    block = pairs.remainder(num_blocks)
    objectives = _read_objectives(
        maps, tags, queries.rows[query], block, queries.means[query]
    )
    values, position = objectives.max(dim=1)
    best.scatter_reduce_(0, query, values, 'amax')
    beyond = maps.planes[0].numel()
    cells = tables.first[block].add_(tables.offsets[position])
    cells.masked_fill_(values != best[query], beyond)
    index = torch.full_like(queries.rows, beyond)
    index.scatter_reduce_(0, query, cells, 'amin')
    needed = promising.expand(num_queries)
    return _Best(index, best, needed)


def _bound_objectives(
    maps: DenseMaps, block_maxima: Tensor, queries: _Queries, tables: _Tables
) -> Tensor:
    """Bound the objective in each block, float32 (G, blocks)."""
    limits = bound_blocks(
        maps.tags.values[:, 0], tables.row_taps, tables.column_taps
    ).flatten(2)
    # The lower limit minus the mean, and the mean minus the upper limit.
    gaps = limits[:, queries.rows].add_(queries.signed_means)
    gap = gaps.amax(dim=0).clamp_(min=0).round_()
    return block_maxima.flatten(1)[queries.rows].sub_(gap)


def _select_first(
    maps: DenseMaps, bounds: Tensor, queries: _Queries, tables: _Tables
) -> Tensor:
    """Select the blocks that are read first, int64 (G, M).

    Those with the largest bounds, and the best one by the tag at its centre:
    many bounds are loose, of blocks at the border of other people.
    """
    number = min(_FIRST_BLOCKS - 1, bounds.shape[1])
    centres = maps.tags.values[:, 0, tables.centre_rows, tables.centre_columns]
    distance = centres.flatten(1)[queries.rows]
    distance.sub_(queries.means[:, :1]).abs_()
    likely = torch.sub(bounds, distance).argmax(dim=1, keepdim=True)
    return torch.cat([likely, bounds.topk(number, dim=1).indices], dim=1)


def _read_objectives(
    maps: DenseMaps,
    tag_maps: TagMaps,
    rows: Tensor,
    block: Tensor,
    means: Tensor,
) -> Tensor:
    """Read blocks and compute the objective of their cells.

    Args:
        maps (DenseMaps): Maps.
        tag_maps (TagMaps): Their tags, enlarged halfway.
        rows (Tensor): Map of each block, broadcast to (...).
        block (Tensor): int64 blocks of the map, shape (...).
        means (Tensor): Mean tags, broadcast to (..., L).

    Returns:
        Tensor: Objectives, shape (..., 32).
    """
    columns = maps.width // BLOCK[1]
    y = torch.div(block, columns, rounding_mode='floor')
    x = block.remainder(columns)
    (y_cells, y_weights), (x_cells, x_weights) = (
        read_taps(table.unflatten(0, (-1, size)), position)
        for table, size, position in zip(
            (tag_maps.row_table, tag_maps.column_table), BLOCK, (y, x)
        )
    )
    tags = tag_maps.values[
        rows[..., None, None, None, None],
        :,
        y_cells[..., :, None, :, None],
        x_cells[..., None, :, None, :],
    ]
    tags = interpolate(
        tags, y_weights[..., :, None, :], x_weights[..., None, :, :]
    )
    heatmaps = maps.blocks[rows, y, :, x]
    return _compute_objectives(
        heatmaps.flatten(-2), tags.flatten(-3, -2), means[..., None, :]
    )


def _compute_objectives(
    heatmaps: Tensor, tags: Tensor, means: Tensor
) -> Tensor:
    """Compute the objective of cells.

    Args:
        heatmaps (Tensor): Shape (...); overwritten.
        tags (Tensor): Shape (..., L); overwritten.
        means (Tensor): Mean tags, broadcast to the tags.

    Returns:
        Tensor: Objectives, the lowest float where NaN, shape (...).
    """
    squared, *others = tags.sub_(means).square_().unbind(-1)
    for other in others:
        squared = squared + other
    objectives = heatmaps.sub_(take_root(squared).round_())
    return objectives.nan_to_num_(_LOWEST, torch.inf, _LOWEST)


def _search_all_cells(
    maps: DenseMaps, queries: _Queries, tables: _Tables
) -> _Best:
    """Read all cells.

    Args:
        maps (DenseMaps): Maps.
        queries (_Queries): G queries.
        tables (_Tables): Not used.

    Returns:
        _Best: Best cells.
    """
    found = []
    cells = maps.planes[0].numel() * (4 * queries.means.shape[1] + 4)
    number = max(_MAX_BYTES // (4 * cells), 1)
    for start in range(0, len(queries.rows), number):
        rows, means, *_ = queries.select(slice(start, start + number))
        tags = pad(enlarge(maps.tags.values[rows], maps.size), 0.0)
        objectives = _compute_objectives(
            maps.planes[rows].flatten(1),
            tags.flatten(2).transpose(1, 2),
            means[:, None],
        )
        best = objectives.max(dim=1)
        found.append((best.indices, best.values))
    index, objectives = map(torch.cat, zip(*found))
    return _Best(index, objectives, torch.zeros_like(index, dtype=torch.int32))
