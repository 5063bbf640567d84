# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Exact branch-and-bound search for the best cells of missing keypoints.

The best cell maximises the objective ``heatmap - round(|tag - mean_tag|)``.
The maximum of a block of 32 cells minus the rounded distance from ``mean_tag``
to the block's tag interval bounds the objective from above; blocks below the
best objective so far are skipped.  The interval is that of the first tag
component: the distance in one component does not exceed that in all.

L tag dimensions, G missing keypoints (queries), M selected blocks, N pairs of
a query and a block.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

__all__ = ['BestCells', 'BlockSelection', 'search_blocks', 'take_root']

# Blocks that are read in one step: they fit into the CPU cache.
_CHUNK_SIZE = 1 << 13
# Pairs of a map that are read; more occur where tags are not smooth.
_MAX_PAIRS = 1 << 13


class BlockSelection(NamedTuple):
    """Selected blocks of one or more maps, one map after the other.

    ``values`` (R, 32) are blocks of heatmaps and ``maxima`` (R,) their maxima;
    selected block i of M is ``indices[i]`` of these, and ``tag_indices[i]`` of
    the L tag maps ``tags`` (T, 32).  Map j has the selected blocks from
    ``ends[j - 1]`` to ``ends[j]``.
    """

    values: Tensor
    maxima: Tensor
    indices: Tensor
    tags: Sequence[Tensor]
    tag_indices: Tensor
    ends: Sequence[int]


class BestCells(NamedTuple):
    """Best cell of each query, arrays of shape (G,).

    ``blocks`` are int64 block indices and ``columns`` those of the cell within
    its block; ``values`` are the heatmap there and ``objectives`` the maxima
    of the objective, ``-inf`` where no cell has a finite distance, NaN for the
    queries of maps that were not searched.
    """

    blocks: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    objectives: np.ndarray


@np.errstate(over='ignore', invalid='ignore')  # infinite bounds and tags
def search_blocks(
    selection: BlockSelection,
    means: np.ndarray,
    counts: Sequence[int],
    threshold: Optional[float] = None,
) -> BestCells:
    """Find the first cell of each query with the largest objective.

    A NaN distance counts as infinite, a NaN objective as ``-inf``.  Maps in
    which few blocks can be skipped, see ``_MAX_PAIRS``, are not searched:
    :mod:`.tag_search` is for them.

    Args:
        selection (BlockSelection): Maps with at least one block each.
        means (np.ndarray): Mean tag of each query, float32, shape (G, L);
            queries of the first map first.
        counts (Sequence[int]): Number of queries of each map.
        threshold (float, optional): Objectives that do not exceed it need not
            be exact. ``None``: all are exact; the selection must then contain
            all blocks of its maps.

    Returns:
        BestCells: Cells, with blocks counted within the selection; any cell
        where the best objective does not exceed the threshold.
    """
    device = selection.values.device
    all_means = torch.from_numpy(means).to(selection.values)
    lowest = -np.inf if threshold is None else threshold
    bounds, likely = _bound_objectives(
        selection, means[:, 0], counts, threshold
    )
    queries = torch.arange(len(means), device=device)
    likely_blocks = torch.from_numpy(likely).to(device)
    reached = _maximize_blocks(selection, likely_blocks, all_means, queries)
    query, block, searched = _select_pairs(
        selection, bounds, np.maximum(reached, lowest), likely
    )
    query_t, block_t = (
        torch.from_numpy(index).to(device) for index in (query, block)
    )
    objectives = _maximize_blocks(selection, block_t, all_means, query_t)
    best, first = _find_first_maxima(objectives, query)
    chosen = block_t[torch.from_numpy(first).to(device)]
    columns = _compute_objectives(selection, chosen, all_means, queries)
    columns = columns.argmax(dim=1)
    values = selection.values[selection.indices[chosen], columns]
    best[~searched] = np.nan
    return BestCells(
        block[first], columns.cpu().numpy(), values.cpu().numpy(), best
    )


def _bound_objectives(
    selection: BlockSelection,
    means: np.ndarray,
    counts: Sequence[int],
    threshold: Optional[float],
) -> Tuple[List[np.ndarray], np.ndarray]:
    """Bound the objective in each block and choose the most likely blocks.

    The most likely block of a query is the one with the largest bound among
    the blocks with a narrow tag interval; in others the bound is loose.

    Args:
        selection (BlockSelection): Maps with at least one block each.
        means (np.ndarray): First component of the mean tags, shape (G,).
        counts (Sequence[int]): Number of queries of each map.
        threshold (float, optional): See :func:`search_blocks`.

    Returns:
        tuple[list[np.ndarray], np.ndarray]: Upper bounds (queries, blocks) of
        each map, and the most likely block of each query, int64 (G,).
    """
    low, high = _bound_tags(selection, threshold)
    maxima = selection.maxima.index_select(0, selection.indices).cpu().numpy()
    # Penalty of wide intervals.
    wide = np.where(high - low > 0.9, np.float32(10), np.float32(0))
    bounds, likely = [], []
    query_end = start = 0
    for count, end in zip(counts, selection.ends):
        in_map, query_end = slice(start, end), query_end + count
        mean = means[query_end - count : query_end, None]
        gap = np.maximum(low[in_map] - mean, mean - high[in_map])
        np.maximum(gap, 0, out=gap)
        gap *= np.float32(0.999)  # the bound must hold despite rounding
        bound = np.subtract(maxima[in_map], np.rint(gap, out=gap), out=gap)
        bounds.append(bound)
        likely.append((bound - wide[in_map]).argmax(axis=1) + start)
        start = end
    return bounds, np.concatenate(likely)


