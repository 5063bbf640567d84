# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A skeleton put together of what a file says, what follows, what is given.

N instances, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from .keypoint_names import default_sigmas, flip_pairs
from .metainfo import check_names, grouping_order, stability, zero_based_links

__all__ = ['Overrides', 'OwnSkeleton', 'keypoint_names', 'make_skeleton']

Pair = Tuple[int, int]


@dataclass(frozen=True)
class Overrides:
    """What is given in place of what the file says or what follows.

    ``skeleton`` and ``flip_pairs`` are words like ``head:tail``, or ``none``
    alone; ``flip`` is ``'auto'``, ``'on'`` or ``'off'``, ``sigmas`` are one or
    K.
    """

    skeleton: Optional[Sequence[str]] = None
    flip_pairs: Optional[Sequence[str]] = None
    flip: str = 'auto'
    keypoint_order: Optional[Sequence[str]] = None
    sigmas: Optional[Sequence[float]] = None


class OwnSkeleton(NamedTuple):
    """All that a config needs to know of a skeleton."""

    names: List[str]
    links: List[Pair]
    pairs: List[Pair]
    flip: bool
    order: List[int]
    sigmas: List[float]
    sigmas_from: str
    statistics: PoseStatistics

    def table(self) -> List[str]:
        """A line for each keypoint, in the order of grouping."""
        partner = {a: b for pair in self.pairs for a, b in (pair, pair[::-1])}
        width = max(8, *(len(name) for name in self.names))
        head = f'{"keypoint":{width}}  labelled  spread  sigma  mirrored'
        shares, _, spread = self.statistics
        return [head] + [
            f'{self.names[k]:{width}}  {shares[k]:8.0%}  {spread[k]:6.2f}  '
            f'{self.sigmas[k]:.3f}  {self.names[partner.get(k, k)]}'
            for k in self.order
        ]

    def pair_words(self) -> List[str]:
        """Mirror pairs as one gives them, ``left:right``."""
        return [f'{self.names[a]}:{self.names[b]}' for a, b in self.pairs]


def keypoint_names(
    category: dict, given: Optional[Sequence[str]] = None
) -> List[str]:
    """The names of the keypoints of a category.

    Args:
        category (dict): Of a COCO file.
        given (Sequence[str], optional): In place of those.
    """
    names = list(given or category.get('keypoints') or [])
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f'category {category.get("name")!r} names no keypoints; give the '
            'names in the order of the file, --keypoints head thorax ...'
        )
    check_names(names)
    return names


def make_skeleton(
    category: dict,
    names: Sequence[str],
    keypoints: np.ndarray,
    given: Overrides,
) -> OwnSkeleton:
    """Put a skeleton together.

    Args:
        category (dict): Of a COCO file, for its ``skeleton``.
        names (Sequence[str]): Of the K keypoints.
        keypoints (np.ndarray): ``(x, y, v)`` of the instances, (N, K, 3).
        given (Overrides): In place of what follows.

    Returns:
        OwnSkeleton: See there.

    Raises:
        ValueError: If something given does not fit, or mirror pairs cannot be
            told from the names.
    """
    if given.skeleton:
        links = _pairs_of(given.skeleton, names, '--skeleton')
    else:
        links = zero_based_links(category.get('skeleton') or [], names)
    pairs, flip = _choose_pairs(given, names)
    statistics = pose_statistics(keypoints)
    if given.keypoint_order:
        order = _order_of(given.keypoint_order, names)
    else:
        stable = stability(statistics.frequency, statistics.spread, links)
        order = grouping_order(stable, links, pairs)
    sigmas, source = _choose_sigmas(given.sigmas, names)
    return OwnSkeleton(
        list(names), links, pairs, flip, order, sigmas, source, statistics
    )


def _pairs_of(
    words: Sequence[str], names: Sequence[str], flag: str
) -> List[Pair]:
    index = {name: k for k, name in enumerate(names)}
    pairs: List[Pair] = []
    for word in words if list(words) != ['none'] else ():
        ends = word.split(':')
        if len(ends) != 2 or ends[0] == ends[1] or not set(ends) <= set(index):
            raise ValueError(
                f'{flag} {word}: expected two of {", ".join(names)}, with a '
                'colon between, or none alone'
            )
        pairs.append((index[ends[0]], index[ends[1]]))
    return pairs


