# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw synthetic people.

Coordinates as in :mod:`.canvas`. People face the viewer: their left is the
right of the image.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
from numpy.random import Generator

from .canvas import MIN_RADIUS, Canvas, Colour, Pair, Person, hsv_to_bgra

# COCO's order; pairs are (left, right).
NOSE, EYES, EARS, SHOULDERS, ELBOWS = 0, (1, 2), (3, 4), (5, 6), (7, 8)
WRISTS, HIPS, KNEES, ANKLES = (9, 10), (11, 12), (13, 14), (15, 16)
NUM_KEYPOINTS = 17

# Upright proportions in body heights, from the top of the head. Stouter than
# real people: OKS tolerances grow with the silhouette's area.
FACE = (
    (0, 0.125),
    (0.036, 0.085),
    (-0.036, 0.085),
    (0.08, 0.10),
    (-0.08, 0.10),
)
HEAD_AXES = (0.08, 0.105)
NECK, HIP_CENTRE = (0.0, 0.21), (0.0, 0.53)
SHOULDER, HIP = (0.135, 0.255), (0.085, 0.53)
UPPER_ARM, FOREARM, THIGH, SHIN = 0.155, 0.14, 0.21, 0.20
ARM_WIDTH, LEG_WIDTH, TORSO_RIM, NECK_WIDTH = 0.09, 0.13, 0.10, 0.07
HAND, SHOE = 0.042, 0.05  # radii
# Joint markers: keypoint pair, radius in body heights, hue. Each keypoint has
# its own colour, which a tiny network can learn in minutes; therefore a
# horizontally flipped person is not valid. Small markers are drawn last, so
# that both are visible where a hand is in front of a hip.
MARKERS = (
    (KNEES, 0.056, 60 / 360),  # yellow
    (HIPS, 0.056, 0.0),  # red
    (SHOULDERS, 0.052, 180 / 360),  # cyan
    (ANKLES, 0.052, 315 / 360),  # magenta
    (ELBOWS, 0.050, 120 / 360),  # green
    (WRISTS, 0.048, 220 / 360),  # blue
    (EARS, 0.032, 30 / 360),  # orange
    (EYES, 0.026, 275 / 360),  # violet
)
NOSE_MARKER = (0.028, (0.95, 0.4, 1.0))  # radius, pink
SHADES = (0.45, 1.0)  # markers of the left side are darker
DOT = 0.45  # radius of the white or black dot, relative to the marker


