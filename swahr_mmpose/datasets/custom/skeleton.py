# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Skeleton of a custom dataset, from file, keypoint statistics and options.

Options override the file; the file overrides what is derived from names and
annotations. N instances, K keypoints ``(x, y, v)``, v = 0: not labelled.
Skeleton edges and flip pairs are pairs of zero-based indices.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from swahr_mmpose.datasets.checks.text import escape

from .keypoint_names import FlipPairs, choose_sigmas, find_flip_pairs
from .metainfo import (
    check_names,
    compute_stability,
    find_grouping_order,
    parse_links,
)

__all__ = [
    'CustomSkeleton',
    'PoseStatistics',
    'SkeletonOptions',
    'compute_pose_statistics',
    'make_skeleton',
    'merge_categories',
    'read_keypoint_names',
]

Pair = Tuple[int, int]


@dataclass(frozen=True)
class SkeletonOptions:
    """Options that override what the file gives or what is derived.

    Args:
        skeleton (Sequence[str], optional): Skeleton edges ``NAME:NAME``, or
            ``['none']``. Defaults to those of the file.
        flip_pairs (Sequence[str], optional): Flip pairs ``LEFT:RIGHT``, or
            ``['none']``. Defaults to those derived from names.
        flip (str): Whether to flip images, ``'on'``, ``'off'`` or ``'auto'``:
            if there are flip pairs. Defaults to ``'auto'``.
        keypoint_order (Sequence[str], optional): Names in grouping order.
            Defaults to the order by stability.
        sigmas (Sequence[float], optional): OKS sigmas, one for all or K.
            Defaults to those by names.
    """

    skeleton: Optional[Sequence[str]] = None
    flip_pairs: Optional[Sequence[str]] = None
    flip: str = 'auto'
    keypoint_order: Optional[Sequence[str]] = None
    sigmas: Optional[Sequence[float]] = None


class PoseStatistics(NamedTuple):
    """Statistics of N poses, normalized to the same centre and size.

    Attributes:
        frequency (np.ndarray): Fraction of instances in which a keypoint is
            labelled, shape (K,).
        mean (np.ndarray): Mean pose, shape (K, 2). Poses are centred and
            scaled to a root mean square distance of 1 from the centre.
        spread (np.ndarray): Standard deviation about the mean pose, shape
            (K,).
    """

    frequency: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


class CustomSkeleton(NamedTuple):
    """Skeleton of a custom dataset.

    Attributes:
        names (list[str]): Names of the K keypoints.
        links (list[tuple[int, int]]): Skeleton edges.
        pairs (list[tuple[int, int]]): Flip pairs ``(left, right)``.
        pair_reasons (list[str]): Why each of them is one.
        flip (bool): Whether images are flipped in training and testing.
        order (list[int]): Grouping order.
        sigmas (list[float]): K sigmas of OKS.
        sigmas_source (str): Origin of the sigmas.
        statistics (PoseStatistics): Statistics of the training instances.
    """

    names: List[str]
    links: List[Pair]
    pairs: List[Pair]
    pair_reasons: List[str]
    flip: bool
    order: List[int]
    sigmas: List[float]
    sigmas_source: str
    statistics: PoseStatistics

    def format_table(self) -> List[str]:
        """Format one line per keypoint, in grouping order, and a header."""
        partner = {a: b for pair in self.pairs for a, b in (pair, pair[::-1])}
        names = [escape(name) for name in self.names]
        width = max(8, *map(len, names))
        header = f'{"keypoint":{width}}  labelled  spread  sigma  flipped'
        frequency, _, spread = self.statistics
        return [header] + [
            f'{names[k]:{width}}  {frequency[k]:8.0%}  {spread[k]:6.2f}  '
            f'{self.sigmas[k]:.3f}  {names[partner.get(k, k)]}'
            for k in self.order
        ]

    def format_pairs(self) -> List[str]:
        """Format flip pairs, ``LEFT:RIGHT (reason)``."""
        return [
            f'{_format_pair(self.names, pair)} ({reason})'
            for pair, reason in zip(self.pairs, self.pair_reasons)
        ]


def read_keypoint_names(
    category: dict, names: Optional[Sequence[str]] = None
) -> List[str]:
    """Read the keypoint names of a category.

    Args:
        category (dict): Category of a COCO file.
        names (Sequence[str], optional): Names that override those of the
            category. Defaults to None.

    Returns:
        list[str]: Names of the K keypoints.

    Raises:
        ValueError: If there are no names, or they are not unique strings.
    """
    given = names or category.get('keypoints')
    valid = isinstance(given, (list, tuple)) and all(
        isinstance(name, str) for name in given
    )
    if not given and not category:
        raise ValueError(
            'the file has no "categories", expected one with the names of '
            'its "keypoints"; give names in the order of the annotations, '
            'e.g. --keypoints head thorax ...'
        )
    if not given or not valid:
        raise ValueError(
            f'category {category.get("name")!r:.80} has no list "keypoints" '
            'of names; give names in the order of the annotations, e.g. '
            '--keypoints head thorax ...'
        )
    check_names(list(given))
    return list(given)


