# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Grouping of the candidates of one image into people, by tags.

P people, K keypoints, M candidates of a keypoint, L tag dimensions, map size
H x W. Cells are integer ``(x, y)``.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Sequence

import numpy as np

from .cell_search import find_best_cells
from .fusion import read_cells, resize
from .peaks import Candidates

__all__ = ['People', 'assign_nearest', 'fill_missing', 'group_by_tags']

# Upper limit of a tag distance, which may overflow; above any tag threshold.
_INFINITE = 1e6
# Maximum number of pairs of a missing keypoint and a block of cells that are
# read; noise stays far below.
_MAX_PAIRS = 1 << 19
# Share of the cells up to which those above the bound are searched first.
_MAX_HIGH = 0.25


class People(NamedTuple):
    """Grouped keypoints; a score of 0 marks a missing keypoint.

    ``cells`` are int64 (P, K, 2), ``scores`` float32 (P, K), ``tags`` float32
    (P, K, L).
    """

    cells: np.ndarray
    scores: np.ndarray
    tags: np.ndarray


def assign_nearest(
    scores: np.ndarray, distance: np.ndarray, threshold: float
) -> np.ndarray:
    """Assign candidates to people at minimum total cost.

    The cost of a pair is ``100 * round(distance) - score``. Ties are broken
    by the total distance and then by the total squared distance, both with
    distances clipped to the threshold.

    Args:
        scores (np.ndarray): Candidate scores, shape (M,).
        distance (np.ndarray): Tag distances, shape (M, P).
        threshold (float): Distance from which on a pair is rejected.

    Returns:
        np.ndarray: Index of the person of each candidate, -1 for none, int64,
        shape (M,).
    """
    from scipy.optimize import linear_sum_assignment  # slow; not for --help

    cost = np.round(distance) * 100 - scores[:, None].astype(np.float64)
    near = np.minimum(distance, threshold)
    preference = 1e-8 * (near + near**2 / 100)
    rows, columns = linear_sum_assignment(cost + preference)
    accepted = distance[rows, columns] < threshold
    slots = np.full(len(scores), -1)
    slots[rows[accepted]] = columns[accepted]
    return slots


class _Groups:
    """People under construction, in the order of their first keypoint.

    The key of a person is the first component of its first tag. As in the
    official implementation, a new person with an existing key overwrites the
    keypoint and restarts the mean tag.

    Args:
        num_keypoints (int): Number of keypoints, K.
        capacity (int): Maximum number of people.
        tag_dim (int): Number of tag dimensions, L.
    """

    def __init__(
        self, num_keypoints: int, capacity: int, tag_dim: int
    ) -> None:
        self.slot_of: Dict[float, int] = {}
        self.members = np.full((capacity, num_keypoints), -1)
        self.tag_sums = np.zeros((capacity, tag_dim), np.float32)
        self.tag_counts = np.zeros(capacity, np.float32)

    def mean_tags(self, limit: int) -> np.ndarray:
        """Compute the mean tags of the first ``limit`` people, (G, L)."""
        first = slice(min(limit, len(self.slot_of)))
        return self.tag_sums[first] / self.tag_counts[first, None]

    def add(
        self, keypoint: int, candidate: int, slot: int, tag: np.ndarray
    ) -> None:
        """Add a candidate to the person of a slot; -1 starts a person."""
        if slot < 0:
            slot = self.slot_of.setdefault(float(tag[0]), len(self.slot_of))
            self.tag_sums[slot], self.tag_counts[slot] = tag, 1
        else:
            self.tag_sums[slot] += tag
            self.tag_counts[slot] += 1
        self.members[slot, keypoint] = candidate


def group_by_tags(
    candidates: Sequence[Candidates],
    tags: Sequence[np.ndarray],
    keypoint_order: Sequence[int],
    tag_threshold: float,
    max_groups: int,
) -> People:
    """Group candidates into people, keypoint by keypoint.

    Args:
        candidates (Sequence[Candidates]): Candidates of each keypoint.
        tags (Sequence[np.ndarray]): Tags of the candidates, float32 (M, L)
            per keypoint; candidates with a tag that is not finite are
            ignored.
        keypoint_order (Sequence[int]): Order in which keypoints are grouped.
        tag_threshold (float): Tag distance from which on a candidate is not
            assigned to a person; a candidate without person starts one.
        max_groups (int): Number of people, the first ones, that candidates
            are matched with; more people may be started.

    Returns:
        People: People in the order of their first keypoint.
    """
    capacity = sum(len(c.scores) for c in candidates)
    groups = _Groups(len(candidates), capacity, tags[0].shape[1])
    for k in keypoint_order:
        valid = np.flatnonzero(np.isfinite(tags[k]).all(axis=1))
        slots = np.full(len(valid), -1)
        if len(groups.slot_of) and len(valid):
            means = groups.mean_tags(max_groups)
            difference = tags[k][valid, None].astype(np.float64) - means
            distance = np.sqrt((difference**2).sum(axis=2))
            distance = np.fmin(distance, _INFINITE)  # also of NaN
            slots = assign_nearest(
                candidates[k].scores[valid], distance, tag_threshold
            )
        for candidate, slot in zip(valid, slots):
            groups.add(k, candidate, slot, tags[k][candidate])
    members = groups.members[: len(groups.slot_of)]
    return _gather_people(members, candidates, tags)