def _choose_pairs(
    given: Overrides, names: Sequence[str]
) -> Tuple[List[Pair], bool]:
    if given.flip_pairs:
        pairs = _pairs_of(given.flip_pairs, names, '--flip-pairs')
        ends = [k for pair in pairs for k in pair]
        twice = sorted({names[k] for k in ends if ends.count(k) > 1})
        if twice:
            raise ValueError(
                f'--flip-pairs: {", ".join(twice)} is in two pairs; a '
                'keypoint has one mirror image'
            )
        return pairs, _mirrors(given.flip, pairs)
    pairs, undecided = flip_pairs(names)
    if undecided and given.flip != 'off':
        shown = ' '.join(f'{names[a]}:{names[b]}' for a, b in pairs)
        raise ValueError(
            f'which keypoints are mirror images of {", ".join(undecided)}? '
            'Give all pairs, or do without mirroring:\n'
            f'  --flip-pairs {shown} LEFT:RIGHT ...\n  --flip off'
        )
    return pairs, _mirrors(given.flip, pairs)


def _mirrors(flip: str, pairs: Sequence[Pair]) -> bool:
    return flip == 'on' or (flip == 'auto' and bool(pairs))


def _order_of(words: Sequence[str], names: Sequence[str]) -> List[int]:
    if sorted(words) != sorted(names):
        raise ValueError(
            f'--keypoint-order: got {", ".join(words)}, expected each of '
            f'{", ".join(names)} once'
        )
    return [list(names).index(word) for word in words]


def _choose_sigmas(
    given: Optional[Sequence[float]], names: Sequence[str]
) -> Tuple[List[float], str]:
    if not given:
        sigmas = default_sigmas(names)
        alike = len(set(sigmas)) == 1
        return sigmas, 'one for all' if alike else "COCO's, by name"
    if len(given) not in (1, len(names)) or min(given) <= 0:
        raise ValueError(
            f'--sigmas: got {list(given)}, expected one number above 0 or '
            f'{len(names)}, in the order of the keypoints'
        )
    times: Any = len(names) if len(given) == 1 else 1
    return list(given) * times, 'given'


class PoseStatistics(NamedTuple):
    """Of N instances: shapes (K,), (K, 2), (K,).

    ``frequency`` is the share of instances in which a keypoint is labelled;
    ``mean`` the mean pose, with its middle at 0 and keypoints at a distance
    of 1 in the mean (root of squares); ``spread`` the standard deviation
    about it.
    """

    frequency: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def pose_statistics(keypoints: np.ndarray) -> PoseStatistics:
    """Where keypoints are, each pose moved and enlarged to one size.

    Args:
        keypoints (np.ndarray): ``(x, y, v)``, shape (N, K, 3). Mean and
            spread are those of poses with at least half of the keypoints
            (at least two) labelled, or if there are none, of all.

    Returns:
        PoseStatistics: Keypoints that no such pose has lie at 0, with the
        largest spread of the others.
    """
    seen = keypoints[..., 2] > 0
    frequency = seen.mean(axis=0) if len(seen) else np.zeros(seen.shape[1])
    whole = seen.sum(axis=1) >= max(2, seen.shape[1] / 2)
    if not whole.any():
        whole[:] = True
    shown = seen[whole][..., None]
    points = np.where(shown, keypoints[whole][..., :2], 0.0)
    count = np.maximum(shown.sum(axis=1, keepdims=True), 1)
    points = (points - points.sum(axis=1, keepdims=True) / count) * shown
    size = np.sqrt((points**2).sum(axis=(1, 2), keepdims=True) / count)
    points = points / np.maximum(size, 1e-9)
    times = np.maximum(shown.sum(axis=0), 1)
    mean = points.sum(axis=0) / times
    square = (((points - mean) ** 2) * shown).sum(axis=(0, 2)) / times[:, 0]
    spread = np.sqrt(square)
    unknown = ~shown.any(axis=0)[:, 0]
    spread[unknown] = spread.max(initial=0.0)
    return PoseStatistics(frequency, mean, spread)
