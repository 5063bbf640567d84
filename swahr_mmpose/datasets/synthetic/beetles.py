# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw beetles: a skeleton other than COCO's, for custom datasets.

Seen from above, with three keypoints on the midline and three flip pairs.
Both sides of a pair look the same, so that a horizontally flipped beetle is
valid; which side is left follows from the position of the head. Coordinates
as in :mod:`.canvas`.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Colour, Pair, Person, hsv_to_bgra

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
BEETLE_SKELETON = [  # one-based, as in COCO
    [1, 2],
    [2, 3],
    [1, 4],
    [1, 5],
    [2, 6],
    [2, 7],
    [2, 8],
    [2, 9],
]
BEETLE_SIGMAS = (0.05,) * len(BEETLE_NAMES)
HEAD, THORAX, TAIL = 0, 1, 2
ANTENNAE, FRONT_LEGS, HIND_LEGS = (3, 4), (5, 6), (7, 8)

# Proportions in body lengths, heading up; the thorax is the origin.
NECK, ABDOMEN = 0.25, 0.6
HIPS = (0.05, 0.3)  # roots of front and hind legs, down the body
# Length, and angle from straight ahead in degrees, outwards.
ANTENNA, FRONT_LEG, HIND_LEG = (0.3, 35), (0.42, 65), (0.45, 125)
WOBBLE = 18  # maximum deviation of these angles in degrees
BEND = 14  # maximum angle of neck and abdomen in degrees
HEADING = 40  # maximum heading in degrees from upright
BODY_WIDTH, HEAD_RADIUS = 0.3, 0.11
ANTENNA_WIDTH, LEG_WIDTH = 0.035, 0.06
MARKERS = (  # keypoints, radius in body lengths, hue
    ((THORAX,), 0.07, 60 / 360),  # yellow
    ((TAIL,), 0.07, 220 / 360),  # blue
    ((HEAD,), 0.06, 300 / 360),  # magenta
    (HIND_LEGS, 0.06, 0.0),  # red
    (FRONT_LEGS, 0.06, 180 / 360),  # cyan
    (ANTENNAE, 0.055, 120 / 360),  # green
)


def _polar_to_xy(degrees: float, length: float) -> np.ndarray:
    """Convert angle and length to (x, y); 0 is up, 90 degrees is right."""
    angle = math.radians(degrees)
    return length * np.array([math.sin(angle), -math.cos(angle)])


def _sample_pose(rng: Generator, length: float) -> Tuple[np.ndarray, ...]:
    """Sample keypoints (9, 2) and roots of legs and antennae (9, 2) in px."""
    points, roots = np.zeros((9, 2)), np.zeros((9, 2))
    heading = rng.uniform(-HEADING, HEADING)
    front, back = heading + rng.uniform(-BEND, BEND, 2)
    points[HEAD] = _polar_to_xy(front, NECK)
    points[TAIL] = -_polar_to_xy(back, ABDOMEN)
    limbs: Tuple[Tuple[Tuple[int, int], Pair, np.ndarray, float], ...] = (
        (ANTENNAE, ANTENNA, points[HEAD], front),
        (FRONT_LEGS, FRONT_LEG, -_polar_to_xy(back, HIPS[0]), heading),
        (HIND_LEGS, HIND_LEG, -_polar_to_xy(back, HIPS[1]), back),
    )
    for pair, (reach, degrees), root, ahead in limbs:
        for joint, side in zip(pair, (-1, 1)):
            angle = ahead + side * (degrees + rng.uniform(-WOBBLE, WOBBLE))
            roots[joint] = root
            points[joint] = root + _polar_to_xy(
                angle, reach * rng.uniform(0.85, 1.1)
            )
    return points * length, roots * length


def _draw_body(
    canvas: Canvas, points: np.ndarray, roots: np.ndarray, shell: Colour
) -> None:
    """Draw legs and antennae, then head and body."""
    for pair, width in (
        (ANTENNAE, ANTENNA_WIDTH),
        (FRONT_LEGS, LEG_WIDTH),
        (HIND_LEGS, LEG_WIDTH),
    ):
        for joint in pair:
            canvas.draw_capsule(roots[joint], points[joint], width, shell)
    canvas.draw_disc(points[HEAD], HEAD_RADIUS, shell)
    canvas.draw_capsule(points[THORAX], points[HEAD], HEAD_RADIUS, shell)
    waist = 0.8 * points[TAIL] + 0.2 * points[THORAX]
    canvas.draw_capsule(points[THORAX], waist, BODY_WIDTH, shell)


def draw_beetle(rng: Generator, length: float, grey: float) -> Person:
    """Draw a beetle in a random pose on a layer of its size.

    Args:
        rng (Generator): Random number generator.
        length (float): Length of the body in px.
        grey (float): Brightness of the shell, 0 (black) to 1 (white).

    Returns:
        Person: Keypoints (9, 2) and layer of the beetle.
    """
    points, roots = _sample_pose(rng, length)
    canvas = Canvas(points, length)
    _draw_body(canvas, points, roots, hsv_to_bgra(0, 0, grey))
    for joints, radius, hue in MARKERS:
        for joint in joints:
            canvas.draw_disc(points[joint], radius, hsv_to_bgra(hue, 1, 1))
    return canvas.render(points)
