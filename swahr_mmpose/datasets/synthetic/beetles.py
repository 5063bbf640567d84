# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draws beetles: a skeleton that is nobody's, for data sets of one's own.

Seen from above, three keypoints on the midline and three pairs. Both sides of
a pair look the same, so that the mirror image of a beetle is a beetle, and
which is the left one has to be told from where the head is. Coordinates as in
``canvas``.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Colour, Pair, Person, colour_of

BEETLE_NAMES = [
    'head',
    'thorax',
    'tail',
    'left_antenna',
    'right_antenna',
    'left_front_leg',
    'right_front_leg',
    'left_hind_leg',
    'right_hind_leg',
]
BEETLE_SKELETON = [  # counted from 1, as COCO does
    [1, 2],
    [2, 3],
    [1, 4],
    [1, 5],
    [2, 6],
    [2, 7],
    [2, 8],
    [2, 9],
]
HEAD, THORAX, TAIL = 0, 1, 2
ANTENNAE, FRONT_LEGS, HIND_LEGS = (3, 4), (5, 6), (7, 8)

# Body lengths, heading up; the thorax is the origin.
NECK, ABDOMEN = 0.25, 0.6
HIPS = (0.05, 0.3)  # of the front and the hind legs, down the body
# Length and degrees outwards from straight ahead, of what comes in pairs.
FEELER, FRONT_LEG, HIND_LEG = (0.3, 35), (0.42, 65), (0.45, 125)
WOBBLE = 18  # degrees by which each may differ
BEND = 14  # degrees of neck and abdomen
HEADING = 40  # degrees off upright, to either side
BODY_WIDTH, HEAD_RADIUS = 0.3, 0.11
FEELER_WIDTH, LEG_WIDTH = 0.035, 0.06
MARKERS = (  # keypoints, radius in body lengths, hue
    ((THORAX,), 0.07, 60 / 360),  # yellow
    ((TAIL,), 0.07, 220 / 360),  # blue
    ((HEAD,), 0.06, 300 / 360),  # magenta
    (HIND_LEGS, 0.06, 0.0),  # red
    (FRONT_LEGS, 0.06, 180 / 360),  # cyan
    (ANTENNAE, 0.055, 120 / 360),  # green
)


def _step(degrees: float, length: float) -> np.ndarray:
    """So far in a direction, 0 degrees straight ahead, 90 to the right."""
    angle = math.radians(degrees)
    return length * np.array([math.sin(angle), -math.cos(angle)])


def _sample_pose(rng: Generator, length: float) -> Tuple[np.ndarray, ...]:
    """Keypoints (9, 2) and the roots of what comes in pairs (9, 2), in px."""
    points, roots = np.zeros((9, 2)), np.zeros((9, 2))
    heading = rng.uniform(-HEADING, HEADING)
    front, back = heading + rng.uniform(-BEND, BEND, 2)
    points[HEAD] = _step(front, NECK)
    points[TAIL] = -_step(back, ABDOMEN)
    parts: Tuple[Tuple[Tuple[int, int], Pair, np.ndarray, float], ...] = (
        (ANTENNAE, FEELER, points[HEAD], front),
        (FRONT_LEGS, FRONT_LEG, -_step(back, HIPS[0]), heading),
        (HIND_LEGS, HIND_LEG, -_step(back, HIPS[1]), back),
    )
    for pair, (reach, degrees), root, ahead in parts:
        for joint, side in zip(pair, (-1, 1)):
            turn = ahead + side * (degrees + rng.uniform(-WOBBLE, WOBBLE))
            roots[joint] = root
            points[joint] = root + _step(turn, reach * rng.uniform(0.85, 1.1))
    return points * length, roots * length


def _draw_body(
    canvas: Canvas, points: np.ndarray, roots: np.ndarray, shell: Colour
) -> None:
    """Draws legs and antennae, then what they grow from."""
    for pair, width in (
        (ANTENNAE, FEELER_WIDTH),
        (FRONT_LEGS, LEG_WIDTH),
        (HIND_LEGS, LEG_WIDTH),
    ):
        for joint in pair:
            canvas.capsule(roots[joint], points[joint], width, shell)
    canvas.disc(points[HEAD], HEAD_RADIUS, shell)
    canvas.capsule(points[THORAX], points[HEAD], HEAD_RADIUS, shell)
    waist = 0.8 * points[TAIL] + 0.2 * points[THORAX]
    canvas.capsule(points[THORAX], waist, BODY_WIDTH, shell)


def draw_beetle(rng: Generator, length: float, grey: float) -> Person:
    """Draws a beetle in a random pose on a layer that just holds it.

    Args:
        rng: random generator.
        length: of the body in px.
        grey: of the shell, 0 (black) to 1 (white).
    """
    points, roots = _sample_pose(rng, length)
    canvas = Canvas(points, length)
    _draw_body(canvas, points, roots, colour_of(0, 0, grey))
    for joints, radius, hue in MARKERS:
        for joint in joints:
            canvas.disc(points[joint], radius, colour_of(hue, 1, 1))
    return canvas.person(points)
