# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Derive flip pairs and OKS sigmas from keypoint names.

K keypoints.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

__all__ = [
    'UNIFORM_SIGMA',
    'FlipPairs',
    'choose_sigmas',
    'find_flip_pairs',
    'split_side',
]

Pair = Tuple[int, int]

# Words of a name, delimited by capitals, digits and other characters.
_WORDS = re.compile(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+')
_SIDES = {'left': 'left', 'right': 'right', 'l': 'left', 'r': 'right'}
# Standard deviations of COCO's annotators in square roots of the person's
# area (https://cocodataset.org/#keypoints-eval).
_COCO_SIGMAS = dict(
    nose=0.026,
    eye=0.025,
    ear=0.035,
    shoulder=0.079,
    elbow=0.072,
    wrist=0.062,
    hip=0.107,
    knee=0.087,
    ankle=0.089,
)
UNIFORM_SIGMA = 0.05


class FlipPairs(NamedTuple):
    """Keypoints that a horizontal flip exchanges.

    Attributes:
        pairs (list[tuple[int, int]]): Indices ``(left, right)``.
        undecided (list[str]): Names with a side but no unique partner.
    """

    pairs: List[Pair]
    undecided: List[str]


def split_side(name: str) -> Tuple[str, str]:
    """Split a keypoint name into side and stem.

    A side is a separate word or letter at any position: ``left_eye``,
    ``L-eye``, ``eyeLeft``, ``front_left_paw``, ``rFoot``; also ``left`` or
    ``right`` at either end of a word (``lefteye``).

    Args:
        name (str): Name of a keypoint.

    Returns:
        tuple[str, str]: ``'left'``, ``'right'``, ``'both'`` or ``''``, and
        the lower-case stem with ``*`` in place of the side.
    """
    words = [w.lower() for w in _WORDS.findall(name)]
    parts = [_split_word(word) for word in words]
    sides = {side for side, _ in parts if side}
    stem = ' '.join(rest for _, rest in parts)
    if len(sides) > 1:
        return 'both', stem
    return (sides.pop() if sides else ''), stem


def _split_word(word: str) -> Tuple[str, str]:
    """Split a lower-case word into side and rest."""
    if word in _SIDES:
        return _SIDES[word], '*'
    for side in ('left', 'right'):
        if word.startswith(side):
            return side, f'* {word[len(side) :]}'
        if word.endswith(side):
            return side, f'{word[: -len(side)]} *'
    return '', word


def find_flip_pairs(names: Sequence[str]) -> FlipPairs:
    """Find pairs of keypoints that a horizontal flip exchanges.

    Args:
        names (Sequence[str]): Names of the K keypoints.

    Returns:
        FlipPairs: Pairs and undecided names. Undecided are names that contain
        ``left`` or ``right`` and have no unique partner, or that contain
        both. A single letter (``L1``) without a partner is no side.
    """
    partners: Dict[str, Dict[str, List[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    parts = [split_side(name) for name in names]
    for k, (side, stem) in enumerate(parts):
        partners[stem][side].append(k)
    pairs: List[Pair] = []
    undecided: List[str] = []
    for k, (side, stem) in enumerate(parts):
        left, right = partners[stem]['left'], partners[stem]['right']
        if len(left) == len(right) == 1:
            if side == 'left':
                pairs.append((k, right[0]))
        elif side and re.search('left|right', names[k].lower()):
            undecided.append(names[k])
        elif side and len(left) + len(right) > 1:
            undecided.append(names[k])
    decided = {names[k] for pair in pairs for k in pair} | set(undecided)
    pairs += _pair_by_first_letter(names, decided)
    return FlipPairs(sorted(pairs), undecided)


def _pair_by_first_letter(
    names: Sequence[str], decided: Set[str]
) -> List[Pair]:
    """Pair names like ``lknee`` and ``rknee``, without a word boundary."""
    index = {
        name.lower(): k for k, name in enumerate(names) if name not in decided
    }
    return [
        (k, index['r' + name[1:]])
        for name, k in index.items()
        if name.startswith('l') and 'r' + name[1:] in index
    ]


def choose_sigmas(names: Sequence[str]) -> List[float]:
    """Choose OKS sigmas: COCO's for its keypoints, else a uniform one.

    A sigma is the standard deviation of annotators in square roots of the
    instance's area. It cannot be estimated from annotations made once. COCO's
    measured values are used if all keypoints are COCO's (nose, eye, ear,
    shoulder, elbow, wrist, hip, knee, ankle, of any side): tolerances of
    different origin are not mixed. Otherwise it is 0.05 for all, between
    those of COCO's face (0.026) and limbs (0.083): an error of 0.12 square
    roots of the area has OKS 0.5.

    Args:
        names (Sequence[str]): Names of the K keypoints.

    Returns:
        list[float]: K sigmas.
    """
    stems = [split_side(name)[1].replace('*', '').strip() for name in names]
    if all(stem in _COCO_SIGMAS for stem in stems):
        return [_COCO_SIGMAS[stem] for stem in stems]
    return [UNIFORM_SIGMA] * len(names)
