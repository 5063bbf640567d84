# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Place people, and draw background, crowds and occluding bars.

Sizes are (width, height) in px; layers are (h, w, 4), premultiplied BGR and
alpha.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Colour, Person, Size, hsv_to_bgra
from .people import draw_person

CUT_ODDS = 0.2  # probability that a person may cross the border
CROWD_HEIGHT = (0.045, 0.075)  # people of a crowd, in image heights
CROWD_SPOTS = 8  # candidate positions; the least covered one is used


def place_randomly(rng: Generator, person: Person, size: Size) -> Person:
    """Move a person to a random position, usually inside the image.

    Args:
        rng (Generator): Random number generator.
        person (Person): Person to move.
        size (tuple[int, int]): Size of the image.

    Returns:
        Person: Copy on a layer of that size, without visibility.
    """
    half = np.ptp(person.keypoints, axis=0) / 2
    half *= 0.2 if rng.random() < CUT_ODDS else 1.1
    half = np.minimum(half, np.array(size) / 2)
    return person.moved(rng.uniform(half, size - half), size)


def label_visibility(people: List[Person], bars: np.ndarray) -> List[Person]:
    """Label keypoints 0 outside, 1 hidden by a later layer, 2 visible.

    Args:
        people (list[Person]): People in the order of drawing.
        bars (np.ndarray): Mask of what is drawn after them, bool (h, w).

    Returns:
        list[Person]: Copies with visibility.
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


def _sample_muted_colour(rng: Generator) -> Colour:
    """Sample a greyish colour: saturated ones mark the joints."""
    return hsv_to_bgra(
        rng.random(), rng.uniform(0, 0.25), rng.uniform(0.2, 0.85)
    )


def _draw_clutter(rng: Generator, image: np.ndarray) -> None:
    """Draw one random shape: rectangle, ellipse, stick or triangle."""
    size = np.array(image.shape[1::-1])
    extent = rng.uniform(0.02, 0.2) * size.max()
    corners = rng.random(2) * size + rng.uniform(-1, 1, (3, 2)) * extent
    first, second, third = corners.astype(int).tolist()
    colour, kind = _sample_muted_colour(rng)[:3], rng.integers(4)
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
    """Draw a background of gradients, texture and clutter.

    Args:
        rng (Generator): Random number generator.
        size (tuple[int, int]): Size of the image.

    Returns:
        np.ndarray: BGR image, uint8 (h, w, 3).
    """
    # 3 x 4 greyish colours, enlarged to the image, give soft gradients; their
    # channels differ by at most 20 from grey.
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
    """Draw bars that occlude people.

    Args:
        rng (Generator): Random number generator.
        size (tuple[int, int]): Size of the image.

    Returns:
        np.ndarray: Layer, uint8 (h, w, 4).
    """
    layer = np.zeros((size[1], size[0], 4), np.uint8)
    # Half of the images have none, the others one to three.
    for _ in range(rng.integers(1, 4) if rng.random() < 0.5 else 0):
        ends = rng.uniform(-0.1, 1.1, (2, 2)) * size
        start, end = ends.astype(int).tolist()
        thickness = int(rng.uniform(0.01, 0.04) * size[0]) + 1
        cv2.line(layer, start, end, _sample_muted_colour(rng), thickness)
    return layer


def paste(image: np.ndarray, layer: np.ndarray) -> None:
    """Blend a layer over an image, in place.

    Args:
        image (np.ndarray): BGR image, uint8 (h, w, 3).
        layer (np.ndarray): Layer, uint8 (h, w, 4).
    """
    x, y, w, h = cv2.boundingRect(layer[..., 3])
    image, layer = (a[y : y + h, x : x + w] for a in (image, layer))
    clear = 1 - layer[..., 3:].astype(np.float32) / 255
    image[:] = np.clip(image * clear + layer[..., :3] + 0.5, 0, 255)


def draw_crowd(
    rng: Generator,
    image: np.ndarray,
    people: List[Person],
    draw: Callable[[Generator, float, float], Person] = draw_person,
) -> np.ndarray:
    """Draw tiny overlapping people into an image, in place.

    Args:
        rng (Generator): Random number generator.
        image (np.ndarray): BGR image, uint8 (h, w, 3).
        people (list[Person]): People who will be drawn over the crowd.
        draw (Callable): Function that draws a person, see
            :func:`.people.draw_person`. Defaults to that function.

    Returns:
        np.ndarray: Region of the crowd that stays visible, bool (h, w).
    """
    height, width = image.shape[:2]
    cover = np.zeros((height, width), bool)
    for person in people:
        cover |= person.silhouette
    unit = CROWD_HEIGHT[1] * height
    # The candidate position that people will cover least.
    share = cv2.blur(cover.astype(np.float32), (int(4 * unit), int(2 * unit)))
    spots = rng.uniform(0.15, 0.85, (CROWD_SPOTS, 2)) * (width, height)
    spot = min(spots, key=lambda s: share[int(s[1]), int(s[0])])
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(9, 17)):
        member = draw(rng, rng.uniform(*CROWD_HEIGHT) * height, rng.random())
        member = member.moved(
            spot + rng.uniform(-1, 1, 2) * (1.6 * unit, 0.4 * unit),
            (width, height),
        )
        paste(image, member.layer)
        mask |= member.silhouette
    # Fill gaps between arms and legs, and include antialiased borders.
    whole = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return (cv2.dilate(whole, np.ones((3, 3), np.uint8)) > 0) & ~cover


def add_noise(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Add camera noise to an image.

    Args:
        rng (Generator): Random number generator.
        image (np.ndarray): BGR image, uint8 (h, w, 3).

    Returns:
        np.ndarray: Noisy copy, uint8 (h, w, 3).
    """
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noisy = image + np.float32(rng.uniform(1, 6)) * noise  # grey levels
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
