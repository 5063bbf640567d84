# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What figures are drawn on.

A figure is drawn larger than wanted and shrunk by area averaging, which
antialiases also people of 32 px whose limbs are two pixels wide. Coordinates
are in px, y downwards, and whole numbers are the *centres* of pixels, as in
OpenCV's warps.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from typing import Tuple

import cv2
import numpy as np

MIN_RADIUS = 1.2  # of a marker in px: smaller ones vanish when shrunk
DRAWN_HEIGHT = 256  # px at which a figure is drawn at least, before shrinking
MARGIN = 0.16  # body heights around the keypoints: head top, shoes, limbs

Colour = Tuple[float, ...]  # BGR and alpha, 0..255
Size = Tuple[int, int]  # width and height in px
Pair = Tuple[float, float]


@dataclass(frozen=True)
class Person:
    """A person or beetle drawn on an otherwise transparent (h, w) layer."""

    keypoints: np.ndarray  # (K, 2) px
    layer: np.ndarray  # (h, w, 4) uint8, BGR times alpha, then alpha
    visibility: np.ndarray = (
        field(  # (K,) int, COCO's 0, 1 or 2; empty: not known
            default_factory=lambda: np.zeros(0, int)
        )
    )

    @property
    def silhouette(self) -> np.ndarray:
        """(h, w) bool, the whole person, also where others hide it."""
        return self.layer[..., 3] > 127

    def moved(self, centre: np.ndarray, size: Size) -> Person:
        """The same on a (width, height) layer, around about the centre."""
        points = self.keypoints
        # By whole pixels, so that nothing is resampled.
        shift = np.rint(centre - (points.min(0) + points.max(0)) / 2)
        layer = cv2.warpAffine(
            self.layer, np.c_[np.eye(2), shift], size, flags=cv2.INTER_NEAREST
        )
        return Person(points + shift, layer)


class Canvas:
    """An enlarged transparent patch; sizes are given in body heights."""

    def __init__(self, points: np.ndarray, height: float) -> None:
        self.unit = height
        self.factor = max(2, math.ceil(DRAWN_HEIGHT / height))
        self.origin = np.floor(points.min(0) - MARGIN * height)
        extent = np.ceil(points.max(0) + MARGIN * height) - self.origin
        self.size = int(extent[0]), int(extent[1])
        self.pixels = np.zeros(
            (self.size[1] * self.factor, self.size[0] * self.factor, 4),
            np.uint8,
        )

    def _point(self, xy: np.ndarray) -> Tuple[int, int]:
        # The half pixels keep pixel centres on pixel centres.
        x, y = (xy - self.origin + 0.5) * self.factor - 0.5
        return int(round(x)), int(round(y))

    def _length(self, units: float) -> int:
        return max(1, int(round(units * self.unit * self.factor)))

    def capsule(
        self, start: np.ndarray, end: np.ndarray, width: float, colour: Colour
    ) -> None:
        """Draws a thick line with round ends."""
        cv2.line(
            self.pixels,
            self._point(start),
            self._point(end),
            colour,
            self._length(width),
        )

    def disc(self, centre: np.ndarray, radius: float, colour: Colour) -> None:
        """Draws a disc of MIN_RADIUS px at least."""
        radius = max(radius, MIN_RADIUS / self.unit)
        cv2.circle(
            self.pixels, self._point(centre), self._length(radius), colour, -1
        )

    def ellipse(
        self, centre: np.ndarray, axes: Pair, degrees: Pair, colour: Colour
    ) -> None:
        """Draws a filled ellipse, turned by degrees, from others on."""
        cv2.ellipse(
            self.pixels,
            self._point(centre),
            (self._length(axes[0]), self._length(axes[1])),
            degrees[0],
            degrees[1],
            360,
            colour,
            -1,
        )

    def polygon(self, corners: np.ndarray, rim: float, colour: Colour) -> None:
        """Draws a filled polygon with a round rim."""
        outline = np.array([self._point(p) for p in corners])
        cv2.fillPoly(self.pixels, [outline], colour)
        cv2.polylines(self.pixels, [outline], True, colour, self._length(rim))

    def person(self, points: np.ndarray) -> Person:
        """What was drawn, shrunk, with its keypoints (K, 2) in px."""
        layer = cv2.resize(
            self.pixels, self.size, interpolation=cv2.INTER_AREA
        )
        return Person(points - self.origin, layer)


def colour_of(hue: float, saturation: float, value: float) -> Colour:
    """Turns HSV, each in 0..1, into an opaque colour."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return 255 * blue, 255 * green, 255 * red, 255.0
