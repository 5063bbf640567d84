# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Group the candidates of one image into people by their tags.

P people, K keypoints, M candidates per keypoint, L tag dimensions, map size
H x W.  Cells are integer ``(x, y)``.  Reproduces the official implementation
of HigherHRNet, quirks included (Associative Embedding, Newell et al., NIPS
2017, Section 3.2), except for the choice among equal matching costs.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .assignment import Assign, assign_nearest

__all__ = [
    'DecodeOptions',
    'DecodedImage',
    'People',
    'group_by_tags',
    'group_image',
]

# Upper limit of a tag distance, which may overflow; above any tag threshold.
_MAX_DISTANCE = 1e6


class People(NamedTuple):
    """Grouped keypoints; the score of a missing keypoint is 0.

    ``cells`` are int64 (P, K, 2), ``scores`` float32 (P, K), ``tags`` float32
    (P, K, L).
    """

    cells: np.ndarray
    scores: np.ndarray
    tags: np.ndarray


class DecodeOptions(NamedTuple):
    """Options of decoding; the names of the codec's arguments are similar.

    Attributes:
        keypoint_order (Sequence[int]): Order in which keypoints are grouped.
        keypoint_threshold (float): Score that a candidate must exceed.
        tag_threshold (float): Tag distance from which a candidate belongs to
            another person.
        nms_kernel (int): Window size of non-maximum suppression; odd.
        topk (int): Maximum number of candidates per keypoint, and of people
            that take part in the matching.
        max_people (int, optional): Number of people to keep, by instance
            score. ``None``: all.
        fill_missing (bool): Whether missing keypoints are searched for.
        assign (Callable): Solver of the matching.
        parabola_step (int, optional): Distance of the neighbours of the
            sub-pixel refinement by a parabola. ``None``: the refinement of
            the official implementation.
    """

    keypoint_order: Sequence[int]
    keypoint_threshold: float = 0.1
    tag_threshold: float = 1.0
    nms_kernel: int = 5
    topk: int = 30
    max_people: Optional[int] = None
    fill_missing: bool = True
    assign: Assign = assign_nearest
    parabola_step: Optional[int] = None

    @property
    def low_threshold(self) -> float:
        """Value that most missing keypoints exceed."""
        return self.keypoint_threshold / 5


class DecodedImage(NamedTuple):
    """People of one image, in cells.

    ``instance_scores`` are float32 (P,); ``filled`` is bool (P, K), ``True``
    for keypoints placed by the search for missing keypoints; ``shifts`` are
    the float32 sub-pixel offsets of the cells, (P, K, 2).
    """

    people: People
    instance_scores: np.ndarray
    filled: np.ndarray
    shifts: np.ndarray


def group_image(
    scores: np.ndarray,
    cells: np.ndarray,
    tags: np.ndarray,
    options: DecodeOptions,
) -> Tuple[People, np.ndarray]:
    """Group the candidates of one image and keep the best people.

    Args:
        scores (np.ndarray): float32, shape (K, M).
        cells (np.ndarray): int64, shape (K, M, 2).
        tags (np.ndarray): float32, shape (K, M, L).
        options (DecodeOptions): Options.

    Returns:
        tuple[People, np.ndarray]: People, in the order of their first
        keypoint, and their instance scores, float32 (P,): the mean over all K
        keypoint scores.
    """
    people = group_by_tags(
        scores,
        cells,
        tags,
        keypoint_order=options.keypoint_order,
        keypoint_threshold=options.keypoint_threshold,
        tag_threshold=options.tag_threshold,
        max_groups=options.topk,
        assign=options.assign,
    )
    instance_scores = people.scores.mean(axis=1)
    best = np.argsort(-instance_scores, kind='stable')
    keep = np.sort(best[: options.max_people])
    people = People(*(array[keep] for array in people))
    return people, instance_scores[keep]


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
    """Group candidates into people, one keypoint after the other.

    Args:
        scores (np.ndarray): float32, shape (K, M).
        cells (np.ndarray): int64, shape (K, M, 2).
        tags (np.ndarray): float32, shape (K, M, L).
        keypoint_order (Sequence[int]): Order in which keypoints are grouped.
        keypoint_threshold (float): Score that a candidate must exceed.
            Candidates with a tag that is not finite are ignored. Defaults to
            0.1.
        tag_threshold (float): Tag distance from which a candidate starts
            another person. Defaults to 1.
        max_groups (int, optional): Number of people, the first ones, that
            take part in the matching; more people may be started.
            ``None``: all. Defaults to 30.
        assign (Callable): Solver, from cost and distance (candidates, people)
            to the candidates and people of the pairs. Defaults to
            :func:`.assignment.assign_nearest`.

    Returns:
        People: P people, in the order of their first keypoint; P may exceed
        ``max_groups``.
    """
    num_keypoints, tag_dim = len(scores), tags.shape[2]
    valid = (scores > keypoint_threshold) & np.isfinite(tags).all(axis=2)
    groups = _Groups(num_keypoints, int(valid.sum()), tag_dim)
    for k in keypoint_order:
        candidates = np.flatnonzero(valid[k])
        if len(candidates) == 0:
            continue
        candidate_tags = tags[k, candidates]
        slots = np.full(len(candidates), -1)
        if len(groups):
            slots = _match_candidates(
                groups,
                scores[k, candidates],
                candidate_tags,
                max_groups,
                tag_threshold,
                assign,
            )
        groups.add(k, candidates, slots, candidate_tags)
    return _gather_people(groups, scores, cells, tags)


