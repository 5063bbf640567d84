# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Places people, and draws what is around, behind and before them.

Sizes are (width, height) in px; layers are (h, w, 4), BGR times alpha, then
alpha.
"""

from __future__ import annotations

from dataclasses import replace
from typing import List

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Colour, Person, Size, colour_of
from .people import draw_person

CUT_ODDS = 0.2  # of a person who may reach past the border
CROWD_HEIGHT = (0.045, 0.075)  # of a crowd's members, in picture heights
CROWD_SPOTS = 8  # tried for the crowd that is covered least


def move_somewhere(rng: Generator, person: Person, size: Size) -> Person:
    """Moves someone to a random place, mostly wholly inside the picture."""
    half = np.ptp(person.keypoints, axis=0) / 2
    half *= 0.2 if rng.random() < CUT_ODDS else 1.1
    half = np.minimum(half, np.array(size) / 2)
    return person.moved(rng.uniform(half, size - half), size)


def label_visibility(people: List[Person], bars: np.ndarray) -> List[Person]:
    """Labels keypoints 0 outside, 1 hidden by a later layer, 2 seen.

    ``people`` come in the order of drawing, ``bars`` is a (h, w) bool mask.
    """
    cover, labelled = bars.copy(), []
    last = np.array(bars.shape[::-1]) - 1
    for person in reversed(people):
        points = person.keypoints
        inside = ((points >= 0) & (points <= last)).all(1)
        column, row = np.rint(np.clip(points, 0, last)).astype(int).T
        visibility = np.where(inside, 2 - cover[row, column], 0)
        labelled.append(replace(person, visibility=visibility))
        cover |= person.silhouette
    return labelled[::-1]


def _muted(rng: Generator) -> Colour:
    """Picks a greyish colour: bright hues mark the joints."""
    return colour_of(
        rng.random(), rng.uniform(0, 0.25), rng.uniform(0.2, 0.85)
    )


def _draw_clutter(rng: Generator, image: np.ndarray) -> None:
    """Draws one random shape: rectangle, ellipse, stick or triangle."""
    size = np.array(image.shape[1::-1])
    extent = rng.uniform(0.02, 0.2) * size.max()
    corners = rng.random(2) * size + rng.uniform(-1, 1, (3, 2)) * extent
    first, second, third = corners.astype(int).tolist()
    colour, kind = _muted(rng)[:3], rng.integers(4)
    if kind == 0:
        cv2.rectangle(image, first, second, colour, -1)
    elif kind == 1:
        box = (third, (extent, extent / 2), rng.uniform(0, 180))
        cv2.ellipse(image, box, colour, -1, cv2.LINE_AA)
    elif kind == 2:
        thickness = int(rng.integers(2, 12))  # px
        cv2.line(image, first, second, colour, thickness, cv2.LINE_AA)
    else:
        cv2.fillPoly(image, [corners.astype(int)], colour, cv2.LINE_AA)


def draw_background(rng: Generator, size: Size) -> np.ndarray:
    """Draws the (h, w, 3) uint8 BGR scenery of a (width, height) picture."""
    # 3 x 4 greyish colours blown up to the picture give soft gradients; the
    # 20 is how far their channels may differ.
    coarse = rng.uniform(70, 190, (3, 4, 1)) + rng.uniform(-20, 20, (3, 4, 3))
    image = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    grain = int(rng.integers(3, 12))  # px
    texture = rng.normal(
        0, rng.uniform(2, 14), (size[1] // grain + 1, size[0] // grain + 1)
    )
    image = image + cv2.resize(texture, size)[..., None]
    image = np.clip(image, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(5, 18)):
        _draw_clutter(rng, image)
    return image


def draw_bars(rng: Generator, size: Size) -> np.ndarray:
    """Draws the (h, w, 4) uint8 layer of bars in front of everything."""
    layer = np.zeros((size[1], size[0], 4), np.uint8)
    # Half of the pictures have none, the others one to three.
    for _ in range(rng.integers(1, 4) if rng.random() < 0.5 else 0):
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * size
        start, end = ends.astype(int).tolist()
        thickness = int(rng.uniform(0.01, 0.04) * size[0]) + 1
        cv2.line(layer, start, end, _muted(rng), thickness)
    return layer


def paste(image: np.ndarray, layer: np.ndarray) -> None:
    """Lays a (h, w, 4) uint8 layer over a (h, w, 3) uint8 BGR image."""
    x, y, w, h = cv2.boundingRect(layer[..., 3])
    image, layer = (a[y : y + h, x : x + w] for a in (image, layer))
    clear = 1 - layer[..., 3:].astype(np.float32) / 255
    image[:] = np.clip(image * clear + layer[..., :3] + 0.5, 0, 255)


def draw_crowd(
    rng: Generator, image: np.ndarray, people: List[Person]
) -> np.ndarray:
    """Draws tiny overlapping people into a (h, w, 3) uint8 image.

    Returns the (h, w) bool region of the crowd that ``people``, who are to
    be drawn later, leave to be seen.
    """
    height, width = image.shape[:2]
    cover = np.zeros((height, width), bool)
    for person in people:
        cover |= person.silhouette
    unit = CROWD_HEIGHT[1] * height
    # Of some spots, the one with the least to be painted over around it.
    share = cv2.blur(cover.astype(np.float32), (int(4 * unit), int(2 * unit)))
    spots = rng.uniform(0.15, 0.85, (CROWD_SPOTS, 2)) * (width, height)
    spot = min(spots, key=lambda s: share[int(s[1]), int(s[0])])
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(9, 17)):
        member = draw_person(
            rng, rng.uniform(*CROWD_HEIGHT) * height, rng.random()
        )
        member = member.moved(
            spot + rng.uniform(-1, 1, 2) * (1.6 * unit, 0.4 * unit),
            (width, height),
        )
        paste(image, member.layer)
        mask |= member.silhouette
    # Fills the gaps between arms and legs, and takes in the soft outlines.
    whole = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return (cv2.dilate(whole, np.ones((3, 3), np.uint8)) > 0) & ~cover


def add_noise(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Adds the grain of a camera to a (h, w, 3) uint8 picture."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noisy = image + np.float32(rng.uniform(1, 6)) * noise  # grey levels
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
