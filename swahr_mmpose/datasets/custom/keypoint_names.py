# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Derive flip pairs and OKS sigmas from keypoint names.

K keypoints.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

__all__ = [
    'UNIFORM_SIGMA',
    'FlipPairs',
    'Proposal',
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


# Words that contain a side by chance.
_NO_SIDES = frozenset(
    'alright aright birthright bright cleft copyright downright forthright '
    'fright leftover outright playwright righteous rightful '
    'shipwright upright wheelwright wright'.split()
)
# Words after a first letter l or r that make it a side: lknee, rknee.
_BODY_PARTS = frozenset(
    'ankle antenna arm cheek chest claw ear elbow eye eyebrow fin finger foot '
    'forearm hand heel hip knee leg limb mouth nostril paw pupil shin '
    'shoulder temple thigh thumb toe wing wrist'.split()
)


class Proposal(NamedTuple):
    """Flip pair for which the evidence is thin.

    Attributes:
        left (int): Index of the keypoint with an l.
        right (int): Index of the keypoint with an r.
        reason (str): Why it may be a pair.
    """

    left: int
    right: int
    reason: str


class FlipPairs(NamedTuple):
    """Keypoints that a horizontal flip exchanges.

    Attributes:
        pairs (list[tuple[int, int]]): Indices ``(left, right)``.
        undecided (list[str]): Names with a side but no unique partner.
        proposed (list[Proposal]): Pairs to be confirmed: names that differ by
            an l and an r only, within a word.
        reasons (list[str]): Why each of ``pairs`` is one.
    """

    pairs: List[Pair]
    undecided: List[str]
    proposed: List[Proposal]
    reasons: List[str]


def split_side(name: str) -> Tuple[str, str]:
    """Split a keypoint name into side and stem.

    A side is a separate word or letter at any position: ``left_eye``,
    ``L-eye``, ``eyeLeft``, ``front_left_paw``, ``rFoot``; also ``left`` or
    ``right`` at either end of a word (``lefteye``), except in words like
    ``bright``.

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
    for side in ('left', 'right') if word not in _NO_SIDES else ():
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
        FlipPairs: Pairs, undecided names and proposals. Undecided are names
        that contain ``left`` or ``right`` and have no unique partner, or that
        contain both. A single letter (``L1``) without a partner is no side.
        Pairs are names that differ by a side alone, or ``lknee`` and
        ``rknee`` for parts of a body. Any other twins (``load`` and ``road``,
        ``FL`` and ``FR``) are proposed.
    """
    partners: Dict[str, Dict[str, List[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    parts = [split_side(name) for name in names]
    for k, (side, stem) in enumerate(parts):
        partners[stem][side].append(k)
    found: List[Proposal] = []
    undecided: List[str] = []
    for k, (side, stem) in enumerate(parts):
        left, right = partners[stem]['left'], partners[stem]['right']
        spelt = re.search('left|right', names[k].lower())
        if len(left) == len(right) == 1:
            if side == 'left':
                words = 'the words left and right'
                reason = words if spelt else 'the separate letters L and R'
                found.append(Proposal(k, right[0], reason))
        elif side and (spelt or len(left) + len(right) > 1):
            undecided.append(names[k])
    decided = {names[k] for pair in found for k in pair[:2]} | set(undecided)
    certain, proposed, ambiguous = _find_twins(names, decided)
    found = sorted([*found, *certain])
    return FlipPairs(
        [pair[:2] for pair in found],
        undecided + ambiguous,
        proposed,
        [pair.reason for pair in found],
    )


def _find_twins(
    names: Sequence[str], decided: Set[str]
) -> Tuple[List[Proposal], List[Proposal], List[str]]:
    """Find names that differ by l and r at either end of a word.

    Args:
        names (Sequence[str]): Names of the K keypoints.
        decided (set[str]): Names to skip.

    Returns:
        tuple: Certain pairs, pairs to be confirmed, and names that have
        several twins.
    """
    index: Dict[str, List[int]] = defaultdict(list)
    for k, name in enumerate(names):
        if name not in decided:
            index[name.lower()].append(k)
    twins = [
        (Proposal(k, other, reason), certain)
        for k, name in enumerate(names)
        if name not in decided
        for twin, reason, certain in _iter_twin_names(name)
        for other in index.get(twin, ())
    ]
    uses = Counter(k for twin, _ in twins for k in twin[:2])
    unique = [t for t in twins if uses[t[0].left] == uses[t[0].right] == 1]
    single = {k for twin, _ in unique for k in twin[:2]}
    return (
        [twin for twin, certain in unique if certain],
        [twin for twin, certain in unique if not certain],
        [names[k] for k in sorted(set(uses) - single)],
    )


def _iter_twin_names(name: str) -> Iterator[Tuple[str, str, bool]]:
    """Yield (lower-case name with r for an l, reason, whether certain)."""
    for match in _WORDS.finditer(name):
        word = match.group().lower()
        for place, offset in (('first', 0), ('last', len(word) - 1)):
            if len(word) > 1 and word[offset] == 'l':
                at = match.start() + offset
                twin = f'{name[:at]}r{name[at + 1 :]}'.lower()
                certain = place == 'first' and word[1:] in _BODY_PARTS
                reason = f'the {place} letters l and r of a word'
                yield twin, reason, certain


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
