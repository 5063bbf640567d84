# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Search of the best cells in pairs of a missing keypoint and a block.

See :mod:`.dense_search`.  Nothing here is read back by the host.

R maps of padded size H x W, L tag dimensions, G missing keypoints (queries),
M blocks of each query, N pairs.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Union

import numpy as np
import torch
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import enlarge

from .block_search import take_root
from .dense_maps import BLOCK, DenseMaps, TagMaps, pad, read_taps
from .tag_interpolation import bound_blocks, interpolate, list_block_taps

__all__ = [
    'LOWEST',
    'MARGIN',
    'Best',
    'BlockTables',
    'Queries',
    'list_blocks',
    'search_all_cells',
    'search_pairs',
    'split_queries',
]

# Blocks of each query that are read first.
_FIRST_BLOCKS = 30
# Memory of the queries that are searched together.
_MAX_BYTES = 1 << 30
# Margin of the mean tags for rounding, relative.
MARGIN = 1e-6
# Objective of cells without a finite distance.
LOWEST = float(np.finfo(np.float32).min)


class Queries(NamedTuple):
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

    def select(self, part: Union[slice, np.ndarray]) -> Queries:
        """Select queries."""
        return Queries(
            self.rows[part],
            self.means[part],
            self.signed_means[:, part],
            self.pairs[part],
        )


class BlockTables(NamedTuple):
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


class Best(NamedTuple):
    """Best cell of each query.

    ``best_cell`` are int64 flat indices into the padded map (G,), and
    ``objectives`` float32 (G,).  ``needed`` is the number of pairs, of all
    queries that are searched together, that may hold the best cells, int32
    (G,).
    """

    best_cell: Tensor
    objectives: Tensor
    needed: Tensor


def list_blocks(maps: DenseMaps) -> BlockTables:
    """List the tables of the blocks, on the host."""
    rows, columns = BLOCK
    y = torch.arange(maps.height, device='cpu')[:, None] * maps.width
    x = torch.arange(maps.width, device='cpu')
    centres = [
        axis.cells[size // 2 :: size, axis.cells.shape[1] // 2]
        for axis, size in zip(maps.tags.taps, BLOCK)
    ]
    return BlockTables(
        *list_block_taps(maps.tags.taps, BLOCK),
        centres[0][:, None],
        centres[1],
        (y[::rows] + x[::columns]).flatten(),
        (y[:rows] + x[:columns]).flatten(),
    )


def split_queries(maps: DenseMaps, queries: Queries) -> Iterator[slice]:
    """Split queries so that each part takes bounded memory.

    Args:
        maps (DenseMaps): Maps of B images.
        queries (Queries): G queries.

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


def search_pairs(
    maps: DenseMaps,
    tags: TagMaps,
    block_maxima: Tensor,
    queries: Queries,
    tables: BlockTables,
) -> Best:
    """Read the pairs of query and block that are most promising.

    Args:
        maps (DenseMaps): Maps.
        tags (TagMaps): Their tags, enlarged halfway.
        block_maxima (Tensor): See :func:`search`.
        queries (Queries): G queries.
        tables (BlockTables): Tables.

    Returns:
        Best: Best cells of these pairs.
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
    return Best(index, best, needed)


def _bound_objectives(
    maps: DenseMaps,
    block_maxima: Tensor,
    queries: Queries,
    tables: BlockTables,
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
    maps: DenseMaps, bounds: Tensor, queries: Queries, tables: BlockTables
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
    return objectives.nan_to_num_(LOWEST, torch.inf, LOWEST)


def search_all_cells(
    maps: DenseMaps, queries: Queries, tables: BlockTables
) -> Best:
    """Read all cells.

    Args:
        maps (DenseMaps): Maps.
        queries (Queries): G queries.
        tables (BlockTables): Not used.

    Returns:
        Best: Best cells.
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
    return Best(index, objectives, torch.zeros_like(index, dtype=torch.int32))