def merge_categories(
    categories: Sequence[dict],
    names: Optional[Sequence[str]] = None,
    skeleton: Optional[Sequence[str]] = None,
) -> dict:
    """Merge categories with the same skeleton into one.

    Args:
        categories (Sequence[dict]): Categories of a COCO file.
        names (Sequence[str], optional): Keypoint names that override those of
            the categories. Defaults to None.
        skeleton (Sequence[str], optional): Skeleton edges that override those
            of the categories. Defaults to None.

    Returns:
        dict: The first category with the names of all; empty if there are
        none. Categories without skeleton edges have those of the others.

    Raises:
        ValueError: If keypoint names or skeleton edges differ.
    """
    if not categories:
        return {}
    first = categories[0]
    for category in categories[1:] if not names else ():
        if category.get('keypoints') != first.get('keypoints'):
            raise ValueError(
                f'category {category.get("name")!r:.80} has the keypoints '
                f'{category.get("keypoints")}, expected those of '
                f'{first.get("name")!r:.80}, {first.get("keypoints")}; choose '
                'categories with the same keypoints, or give --keypoints'
            )
    edges = [c['skeleton'] for c in categories if c.get('skeleton')]
    if not skeleton and any(e != edges[0] for e in edges):
        raise ValueError(
            'the categories differ in "skeleton"; give the edges, e.g. '
            '--skeleton NAME:NAME ..., or --skeleton none'
        )
    merged = dict(first)
    if len(categories) > 1:
        titles = dict.fromkeys(
            str(c.get('name') or 'instance') for c in categories
        )
        merged['name'] = ' '.join(titles)
    if edges:
        merged['skeleton'] = edges[0]
    return merged


def make_skeleton(
    category: dict,
    names: Sequence[str],
    keypoints: np.ndarray,
    options: SkeletonOptions,
) -> CustomSkeleton:
    """Make the skeleton of a dataset.

    Args:
        category (dict): Category of a COCO file, for its ``skeleton``.
        names (Sequence[str]): Names of the K keypoints.
        keypoints (np.ndarray): Keypoints ``(x, y, v)`` of the training
            instances, shape (N, K, 3).
        options (SkeletonOptions): Overrides.

    Returns:
        CustomSkeleton: The skeleton.

    Raises:
        ValueError: If an option does not fit the names, or flip pairs cannot
            be derived from the names.
    """
    if options.skeleton:
        links = _parse_pairs(options.skeleton, names, '--skeleton')
    else:
        links = parse_links(category.get('skeleton') or [], names)
    pairs, reasons = _choose_flip_pairs(options, names)
    statistics = compute_pose_statistics(keypoints)
    if options.keypoint_order:
        order = _parse_order(options.keypoint_order, names)
    else:
        stability = compute_stability(
            statistics.frequency, statistics.spread, links
        )
        order = find_grouping_order(stability, links, pairs)
    sigmas, source = _choose_sigmas(options.sigmas, names)
    return CustomSkeleton(
        names=list(names),
        links=links,
        pairs=pairs,
        pair_reasons=reasons,
        flip=options.flip == 'on' or (options.flip == 'auto' and bool(pairs)),
        order=order,
        sigmas=sigmas,
        sigmas_source=source,
        statistics=statistics,
    )


def compute_pose_statistics(keypoints: np.ndarray) -> PoseStatistics:
    """Compute statistics of poses, normalized to the same centre and size.

    Args:
        keypoints (np.ndarray): Keypoints ``(x, y, v)``, shape (N, K, 3). Mean
            and spread are of poses with at least half of the keypoints, and
            at least two, labelled; of all poses if there are none.

    Returns:
        PoseStatistics: Keypoints labelled in none of these poses are at the
        centre and have the maximum spread of the others.
    """
    labelled = keypoints[..., 2] > 0
    num_keypoints = labelled.shape[1]
    frequency = (
        labelled.mean(axis=0) if len(labelled) else np.zeros(num_keypoints)
    )
    selected = labelled.sum(axis=1) >= max(2, num_keypoints / 2)
    if not selected.any():
        selected[:] = True
    mask = labelled[selected][..., None]
    points = _normalize_poses(keypoints[selected][..., :2], mask)
    count = np.maximum(mask.sum(axis=0), 1)
    mean = points.sum(axis=0) / count
    variance = (((points - mean) ** 2) * mask).sum(axis=(0, 2)) / count[:, 0]
    spread = np.sqrt(variance)
    unknown = ~mask.any(axis=0)[:, 0]
    spread[unknown] = spread.max(initial=0.0)
    return PoseStatistics(frequency, mean, spread)


