# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""One image's candidates into people, by their tags.

P people, K keypoints, M candidates per keypoint, L tag dimensions, map size
H x W.  Cells are integer ``(x, y)``.  What the official code does, trap for
trap: ``Associative Embedding`` (Newell et al., NIPS 2017), section 3.2, as
released with HigherHRNet.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ['People', 'assign_nearest', 'group_by_tags']

Assign = Callable[[np.ndarray, np.ndarray], 'tuple[np.ndarray, np.ndarray]']

# Where a distance overflows, farther than any tag threshold.
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
    """Pairs of least total cost; among equals, of least total farness.

    The cost, ``100 * round(distance) - score``, has many equal optima.  The
    term that decides between them is far below a float32 step of a score.
    It is the distance and a hundredth of its square: of one dimension, two
    tags on the same side of two people are equally far in either pairing,
    and the squares keep their order where rounding would decide.

    Args:
        cost (np.ndarray): Shape (candidates, people).
        distance (np.ndarray): Tag distances up to the threshold, same shape.

    Returns:
        tuple[np.ndarray, np.ndarray]: Rows, increasing, and their columns.
    """
    preference = 1e-8 * (distance + distance**2 / 100)
    rows, columns = linear_sum_assignment(cost + preference)
    return rows, columns


class _Groups:
    """People under construction, in the order of their first keypoint.

    A person is known by the first component of its first tag; one that comes
    again overwrites the keypoint and starts the mean anew, as in the official
    code.
    """

    def __init__(self, num_keypoints: int, most: int, tag_dim: int) -> None:
        self.slot_of: Dict[float, int] = {}
        self.members = np.full((most, num_keypoints), -1)
        self.tag_sums = np.zeros((most, tag_dim), np.float32)
        self.tag_counts = np.zeros(most, np.float32)

    def __len__(self) -> int:
        return len(self.slot_of)

    def join(
        self,
        keypoint: int,
        candidates: np.ndarray,
        slots: np.ndarray,
        tags: np.ndarray,
    ) -> None:
        """Candidates of one keypoint join people, or start new ones.

        Args:
            keypoint (int): Which one.
            candidates (np.ndarray): Their numbers, shape (M,).
            slots (np.ndarray): The person of each, -1 for a new one.
            tags (np.ndarray): Shape (M, L).
        """
        keys = tags[slots < 0, 0].tolist()
        if len(self.slot_of.keys() | keys) == len(self) + len(keys):
            self._join(keypoint, candidates, slots, tags, keys)
            return
        # Some key is there already: one after the other, the last one stays.
        for m in range(len(slots)):
            one = slice(m, m + 1)
            keys = tags[one][slots[one] < 0, 0].tolist()
            self._join(keypoint, candidates[one], slots[one], tags[one], keys)

    def _join(
        self,
        keypoint: int,
        candidates: np.ndarray,
        slots: np.ndarray,
        tags: np.ndarray,
        keys: List[float],
    ) -> None:
        new = slots < 0
        old = slots[~new]
        self.tag_sums[old] += tags[~new]
        self.tag_counts[old] += 1
        started = [self.slot_of.setdefault(k, len(self.slot_of)) for k in keys]
        self.tag_sums[started] = tags[new]
        self.tag_counts[started] = 1
        slots = slots.copy()
        slots[new] = started
        self.members[slots, keypoint] = candidates

    def mean_tags(self, limit: Optional[int]) -> np.ndarray:
        """float32 means of the first people's tags, shape (G, L)."""
        first = slice(len(self) if limit is None else min(limit, len(self)))
        return self.tag_sums[first] / self.tag_counts[first, None]


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
    distance = np.minimum(distance, _FAR)
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
        keypoint_threshold (float): Candidates must score more; those with a
            tag that is not finite take no part.
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
    above = (scores > keypoint_threshold) & np.isfinite(tags).all(axis=2)
    groups = _Groups(num_keypoints, int(above.sum()), tag_dim)
    for k in keypoint_order:
        candidates = np.flatnonzero(above[k])
        if len(candidates) == 0:
            continue
        these = tags[k, candidates]
        slots = np.full(len(candidates), -1)
        if len(groups):
            slots = _match(
                groups,
                scores[k, candidates],
                these,
                max_groups,
                tag_threshold,
                assign,
            )
        groups.join(k, candidates, slots, these)
    return _gather(groups, scores, cells, tags)


def _gather(
    groups: _Groups, scores: np.ndarray, cells: np.ndarray, tags: np.ndarray
) -> People:
    members = groups.members[: len(groups)]
    found = members >= 0
    k = np.arange(members.shape[1])[None]
    picked = np.where(found, members, 0)
    return People(
        np.where(found[..., None], cells[k, picked], 0),
        np.where(found, scores[k, picked], 0).astype(np.float32),
        np.where(found[..., None], tags[k, picked], 0).astype(np.float32),
    )
