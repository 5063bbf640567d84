# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What the names of keypoints tell: mirror pairs, and sigmas of OKS."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

__all__ = [
    'UNIFORM_SIGMA',
    'MirrorPairs',
    'default_sigmas',
    'flip_pairs',
    'side_and_stem',
]

Pair = Tuple[int, int]

# Words of a name: runs of letters, parted by capitals, and numbers.
_WORDS = re.compile(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+')
_SIDES = {'left': 'left', 'right': 'right', 'l': 'left', 'r': 'right'}
# Of COCO's annotators: the spread of their clicks, in square roots of the
# person's area (https://cocodataset.org/#keypoints-eval).
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


class MirrorPairs(NamedTuple):
    """Pairs of indices (left, right), and names that want a partner."""

    pairs: List[Pair]
    undecided: List[str]


def side_and_stem(name: str) -> Tuple[str, str]:
    """The side that a name says, and the name without it.

    A word or letter of its own counts, anywhere: ``left_eye``, ``L-eye``,
    ``eyeLeft``, ``front_left_paw``, ``rFoot``; and ``left`` or ``right`` at
    either end of a word (``lefteye``).

    Returns:
        tuple[str, str]: ``'left'``, ``'right'`` or ``''``, and the stem with
        ``*`` where the side stood; ``('both', ...)`` for a name that says
        two sides.
    """
    words = [w.lower() for w in _WORDS.findall(name)]
    sides = [_side_of_word(word) for word in words]
    found = {side for side, _ in sides if side}
    stem = ' '.join(rest for _, rest in sides)
    if len(found) > 1:
        return 'both', stem
    return (found.pop() if found else ''), stem


def _side_of_word(word: str) -> Tuple[str, str]:
    if word in _SIDES:
        return _SIDES[word], '*'
    for side in ('left', 'right'):
        if word.startswith(side):
            return side, f'* {word[len(side) :]}'
        if word.endswith(side):
            return side, f'{word[: -len(side)]} *'
    return '', word


def flip_pairs(names: Sequence[str]) -> MirrorPairs:
    """Which keypoints change places in a mirror image, from their names.

    Args:
        names (Sequence[str]): Of the keypoints.

    Returns:
        MirrorPairs: Undecided are names that say ``left`` or ``right`` and
        have no one partner, or that say both. A lone letter (``L1``) without
        a partner is no side.
    """
    partners: Dict[str, Dict[str, List[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    told = [side_and_stem(name) for name in names]
    for k, (side, stem) in enumerate(told):
        partners[stem][side].append(k)
    pairs: List[Pair] = []
    undecided: List[str] = []
    for k, (side, stem) in enumerate(told):
        left, right = partners[stem]['left'], partners[stem]['right']
        if len(left) == len(right) == 1:
            if side == 'left':
                pairs.append((k, right[0]))
        elif side and re.search('left|right', names[k].lower()):
            undecided.append(names[k])
        elif side and len(left) + len(right) > 1:
            undecided.append(names[k])
    settled = {names[k] for pair in pairs for k in pair} | set(undecided)
    return MirrorPairs(sorted(pairs + _glued(names, settled)), undecided)


def _glued(names: Sequence[str], settled: Set[str]) -> List[Pair]:
    """Pairs like ``lknee`` and ``rknee``, which no capital parts."""
    index = {
        name.lower(): k for k, name in enumerate(names) if name not in settled
    }
    return [
        (k, index['r' + name[1:]])
        for name, k in index.items()
        if name.startswith('l') and 'r' + name[1:] in index
    ]


def default_sigmas(names: Sequence[str]) -> List[float]:
    """Sigmas of OKS: those of COCO for its joints, else one for all.

    A sigma is the spread of annotators, in square roots of the instance's
    area. It cannot be seen in annotations that were made once. COCO's joints
    (nose, eye, ear, shoulder, elbow, wrist, hip, knee, ankle, of any side)
    have measured ones; they are taken where all keypoints are such, since
    tolerances of two origins do not mix.  Otherwise it is 0.05 for all, which
    lies between those of COCO's face (0.026) and limbs (0.083): a keypoint
    off by 0.12 square roots of the area has OKS 0.5.

    Args:
        names (Sequence[str]): Of the keypoints.

    Returns:
        list[float]: One for each.
    """
    stems = [side_and_stem(name)[1].replace('*', '').strip() for name in names]
    if all(stem in _COCO_SIGMAS for stem in stems):
        return [_COCO_SIGMAS[stem] for stem in stems]
    return [UNIFORM_SIGMA] * len(names)
