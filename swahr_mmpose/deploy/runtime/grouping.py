# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""One image's candidates into people, by their tags.

P people, K keypoints, M candidates of a keypoint, L tag dimensions, map size
H x W.  Cells are integer ``(x, y)``.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .fusion import read, resize
from .peaks import Candidates

__all__ = ['People', 'assign_nearest', 'fill_missing', 'group_by_tags']

# Where a distance is no number, farther than any tag threshold.
_FAR = 1e6


class People(NamedTuple):
    """Grouped keypoints; a score of 0 marks one that was not found.

    ``cells`` are int64 (P, K, 2), ``scores`` float32 (P, K), ``tags`` float32
    (P, K, L).
    """

    cells: np.ndarray
    scores: np.ndarray
    tags: np.ndarray


def assign_nearest(
    scores: np.ndarray, distance: np.ndarray, threshold: float
) -> np.ndarray:
    """The person of each candidate, -1 where none is near enough.

    Pairs of least total ``100 * round(distance) - score``; among equals, of
    least total distance, and then of least total squared distance, as far as
    the threshold counts it.

    Args:
        scores (np.ndarray): Of the candidates, (M,).
        distance (np.ndarray): Tag distances, (M, people).
        threshold (float): Candidates this far are of no person.

    Returns:
        np.ndarray: int64 (M,).
    """
    cost = np.round(distance) * 100 - scores[:, None].astype(np.float64)
    near = np.minimum(distance, threshold)
    preference = 1e-8 * near + 1e-10 * near**2
    rows, columns = linear_sum_assignment(cost + preference)
    accepted = distance[rows, columns] < threshold
    slots = np.full(len(scores), -1)
    slots[rows[accepted]] = columns[accepted]
    return slots


class _Groups:
    """People under construction, in the order of their first keypoint.

    A person is known by the first component of its first tag; one that comes
    again overwrites the keypoint and starts the mean anew, as officially.
    """

    def __init__(self, num_keypoints: int, most: int, tag_dim: int) -> None:
        self.slot_of: Dict[float, int] = {}
        self.members = np.full((most, num_keypoints), -1)
        self.tag_sums = np.zeros((most, tag_dim), np.float32)
        self.tag_counts = np.zeros(most, np.float32)

    def means(self, most: int) -> np.ndarray:
        """Mean tags of the first people, (G, L)."""
        first = slice(min(most, len(self.slot_of)))
        return self.tag_sums[first] / self.tag_counts[first, None]

    def join(
        self, keypoint: int, number: int, slot: int, tag: np.ndarray
    ) -> None:
        """A candidate joins a person, or with slot -1 starts one."""
        if slot < 0:
            slot = self.slot_of.setdefault(float(tag[0]), len(self.slot_of))
            self.tag_sums[slot], self.tag_counts[slot] = tag, 1
        else:
            self.tag_sums[slot] += tag
            self.tag_counts[slot] += 1
        self.members[slot, keypoint] = number


def group_by_tags(
    candidates: Sequence[Candidates],
    tags: Sequence[np.ndarray],
    keypoint_order: Sequence[int],
    tag_threshold: float,
    max_groups: int,
) -> People:
    """Group candidates into people, keypoint after keypoint.

    Args:
        candidates (Sequence[Candidates]): Of each keypoint.
        tags (Sequence[np.ndarray]): Their tags, float32 (M, L) each; those
            with a tag that is not finite take no part.
        keypoint_order (Sequence[int]): The order in which keypoints join.
        tag_threshold (float): A candidate this far from every person starts
            a new one.
        max_groups (int): Only so many people, the first ones, take part in
            the matching; further people may still start.

    Returns:
        People: In the order of their first keypoint.
    """
    most = sum(len(c.scores) for c in candidates)
    groups = _Groups(len(candidates), most, tags[0].shape[1])
    for k in keypoint_order:
        numbers = np.flatnonzero(np.isfinite(tags[k]).all(axis=1))
        slots = np.full(len(numbers), -1)
        if len(groups.slot_of) and len(numbers):
            means = groups.means(max_groups)
            gaps = tags[k][numbers, None].astype(np.float64) - means
            distance = np.sqrt((gaps**2).sum(axis=2))
            distance = np.nan_to_num(distance, nan=_FAR, posinf=_FAR)
            slots = assign_nearest(
                candidates[k].scores[numbers], distance, tag_threshold
            )
        for number, slot in zip(numbers, slots):
            groups.join(k, number, slot, tags[k][number])
    return _gather(groups.members[: len(groups.slot_of)], candidates, tags)


