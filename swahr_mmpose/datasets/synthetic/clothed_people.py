# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw synthetic people in clothes, without markers on the joints.

Poses and proportions as in :mod:`swahr_mmpose.datasets.synthetic.people`.
Joints are recognized by seams and hems: sleeves end at the elbows, trousers at
the knees, shoes at the ankles, gloves at the wrists. Light comes from the
person's right, so that the left side is darker.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Colour, Person, hsv_to_bgra
from .people import (
    ANKLES,
    EARS,
    ELBOWS,
    EYES,
    HEAD_AXES,
    HIPS,
    KNEES,
    NECK_WIDTH,
    NOSE,
    SHOULDERS,
    TORSO_RIM,
    WRISTS,
    sample_pose,
)

SHADES = (0.62, 1.0)  # brightness of the left and the right side
UPPER_ARM_WIDTH, FOREARM_WIDTH, GLOVE = 0.105, 0.075, 0.048
THIGH_WIDTH, SHIN_WIDTH, SHOE = 0.14, 0.1, 0.056
EAR, EYE, NOSTRIL = 0.028, 0.017, 0.022  # radii
POCKET = 0.06  # radius of the trousers beside the shirt


class _Outfit(NamedTuple):
    """Colours of a person, BGRA; shaded by :func:`_shade`."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    gloves: Colour
    shoes: Colour


def _shade(colour: Colour, factor: float) -> Colour:
    """Darken a colour; its alpha is kept."""
    return (*(factor * c for c in colour[:3]), colour[3])


def _sample_outfit(rng: Generator, tint: float) -> _Outfit:
    """Sample colours; the shirts of tints 0, 0.2 .. 1 differ in hue."""
    hue = 0.83 * tint + rng.uniform(-0.04, 0.04)
    other = hue + rng.uniform(0.3, 0.7)
    return _Outfit(
        skin=hsv_to_bgra(0.07, rng.uniform(0.35, 0.5), rng.uniform(0.75, 1)),
        hair=hsv_to_bgra(0.08, 0.6, rng.uniform(0.1, 0.4)),
        shirt=hsv_to_bgra(hue, rng.uniform(0.75, 1), rng.uniform(0.8, 1)),
        trousers=hsv_to_bgra(other, 0.6, rng.uniform(0.45, 0.65)),
        gloves=hsv_to_bgra(0, 0, rng.uniform(0.85, 1)),
        shoes=hsv_to_bgra(0, 0, rng.uniform(0.05, 0.2)),
    )


def _draw_legs(canvas: Canvas, points: np.ndarray, outfit: _Outfit) -> None:
    """Draw shoes, shins and thighs."""
    for hip, knee, ankle, shade in zip(
        points[[*HIPS]], points[[*KNEES]], points[[*ANKLES]], SHADES
    ):
        shin, trousers = (
            _shade(c, shade) for c in (outfit.skin, outfit.trousers)
        )
        canvas.draw_capsule(knee, ankle, SHIN_WIDTH, shin)
        canvas.draw_capsule(hip, knee, THIGH_WIDTH, trousers)
        step = 0.2 * (ankle - knee)
        canvas.draw_capsule(ankle + step, ankle, 2 * SHOE, outfit.shoes)


def _draw_torso(canvas: Canvas, points: np.ndarray, outfit: _Outfit) -> None:
    """Draw neck and shirt, its left half in the shade, and pockets."""
    neck, chin = points[[*SHOULDERS]].mean(0), points[[*EARS]].mean(0)
    canvas.draw_capsule(neck, chin, NECK_WIDTH, outfit.skin)
    corners = points[[*SHOULDERS, *HIPS[::-1]]]
    canvas.draw_polygon(corners, TORSO_RIM, outfit.shirt)
    left = points[[SHOULDERS[0], HIPS[0]]]
    middle = (left + points[[SHOULDERS[1], HIPS[1]]]) / 2
    dark = _shade(outfit.shirt, SHADES[0])
    canvas.draw_polygon(np.r_[left, middle[::-1]], TORSO_RIM / 2, dark)
    for hip, shade in zip(points[[*HIPS]], SHADES):
        canvas.draw_disc(hip, POCKET, _shade(outfit.trousers, shade))


def _draw_arms(canvas: Canvas, points: np.ndarray, outfit: _Outfit) -> None:
    """Draw forearms, sleeves and gloves."""
    for shoulder, elbow, wrist, shade in zip(
        points[[*SHOULDERS]], points[[*ELBOWS]], points[[*WRISTS]], SHADES
    ):
        skin, shirt, gloves = (
            _shade(c, shade)
            for c in (outfit.skin, outfit.shirt, outfit.gloves)
        )
        canvas.draw_capsule(elbow, wrist, FOREARM_WIDTH, skin)
        canvas.draw_capsule(shoulder, elbow, UPPER_ARM_WIDTH, shirt)
        hand = wrist + 0.3 * (wrist - elbow)
        canvas.draw_capsule(wrist, hand, 2 * GLOVE, gloves)


def _draw_head(canvas: Canvas, points: np.ndarray, outfit: _Outfit) -> None:
    """Draw ears, face, hair, eyes and nose."""
    left_ear, right_ear = points[list(EARS)]
    centre, (x, y) = (left_ear + right_ear) / 2, left_ear - right_ear
    degrees = math.degrees(math.atan2(y, x))
    canvas.draw_ellipse(centre, HEAD_AXES, (degrees, 0), outfit.skin)
    # Hair extends from ear to ear over the top, clockwise from 190 degrees.
    canvas.draw_ellipse(centre, HEAD_AXES, (degrees, 190), outfit.hair)
    for ear, shade in zip((left_ear, right_ear), SHADES):
        canvas.draw_disc(ear, EAR, _shade(outfit.skin, 0.8 * shade))
    for eye, tone in zip(points[list(EYES)], (0.0, 0.25)):
        canvas.draw_disc(eye, 1.5 * EYE, hsv_to_bgra(0, 0, 1))
        canvas.draw_disc(eye, EYE, hsv_to_bgra(0.6, 1, tone))
    canvas.draw_disc(points[NOSE], NOSTRIL, _shade(outfit.skin, 0.6))


def draw_clothed_person(rng: Generator, height: float, tint: float) -> Person:
    """Draw a person in clothes in a random pose on a layer of its size.

    Args:
        rng (Generator): Random number generator.
        height (float): Standing height in px.
        tint (float): Hue of the shirt, 0 to 1.

    Returns:
        Person: Keypoints (17, 2) and layer of the person.
    """
    points = sample_pose(rng, height)
    canvas = Canvas(points, height)
    outfit = _sample_outfit(rng, tint)
    for draw in (_draw_legs, _draw_torso, _draw_head, _draw_arms):
        draw(canvas, points, outfit)
    return canvas.render(points)
