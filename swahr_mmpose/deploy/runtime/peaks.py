# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Peaks of heatmaps: non-maximum suppression and sub-pixel refinement.

K keypoints, N people, M candidates of a heatmap, map size H x W. A cell is a
pair of integers ``(x, y)``.
"""

from __future__ import annotations

from typing import List, NamedTuple, Tuple

import numpy as np

__all__ = ['Candidates', 'find_peaks', 'log_parabola_shift', 'quarter_shift']

# Fraction of the cells above which windows are compared at once.
_MAX_REMAINING = 0.05


class Candidates(NamedTuple):
    """The strongest peaks of one heatmap, by descending score.

    ``scores`` are float32 (M,), ``cells`` int64 (M, 2).
    """

    scores: np.ndarray
    cells: np.ndarray


def _list_offsets(kernel: int) -> List[Tuple[int, int]]:
    """List offsets ``(dy, dx)`` in a window, except (0, 0), nearest first."""
    steps = range(-(kernel // 2), kernel // 2 + 1)
    offsets = [(dy, dx) for dy in steps for dx in steps if dy or dx]
    return sorted(offsets, key=lambda o: abs(o[0]) + abs(o[1]))


def find_peaks(
    heatmaps: np.ndarray, threshold: float, kernel: int, topk: int
) -> List[Candidates]:
    """Find the best cells above a threshold that no cell in a window exceeds.

    Equal scores are sorted in row-major order.

    Args:
        heatmaps (np.ndarray): float32, shape (K, H, W).
        threshold (float): Value above which a cell can be a peak.
        kernel (int): Size of the window in cells, odd.
        topk (int): Maximum number of peaks per heatmap.

    Returns:
        list[Candidates]: Peaks of each heatmap.
    """
    _, height, width = heatmaps.shape
    flat = heatmaps.reshape(-1)
    index = np.flatnonzero(flat > threshold)
    index = _suppress_non_maxima(heatmaps, index, kernel)
    value, x, y = flat[index], index % width, index // width % height
    ends = np.searchsorted(
        index, np.arange(1, len(heatmaps)) * (height * width)
    )
    parts = zip(np.split(value, ends), np.split(np.stack([x, y], 1), ends))
    return [_select_best(scores, cells, topk) for scores, cells in parts]


def _suppress_non_maxima(
    heatmaps: np.ndarray, index: np.ndarray, kernel: int
) -> np.ndarray:
    """Select flat indices of cells that no cell in a window exceeds.

    Cells are compared with one neighbour after the other, which is fast if
    few remain. On plateaus all remain, and the maximum of all windows is
    computed at once, in a time that does not depend on their size.
    """
    _, height, width = heatmaps.shape
    flat = heatmaps.reshape(-1)
    if len(index) > _MAX_REMAINING * flat.size:
        keep = _mark_maxima(heatmaps, kernel).reshape(-1)
        return index[keep[index]]
    value, x, y = flat[index], index % width, index // width % height
    for dy, dx in _list_offsets(kernel):
        inside = (x >= -dx) & (x < width - dx)
        inside &= (y >= -dy) & (y < height - dy)
        other = index + (dy * width + dx)
        keep = flat.take(other, mode='clip') <= value
        keep |= ~inside
        index, value, x, y = index[keep], value[keep], x[keep], y[keep]
    return index


def _mark_maxima(heatmaps: np.ndarray, kernel: int) -> np.ndarray:
    """Mark the cells that no cell in a window exceeds, (K, H, W)."""
    marks = np.empty(heatmaps.shape, bool)
    for cells, mark in zip(heatmaps, marks):  # each fits into the CPU cache
        padded = np.pad(cells, kernel // 2, constant_values=-np.inf)
        for _ in range(2):  # the window is separable
            padded = _pool_rows(padded, kernel).T
        np.equal(cells, padded, out=mark)
    return marks


def _pool_rows(maps: np.ndarray, kernel: int) -> np.ndarray:
    """Compute the maxima of ``kernel`` successive rows each."""
    size = 1  # rows so far
    while size < kernel:
        step = min(size, kernel - size)
        maps = np.maximum(maps[:-step], maps[step:])
        size += step
    return maps


def _select_best(
    scores: np.ndarray, cells: np.ndarray, topk: int
) -> Candidates:
    """Select the ``topk`` best peaks, by descending score."""
    if len(scores) > topk:  # a plateau has very many
        lowest = np.partition(scores, -topk)[-topk]
        above = np.flatnonzero(scores > lowest)
        equal = np.flatnonzero(scores == lowest)[: topk - len(above)]
        chosen = np.sort(np.concatenate([above, equal]))
        scores, cells = scores[chosen], cells[chosen]
    order = np.argsort(-scores, kind='stable')
    return Candidates(scores[order], cells[order])


def _read_neighbours(
    heatmaps: np.ndarray, cells: np.ndarray, step: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Read the values before and after cells (N, K, 2) in x and y.

    Positions outside of the map are clamped. Both results are (N, K, 2).
    """
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
    """Compute offsets of a quarter cell towards the higher neighbour.

    The sub-pixel refinement of the official implementation; on ties the
    offset is negative.

    Args:
        heatmaps (np.ndarray): float32, shape (K, H, W).
        cells (np.ndarray): int64, shape (N, K, 2).

    Returns:
        np.ndarray: Offsets in cells, float32, shape (N, K, 2).
    """
    before, after = _read_neighbours(heatmaps, cells, 1)
    return np.where(after > before, np.float32(0.25), np.float32(-0.25))


def log_parabola_shift(
    heatmaps: np.ndarray, cells: np.ndarray, step: int
) -> np.ndarray:
    """Compute the sub-pixel offset of a Gaussian peak.

    Fits a parabola to the logarithm of a peak and its two neighbours, along
    each axis. Exact for a sampled Gaussian.

    Args:
        heatmaps (np.ndarray): float32, shape (K, H, W).
        cells (np.ndarray): int64, shape (N, K, 2).
        step (int): Distance of the neighbours in cells.

    Returns:
        np.ndarray: Offsets in cells, at most half a step, float32, shape
        (N, K, 2); 0 where a neighbour lies outside or the parabola has no
        maximum.
    """
    tiny = np.finfo(np.float32).tiny
    k = np.arange(len(heatmaps))
    centre = heatmaps[k, cells[..., 1], cells[..., 0]][..., None]
    before, after, centre = (
        np.log(np.maximum(values, tiny))
        for values in (*_read_neighbours(heatmaps, cells, step), centre)
    )
    curvature = 2 * centre - before - after
    size = heatmaps.shape[:0:-1]
    usable = (curvature > 0) & (cells >= step) & (cells + step < size)
    shift = np.float32(0.5 * step) * (after - before)
    shift = shift / np.where(usable, curvature, np.float32(1))
    return np.where(usable, np.clip(shift, -step / 2, step / 2), np.float32(0))