def _gather(
    members: np.ndarray,
    candidates: Sequence[Candidates],
    tags: Sequence[np.ndarray],
) -> People:
    people, num_keypoints = members.shape
    cells = np.zeros((people, num_keypoints, 2), np.int64)
    scores = np.zeros((people, num_keypoints), np.float32)
    own = np.zeros((people, num_keypoints, tags[0].shape[1]), np.float32)
    for k, found in enumerate(candidates):
        p = np.flatnonzero(members[:, k] >= 0)
        number = members[p, k]
        cells[p, k] = found.cells[number]
        scores[p, k] = found.scores[number]
        own[p, k] = tags[k][number]
    return People(cells, scores, own)


@np.errstate(over='ignore', invalid='ignore')  # of tags that are no numbers
def fill_missing(
    people: People, heatmaps: np.ndarray, tags: np.ndarray, low: float
) -> People:
    """Give each missing keypoint the cell that fits its person best.

    It is the largest ``heatmap - round(tag distance)``, the first one in
    row-major order; where the heatmap is not positive there, the keypoint
    stays missing.

    Args:
        people (People): From :func:`group_by_tags`.
        heatmaps (np.ndarray): float32 (K, H, W).
        tags (np.ndarray): float32 (L, K, h, w), smaller or as large.
        low (float): Cells above it are looked at first: where the best of
            them fits better than that, no other cell can win.

    Returns:
        People: A new one.
    """
    found = people.scores > 0
    count = np.maximum(found.sum(axis=1), 1).astype(np.float32)
    means = people.tags.sum(axis=1, where=found[..., None]) / count[:, None]
    cells, scores = people.cells.copy(), people.scores.copy()
    for k in range(found.shape[1]):
        missing = np.flatnonzero(~found[:, k] & found.any(axis=1))
        if len(missing) == 0:
            continue
        best = _best_cells(heatmaps[k], tags[:, k], means[missing], low)
        for person, cell in zip(missing, best):
            y, x = divmod(cell, heatmaps.shape[2])
            if cell >= 0 and heatmaps[k, y, x] > 0:
                cells[person, k], scores[person, k] = (x, y), heatmaps[k, y, x]
    return People(cells, scores, people.tags)


def _best_cells(
    heatmap: np.ndarray, tags: np.ndarray, means: np.ndarray, low: float
) -> List[int]:
    """The flat index of the best cell for each mean tag, -1 for none.

    Args:
        heatmap (np.ndarray): (H, W).
        tags (np.ndarray): (L, h, w).
        means (np.ndarray): (G, L).
        low (float): As for :func:`fill_missing`.
    """
    size, flat = heatmap.shape, heatmap.reshape(-1)
    some = np.flatnonzero(flat > low)
    near = read(tags, some // size[1], some % size[1], size)
    every = None
    best = []
    for mean in means:
        at, fit = _best_fit(flat[some], near, mean)
        if fit > low:
            best.append(int(some[at]))
            continue
        if every is None:
            every = resize(tags, size).reshape(len(tags), -1)
        at, fit = _best_fit(flat, every, mean)
        best.append(at if fit > -np.inf else -1)
    return best


def _best_fit(
    values: np.ndarray, tags: np.ndarray, mean: np.ndarray
) -> Tuple[int, float]:
    """The first best of cells with heatmaps (M,) and tags (L, M)."""
    if len(values) == 0:
        return 0, -np.inf
    squared = (tags[0] - mean[0]) ** 2
    for tag, middle in zip(tags[1:], mean[1:]):
        squared += (tag - middle) ** 2
    fits = values - np.rint(np.sqrt(squared))
    fits[np.isnan(fits)] = -np.inf
    at = int(fits.argmax())
    return at, float(fits[at])
