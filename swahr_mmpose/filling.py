# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Keypoints that a person misses, from where its tag fits best.

P people, K keypoints, L tag dimensions, maps of H x W cells.
"""

from __future__ import annotations

from typing import Iterator, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .grouping import People
from .peaks import Above, true_indices
from .sampling import between_cells

__all__ = ['fill_missing_keypoints']

# The parts of the first threshold above which to look next.  Each step takes
# in a few times as many cells as the one before, so that all together cost
# little more than the last one that has to be looked at.
_PARTS = (1.0, 0.25, 0.05)


def fill_missing_keypoints(
    people: People,
    heatmaps: Tensor,
    tags: Tensor,
    above: Optional[Above] = None,
) -> People:
    """Give each missing keypoint the cell that fits its person best.

    It is the largest ``heatmap - round(tag distance)``, the first one in
    row-major order; where the heatmap is not positive there, the keypoint
    stays missing.  Tags of filled keypoints stay 0.  A tag that is no number
    fits nobody.

    No cell is better than its heatmap value, so that cells are looked at by
    falling value until no other one can win.

    Args:
        people (People): From :func:`swahr_mmpose.grouping.group_by_tags`.
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w); where smaller than the
            heatmaps, read between cells.
        above (Above, optional): The cells of these heatmaps above some
            threshold, where they are known.

    Returns:
        People: A new one; the argument is left as it was.
    """
    found = people.scores > 0
    some = found.any(axis=1)
    cells, scores = people.cells.copy(), people.scores.copy()
    count = np.maximum(found.sum(axis=1), 1).astype(np.float32)[:, None]
    means = people.tags.sum(axis=1, where=found[..., None]) / count
    for k in np.flatnonzero((~found[some]).any(axis=0)):
        lacking = np.flatnonzero(some & ~found[:, k])
        part = None if above is None else _of_map(above, int(k), heatmaps)
        flat, values = _best_cells(
            heatmaps[k], tags[:, k], means[lacking], part
        )
        filled, flat = lacking[values > 0], flat[values > 0]
        y, x = np.divmod(flat, heatmaps.shape[2])
        cells[filled, k] = np.stack([x, y], axis=-1)
        scores[filled, k] = values[values > 0]
    return People(cells, scores, people.tags)


def _of_map(above: Above, k: int, heatmaps: Tensor) -> Above:
    """The part of one map."""
    area = heatmaps.shape[1] * heatmaps.shape[2]
    limits = torch.tensor([k * area, (k + 1) * area])
    start, end = torch.searchsorted(
        above.cells, limits.to(above.cells.device)
    ).tolist()
    return Above(
        above.threshold,
        above.cells[start:end] - k * area,
        above.values[start:end],
    )


def _steps(
    heatmap: Tensor, known: Optional[Above]
) -> Iterator[Tuple[float, Tensor, Tensor]]:
    """Falling thresholds, with index and value of all cells above each."""
    flat = heatmap.reshape(-1)
    first = float(flat.max()) / 4 if known is None else known.threshold
    if known is not None:
        yield known
    for part in _PARTS if first > 0 else ():
        if known is None or part < 1:
            index = true_indices(flat > part * first)
            yield part * first, index, flat[index]
    yield -np.inf, torch.arange(len(flat), device=flat.device), flat


def _best_cells(
    heatmap: Tensor, tags: Tensor, means: np.ndarray, known: Optional[Above]
) -> Tuple[np.ndarray, np.ndarray]:
    """The best cell for each of some mean tags.

    Args:
        heatmap (Tensor): Shape (H, W).
        tags (Tensor): Shape (L, h, w).
        means (np.ndarray): Shape (P, L).
        known (Above, optional): Cells of this heatmap.

    Returns:
        tuple[np.ndarray, np.ndarray]: Flat indices, int64 (P,), and the
        heatmap there, float32 (P,).
    """
    best = np.zeros(len(means), np.int64)
    values = np.zeros(len(means), np.float32)
    pending = list(range(len(means)))
    size = (heatmap.shape[0], heatmap.shape[1])
    tags = _enlarge_to_half(tags, size)
    for threshold, index, there in _steps(heatmap, known):
        if len(index) == 0:
            continue
        read = _read(tags, index, size)
        numbers, there_np = index.cpu().numpy(), there.cpu().numpy()
        still = []
        for p in pending:
            fit = there_np - _rounded_distance(read, means[p])
            first = int(fit.argmax())
            best[p], values[p] = numbers[first], there_np[first]
            if not fit[first] > threshold:
                still.append(p)
        pending = still
        if not pending:
            break
    return best, values


def _enlarge_to_half(tags: Tensor, size: Tuple[int, int]) -> Tensor:
    """Twofold, as often as that is smaller than ``size``."""
    while 2 * tags.shape[1] < size[0] and 2 * tags.shape[2] < size[1]:
        tags = F.interpolate(tags[None], scale_factor=2, mode='bilinear')[0]
    return tags


def _read(
    tags: Tensor, index: Tensor, size: Tuple[int, int]
) -> Sequence[np.ndarray]:
    """Tags (L, h, w) at flat cells of enlarged maps: L arrays (M,)."""
    h, w = tags.shape[1:]
    if (h, w) == size:
        return [torch.take(plane, index).cpu().numpy() for plane in tags]
    y = torch.div(index, size[1], rounding_mode='floor')
    corners = [
        (a * w + b, weight.to(tags.dtype))
        for a, b, weight in between_cells(y, index - y * size[1], (h, w), size)
    ]
    read = []
    for plane in tags:
        parts = [torch.take(plane, at) * weight for at, weight in corners]
        read.append((parts[0] + parts[1] + parts[2] + parts[3]).cpu().numpy())
    return read


def _rounded_distance(
    tags: Sequence[np.ndarray], mean: np.ndarray
) -> np.ndarray:
    """Shape (M,), from L tags (M,); infinite where one is no number."""
    squared = (tags[0] - mean[0]) ** 2
    for tag, of_person in zip(tags[1:], mean[1:]):
        squared += (tag - of_person) ** 2
    distance = np.rint(np.sqrt(squared, out=squared), out=squared)
    distance[np.isnan(distance)] = np.inf
    return distance
