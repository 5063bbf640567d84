# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Keypoints that a person misses, from where its tag fits best.

P people, K keypoints, L tag dimensions, maps of H x W cells.
"""

from __future__ import annotations

from typing import Iterator, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor

from .fusion import resize
from .grouping import People
from .peaks import Above, cells_above, true_indices
from .sampling import between_cells, enlarge_to_half

__all__ = ['fill_missing_keypoints']

# So many cells are looked at in two parts.
_MANY = 20000


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

    No cell is better than its heatmap value: the cells above a threshold are
    looked at first, and where the best of them cannot be beaten by what lies
    below, that is all.  Otherwise a cell below can only win if the first
    component of its tag is near, which one comparison finds out.

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
    above = above or cells_above(heatmaps, float(heatmaps.max()) / 4)
    found = people.scores > 0
    some = found.any(axis=1)
    cells, scores = people.cells.copy(), people.scores.copy()
    count = np.maximum(found.sum(axis=1), 1).astype(np.float32)[:, None]
    means = people.tags.sum(axis=1, where=found[..., None]) / count
    for k in np.flatnonzero((~found[some]).any(axis=0)):
        lacking = np.flatnonzero(some & ~found[:, k])
        part = _of_map(above, int(k), heatmaps)
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


def _best_cells(
    heatmap: Tensor, tags: Tensor, means: np.ndarray, known: Above
) -> Tuple[np.ndarray, np.ndarray]:
    """The best cell for each of some mean tags.

    Args:
        heatmap (Tensor): Shape (H, W).
        tags (Tensor): Shape (L, h, w).
        means (np.ndarray): Shape (P, L).
        known (Above): Cells of this heatmap above a threshold.

    Returns:
        tuple[np.ndarray, np.ndarray]: Flat indices, int64 (P,), and the
        heatmap there, float32 (P,).
    """
    best = np.zeros(len(means), np.int64)
    values = np.full(len(means), -np.inf, np.float32)
    size = (heatmap.shape[0], heatmap.shape[1])
    if len(known.cells) > _MANY / 4:  # then whole maps are cheaper
        tags = resize(enlarge_to_half(tags, size)[None], size)[0]
    bounds = _bounds(tags[0], size)
    tags = enlarge_to_half(tags, size)
    seen = _Seen(known, tags, bounds, size)
    for p, mean in enumerate(means):
        best[p], values[p], fit = seen.best(mean)
        if fit > known.threshold:
            continue
        # Below, too, something may be better, or as good and come first.
        reach = np.floor(known.threshold - fit) + 0.5
        near = _near(bounds, mean[0], reach, size)
        for index, threshold in _falling(near, heatmap, known.threshold):
            below = torch.take(heatmap, index).cpu().numpy()
            fits = below - _rounded_distance(_read(tags, index, size), mean)
            first = int(fits.argmax())
            cell = int(index[first])
            if (fits[first], -cell) > (fit, -best[p]) or fit == -np.inf:
                best[p], values[p], fit = cell, below[first], fits[first]
            if fit > threshold:
                break
    return best, values


class _Seen:
    """The cells above a threshold, with their tags."""

    def __init__(
        self,
        known: Above,
        tags: Tensor,
        bounds: Tuple[Tensor, Tensor],
        size: Tuple[int, int],
    ) -> None:
        self.known, self.maps, self.size = known.cells, tags, size
        self.cells = known.cells.cpu().numpy()
        self.values = known.values.cpu().numpy()
        self.highest = self.values.max(initial=-np.inf)
        at = _coarse_cells(known.cells, bounds[0].shape, size)
        self.low, self.high = (
            torch.take(bound, at).cpu().numpy() for bound in bounds
        )

    def best(self, mean: np.ndarray) -> Tuple[int, float, float]:
        """The best cell for a mean tag: index, value, and how it fits."""
        if len(self.cells) == 0:
            return 0, -np.inf, -np.inf
        # Nearest tags first: those at rounded distance r win if what they
        # give is more than the highest value less r + 1.
        slack = 1e-3 * (1 + abs(mean[0]))  # for what rounding does
        best, fit = 0, -np.inf
        for reach in (0.5, 1.5, 2.5, 4.5, np.inf):
            near = self.low <= mean[0] + reach + slack
            near &= self.high >= mean[0] - reach - slack
            part = np.flatnonzero(near | (reach == np.inf))
            if len(part) == 0:
                continue
            cells = self.known[torch.from_numpy(part).to(self.known.device)]
            read = _read(self.maps, cells, self.size)
            fits = self.values[part] - _rounded_distance(read, mean)
            first = int(fits.argmax())
            best, fit = part[first], fits[first]
            if fit > self.highest - (reach + 0.5):
                break
        return int(self.cells[best]), self.values[best], fit


def _coarse_cells(
    cells: Tensor, small: Sequence[int], size: Tuple[int, int]
) -> Tensor:
    """The flat cells of a smaller map that lie under those of a larger one."""
    if tuple(small) == size:
        return cells
    y = torch.div(cells, size[1], rounding_mode='floor')
    x = cells - y * size[1]
    y = torch.div(y * small[0], size[0], rounding_mode='floor')
    x = torch.div(x * small[1], size[1], rounding_mode='floor')
    return y * small[1] + x


def _falling(
    near: Tensor, heatmap: Tensor, threshold: float
) -> Iterator[Tuple[Tensor, float]]:
    """Cells that are near, in two parts by value where they are many."""
    index = true_indices(near)
    if len(index) > _MANY:
        higher = true_indices(near & (heatmap > threshold / 4))
        if len(higher):
            yield higher, threshold / 4
    if len(index):
        yield index, -np.inf


def _bounds(plane: Tensor, size: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
    """Least and largest tag that may be read over each cell of a map (h, w).

    Of the map itself where it has the size of the heatmap; otherwise what is
    read lies between the cells around, up to one away, or two where it is
    enlarged in two steps.
    """
    if tuple(plane.shape) == size:
        return plane, plane
    values = plane.cpu().numpy()
    unknown = np.isnan(values)
    side = 3 if 2 * values.shape[0] >= size[0] else 5
    kernel = np.ones((side, side), np.uint8)
    low = cv2.erode(np.where(unknown, np.float32(np.inf), values), kernel)
    high = cv2.dilate(np.where(unknown, np.float32(-np.inf), values), kernel)
    device = plane.device
    return torch.from_numpy(low).to(device), torch.from_numpy(high).to(device)


def _near(
    bounds: Tuple[Tensor, Tensor],
    value: float,
    reach: float,
    size: Tuple[int, int],
) -> Tensor:
    """Cells of the heatmap whose tag may be as near as that, bool (H, W)."""
    low, high = bounds
    if not np.isfinite(reach):
        near = torch.ones_like(low, dtype=torch.bool)
    else:
        margin = reach + 1e-3 * (1 + abs(value))  # for what rounding does
        if low is high:
            near = (low - value).abs_() <= margin
        else:
            near = (low <= value + margin) & (high >= value - margin)
    if tuple(near.shape) != size:
        y, x = (
            (torch.arange(n, device=near.device) * m).div(
                n, rounding_mode='floor'
            )
            for n, m in zip(size, near.shape)
        )
        near = near[y][:, x]
    return near


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
