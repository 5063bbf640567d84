# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Keypoints that a person misses, from where its tag fits best.

P people, K keypoints, L tag dimensions, maps of H x W cells, G keypoints that
are missing.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import enlarge

from .block_max import RUN, Runs, as_runs, cut_into_runs
from .grouping import People

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
        people (People): Result of :func:`.grouping.group_by_tags`.
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


# Runs looked at in one go: they stay in the cache.
_MANY = 1 << 13


class Part(NamedTuple):
    """Some runs of one or more maps, one map after the other.

    ``values`` (R, 32) are heatmaps and ``highest`` (R,) their largest values,
    of which run i of M is ``numbers[i]``; of the L tag maps ``tags`` (T, 32)
    it is ``tag_numbers[i]``.  Map j has the runs from ``ends[j - 1]`` to
    ``ends[j]``.
    """

    values: Tensor
    highest: Tensor
    numbers: Tensor
    tags: Sequence[Tensor]
    tag_numbers: Tensor
    ends: Sequence[int]


class Found(NamedTuple):
    """For each of G tags its best run and cell in that; all of shape (G,).

    ``values`` are of the heatmap there, ``fits`` that less the distance.
    """

    runs: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    fits: np.ndarray


@np.errstate(over='ignore', invalid='ignore')  # of infinite bounds and tags
def best_fits(
    part: Part,
    means: np.ndarray,
    counts: Sequence[int],
    threshold: Optional[float] = None,
) -> Found:
    """The first of the cells with the largest ``heatmap - round(distance)``.

    A distance that is no number counts as infinite, such a fit as none.

    Args:
        part (Part): Every map with at least one run.
        means (np.ndarray): Tags float32 (G, L), those of the first map first.
        counts (Sequence[int]): How many of them are of which map.
        threshold (float, optional): Nobody asks for what fits no better.
            ``None``: for any cell; the part then holds all runs of its maps.

    Returns:
        Found: Where the best fit does not exceed the threshold, of any cell.
    """
    all_means = torch.from_numpy(means).to(part.values)
    least = -np.inf if threshold is None else threshold
    limits, tops = _limits(part, means[:, 0], counts, threshold)
    groups = torch.arange(len(means), device=all_means.device)
    top = torch.from_numpy(tops).to(all_means.device)
    reached = _best_of_runs(part, top, all_means, groups)
    group, run = _within_reach(part, limits, np.maximum(reached, least), tops)
    pairs = [
        torch.from_numpy(index).to(all_means.device) for index in (run, group)
    ]
    fits = np.concatenate(
        [
            _best_of_runs(part, r, all_means, g)
            for r, g in zip(*(index.split(_MANY) for index in pairs))
        ]
    )
    best, first = _first_best(fits, group)
    chosen = pairs[0][torch.from_numpy(first).to(all_means.device)]
    columns = _fits(part, chosen, all_means, groups).argmax(dim=1)
    values = part.values[part.numbers[chosen], columns].cpu().numpy()
    return Found(run[first], columns.cpu().numpy(), values, best)


def _limits(
    part: Part,
    means: np.ndarray,
    counts: Sequence[int],
    threshold: Optional[float],
) -> Tuple[List[np.ndarray], np.ndarray]:
    """What no cell of a run can exceed, and the most promising runs.

    These are runs whose cells all have much the same tag; of others the bound
    says little.

    Returns:
        tuple: A matrix (tags, runs) for each map, and the run of each tag.
    """
    low, high = _bounds(part, threshold)
    highest = part.highest.index_select(0, part.numbers).cpu().numpy()
    mixed = np.where(high - low > 0.9, np.float32(10), np.float32(0))
    limits, tops = [], []
    tag_end = start = 0
    for count, end in zip(counts, part.ends):
        of_map, tag_end = slice(start, end), tag_end + count
        mean = means[tag_end - count : tag_end, None]
        gap = np.maximum(low[of_map] - mean, mean - high[of_map])
        np.maximum(gap, 0, out=gap)
        gap *= np.float32(0.999)  # a little less, for what rounding does
        limit = np.subtract(highest[of_map], np.rint(gap, out=gap), out=gap)
        limits.append(limit)
        tops.append((limit - mixed[of_map]).argmax(axis=1) + start)
        start = end
    return limits, np.concatenate(tops)


def _bounds(
    part: Part, threshold: Optional[float]
) -> Tuple[np.ndarray, np.ndarray]:
    """Least and largest first tag of each run, of cells above a threshold."""
    if threshold is None:
        low, high = (part.tags[0].amin(dim=1), part.tags[0].amax(dim=1))
    else:
        pairs = zip(part.numbers.split(_MANY), part.tag_numbers.split(_MANY))
        bounds = [_bounds_above(part, *pair, threshold) for pair in pairs]
        low, high = (torch.cat(values) for values in zip(*bounds))
    # Where one is no number, the others may be anything.
    low = low.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
    high = high.nan_to_num_(torch.inf, torch.inf, -torch.inf)
    return low.cpu().numpy(), high.cpu().numpy()


def _bounds_above(
    part: Part, number: Tensor, of_tag: Tensor, threshold: float
) -> Tuple[Tensor, Tensor]:
    """The same for some runs, of the cells above a threshold."""
    tags = part.tags[0].index_select(0, of_tag)
    # Far below 0 where a cell is not above the threshold.
    away = part.values.index_select(0, number).sub_(threshold)
    away = away.clamp_(max=0).mul_(1e30)
    return (tags - away).amin(dim=1), away.add_(tags).amax(dim=1)


def _within_reach(
    part: Part,
    limits: Sequence[np.ndarray],
    reached: np.ndarray,
    tops: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray]:
    """Tags and runs whose bound is not below what is reached, (N,) each.

    The most promising run is always among them.
    """
    groups, runs = [], []
    group = start = 0
    for limit, end in zip(limits, part.ends):
        rows = np.arange(group, group + len(limit))
        within = ~(limit < reached[rows, None])
        within[rows - group, tops[rows] - start] = True
        row, run = np.divmod(np.flatnonzero(within), limit.shape[1])
        groups.append(row + group)
        runs.append(run + start)
        group, start = group + len(limit), end
    return np.concatenate(groups), np.concatenate(runs)


def _fits(part: Part, run: Tensor, means: Tensor, group: Tensor) -> Tensor:
    """``heatmap - round(tag distance)`` of some runs (N,), (N, 32)."""
    means = means.index_select(0, group)[..., None]
    row = part.tag_numbers.index_select(0, run)
    squared, *others = (
        tag.index_select(0, row).sub_(means[:, i]).square_()
        for i, tag in enumerate(part.tags)
    )
    for other in others:
        squared += other
    values = part.values.index_select(0, part.numbers.index_select(0, run))
    fits = values.sub_(squared.sqrt_().round_())
    return fits.nan_to_num_(-torch.inf, torch.inf, -torch.inf)


def _best_of_runs(
    part: Part, run: Tensor, means: Tensor, group: Tensor
) -> np.ndarray:
    """The best fit in some runs, (N,)."""
    return _fits(part, run, means, group).amax(dim=1).cpu().numpy()


def _first_best(
    fits: np.ndarray, group: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """The best of each group, and where it comes first.

    Args:
        fits (np.ndarray): Shape (N,).
        group (np.ndarray): Increasing from 0 without a gap, shape (N,).
    """
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    best = np.maximum.reduceat(fits, starts)
    reached = np.flatnonzero(fits == best[group])
    _, first = np.unique(group[reached], return_index=True)
    return best, reached[first]
