# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What a skeleton asks of a config: links, grouping order, meta information.

K keypoints with names, joined by links ``(a, b)`` of indices from 0 on.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

__all__ = ['dataset_info', 'grouping_order', 'stability', 'zero_based_links']

Link = Tuple[int, int]

_COLOURS = dict(left=[0, 255, 0], right=[255, 128, 0], middle=[51, 153, 255])


def zero_based_links(
    skeleton: Sequence[Sequence[Any]], names: Sequence[str]
) -> List[Link]:
    """Links of a COCO file as pairs of indices from 0 on.

    COCO counts keypoints from 1; a skeleton that has a 0 in it counts from 0,
    and one may use names.

    Args:
        skeleton (Sequence): Pairs of numbers or of names.
        names (Sequence[str]): Of the keypoints.

    Raises:
        ValueError: If a link leads nowhere.
    """
    index = {name: k for k, name in enumerate(names)}
    ends = [end for link in skeleton for end in link]
    first = 0 if 0 in ends else 1
    links: List[Link] = []
    for link in skeleton:
        found = [
            index.get(e, -1) if isinstance(e, str) else int(e) - first
            for e in link
        ]
        if len(found) != 2 or not all(0 <= k < len(names) for k in found):
            raise ValueError(
                f'the link {list(link)} of the skeleton, counted from '
                f'{first}, is no pair of {len(names)} keypoints; correct '
                'the file, or give links by name or none at all: --skeleton '
                f'{names[0]}:{names[-1]} ... or --skeleton none'
            )
        a, b = found
        if a != b and (a, b) not in links and (b, a) not in links:
            links.append((a, b))
    return links


def _closeness(num_keypoints: int, links: Sequence[Link]) -> np.ndarray:
    """How near each keypoint is to all others along links, (K,), 1 at most.

    Keypoints that no way leads to count as K links away.
    """
    steps = np.full((num_keypoints, num_keypoints), float(num_keypoints))
    np.fill_diagonal(steps, 0)
    for a, b in links:
        steps[a, b] = steps[b, a] = 1
    for k in range(num_keypoints):
        steps = np.minimum(steps, steps[:, k, None] + steps[k])
    total = steps.sum(axis=1)
    return total.min() / np.maximum(total, 1e-9) if total.any() else total + 1


def stability(
    frequency: np.ndarray, spread: np.ndarray, links: Sequence[Link]
) -> np.ndarray:
    """How well a keypoint serves as the start of an instance.

    The product of three shares, none above 1: how often it is labelled, how
    near it stays to its place in the mean pose, ``1 / (1 + spread / mean
    spread)``, and how central it is in the skeleton (closeness, that of the
    most central one 1; without links 1 for all).

    Args:
        frequency (np.ndarray): Share of instances that have it, (K,).
        spread (np.ndarray): Distance from its mean place, (K,), any unit.
        links (Sequence[tuple]): Of the skeleton.

    Returns:
        np.ndarray: Shape (K,).
    """
    steady = 1 / (1 + spread / max(float(np.mean(spread)), 1e-9))
    central = _closeness(len(frequency), links) if links else 1.0
    return np.asarray(frequency * steady * central)


def grouping_order(
    stable: np.ndarray, links: Sequence[Link], pairs: Sequence[Link]
) -> List[int]:
    """The order in which keypoints join instances.

    From the most stable keypoint outwards along links, at each step to the
    most stable one that is linked to those before; where nothing more is
    linked, on from the most stable of the rest. A mirror pair is one step,
    with the mean of both. What comes first starts instances: a keypoint that
    is seldom there would start them late, and one that strays start wrong
    ones.

    Args:
        stable (np.ndarray): As :func:`stability` gives it, (K,).
        links (Sequence[tuple]): Of the skeleton.
        pairs (Sequence[tuple]): (left, right).

    Returns:
        list[int]: Each of 0 to K - 1 once.
    """
    units = [list(pair) for pair in pairs]
    paired = {k for pair in pairs for k in pair}
    units += [[k] for k in range(len(stable)) if k not in paired]
    units.sort(key=lambda unit: (-float(np.mean(stable[unit])), unit))
    order: List[int] = []
    while units:
        near = {b for link in links for b in link if set(link) & set(order)}
        linked = [unit for unit in units if near & set(unit)]
        chosen = (linked or units)[0]
        units.remove(chosen)
        order += chosen
    return order


def dataset_info(
    name: str,
    names: Sequence[str],
    links: Sequence[Link],
    pairs: Sequence[Link],
    sigmas: Sequence[float],
    upper: Sequence[bool],
) -> Dict[str, Any]:
    """Meta information of a data set, as MMPose spells it.

    Args:
        name (str): Of the data set.
        names (Sequence[str]): Of the keypoints.
        links (Sequence[tuple]): Of the skeleton.
        pairs (Sequence[tuple]): (left, right).
        sigmas (Sequence[float]): Of OKS.
        upper (Sequence[bool]): Whether a keypoint is in the upper half of the
            mean pose (``type``, which the augmentation of top-down models
            uses).

    Returns:
        dict: ``dataset_info``, for ``parse_pose_metainfo``.
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
    """Refuse keypoints without a name of their own."""
    twice = [n for n, count in Counter(names).items() if count > 1]
    if twice or not names:
        raise ValueError(
            f'{len(names)} keypoints, named twice: {twice}; expected at least '
            'one, each with a name of its own; correct categories[0].keypoints'
        )
