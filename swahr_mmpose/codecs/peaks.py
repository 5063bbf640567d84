# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Peaks of heatmaps: non-maximum suppression and sub-pixel refinement.

B images, N people, K keypoints, L tag dimensions, map size H x W, M candidates
per heatmap.  A cell is a pair of integers ``(x, y)``; its flat index is
``y * W + x``.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import read_maps, true_indices

from .block_max import BLOCK_SIZE, BlockMax

__all__ = [
    'Candidates',
    'find_candidates',
    'find_peaks',
    'log_parabola_shift',
    'quarter_shift',
    'read_neighbours',
    'refine_cells',
]


# Peaks, relative to those needed, from which they are not sorted completely.
_MANY_PEAKS = 4
# Cells are compared one by one up to this share of all cells, its inverse.
_DENSE_SHARE = 16


class Candidates(NamedTuple):
    """The strongest peaks of each heatmap, by descending score.

    ``scores`` are float32 (B, K, M), 0 where there are fewer than M peaks;
    ``indices`` are int64 flat indices (B, K, M); ``tags`` are float32
    (B, K, M, L).
    """

    scores: Tensor
    indices: Tensor
    tags: Tensor


def find_candidates(
    heatmaps: Tensor,
    tags: Tensor,
    blocks: BlockMax,
    *,
    threshold: float,
    kernel: int,
    topk: int,
) -> Candidates:
    """Find the best local maxima above a threshold, with their tags.

    Equal scores are ordered by flat index.

    Args:
        heatmaps (Tensor): float32, shape (B, K, H, W).
        tags (Tensor): float32, shape (B, L, K, h, w); where smaller than the
            heatmaps, interpolated bilinearly (:func:`read_maps`).
        blocks (BlockMax): Block-max index of the heatmaps, with a threshold
            not above ``threshold``.
        threshold (float): Score that a candidate must exceed; not negative.
        kernel (int): Window size of non-maximum suppression in cells; odd.
        topk (int): Maximum number of candidates per heatmap, M.

    Returns:
        Candidates: M candidates per heatmap.
    """
    batch, num_keypoints, height, width = heatmaps.shape
    flat = blocks.values.view(-1)
    peaks = find_peaks(heatmaps, blocks, threshold, kernel)
    peaks = _keep_strongest(flat, peaks, batch * num_keypoints, topk)
    scores = flat[peaks]
    row, x = peaks // blocks.width, peaks % blocks.width  # rows of all maps
    maps = row // height
    order, ranks = _rank_within_maps(scores, maps, batch * num_keypoints)
    keep = ranks < topk
    order, ranks = order[keep], ranks[keep]
    maps, y, x = maps[order], row[order] % height, x[order]
    peak_tags = read_maps(
        tags.transpose(1, 2).flatten(0, 1),
        torch.stack([maps, y, x], dim=-1),
        (height, width),
    )
    shape = (batch, num_keypoints, topk)
    return Candidates(
        _scatter_rows(scores[order], maps, ranks, shape),
        _scatter_rows(y * width + x, maps, ranks, shape),
        _scatter_rows(peak_tags, maps, ranks, shape),
    )


def _keep_strongest(
    values: Tensor, peaks: Tensor, num_maps: int, topk: int
) -> Tensor:
    """Drop peaks that cannot be among the ``topk`` of their map.

    Only of maps with many peaks, to save sorting them.

    Args:
        values (Tensor): float32 cells of all maps, shape (N,).
        peaks (Tensor): int64 indices of cells, increasing, shape (P,).
        num_maps (int): Number of maps.
        topk (int): Number of peaks needed of a map; of equal ones the first.

    Returns:
        Tensor: int64 peaks, increasing.
    """
    if len(peaks) <= _MANY_PEAKS * num_maps * topk:
        return peaks
    size = len(values) // num_maps
    starts = torch.arange(1, num_maps, device=peaks.device) * size
    ends = torch.searchsorted(peaks, starts).tolist() + [len(peaks)]
    kept, start = [], 0
    for end in ends:
        part, start = peaks[start:end], end
        if len(part) > topk:
            scores = values.index_select(0, part)
            least = torch.topk(scores, topk).values[-1]
            keep = scores > least
            equal = true_indices(scores == least)
            keep[equal[: topk - int(keep.sum())]] = True
            part = part[true_indices(keep)]
        kept.append(part)
    return torch.cat(kept)


