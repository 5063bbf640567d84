# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Skeleton edges, grouping order and metainfo of a custom dataset.

K keypoints with unique names. Skeleton edges, ``links`` in MMPose, are pairs
``(a, b)`` of zero-based indices.
"""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from swahr_mmpose.datasets.checks.schema import is_integer
from swahr_mmpose.datasets.checks.text import escape, short

__all__ = [
    'check_names',
    'compute_stability',
    'find_grouping_order',
    'make_dataset_info',
    'parse_links',
]

Link = Tuple[int, int]

_COLOURS = dict(left=[0, 255, 0], right=[255, 128, 0], middle=[51, 153, 255])


def parse_links(
    skeleton: Sequence[Sequence[Any]], names: Sequence[str]
) -> List[Link]:
    """Parse the skeleton edges of a COCO file.

    COCO's indices are one-based. A skeleton that contains 0 is read as
    zero-based; names are accepted, too. Loops and repetitions are dropped.

    Args:
        skeleton (Sequence): Pairs of indices or of names.
        names (Sequence[str]): Names of the K keypoints.

    Returns:
        list[tuple[int, int]]: Zero-based indices.

    Raises:
        ValueError: If an edge is not a pair of existing keypoints.
    """
    if not isinstance(skeleton, (list, tuple)):
        raise ValueError(
            f'skeleton is {short(skeleton)}, expected a list of pairs; '
            'correct categories[0].skeleton, or give --skeleton none'
        )
    index = {name: k for k, name in enumerate(names)}
    pairs = [
        list(link) if isinstance(link, (list, tuple, str)) else [link]
        for link in skeleton
    ]
    first = 0 if 0 in [end for pair in pairs for end in pair] else 1
    links: List[Link] = []
    for pair in pairs:
        ends = [_parse_end(end, index, first) for end in pair]
        if len(ends) != 2 or not all(0 <= k < len(names) for k in ends):
            remedy = '--skeleton none'
            if len(names) > 1:
                word = shlex.quote(escape(f'{names[0]}:{names[-1]}'))
                remedy = f'--skeleton {word} ... or {remedy}'
            raise ValueError(
                f'skeleton edge {short(pair)}, counted from {first}, is not a '
                f'pair of the {len(names)} keypoints; correct categories[0].'
                f'skeleton, or give edges by name or none: {remedy}'
            )
        a, b = ends
        if a != b and (a, b) not in links and (b, a) not in links:
            links.append((a, b))
    return links


def _parse_end(end: Any, index: Dict[str, int], first: int) -> int:
    """Parse the end of an edge; -1 if it is neither name nor integer."""
    if isinstance(end, str):
        return index.get(end, -1)
    return int(end) - first if is_integer(end) else -1


def compute_stability(
    frequency: np.ndarray, spread: np.ndarray, links: Sequence[Link]
) -> np.ndarray:
    """Compute how well each keypoint starts an instance in grouping.

    The product of three factors in [0, 1]: the frequency of its label, its
    steadiness ``1 / (1 + spread / mean spread)``, and its closeness
    centrality in the skeleton relative to the maximum (1 for all without
    edges).

    Args:
        frequency (np.ndarray): Fraction of instances in which the keypoint is
            labelled, shape (K,).
        spread (np.ndarray): Standard deviation about its position in the mean
            pose, any unit, shape (K,).
        links (Sequence[tuple[int, int]]): Skeleton edges.

    Returns:
        np.ndarray: Stability, shape (K,).
    """
    steadiness = 1 / (1 + spread / max(float(np.mean(spread)), 1e-9))
    closeness = _compute_closeness(len(frequency), links) if links else 1.0
    return np.asarray(frequency * steadiness * closeness)


def _compute_closeness(
    num_keypoints: int, links: Sequence[Link]
) -> np.ndarray:
    """Compute closeness centrality (K,), relative to the maximum.

    The distance of unconnected keypoints counts as K edges.
    """
    steps = np.full((num_keypoints, num_keypoints), float(num_keypoints))
    np.fill_diagonal(steps, 0)
    for a, b in links:
        steps[a, b] = steps[b, a] = 1
    for k in range(num_keypoints):
        steps = np.minimum(steps, steps[:, k, None] + steps[k])
    total = steps.sum(axis=1)
    return total.min() / np.maximum(total, 1e-9) if total.any() else total + 1


def find_grouping_order(
    stability: np.ndarray, links: Sequence[Link], pairs: Sequence[Link]
) -> List[int]:
    """Find the order in which grouping assigns keypoints to instances.

    Starts at the most stable keypoint and continues with the most stable one
    that has an edge to those before; without such, with the most stable of
    the rest. A flip pair is one step, with the mean of both. The first
    keypoints start instances: a rarely labelled one would start them late, a
    keypoint with a large spread would start wrong ones.

    Args:
        stability (np.ndarray): Result of :func:`compute_stability`, shape
            (K,).
        links (Sequence[tuple[int, int]]): Skeleton edges.
        pairs (Sequence[tuple[int, int]]): Flip pairs ``(left, right)``.

    Returns:
        list[int]: Permutation of 0 to K - 1.
    """
    units = [list(pair) for pair in pairs]
    paired = {k for pair in pairs for k in pair}
    units += [[k] for k in range(len(stability)) if k not in paired]
    units.sort(key=lambda unit: (-float(np.mean(stability[unit])), unit))
    order: List[int] = []
    while units:
        near = {b for link in links for b in link if set(link) & set(order)}
        linked = [unit for unit in units if near & set(unit)]
        chosen = (linked or units)[0]
        units.remove(chosen)
        order += chosen
    return order


def make_dataset_info(
    name: str,
    names: Sequence[str],
    links: Sequence[Link],
    pairs: Sequence[Link],
    sigmas: Sequence[float],
    upper: Sequence[bool],
) -> Dict[str, Any]:
    """Make the metainfo of a dataset in MMPose's format.

    Args:
        name (str): Name of the dataset.
        names (Sequence[str]): Names of the K keypoints.
        links (Sequence[tuple[int, int]]): Skeleton edges.
        pairs (Sequence[tuple[int, int]]): Flip pairs ``(left, right)``.
        sigmas (Sequence[float]): K sigmas of OKS.
        upper (Sequence[bool]): Whether each keypoint is in the upper half of
            the mean pose (``type``, used by augmentations of top-down
            models).

    Returns:
        dict: ``dataset_info``, for ``parse_pose_metainfo``.

    Raises:
        ValueError: If there are no names or a name is repeated.
    """
    check_names(names)
    swap, sides = [''] * len(names), ['middle'] * len(names)
    for left, right in pairs:
        swap[left], swap[right] = names[right], names[left]
        sides[left], sides[right] = 'left', 'right'
    keypoints = {
        k: dict(
            name=names[k],
            id=k,
            color=_COLOURS[sides[k]],
            type='upper' if upper[k] else 'lower',
            swap=swap[k],
        )
        for k in range(len(names))
    }
    skeleton = {
        n: dict(
            link=(names[a], names[b]),
            id=n,
            color=_COLOURS[sides[a] if sides[a] != 'middle' else sides[b]],
        )
        for n, (a, b) in enumerate(links)
    }
    return dict(
        dataset_name=name,
        keypoint_info=keypoints,
        skeleton_info=skeleton,
        joint_weights=[1.0] * len(names),
        sigmas=[float(s) for s in sigmas],
    )


def check_names(names: Sequence[str]) -> None:
    """Check that there are keypoint names and all are unique.

    Args:
        names (Sequence[str]): Names of the K keypoints.

    Raises:
        ValueError: If there are no names or a name is repeated.
    """
    repeated = [n for n, count in Counter(names).items() if count > 1]
    if repeated or not names:
        raise ValueError(
            f'got {len(names)} keypoint names, repeated: {repeated}; expected '
            'at least one and unique names; correct categories[0].keypoints '
            'or give --keypoints'
        )
