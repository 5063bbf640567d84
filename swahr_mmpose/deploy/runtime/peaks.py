# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Peaks of heatmaps, and their place within a cell.

K keypoints, N people, map size H x W.  A cell is a pair of integers
``(x, y)``.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np

__all__ = ['Candidates', 'find_peaks', 'log_parabola_shift', 'quarter_shift']


class Candidates(NamedTuple):
    """The strongest peaks of one heatmap, the strongest first.

    ``scores`` are float32 (M,), ``cells`` int64 (M, 2).
    """

    scores: np.ndarray
    cells: np.ndarray


def _window(kernel: int) -> List[Tuple[int, int]]:
    """Offsets ``(dy, dx)`` of a window without its middle, nearest first."""
    steps = range(-(kernel // 2), kernel // 2 + 1)
    offsets = [(dy, dx) for dy in steps for dx in steps if dy or dx]
    return sorted(offsets, key=lambda o: abs(o[0]) + abs(o[1]))


def find_peaks(
    heatmaps: np.ndarray, threshold: float, kernel: int, topk: int
) -> List[Candidates]:
    """The best cells above a threshold that none of their window exceeds.

    Among equal scores the one that comes first in row-major order is better.

    Args:
        heatmaps (np.ndarray): float32 (K, H, W).
        threshold (float): A peak must exceed it.
        kernel (int): Odd side of the window.
        topk (int): Peaks kept per heatmap.

    Returns:
        list[Candidates]: One per heatmap.
    """
    height, width = heatmaps.shape[1:]
    flat = heatmaps.reshape(-1)
    index = np.flatnonzero(flat > threshold)
    value, x, y = flat[index], index % width, index // width % height
    for dy, dx in _window(kernel):
        inside = (x >= -dx) & (x < width - dx)
        inside &= (y >= -dy) & (y < height - dy)
        other = index + (dy * width + dx)
        keep = flat.take(other, mode='clip') <= value
        keep |= ~inside
        index, value, x, y = index[keep], value[keep], x[keep], y[keep]
    ends = np.searchsorted(
        index, np.arange(1, len(heatmaps)) * (height * width)
    )
    parts = zip(np.split(value, ends), np.split(np.stack([x, y], 1), ends))
    return [_best(scores, cells, topk) for scores, cells in parts]


def _best(scores: np.ndarray, cells: np.ndarray, topk: int) -> Candidates:
    order = np.argsort(-scores, kind='stable')[:topk]
    return Candidates(scores[order], cells[order])


def _neighbours(
    heatmaps: np.ndarray, cells: np.ndarray, step: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Values before and after cells (N, K, 2) in x and y, clamped."""
    height, width = heatmaps.shape[1:]
    x, y = cells[..., 0], cells[..., 1]
    k = np.arange(len(heatmaps))
    before = [
        heatmaps[k, y, np.maximum(x - step, 0)],
        heatmaps[k, np.maximum(y - step, 0), x],
    ]
    after = [
        heatmaps[k, y, np.minimum(x + step, width - 1)],
        heatmaps[k, np.minimum(y + step, height - 1), x],
    ]
    return np.stack(before, axis=-1), np.stack(after, axis=-1)


def quarter_shift(heatmaps: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """A quarter of a cell towards the higher neighbour; ties go back.

    Args:
        heatmaps (np.ndarray): float32 (K, H, W).
        cells (np.ndarray): int64 (N, K, 2).

    Returns:
        np.ndarray: float32 offsets (N, K, 2).
    """
    before, after = _neighbours(heatmaps, cells, 1)
    return np.where(after > before, np.float32(0.25), np.float32(-0.25))


def log_parabola_shift(
    heatmaps: np.ndarray, cells: np.ndarray, step: int
) -> np.ndarray:
    """The top of the Gaussian through a peak and its neighbours.

    Args:
        heatmaps (np.ndarray): float32 (K, H, W).
        cells (np.ndarray): int64 (N, K, 2).
        step (int): Distance of the neighbours, in cells.

    Returns:
        np.ndarray: float32 offsets (N, K, 2), at most half a step; 0 where
        the three values have no top (at the border, or not a maximum).
    """
    tiny = np.finfo(np.float32).tiny
    k = np.arange(len(heatmaps))
    centre = heatmaps[k, cells[..., 1], cells[..., 0]][..., None]
    before, after, centre = (
        np.log(np.maximum(values, tiny))
        for values in (*_neighbours(heatmaps, cells, step), centre)
    )
    bend = 2 * centre - before - after
    size = heatmaps.shape[:0:-1]
    usable = (bend > 0) & (cells >= step) & (cells + step < size)
    shift = np.float32(0.5 * step) * (after - before)
    shift = shift / np.where(usable, bend, np.float32(1))
    return np.where(usable, np.clip(shift, -step / 2, step / 2), np.float32(0))