def _rank_within_maps(
    scores: Tensor, maps: Tensor, num_maps: int
) -> Tuple[Tensor, Tensor]:
    """Sort peaks by map and, within a map, by descending score.

    Args:
        scores (Tensor): float32, shape (P,).
        maps (Tensor): int64 map of each peak, shape (P,).
        num_maps (int): Number of maps.

    Returns:
        tuple[Tensor, Tensor]: Order of the peaks and, in that order, the rank
        of each within its map; int64 (P,) each.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    order = order[torch.sort(maps[order], stable=True).indices]
    counts = torch.bincount(maps, minlength=num_maps)
    first = counts.cumsum(0) - counts
    ranks = torch.arange(len(maps), device=maps.device) - first[maps[order]]
    return order, ranks


def _scatter_rows(
    values: Tensor, maps: Tensor, ranks: Tensor, shape: Sequence[int]
) -> Tensor:
    """Scatter values (P, ...) by map and rank into zeros (B, K, M, ...)."""
    batch, num_keypoints, topk = shape
    rows = values.new_zeros(batch * num_keypoints, topk, *values.shape[1:])
    rows[maps, ranks] = values
    return rows.view(*shape, *values.shape[1:])


def find_peaks(
    heatmaps: Tensor, blocks: BlockMax, threshold: float, kernel: int
) -> Tensor:
    """Find cells above a threshold that no cell of their window exceeds.

    Only blocks above the threshold are read, and compared within themselves
    first.  The remaining cells are compared with their neighbours until one of
    these is larger; if they are many, by a maximum over all windows instead.
    On a plateau every cell is a peak; a cell with a NaN in
    its window is not.

    Args:
        heatmaps (Tensor): Shape (..., H, W).
        blocks (BlockMax): Block-max index of the heatmaps, with a threshold
            not above ``threshold``.
        threshold (float): Value that a peak must exceed.
        kernel (int): Window size in cells; odd.

    Returns:
        Tensor: int64 flat indices into the padded maps of the index,
        increasing, shape (P,).
    """
    height, width = heatmaps.shape[-2], blocks.width
    flat = blocks.values.view(-1)
    index = _find_block_peaks(
        blocks, threshold, kernel > 1, len(flat) // _DENSE_SHARE
    )
    if index is None:
        return _find_peaks_densely(
            blocks.values.view(-1, height, width), threshold, kernel
        )
    value = flat.index_select(0, index)
    x, y = index % width, index // width % height
    for dy, dx in _list_window_offsets(kernel):
        # Beyond the border any value may be read: it is ignored below.
        neighbour = (index + (dy * width + dx)).clamp_(0, len(flat) - 1)
        keep = flat.index_select(0, neighbour) <= value
        if dx:
            keep |= x < -dx if dx < 0 else x >= width - dx
        if dy:
            keep |= y < -dy if dy < 0 else y >= height - dy
        kept = true_indices(keep)
        if len(kept) < len(index):
            index, value, x, y = (
                t.index_select(0, kept) for t in (index, value, x, y)
            )
    return index


def _find_peaks_densely(maps: Tensor, threshold: float, kernel: int) -> Tensor:
    """Find the peaks of :func:`find_peaks` by a maximum over all windows.

    Args:
        maps (Tensor): Padded maps, shape (R, H, W).
        threshold (float): Value that a peak must exceed.
        kernel (int): Window size in cells; odd.

    Returns:
        Tensor: int64 flat indices, increasing, shape (P,).
    """
    found, reach = [], kernel // 2
    for i, cells in enumerate(maps):  # each fits into the CPU cache
        # The window is separable; a NaN is the maximum of its window.
        largest = F.pad(cells, (reach,) * 4, value=-float('inf'))
        for axis in (0, 1):
            largest = _pool_windows(largest, kernel, axis)
        peaks = true_indices((cells == largest) & (cells > threshold))
        found.append(peaks + i * cells.numel())
    return torch.cat(found)


def _pool_windows(maps: Tensor, kernel: int, axis: int) -> Tensor:
    """Compute the maxima of all windows along an axis.

    By maxima of two smaller windows, several times faster than max pooling.

    Args:
        maps (Tensor): Maps with n cells along the axis.
        kernel (int): Window size in cells.
        axis (int): Axis.

    Returns:
        Tensor: Maps with n - kernel + 1 cells along the axis.
    """
    size = 1  # of the windows so far
    while size < kernel:
        step = min(size, kernel - size)
        number = maps.shape[axis] - step
        maps = torch.maximum(
            maps.narrow(axis, 0, number), maps.narrow(axis, step, number)
        )
        size += step
    return maps


def _list_window_offsets(kernel: int) -> List[Tuple[int, int]]:
    """List the offsets ``(dy, dx)`` of a window without its centre.

    Nearest first: the first comparison rejects most cells of a slope.
    """
    reach = kernel // 2
    steps = range(-reach, reach + 1)
    offsets = [(dy, dx) for dy in steps for dx in steps if dy or dx]
    return sorted(offsets, key=lambda o: (abs(o[0]) + abs(o[1]), abs(o[1])))


def _find_block_peaks(
    blocks: BlockMax, threshold: float, compare: bool, max_peaks: int
) -> Optional[Tensor]:
    """Find cells above a threshold, by comparisons within blocks only.

    Args:
        blocks (BlockMax): Block-max index.
        threshold (float): Value that a cell must exceed.
        compare (bool): Whether to drop cells that a neighbour in their block
            exceeds.
        max_peaks (int): Maximum number of cells.

    Returns:
        Tensor | None: int64 flat indices into the padded maps, increasing;
        ``None`` if they are too many.
    """
    above = blocks.find_above(threshold)
    values = blocks.values.index_select(0, above).view(-1)
    if values.device.type == 'cpu':  # NumPy compares several times faster
        marks = _mark_block_peaks(values.numpy(), threshold, compare)
        number, keep = np.count_nonzero(marks), torch.from_numpy(marks)
    else:
        keep = _mark_block_peaks(values, threshold, compare)
        number = int(keep.sum())
    if number > max_peaks:
        return None
    kept = true_indices(keep)
    block, column = kept // BLOCK_SIZE, kept % BLOCK_SIZE
    return above.index_select(0, block) * BLOCK_SIZE + column


def _mark_block_peaks(values: Any, threshold: float, compare: bool) -> Any:
    """Mark the cells of :func:`_find_block_peaks` in flattened blocks.

    The first and last cell of a block are not compared: one of their
    neighbours lies in another block.

    Args:
        values (np.ndarray | Tensor): Shape (R * 32,).
        threshold (float): Value that a cell must exceed.
        compare (bool): Whether to compare neighbours.

    Returns:
        np.ndarray | Tensor: Bool, shape (R * 32,), of the type of ``values``.
    """
    keep = values > threshold
    if not compare:
        return keep
    # `+ False` makes a copy, in NumPy and in torch.
    ends = [keep[end::BLOCK_SIZE] + False for end in (0, BLOCK_SIZE - 1)]
    keep[1:] &= values[1:] >= values[:-1]
    keep[:-1] &= values[:-1] >= values[1:]
    keep[::BLOCK_SIZE], keep[BLOCK_SIZE - 1 :: BLOCK_SIZE] = ends
    return keep


def read_neighbours(
    heatmaps: Tensor, maps: Tensor, cells: Tensor, step: int
) -> Tensor:
    """Read cells and their neighbours, for the sub-pixel refinement.

    Args:
        heatmaps (Tensor): R heatmaps, shape (R, H, W).
        maps (Tensor): int64 heatmap of each cell, broadcast to (...).
        cells (Tensor): int64 cells ``(x, y)``, shape (..., 2).
        step (int): Distance of the neighbours in cells.

    Returns:
        Tensor: Values at the cell, left, right, above and below, shape
        (5, ...).  Neighbours outside are clamped to the map.
    """
    height, width = heatmaps.shape[1:]
    x, y = cells.unbind(-1)
    offsets = cells.new_tensor([0, -step, step, 0, 0, 0, 0, -step, step])
    offsets = offsets.view(-1, *[1] * x.dim())
    return heatmaps[
        maps,
        (y + offsets[4:]).clamp_(0, height - 1),
        (x + offsets[:5]).clamp_(0, width - 1),
    ]


def refine_cells(
    values: Tensor,
    cells: Tensor,
    size: Sequence[int],
    parabola_step: Optional[int],
) -> Tensor:
    """Compute the sub-pixel offsets of cells.

    Args:
        values (Tensor): Result of :func:`read_neighbours`, shape (5, ...).
        cells (Tensor): int64 cells ``(x, y)``, shape (..., 2).
        size (Sequence[int]): Size ``(H, W)`` of the heatmaps.
        parabola_step (int, optional): Distance of the neighbours, for
            :func:`log_parabola_shift`. ``None``: they are at a distance of
            1, for :func:`quarter_shift`.

    Returns:
        Tensor: float32 offsets in cells, shape (..., 2).
    """
    if parabola_step is None:
        return _compare_neighbours(values)
    return _fit_log_parabola(values, cells, size, parabola_step)


def quarter_shift(heatmaps: Tensor, cells: Tensor) -> Tensor:
    """Compute the quarter-cell offset towards the larger neighbour.

    The sub-pixel refinement of the official implementation; on ties the
    offset is negative.

    Args:
        heatmaps (Tensor): Heatmaps of one image, shape (K, H, W).
        cells (Tensor): int64 peaks ``(x, y)``, shape (N, K, 2).

    Returns:
        Tensor: float32 offsets in cells, +0.25 or -0.25, shape (N, K, 2).  At
        the border the cell itself replaces the neighbour outside.
    """
    k = torch.arange(len(heatmaps), device=heatmaps.device)
    return _compare_neighbours(read_neighbours(heatmaps, k, cells, 1))


def log_parabola_shift(heatmaps: Tensor, cells: Tensor, step: int) -> Tensor:
    """Compute the sub-pixel offset of a Gaussian peak.

    Fits a parabola to the logarithm of a peak and its two neighbours, along
    each axis.  Exact for a sampled Gaussian, whose logarithm is a parabola.

    Args:
        heatmaps (Tensor): Heatmaps of one image, shape (K, H, W).
        cells (Tensor): int64 peaks ``(x, y)``, shape (N, K, 2).
        step (int): Distance of the neighbours in cells.

    Returns:
        Tensor: float32 offsets in cells, at most half a step, shape
        (N, K, 2); 0 where a neighbour lies outside or the parabola has no
        maximum.
    """
    k = torch.arange(len(heatmaps), device=heatmaps.device)
    values = read_neighbours(heatmaps, k, cells, step)
    return _fit_log_parabola(values, cells, heatmaps.shape[1:], step)


def _compare_neighbours(values: Tensor) -> Tensor:
    """Compute the offsets of :func:`quarter_shift` from values (5, ...)."""
    _, left, right, above, below = values
    larger = torch.stack([right > left, below > above], dim=-1)
    return larger.to(torch.float32) * 0.5 - 0.25


def _fit_log_parabola(
    values: Tensor, cells: Tensor, size: Sequence[int], step: int
) -> Tensor:
    """Compute the offsets of :func:`log_parabola_shift`.

    Args:
        values (Tensor): Result of :func:`read_neighbours`, shape (5, ...).
        cells (Tensor): int64 cells ``(x, y)``, shape (..., 2).
        size (Sequence[int]): Size ``(H, W)`` of the heatmaps.
        step (int): Distance of the neighbours in cells.

    Returns:
        Tensor: float32 offsets in cells, shape (..., 2).
    """
    tiny = torch.finfo(torch.float32).tiny
    centre, left, right, above, below = values.clamp(min=tiny).log()
    before = torch.stack([left, above], dim=-1)
    after = torch.stack([right, below], dim=-1)
    curvature = 2 * centre[..., None] - before - after
    inside = (cells >= step) & (
        cells + step < cells.new_tensor([size[1], size[0]])
    )
    usable = (curvature > 0) & inside
    curvature = curvature.where(usable, torch.ones_like(curvature))
    shift = 0.5 * step * (after - before) / curvature
    shift = shift.clamp(-step / 2, step / 2)
    return shift.where(usable, torch.zeros_like(shift))
