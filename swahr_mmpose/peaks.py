# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Peaks of heatmaps and their place within a cell.

B images, K keypoints, L tag dimensions, map size H x W, M candidates.  A cell
is a pair of integers ``(x, y)``; its flat index is ``y * W + x``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'Candidates',
    'find_candidates',
    'local_maxima',
    'log_parabola_shift',
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


def local_maxima(heatmaps: Tensor, kernel: int) -> Tensor:
    """Whether a pixel is the largest of the window around it.

    Args:
        heatmaps (Tensor): Shape (B, K, H, W).
        kernel (int): Odd side of the window.

    Returns:
        Tensor: bool, shape (B, K, H, W).  On a plateau every pixel is one.
    """
    pooled = F.max_pool2d(heatmaps, kernel, stride=1, padding=kernel // 2)
    return pooled == heatmaps


def find_candidates(
    heatmaps: Tensor, tags: Tensor, *, threshold: float, kernel: int, topk: int
) -> Candidates:
    """The best local maxima above a threshold, with their tags.

    Among equal scores the one that comes first in row-major order is better.

    Args:
        heatmaps (Tensor): float32, shape (B, K, H, W).
        tags (Tensor): float32, shape (B, L, K, H, W).
        threshold (float): A score must exceed it; not negative.
        kernel (int): Odd side of the window of non-maximum suppression.
        topk (int): Candidates kept per heatmap, M.

    Returns:
        Candidates: M of them per heatmap.
    """
    batch, num_keypoints = heatmaps.shape[:2]
    peaks = (heatmaps > threshold) & local_maxima(heatmaps, kernel)
    flat = peaks.flatten(2).flatten(0, 1)
    rows, indices = flat.nonzero(as_tuple=True)  # in row-major order
    scores = heatmaps.flatten(2).flatten(0, 1)[rows, indices]
    # Two stable sorts: by falling score, then by heatmap.
    order = torch.sort(scores, descending=True, stable=True).indices
    order = order[torch.sort(rows[order], stable=True).indices]
    rows, indices, scores = rows[order], indices[order], scores[order]
    counts = torch.bincount(rows, minlength=len(flat))
    first = counts.cumsum(0) - counts
    ranks = torch.arange(len(rows), device=rows.device) - first[rows]
    keep = ranks < topk
    rows, ranks = rows[keep], ranks[keep]
    all_scores = scores.new_zeros(len(flat), topk)
    all_indices = indices.new_zeros(len(flat), topk)
    all_scores[rows, ranks] = scores[keep]
    all_indices[rows, ranks] = indices[keep]
    shape = (batch, num_keypoints, topk)
    all_indices = all_indices.view(shape)
    index = all_indices[:, None].expand(-1, tags.shape[1], -1, -1)
    picked = tags.flatten(3).gather(3, index)
    return Candidates(
        all_scores.view(shape), all_indices, picked.permute(0, 2, 3, 1)
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
