# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Keypoints that a person misses, from where its tag fits best.

P people, K keypoints, L tag dimensions, maps of H x W cells, G keypoints that
are missing.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from .best_fit import Found, Part, best_fits
from .grouping import People
from .runs import RUN, Runs, as_runs, cut_into_runs
from .sampling import enlarge

__all__ = ['fill_missing_keypoints']

# Elements of the tables of people and runs of all keypoints, at most.
_LARGE = 1 << 23


def fill_missing_keypoints(
    people: People, heatmaps: Tensor, tags: Tensor, runs: Optional[Runs] = None
) -> People:
    """Give each missing keypoint the cell that fits its person best.

    It is the largest ``heatmap - round(tag distance)``, the first one in
    row-major order; where the heatmap is not positive there, the keypoint
    stays missing.  Tags of filled keypoints stay 0.  A tag that is not finite
    fits nobody, and where none fits, the keypoint stays missing.

    Args:
        people (People): From :func:`swahr_mmpose.grouping.group_by_tags`.
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w); where smaller than the
            heatmaps, enlarged (bilinear).
        runs (Runs, optional): Of these heatmaps, where they are known.

    Returns:
        People: A new one; the argument is left as it was.
    """
    found = people.scores > 0
    # By keypoint, and for each of these by person.
    keypoint, person = (found.any(axis=1) & ~found.T).nonzero()
    cells, scores = people.cells.copy(), people.scores.copy()
    if len(keypoint):
        runs = runs or cut_into_runs(heatmaps, float(heatmaps.max()) / 4)
        count = np.maximum(found.sum(axis=1), 1).astype(np.float32)[:, None]
        with np.errstate(over='ignore'):  # an infinite mean fits nobody
            means = people.tags.sum(axis=1, where=found[..., None]) / count
        at = _best_cells(_Maps(heatmaps, tags, runs), keypoint, means[person])
        filled = (at.values > 0) & (at.fits > -np.inf)
        y, x = np.divmod((at.runs * RUN + at.columns)[filled], runs.width)
        where = person[filled], keypoint[filled]
        cells[where] = np.stack([x, y], axis=-1)
        scores[where] = at.values[filled]
    return People(cells, scores, people.tags)


class _Maps:
    """Heatmaps and tags of one image, as runs."""

    def __init__(self, heatmaps: Tensor, tags: Tensor, runs: Runs) -> None:
        self.runs, self._tags = runs, tags
        self._size = heatmaps.shape[1:]
        self._count = len(runs.values) // len(heatmaps)  # per map
        # Enlarged tags of one keypoint, always in the same memory.
        self._large = tags.new_empty(len(tags), *self._size)

    def whole(self, k: int) -> Part:
        """One keypoint."""
        runs = self.runs.part(k, self._tags.shape[1])
        every = torch.arange(self._count, device=runs.values.device)
        return Part(
            runs.values,
            runs.highest,
            every,
            self._tags_of(k),
            every,
            [self._count],
        )

    def above(self, keypoints: np.ndarray) -> Tuple[Part, np.ndarray]:
        """The runs above the threshold, and their numbers within their map.

        Where there is none, the first one, so that no map is empty.
        """
        first = self.runs.above.new_zeros(1)
        local = [
            self.runs.part(int(k), self._tags.shape[1]).above
            for k in keypoints
        ]
        local = [numbers if len(numbers) else first for numbers in local]
        numbers = torch.cat(
            [n + k * self._count for k, n in zip(keypoints, local)]
        )
        part = Part(
            self.runs.values,
            self.runs.highest,
            numbers,
            *self._tags_at(keypoints, local, numbers),
            np.cumsum([len(n) for n in local]).tolist(),
        )
        return part, torch.cat(local).cpu().numpy()

    def _tags_of(self, k: int) -> List[Tensor]:
        """L tensors (R, 32), until they are asked for the next time."""
        large = enlarge(self._tags[:, k], self._size, self._large)
        return [as_runs(tags) for tags in large]

    def _tags_at(
        self, keypoints: np.ndarray, local: List[Tensor], numbers: Tensor
    ) -> Tuple[List[Tensor], Tensor]:
        """Tags as runs, and where in them the given runs are."""
        if self._tags.shape[2:] == self._size:
            return [as_runs(tags) for tags in self._tags], numbers
        tags = self._tags.new_empty(len(self._tags), len(numbers), RUN)
        rows = tags.split([len(n) for n in local], dim=1)
        for k, at, row in zip(keypoints, local, rows):
            for tag, result in zip(self._tags_of(int(k)), row):
                torch.index_select(tag, 0, at, out=result)
        return list(tags), torch.arange(len(numbers), device=tags.device)


def _look_above(
    maps: _Maps,
    keypoint: np.ndarray,
    means: np.ndarray,
    keypoints: Sequence[int],
) -> Found:
    """What fits best in the runs above the threshold, of some keypoints."""
    counts = [int((keypoint == k).sum()) for k in keypoints]
    part, numbers = maps.above(np.asarray(keypoints))
    these = np.isin(keypoint, keypoints)
    found = best_fits(part, means[these], counts, maps.runs.threshold)
    found.runs[:] = numbers[found.runs]
    return found


def _best_cells(maps: _Maps, keypoint: np.ndarray, means: np.ndarray) -> Found:
    """The best cell for each of some mean tags.

    First among the cells above the threshold: where the best of them is
    better than the threshold, nothing below can win.

    Args:
        maps (_Maps): Of K keypoints.
        keypoint (np.ndarray): Increasing, shape (G,).
        means (np.ndarray): Float32, shape (G, L).

    Returns:
        Found: With runs of the whole heatmap.
    """
    threshold = maps.runs.threshold
    # All at once, unless tables of people and runs would grow large.
    every = np.unique(keypoint)
    large = len(means) * len(maps.runs.above) > _LARGE * len(every)
    parts = [
        _look_above(maps, keypoint, means, keypoints)
        for keypoints in ([[k] for k in every] if large else [every])
    ]
    found = Found(*(np.concatenate(arrays) for arrays in zip(*parts)))
    below = np.flatnonzero(~(found.fits > threshold))
    for k in np.unique(keypoint[below]):
        these = below[keypoint[below] == k]
        best = best_fits(maps.whole(int(k)), means[these], [len(these)])
        for result, new in zip(found, best):
            result[these] = new
    return found
