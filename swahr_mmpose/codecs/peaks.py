# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Peaks of heatmaps and their place within a cell.

B images, K keypoints, L tag dimensions, map size H x W, M candidates.  A cell
is a pair of integers ``(x, y)``; its flat index is ``y * W + x``.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import read_maps, true_indices

from .block_max import RUN, Runs, cut_into_runs

__all__ = [
    'Candidates',
    'find_candidates',
    'log_parabola_shift',
    'peak_indices',
    'quarter_shift',
]


class Candidates(NamedTuple):
    """The strongest peaks of each heatmap, the strongest first.

    ``scores`` is float32 (B, K, M), 0 where there are fewer than M;
    ``indices`` are int64 flat indices (B, K, M); ``tags`` are float32
    (B, K, M, L).
    """

    scores: Tensor
    indices: Tensor
    tags: Tensor


def _window(kernel: int) -> List[Tuple[int, int]]:
    """Offsets ``(dy, dx)`` of a window without its middle, nearest first.

    Most cells of a slope fall at the first comparison.
    """
    reach = kernel // 2
    steps = range(-reach, reach + 1)
    offsets = [(dy, dx) for dy in steps for dx in steps if dy or dx]
    return sorted(offsets, key=lambda o: (abs(o[0]) + abs(o[1]), abs(o[1])))


def peak_indices(
    heatmaps: Tensor,
    threshold: float,
    kernel: int,
    runs: Optional[Runs] = None,
) -> Tensor:
    """Cells above a threshold that no cell of their window exceeds.

    Only runs above the threshold are looked at, first within themselves; what
    is left is compared with its neighbours until one of these is larger.  On a
    plateau every cell is a peak; beside what is no number none is.

    Args:
        heatmaps (Tensor): Shape (..., H, W).
        threshold (float): A peak must exceed it.
        kernel (int): Odd side of the window.
        runs (Runs, optional): Of these maps, by no higher threshold.

    Returns:
        Tensor: int64 flat indices into the maps as widened for runs,
        increasing.
    """
    height = heatmaps.shape[-2]
    runs = runs or cut_into_runs(heatmaps, threshold)
    width, flat = runs.width, runs.values.view(-1)
    index = _peaks_of_runs(runs, threshold, kernel > 1)
    value = flat.index_select(0, index)
    x, y = index % width, index // width % height
    for dy, dx in _window(kernel):
        # Over the edge there is no larger neighbour, whatever is read there.
        over = (index + (dy * width + dx)).clamp_(0, len(flat) - 1)
        keep = flat.index_select(0, over) <= value
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


