# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Peaks of heatmaps and their place within a cell.

B images, K keypoints, L tag dimensions, map size H x W, M candidates.  A cell
is a pair of integers ``(x, y)``; its flat index is ``y * W + x``.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from .sampling import read_maps

__all__ = [
    'Above',
    'Candidates',
    'cells_above',
    'find_candidates',
    'log_parabola_shift',
    'peak_indices',
    'quarter_shift',
    'true_indices',
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
    return sorted(offsets, key=lambda o: (abs(o[0]) + abs(o[1]), abs(o[0])))


class Above(NamedTuple):
    """The cells of some maps above a threshold.

    ``cells`` are flat indices, increasing, int64 (M,); ``values`` are there.
    """

    threshold: float
    cells: Tensor
    values: Tensor


def true_indices(flags: Tensor) -> Tensor:
    """Flat indices of what is true, increasing, int64 (M,)."""
    if flags.device.type != 'cpu':
        return flags.reshape(-1).nonzero()[:, 0]
    # Several times faster than torch where little is true.
    return torch.from_numpy(np.flatnonzero(flags.numpy()))


def cells_above(heatmaps: Tensor, threshold: float) -> Above:
    """All cells above a threshold; the one look at whole maps.

    Args:
        heatmaps (Tensor): Any shape.
        threshold (float): What a cell must exceed.

    Returns:
        Above: See there.
    """
    index = true_indices(heatmaps > threshold)
    return Above(threshold, index, heatmaps.reshape(-1)[index])


def peak_indices(
    heatmaps: Tensor, threshold: float, kernel: int, above: Above
) -> Tensor:
    """Cells above a threshold that no cell of their window exceeds.

    Only cells above the threshold are compared with neighbours, and only
    until one of these is larger: for a person, hundreds of cells, not the
    whole map.  On a plateau every cell is a peak.

    Args:
        heatmaps (Tensor): Shape (..., H, W).
        threshold (float): A peak must exceed it.
        kernel (int): Odd side of the window.
        above (Above): Of these maps, by no higher threshold.

    Returns:
        Tensor: int64 indices into the flattened maps, increasing.
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.reshape(-1)
    index, value = above.cells, above.values
    if threshold > above.threshold:
        keep = true_indices(value > threshold)
        index, value = index[keep], value[keep]
    if kernel > 1:
        index = _slopes_off(heatmaps, index, value, threshold)
        value = flat[index]
    x, y = index % width, index // width % height
    for dy, dx in _window(kernel):
        # Over the edge there is no larger neighbour, whatever is read there.
        over = index + (dy * width + dx)
        keep = torch.take(flat, over.clamp_(0, len(flat) - 1)) <= value
        if dx:
            keep |= x < -dx if dx < 0 else x >= width - dx
        if dy:
            keep |= y < -dy if dy < 0 else y >= height - dy
        kept = true_indices(keep)
        if len(kept) < len(index):
            index, value, x, y = (t[kept] for t in (index, value, x, y))
    return index


def _slopes_off(
    heatmaps: Tensor, index: Tensor, value: Tensor, threshold: float
) -> Tensor:
    """Without cells that a neighbour in their row exceeds.

    Columns at the border, whose neighbour may be of another row, stay.
    """
    flat, width = heatmaps.reshape(-1), heatmaps.shape[-1]
    keep = torch.take(flat, (index - 1).clamp_(min=0)) <= value
    right = (index + 1).clamp_(max=len(flat) - 1)
    keep &= torch.take(flat, right) <= value
    rows = heatmaps.reshape(-1, width)
    ends = torch.tensor([0, width - 1], device=heatmaps.device)
    border = true_indices(rows[:, ends] > threshold)
    border = (border // 2) * width + (border % 2) * (width - 1)
    return torch.unique(torch.cat([index[true_indices(keep)], border]))


def find_candidates(
    heatmaps: Tensor,
    tags: Tensor,
    *,
    threshold: float,
    kernel: int,
    topk: int,
    above: Optional[Above] = None,
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
        above (Above, optional): Of the heatmaps, by no higher threshold,
            where it is known.

    Returns:
        Candidates: M of them per heatmap.
    """
    batch, num_keypoints, height, width = heatmaps.shape
    above = above or cells_above(heatmaps, threshold)
    peaks = peak_indices(heatmaps, threshold, kernel, above)
    scores = heatmaps.reshape(-1)[peaks]
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
        all_tags.view(*shape, -1),
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