def _rotate(points: np.ndarray, degrees: float, centre: Pair) -> np.ndarray:
    """Rotate points (..., 2) about a centre, clockwise in the image."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    return (points - np.array(centre)) @ turn + np.array(centre)


def _place_limb(
    rng: Generator, start: np.ndarray, side: int, angles: Pair, lengths: Pair
) -> np.ndarray:
    """Place the middle and end joint of a limb.

    Args:
        rng (Generator): Random number generator.
        start (np.ndarray): First joint in body heights, shape (2,).
        side (int): 1 for the person's left, -1 for the right.
        angles (tuple[float, float]): Degrees outwards from straight down.
        lengths (tuple[float, float]): Lengths of the bones in body heights.

    Returns:
        np.ndarray: The two joints in body heights, shape (2, 2).
    """
    turns = np.radians(angles)
    # Foreshortening by up to 15 %, as of limbs that point to the viewer.
    bones = np.array(lengths) * rng.uniform(0.85, 1, 2)
    steps = np.c_[side * np.sin(turns), np.cos(turns)] * bones[:, None]
    return start + steps.cumsum(0)


def _sample_angles(rng: Generator) -> Tuple[Pair, Pair]:
    """Sample degrees of upper arm and forearm, and of thigh and shin."""
    # Two arms in three hang down. The limits of the forearm keep the hand off
    # the person's face and the other side of the body.
    arm = rng.uniform(8, 75) if rng.random() < 0.65 else rng.uniform(75, 165)
    forearm = np.clip(arm + rng.uniform(-70, 105), -45, 175)
    thigh = rng.uniform(0, 34)
    return (arm, forearm), (thigh, thigh - rng.uniform(-8, 42))


def sample_pose(rng: Generator, height: float) -> np.ndarray:
    """Sample the pose of a person.

    Args:
        rng (Generator): Random number generator.
        height (float): Standing height in px.

    Returns:
        np.ndarray: Keypoints in px, shape (17, 2).
    """
    points = np.zeros((NUM_KEYPOINTS, 2))
    points[:5] = FACE
    points[:3, 0] += rng.uniform(-0.022, 0.022)  # turn of the head
    points[:5] = _rotate(points[:5], rng.uniform(-12, 12), NECK)
    for k, side in enumerate((1, -1)):
        points[SHOULDERS[k]] = side * SHOULDER[0], SHOULDER[1]
        points[HIPS[k]] = side * HIP[0], HIP[1]
        arm, leg = _sample_angles(rng)
        points[[ELBOWS[k], WRISTS[k]]] = _place_limb(
            rng, points[SHOULDERS[k]], side, arm, (UPPER_ARM, FOREARM)
        )
        points[[KNEES[k], ANKLES[k]]] = _place_limb(
            rng, points[HIPS[k]], side, leg, (THIGH, SHIN)
        )
    points[:, 0] *= rng.uniform(0.9, 1.1)  # width of the body
    return _rotate(points, rng.uniform(-15, 15), HIP_CENTRE) * height


def _draw_body(
    canvas: Canvas, points: np.ndarray, clothes: Colour, skin: Colour
) -> None:
    """Draw legs, torso, arms, hands and shoes."""
    for hip, knee, ankle in zip(
        points[[*HIPS]], points[[*KNEES]], points[[*ANKLES]]
    ):
        canvas.draw_disc(ankle + 0.22 * (ankle - knee), SHOE, skin)
        for start, end in ((hip, knee), (knee, ankle)):
            canvas.draw_capsule(start, end, LEG_WIDTH, clothes)
    neck, chin = points[[*SHOULDERS]].mean(0), points[[*EARS]].mean(0)
    canvas.draw_capsule(neck, chin, NECK_WIDTH, skin)
    canvas.draw_polygon(points[[*SHOULDERS, *HIPS[::-1]]], TORSO_RIM, clothes)
    for shoulder, elbow, wrist in zip(
        points[[*SHOULDERS]], points[[*ELBOWS]], points[[*WRISTS]]
    ):
        canvas.draw_disc(wrist + 0.33 * (wrist - elbow), HAND, skin)
        for start, end in ((shoulder, elbow), (elbow, wrist)):
            canvas.draw_capsule(start, end, ARM_WIDTH, clothes)


def _draw_head(
    canvas: Canvas, points: np.ndarray, clothes: Colour, skin: Colour
) -> None:
    """Draw a face and a cap."""
    left_ear, right_ear = points[list(EARS)]
    centre, (x, y) = (left_ear + right_ear) / 2, left_ear - right_ear
    degrees = math.degrees(math.atan2(y, x))
    canvas.draw_ellipse(centre, HEAD_AXES, (degrees, 0), skin)
    # The cap extends from ear to ear over the top, clockwise from 190 degrees.
    canvas.draw_ellipse(centre, HEAD_AXES, (degrees, 190), clothes)


def _draw_markers(canvas: Canvas, points: np.ndarray) -> None:
    """Draw a disc on each keypoint and, if large enough, a dot in it."""
    radius, pink = NOSE_MARKER
    canvas.draw_disc(points[NOSE], radius, hsv_to_bgra(*pink))
    for pair, radius, hue in MARKERS:
        for joint, shade in zip(pair, SHADES):
            canvas.draw_disc(points[joint], radius, hsv_to_bgra(hue, 1, shade))
            if radius * DOT * canvas.unit > MIN_RADIUS:
                dot = hsv_to_bgra(0, 0, float(shade < 1))
                canvas.draw_disc(points[joint], radius * DOT, dot)


def draw_person(rng: Generator, height: float, grey: float) -> Person:
    """Draw a person in a random pose on a layer of its size.

    Args:
        rng (Generator): Random number generator.
        height (float): Standing height in px.
        grey (float): Brightness of the clothes, 0 (black) to 1 (white).

    Returns:
        Person: Keypoints (17, 2) and layer of the person.
    """
    points = sample_pose(rng, height)
    canvas = Canvas(points, height)
    clothes = hsv_to_bgra(0, 0, grey)
    # Skin is mixed with the grey of the clothes, so that adjacent faces can be
    # distinguished.
    tone = np.array(hsv_to_bgra(0.07, 0.5, rng.uniform(0.5, 0.9)))
    skin = tuple(0.3 * tone + 0.7 * np.array(clothes))
    _draw_body(canvas, points, clothes, skin)
    _draw_head(canvas, points, clothes, skin)
    # Markers are drawn last: no limb of the same person hides them.
    _draw_markers(canvas, points)
    return canvas.render(points)
