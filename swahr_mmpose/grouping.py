# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""One image's candidates into people, by their tags.

P people, K keypoints, M candidates per keypoint, L tag dimensions, map size
H x W.  Cells are integer ``(x, y)``.  What the official code does, trap for
trap: ``Associative Embedding`` (Newell et al., NIPS 2017), section 3.2, as
released with HigherHRNet.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = [
    'People',
    'assign_nearest',
    'fill_missing_keypoints',
    'group_by_tags',
]

Assign = Callable[[np.ndarray, np.ndarray], 'tuple[np.ndarray, np.ndarray]']

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
    cost: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of least total cost; among equals, of least total distance.

    The cost, ``100 * round(distance) - score``, has many equal optima.  The
    term that decides between them is far below a float32 step of a score.

    Args:
        cost (np.ndarray): Shape (candidates, people).
        distance (np.ndarray): Tag distances up to the threshold, same shape.

    Returns:
        tuple[np.ndarray, np.ndarray]: Rows, increasing, and their columns.
    """
    rows, columns = linear_sum_assignment(cost + 1e-8 * distance)
    return rows, columns


class _Groups:
    """People under construction, in the order of their first keypoint.

    A person is known by the first component of its first tag; one that comes
    again overwrites the keypoint and starts the mean anew, as in the official
    code.
    """

    def __init__(self, num_keypoints: int, tag_dim: int) -> None:
        self.slot_of: dict[float, int] = {}
        self.members: list[np.ndarray] = []  # candidate per keypoint, or -1
        self.tag_sums: list[np.ndarray] = []
        self.tag_counts: list[int] = []
        self.num_keypoints = num_keypoints
        self.tag_dim = tag_dim

    def __len__(self) -> int:
        return len(self.members)

    def start(self, keypoint: int, candidate: int, tag: np.ndarray) -> None:
        slot = self.slot_of.setdefault(float(tag[0]), len(self))
        if slot == len(self):
            self.members.append(np.full(self.num_keypoints, -1))
            self.tag_sums.append(tag)
            self.tag_counts.append(1)
        self.members[slot][keypoint] = candidate
        self.tag_sums[slot], self.tag_counts[slot] = tag, 1

    def add(
        self, slot: int, keypoint: int, candidate: int, tag: np.ndarray
    ) -> None:
        self.members[slot][keypoint] = candidate
        self.tag_sums[slot] = self.tag_sums[slot] + tag
        self.tag_counts[slot] += 1

    def mean_tags(self, limit: Optional[int]) -> np.ndarray:
        """float32 means of the first people's tags, shape (G, L)."""
        sums = np.stack(self.tag_sums[:limit])
        counts = np.asarray(self.tag_counts[:limit], dtype=np.float32)
        return sums / counts[:, None]


def _match(
    groups: _Groups,
    scores: np.ndarray,
    tags: np.ndarray,
    max_groups: Optional[int],
    tag_threshold: float,
    assign: Assign,
) -> np.ndarray:
    """The person of each candidate, or -1 where none is near enough."""
    means = groups.mean_tags(max_groups)
    difference = tags[:, None].astype(np.float64) - means[None]
    distance = np.sqrt((difference**2).sum(axis=2))
    distance = np.nan_to_num(distance, nan=_FAR, posinf=_FAR)
    cost = np.round(distance) * 100 - scores[:, None].astype(np.float64)
    slots = np.full(len(scores), -1)
    # Beyond the threshold no pair is accepted, so farther is not worse.
    rows, columns = assign(cost, np.minimum(distance, tag_threshold))
    near = distance[rows, columns] < tag_threshold
    slots[rows[near]] = columns[near]
    return slots


def group_by_tags(
    scores: np.ndarray,
    cells: np.ndarray,
    tags: np.ndarray,
    *,
    keypoint_order: Sequence[int],
    keypoint_threshold: float = 0.1,
    tag_threshold: float = 1.0,
    max_groups: Optional[int] = 30,
    assign: Assign = assign_nearest,
) -> People:
    """Group candidates into people, keypoint after keypoint.

    Args:
        scores (np.ndarray): float32, shape (K, M).
        cells (np.ndarray): int64, shape (K, M, 2).
        tags (np.ndarray): float32, shape (K, M, L).
        keypoint_order (Sequence[int]): The order in which keypoints join.
        keypoint_threshold (float): Candidates must score more.
        tag_threshold (float): A candidate whose tag is this far from every
            person starts a new one.
        max_groups (int | None): Only so many people, the first ones, take
            part in the matching; further people may still start.
        assign (Callable): From cost and distance, both (candidates, people),
            to the rows and columns of the pairs.

    Returns:
        People: In the order of their first keypoint; P may exceed
        ``max_groups``.
    """
    num_keypoints, tag_dim = len(scores), tags.shape[2]
    groups = _Groups(num_keypoints, tag_dim)
    for k in keypoint_order:
        candidates = np.flatnonzero(scores[k] > keypoint_threshold)
        if len(candidates) == 0:
            continue
        if len(groups) == 0:
            slots = np.full(len(candidates), -1)
        else:
            slots = _match(
                groups,
                scores[k, candidates],
                tags[k, candidates],
                max_groups,
                tag_threshold,
                assign,
            )
        for m, slot in zip(candidates, slots):
            if slot < 0:
                groups.start(k, m, tags[k, m])
            else:
                groups.add(slot, k, m, tags[k, m])
    return _gather(groups, scores, cells, tags)


def _gather(
    groups: _Groups, scores: np.ndarray, cells: np.ndarray, tags: np.ndarray
) -> People:
    members = np.array(groups.members, dtype=np.int64).reshape(
        -1, groups.num_keypoints
    )
    found = members >= 0
    k = np.arange(groups.num_keypoints)[None]
    picked = np.where(found, members, 0)
    return People(
        np.where(found[..., None], cells[k, picked], 0),
        np.where(found, scores[k, picked], 0).astype(np.float32),
        np.where(found[..., None], tags[k, picked], 0).astype(np.float32),
    )


def _best_cell(
    heatmap: np.ndarray, tags: np.ndarray, mean_tag: np.ndarray
) -> tuple[int, int, float]:
    """Cell and heatmap value at the largest ``heatmap - round(distance)``."""
    difference = tags - mean_tag[:, None, None]
    distance = np.sqrt((difference**2).sum(axis=0))
    flat = int(np.argmax(heatmap - np.round(distance)))
    y, x = divmod(flat, heatmap.shape[1])
    return x, y, float(heatmap[y, x])


def fill_missing_keypoints(
    people: People, heatmaps: np.ndarray, tags: np.ndarray
) -> People:
    """Give each missing keypoint the cell that fits its person best.

    It is the largest ``heatmap - round(tag distance)``, the first one in
    row-major order; where the heatmap is not positive there, the keypoint
    stays missing.  Tags of filled keypoints stay 0.

    Args:
        people (People): From :func:`group_by_tags`.
        heatmaps (np.ndarray): float32, shape (K, H, W).
        tags (np.ndarray): float32, shape (L, K, H, W).

    Returns:
        People: A new one; the argument is left as it was.
    """
    cells, scores = people.cells.copy(), people.scores.copy()
    for p, found in enumerate(people.scores > 0):
        if found.all() or not found.any():
            continue
        mean_tag = people.tags[p, found].mean(axis=0)
        for k in np.flatnonzero(~found):
            x, y, score = _best_cell(heatmaps[k], tags[:, k], mean_tag)
            if score > 0:
                cells[p, k], scores[p, k] = (x, y), score
    return People(cells, scores, people.tags)