def _normalize_poses(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Move poses to the origin and scale them to a mean distance of 1.

    Args:
        points (np.ndarray): Keypoints, shape (N, K, 2).
        mask (np.ndarray): Whether they are labelled, shape (N, K, 1).

    Returns:
        np.ndarray: Shape (N, K, 2), 0 where not labelled. The distance is the
        root mean square.
    """
    points = np.where(mask, points, 0.0)
    count = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    points = (points - points.sum(axis=1, keepdims=True) / count) * mask
    size = np.sqrt((points**2).sum(axis=(1, 2), keepdims=True) / count)
    return points / np.maximum(size, 1e-9)


def _parse_pairs(
    words: Sequence[str], names: Sequence[str], option: str
) -> List[Pair]:
    """Parse words ``NAME:NAME`` of an option; none for ``['none']``."""
    pairs: List[Pair] = []
    for word in words if list(words) != ['none'] else ():
        found = _split_pair(word, names)
        if len(found) != 1:
            what = 'is ambiguous' if found else 'is no such pair'
            known = ', '.join(escape(name) for name in names)
            raise ValueError(
                f'got {option} {escape(word)}, which {what}; expected two of '
                f'{known}, separated by a colon, or none alone'
            )
        pairs += found
    return pairs


def _split_pair(word: str, names: Sequence[str]) -> List[Pair]:
    """Split ``NAME:NAME`` at the colon; names may have colons, too."""
    index = {name: k for k, name in enumerate(names)}
    halves = [
        (word[:n], word[n + 1 :]) for n, c in enumerate(word) if c == ':'
    ]
    return [
        (index[a], index[b])
        for a, b in halves
        if a in index and b in index and a != b
    ]


def _format_pair(names: Sequence[str], pair: Pair) -> str:
    """Format a pair as in the options, quoted for a shell if necessary."""
    return shlex.quote(escape(f'{names[pair[0]]}:{names[pair[1]]}'))


def _choose_flip_pairs(
    options: SkeletonOptions, names: Sequence[str]
) -> Tuple[List[Pair], List[str]]:
    """Choose flip pairs from the option, else from names, with reasons."""
    if options.flip_pairs:
        pairs = _parse_pairs(options.flip_pairs, names, '--flip-pairs')
        ends = [k for pair in pairs for k in pair]
        repeated = sorted({names[k] for k in ends if ends.count(k) > 1})
        if repeated:
            raise ValueError(
                f'--flip-pairs: {", ".join(map(escape, repeated))} is in two '
                'pairs, expected at most one; correct the option'
            )
        return pairs, ['given'] * len(pairs)
    found = find_flip_pairs(names)
    if options.flip != 'off':
        _require_certainty(found, names)
    return found.pairs, found.reasons


def _require_certainty(found: FlipPairs, names: Sequence[str]) -> None:
    """Raise if flip pairs cannot be derived, or have to be confirmed."""
    known = [_format_pair(names, pair) for pair in found.pairs]
    if found.undecided:
        text = ' '.join([*known, 'LEFT:RIGHT', '...'])
        raise ValueError(
            'cannot derive the flip pairs of '
            f'{", ".join(map(escape, found.undecided))} from names, which '
            'have a side but no unique partner; give all pairs, those that '
            'there are, or disable flipping:\n'
            f'  --flip-pairs {text}\n'
            f'  --flip-pairs {" ".join(known) or "none"}\n  --flip off'
        )
    if found.proposed:
        maybe = [_format_pair(names, pair[:2]) for pair in found.proposed]
        reasons = ', '.join(
            f'{pair} ({proposal.reason})'
            for pair, proposal in zip(maybe, found.proposed)
        )
        raise ValueError(
            f'names suggest flip pairs, but may be alike by chance: {reasons}'
            '; confirm the pairs that a horizontal flip exchanges, refuse '
            'them, or disable flipping:\n'
            f'  --flip-pairs {" ".join([*known, *maybe])}\n'
            f'  --flip-pairs {" ".join(known) or "none"}\n  --flip off'
        )


def _parse_order(words: Sequence[str], names: Sequence[str]) -> List[int]:
    """Parse the grouping order given by names."""
    if sorted(words) != sorted(names):
        raise ValueError(
            f'got --keypoint-order {escape(" ".join(words))}, expected each '
            f'of {", ".join(map(escape, names))} once'
        )
    return [list(names).index(word) for word in words]


def _choose_sigmas(
    given: Optional[Sequence[float]], names: Sequence[str]
) -> Tuple[List[float], str]:
    """Choose OKS sigmas and name their origin."""
    if not given:
        sigmas = choose_sigmas(names)
        uniform = len(set(sigmas)) == 1
        return sigmas, 'uniform' if uniform else "COCO's, by name"
    if len(given) not in (1, len(names)) or min(given) <= 0:
        raise ValueError(
            f'got --sigmas {list(given)}, expected one number above 0 or '
            f'{len(names)}, in the order of the keypoints'
        )
    repeats = len(names) if len(given) == 1 else 1
    return list(given) * repeats, 'given'