def _gather_people(
    members: np.ndarray,
    candidates: Sequence[Candidates],
    tags: Sequence[np.ndarray],
) -> People:
    """Gather cells, scores and tags of candidate indices (P, K)."""
    num_people, num_keypoints = members.shape
    shape = (num_people, num_keypoints)
    cells = np.zeros((*shape, 2), np.int64)
    scores = np.zeros(shape, np.float32)
    people_tags = np.zeros((*shape, tags[0].shape[1]), np.float32)
    for k, peaks in enumerate(candidates):
        p = np.flatnonzero(members[:, k] >= 0)
        index = members[p, k]
        cells[p, k] = peaks.cells[index]
        scores[p, k] = peaks.scores[index]
        people_tags[p, k] = tags[k][index]
    return People(cells, scores, people_tags)


@np.errstate(over='ignore', invalid='ignore')  # tags may be not finite
def fill_missing(
    people: People, heatmaps: np.ndarray, tags: np.ndarray, low: float
) -> People:
    """Fill missing keypoints with the cell that fits the person best.

    This is the cell that maximises ``heatmap - round(tag distance)``, the
    first one in row-major order. If its heatmap is not positive, the keypoint
    stays missing.

    Args:
        people (People): People of :func:`group_by_tags`.
        heatmaps (np.ndarray): float32, shape (K, H, W).
        tags (np.ndarray): float32, shape (L, K, h, w), of the same size or
            smaller.
        low (float): Cells above this value are searched first; if the best of
            them fits better than ``low``, no other cell can be better.

    Returns:
        People: New people.
    """
    found = people.scores > 0
    count = np.maximum(found.sum(axis=1), 1).astype(np.float32)
    means = people.tags.sum(axis=1, where=found[..., None]) / count[:, None]
    cells, scores = people.cells.copy(), people.scores.copy()
    max_pairs = _MAX_PAIRS // found.shape[1]
    for k in range(found.shape[1]):
        missing = np.flatnonzero(~found[:, k] & found.any(axis=1))
        if len(missing) == 0:
            continue
        best = _find_best_cells(
            heatmaps[k], tags[:, k], means[missing], low, max_pairs
        )
        y, x = np.divmod(best, heatmaps.shape[2])
        values = np.where(best >= 0, heatmaps[k, y, x], 0)
        filled = missing[values > 0], k
        cells[filled] = np.stack([x, y], axis=-1)[values > 0]
        scores[filled] = values[values > 0]
    return People(cells, scores, people.tags)


def _find_best_cells(
    heatmap: np.ndarray,
    tags: np.ndarray,
    means: np.ndarray,
    low: float,
    max_pairs: int,
) -> np.ndarray:
    """Find the best cell for each mean tag.

    Args:
        heatmap (np.ndarray): float32, shape (H, W).
        tags (np.ndarray): float32, shape (L, h, w).
        means (np.ndarray): Mean tags, shape (G, L).
        low (float): Bound of the first search, see :func:`fill_missing`.
        max_pairs (int): See :func:`.cell_search.find_best_cells`.

    Returns:
        np.ndarray: Flat indices of the cells, -1 for none, int64 (G,).
    """
    size, flat = heatmap.shape, heatmap.reshape(-1)
    best = np.full(len(means), -1)
    remaining = np.arange(len(means))
    high = np.flatnonzero(flat > low)
    if 0 < len(high) < _MAX_HIGH * len(flat):
        high_tags = read_cells(tags, high // size[1], high % size[1], size)
        index, fit = find_best_cells(flat[high], high_tags, means, max_pairs)
        best[fit > low] = high[index[fit > low]]
        remaining = np.flatnonzero(~(fit > low))
    if len(remaining):
        all_tags = resize(tags, size).reshape(len(tags), -1)
        index, fit = find_best_cells(
            flat, all_tags, means[remaining], max_pairs
        )
        best[remaining] = np.where(fit > -np.inf, index, -1)
    return best