def _peaks_of_runs(runs: Runs, threshold: float, slopes_off: bool) -> Tensor:
    """Cells above a threshold, without those a neighbour in their run exceeds.

    Returns:
        Tensor: int64 flat indices, increasing.
    """
    numbers = runs.above_only(threshold)
    values = runs.values.index_select(0, numbers).view(-1)
    if values.device.type == 'cpu':  # NumPy compares several times faster
        keep = torch.from_numpy(
            _may_be_peaks(values.numpy(), threshold, slopes_off)
        )
    else:
        keep = _may_be_peaks(values, threshold, slopes_off)
    found = true_indices(keep)
    return numbers.index_select(0, found // RUN) * RUN + found % RUN


def _may_be_peaks(values: Any, threshold: float, slopes_off: bool) -> Any:
    """Flags of cells of flattened runs; the ends of a run fall by no slope.

    Args:
        values (np.ndarray | Tensor): Shape (R * 32,).
        threshold (float): A peak must exceed it.
        slopes_off (bool): Whether neighbours count.
    """
    keep = values > threshold
    if not slopes_off:
        return keep
    ends = [keep[end::RUN] + False for end in (0, RUN - 1)]
    keep[1:] &= values[1:] >= values[:-1]
    keep[:-1] &= values[:-1] >= values[1:]
    keep[::RUN], keep[RUN - 1 :: RUN] = ends
    return keep


def find_candidates(
    heatmaps: Tensor,
    tags: Tensor,
    *,
    threshold: float,
    kernel: int,
    topk: int,
    runs: Optional[Runs] = None,
) -> Candidates:
    """The best local maxima above a threshold, with their tags.

    Among equal scores the one that comes first in row-major order is better.

    Args:
        heatmaps (Tensor): float32, shape (B, K, H, W).
        tags (Tensor): float32, shape (B, L, K, h, w); where smaller than the
            heatmaps, read between cells (:func:`read_maps`).
        threshold (float): A score must exceed it; not negative.
        kernel (int): Odd side of the window of non-maximum suppression.
        topk (int): Candidates kept per heatmap, M.
        runs (Runs, optional): Of the heatmaps, by no higher threshold, where
            they are known.

    Returns:
        Candidates: M of them per heatmap.
    """
    batch, num_keypoints, height, width = heatmaps.shape
    runs = runs or cut_into_runs(heatmaps, threshold)
    peaks = peak_indices(heatmaps, threshold, kernel, runs)
    scores = runs.values.view(-1)[peaks]
    y, x = peaks // runs.width, peaks % runs.width
    peaks = y * width + x
    # Two stable sorts: by falling score, then by heatmap.
    order = torch.sort(scores, descending=True, stable=True).indices
    rows = peaks[order] // (height * width)
    order = order[torch.sort(rows, stable=True).indices]
    peaks, scores = peaks[order], scores[order]
    rows = peaks // (height * width)
    maps = batch * num_keypoints
    counts = torch.bincount(rows, minlength=maps)
    first = counts.cumsum(0) - counts
    ranks = torch.arange(len(rows), device=rows.device) - first[rows]
    keep = ranks < topk
    rows, ranks, scores = rows[keep], ranks[keep], scores[keep]
    indices = peaks[keep] - rows * (height * width)
    cells = torch.stack([rows, indices // width, indices % width], dim=-1)
    found = read_maps(
        tags.transpose(1, 2).flatten(0, 1), cells, (height, width)
    )
    all_scores = scores.new_zeros(maps, topk)
    all_indices = indices.new_zeros(maps, topk)
    all_tags = found.new_zeros(maps, topk, tags.shape[1])
    all_scores[rows, ranks] = scores
    all_indices[rows, ranks] = indices
    all_tags[rows, ranks] = found
    shape = (batch, num_keypoints, topk)
    return Candidates(
        all_scores.view(shape),
        all_indices.view(shape),
        all_tags.view(*shape, tags.shape[1]),
    )


def _neighbours(
    heatmaps: Tensor, cells: Tensor, step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values left, right, above and below of cells, clamped to the map."""
    num_keypoints, height, width = heatmaps.shape
    x, y = cells.unbind(-1)
    k = torch.arange(num_keypoints, device=heatmaps.device)
    return (
        heatmaps[k, y, (x - step).clamp(min=0)],
        heatmaps[k, y, (x + step).clamp(max=width - 1)],
        heatmaps[k, (y - step).clamp(min=0), x],
        heatmaps[k, (y + step).clamp(max=height - 1), x],
    )


def quarter_shift(heatmaps: Tensor, cells: Tensor) -> Tensor:
    """A quarter of a cell towards the higher neighbour; ties go back.

    Args:
        heatmaps (Tensor): Of one image, shape (K, H, W).
        cells (Tensor): int64, shape (N, K, 2).

    Returns:
        Tensor: float32 offsets (N, K, 2), each +0.25 or -0.25.  At the border
        the neighbour outside is replaced by the cell itself.
    """
    left, right, above, below = _neighbours(heatmaps, cells, 1)
    higher = torch.stack([right > left, below > above], dim=-1)
    return higher.to(torch.float32) * 0.5 - 0.25


def log_parabola_shift(heatmaps: Tensor, cells: Tensor, step: int) -> Tensor:
    """The top of the Gaussian through a peak and its neighbours.

    Exact for a sampled Gaussian, whose logarithm is a parabola.

    Args:
        heatmaps (Tensor): Of one image, shape (K, H, W).
        cells (Tensor): int64, shape (N, K, 2).
        step (int): Distance of the neighbours, in cells.

    Returns:
        Tensor: float32 offsets (N, K, 2), at most half a step; 0 where the
        three values have no top (at the border, or not a maximum).
    """
    k = torch.arange(len(heatmaps), device=heatmaps.device)
    tiny = torch.finfo(torch.float32).tiny
    around = [
        v.clamp(min=tiny).log() for v in _neighbours(heatmaps, cells, step)
    ]
    centre = heatmaps[k, cells[..., 1], cells[..., 0]].clamp(min=tiny).log()
    before = torch.stack([around[0], around[2]], dim=-1)
    after = torch.stack([around[1], around[3]], dim=-1)
    bend = 2 * centre[..., None] - before - after
    size = cells.new_tensor([heatmaps.shape[2], heatmaps.shape[1]])
    inner = (cells >= step) & (cells + step < size)
    usable = (bend > 0) & inner
    bend = bend.where(usable, torch.ones_like(bend))
    shift = (0.5 * step * (after - before) / bend).clamp(-step / 2, step / 2)
    return shift.where(usable, torch.zeros_like(shift))