class _Groups:
    """People under construction, in the order of their first keypoint.

    The key of a person is the first component of its first tag.  A candidate
    that starts a person with an existing key overwrites that keypoint of the
    person and restarts its mean tag, as in the official implementation.

    Args:
        num_keypoints (int): K.
        capacity (int): Maximum number of people.
        tag_dim (int): L.
    """

    def __init__(
        self, num_keypoints: int, capacity: int, tag_dim: int
    ) -> None:
        self.slot_of: Dict[float, int] = {}
        self.members = np.full((capacity, num_keypoints), -1)
        self.tag_sums = np.zeros((capacity, tag_dim), np.float32)
        self.tag_counts = np.zeros(capacity, np.float32)

    def __len__(self) -> int:
        return len(self.slot_of)

    def add(
        self,
        keypoint: int,
        candidates: np.ndarray,
        slots: np.ndarray,
        tags: np.ndarray,
    ) -> None:
        """Add the candidates of one keypoint to people, or start people.

        Args:
            keypoint (int): Keypoint index.
            candidates (np.ndarray): Candidate indices, shape (M,).
            slots (np.ndarray): Person of each candidate, -1 to start one,
                shape (M,).
            tags (np.ndarray): Tags of the candidates, shape (M, L).
        """
        keys = tags[slots < 0, 0].tolist()
        if len(self.slot_of.keys() | keys) == len(self) + len(keys):
            self._add_at_once(keypoint, candidates, slots, tags, keys)
            return
        # A key is repeated: add one by one, so that the last one remains.
        for m in range(len(slots)):
            one = slice(m, m + 1)
            keys = tags[one][slots[one] < 0, 0].tolist()
            self._add_at_once(
                keypoint, candidates[one], slots[one], tags[one], keys
            )

    def _add_at_once(
        self,
        keypoint: int,
        candidates: np.ndarray,
        slots: np.ndarray,
        tags: np.ndarray,
        keys: List[float],
    ) -> None:
        """Add candidates; ``keys`` of started people must be distinct."""
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
        """Compute the mean tags of the first ``limit`` people.

        Args:
            limit (int, optional): Maximum number of people. ``None``: all.

        Returns:
            np.ndarray: float32, shape (people, L).
        """
        first = slice(len(self) if limit is None else min(limit, len(self)))
        return self.tag_sums[first] / self.tag_counts[first, None]


def _match_candidates(
    groups: _Groups,
    scores: np.ndarray,
    tags: np.ndarray,
    max_groups: Optional[int],
    tag_threshold: float,
    assign: Assign,
) -> np.ndarray:
    """Match candidates with scores (M,) and tags (M, L) to people.

    Returns:
        np.ndarray: int64 person of each candidate, shape (M,); -1 where none
        is closer than the tag threshold.
    """
    means = groups.mean_tags(max_groups)
    difference = tags[:, None].astype(np.float64) - means[None]
    distance = np.sqrt((difference**2).sum(axis=2))
    distance = np.minimum(distance, _MAX_DISTANCE)
    cost = np.round(distance) * 100 - scores[:, None].astype(np.float64)
    slots = np.full(len(scores), -1)
    # No pair beyond the threshold is accepted, so all of them count the same.
    candidates, people = assign(cost, np.minimum(distance, tag_threshold))
    near = distance[candidates, people] < tag_threshold
    slots[candidates[near]] = people[near]
    return slots


def _gather_people(
    groups: _Groups, scores: np.ndarray, cells: np.ndarray, tags: np.ndarray
) -> People:
    """Gather cells, scores and tags of the grouped candidates."""
    members = groups.members[: len(groups)]
    found = members >= 0
    k = np.arange(members.shape[1])[None]
    index = np.where(found, members, 0)
    return People(
        np.where(found[..., None], cells[k, index], 0),
        np.where(found, scores[k, index], 0).astype(np.float32),
        np.where(found[..., None], tags[k, index], 0).astype(np.float32),
    )