def _bound_tags(
    selection: BlockSelection, threshold: Optional[float]
) -> Tuple[np.ndarray, np.ndarray]:
    """Compute the interval of the first tag component in each block.

    Args:
        selection (BlockSelection): M blocks.
        threshold (float, optional): Heatmap value that a cell must exceed to
            count. ``None``: all cells count.

    Returns:
        tuple[np.ndarray, np.ndarray]: float32 minima and maxima, (M,) each;
        infinite where a tag is NaN.
    """
    if threshold is None:
        tags = selection.tags[0]
        low, high = tags.amin(dim=1), tags.amax(dim=1)
    else:
        chunks = zip(
            selection.indices.split(_CHUNK_SIZE),
            selection.tag_indices.split(_CHUNK_SIZE),
        )
        intervals = [
            _bound_tags_above(selection, *chunk, threshold) for chunk in chunks
        ]
        low, high = (torch.cat(values) for values in zip(*intervals))
    # A NaN hides the other tags of its block: no bound.
    low = low.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
    high = high.nan_to_num_(torch.inf, torch.inf, -torch.inf)
    return low.cpu().numpy(), high.cpu().numpy()


def _bound_tags_above(
    selection: BlockSelection,
    indices: Tensor,
    tag_indices: Tensor,
    threshold: float,
) -> Tuple[Tensor, Tensor]:
    """Compute tag minima and maxima over cells above a threshold."""
    tags = selection.tags[0].index_select(0, tag_indices)
    # 0 for cells above the threshold, far below 0 for the others.
    excluded = selection.values.index_select(0, indices).sub_(threshold)
    excluded = excluded.clamp_(max=0).mul_(1e30)
    return (tags - excluded).amin(dim=1), excluded.add_(tags).amax(dim=1)


def _select_pairs(
    selection: BlockSelection,
    bounds: Sequence[np.ndarray],
    reached: np.ndarray,
    likely: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Select pairs of query and block whose bound is not below ``reached``.

    The most likely block of each query is always selected, and only this one
    in a map with more than ``_MAX_PAIRS`` pairs.

    Args:
        selection (BlockSelection): M blocks.
        bounds (Sequence[np.ndarray]): Upper bounds of each map.
        reached (np.ndarray): Objective reached by each query, shape (G,).
        likely (np.ndarray): Most likely block of each query, shape (G,).

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: int64 queries, increasing,
        and blocks, (N,) each; whether all pairs of a query are selected, bool
        (G,).
    """
    queries, blocks = [], []
    searched = np.ones(len(reached), bool)
    query = start = 0
    for bound, end in zip(bounds, selection.ends):
        rows = np.arange(query, query + len(bound))
        selected = ~(bound < reached[rows, None])
        if np.count_nonzero(selected) > _MAX_PAIRS:
            selected[:] = searched[rows] = False
        selected[rows - query, likely[rows] - start] = True
        row, column = np.divmod(np.flatnonzero(selected), bound.shape[1])
        queries.append(row + query)
        blocks.append(column + start)
        query, start = query + len(bound), end
    return np.concatenate(queries), np.concatenate(blocks), searched


def _compute_objectives(
    selection: BlockSelection, block: Tensor, means: Tensor, query: Tensor
) -> Tensor:
    """Compute the objective of pairs (N,) of block and query, (N, 32)."""
    means = means.index_select(0, query)[..., None]
    row = selection.tag_indices.index_select(0, block)
    squared, *others = (
        tag.index_select(0, row).sub_(means[:, i]).square_()
        for i, tag in enumerate(selection.tags)
    )
    for other in others:
        squared += other
    indices = selection.indices.index_select(0, block)
    values = selection.values.index_select(0, indices)
    objectives = values.sub_(take_root(squared).round_())
    return objectives.nan_to_num_(-torch.inf, torch.inf, -torch.inf)


def take_root(squared: Tensor) -> Tensor:
    """Replace values by their square root, correctly rounded.

    torch, by MKL, is off by one unit in the last place at times, which moves
    distances across the limit of rounding.
    """
    if squared.device.type != 'cpu':
        return squared.sqrt_()
    array = squared.numpy()
    np.sqrt(array, out=array)
    return squared


def _maximize_blocks(
    selection: BlockSelection, block: Tensor, means: Tensor, query: Tensor
) -> np.ndarray:
    """Compute the largest objective of pairs (N,) of block and query, (N,)."""
    chunks = zip(block.split(_CHUNK_SIZE), query.split(_CHUNK_SIZE))
    maxima = [
        _compute_objectives(selection, b, means, q).amax(dim=1).cpu().numpy()
        for b, q in chunks
    ]
    return np.concatenate(maxima)


def _find_first_maxima(
    objectives: np.ndarray, query: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Find the maximum of each query and its first position.

    Args:
        objectives (np.ndarray): Objective of each pair, shape (N,).
        query (np.ndarray): Query of each pair, 0 to G - 1 without gaps,
            increasing, shape (N,).

    Returns:
        tuple[np.ndarray, np.ndarray]: Maxima and int64 positions, (G,) each.
    """
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    best = np.maximum.reduceat(objectives, starts)
    reached = np.flatnonzero(objectives == best[query])
    _, first = np.unique(query[reached], return_index=True)
    return best, reached[first]
