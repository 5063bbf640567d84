# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Canvas on which people and beetles are drawn with antialiasing.

Shapes are drawn enlarged and shrunk by area averaging, which also antialiases
people of 32 px, whose limbs are two pixels wide. Coordinates are in px, y
down; integers are the *centres* of pixels, as in OpenCV's warps.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from typing import Tuple

import cv2
import numpy as np

MIN_RADIUS = 1.2  # px; smaller markers vanish when shrunk
DRAWN_HEIGHT = 256  # px; minimum height of a figure before shrinking
MARGIN = 0.16  # body heights around the keypoints: head top, shoes, limbs

Colour = Tuple[float, ...]  # BGR and alpha, 0 to 255
Size = Tuple[int, int]  # (width, height) in px
Pair = Tuple[float, float]


@dataclass(frozen=True)
class Person:
    """A person or beetle drawn on an otherwise transparent layer.

    Args:
        keypoints (np.ndarray): Keypoints in px, shape (K, 2).
        layer (np.ndarray): uint8, shape (h, w, 4): premultiplied BGR and
            alpha.
        visibility (np.ndarray): COCO's flags 0, 1 or 2, int, shape (K,).
            Defaults to an empty array: not yet known.
    """

    keypoints: np.ndarray
    layer: np.ndarray
    visibility: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @property
    def silhouette(self) -> np.ndarray:
        """Mask of the whole person, occluded parts included, bool (h, w)."""
        return self.layer[..., 3] > 127

    def moved(self, centre: np.ndarray, size: Size) -> Person:
        """Copy the person to another layer and position.

        Args:
            centre (np.ndarray): Centre of the keypoints' extent, to within
                half a pixel, shape (2,).
            size (tuple[int, int]): Size of the layer, ``(width, height)``.

        Returns:
            Person: The copy, without visibility.
        """
        points = self.keypoints
        # Whole pixels, so that nothing is resampled.
        shift = np.rint(centre - (points.min(0) + points.max(0)) / 2)
        layer = cv2.warpAffine(
            self.layer, np.c_[np.eye(2), shift], size, flags=cv2.INTER_NEAREST
        )
        return Person(points + shift, layer)


class Canvas:
    """Enlarged transparent image around a person.

    Points are in px, lengths in body heights.

    Args:
        points (np.ndarray): Keypoints in px, shape (K, 2).
        height (float): Body height in px.
    """

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

    def _scale_point(self, xy: np.ndarray) -> Tuple[int, int]:
        # The half pixels keep pixel centres on pixel centres.
        x, y = (xy - self.origin + 0.5) * self.factor - 0.5
        return int(round(x)), int(round(y))

    def _scale_length(self, units: float) -> int:
        return max(1, int(round(units * self.unit * self.factor)))

    def draw_capsule(
        self, start: np.ndarray, end: np.ndarray, width: float, colour: Colour
    ) -> None:
        """Draw a thick line with round ends."""
        cv2.line(
            self.pixels,
            self._scale_point(start),
            self._scale_point(end),
            colour,
            self._scale_length(width),
        )

    def draw_disc(
        self, centre: np.ndarray, radius: float, colour: Colour
    ) -> None:
        """Draw a disc with a radius of at least ``MIN_RADIUS`` px."""
        radius = max(radius, MIN_RADIUS / self.unit)
        cv2.circle(
            self.pixels,
            self._scale_point(centre),
            self._scale_length(radius),
            colour,
            -1,
        )

    def draw_ellipse(
        self, centre: np.ndarray, axes: Pair, degrees: Pair, colour: Colour
    ) -> None:
        """Draw a filled ellipse or part of it.

        Args:
            centre (np.ndarray): Centre in px, shape (2,).
            axes (tuple[float, float]): Half axes in body heights.
            degrees (tuple[float, float]): Rotation, and start of the arc,
                which ends at 360.
            colour (tuple): BGR and alpha, 0 to 255.
        """
        cv2.ellipse(
            self.pixels,
            self._scale_point(centre),
            (self._scale_length(axes[0]), self._scale_length(axes[1])),
            degrees[0],
            degrees[1],
            360,
            colour,
            -1,
        )

    def draw_polygon(
        self, corners: np.ndarray, rim: float, colour: Colour
    ) -> None:
        """Draw a filled polygon with a round rim."""
        polygon = np.array([self._scale_point(p) for p in corners])
        cv2.fillPoly(self.pixels, [polygon], colour)
        cv2.polylines(
            self.pixels, [polygon], True, colour, self._scale_length(rim)
        )

    def render(self, points: np.ndarray) -> Person:
        """Shrink the canvas to a layer of the final size.

        Args:
            points (np.ndarray): Keypoints in px, shape (K, 2).

        Returns:
            Person: Layer, and keypoints relative to it.
        """
        layer = cv2.resize(
            self.pixels, self.size, interpolation=cv2.INTER_AREA
        )
        return Person(points - self.origin, layer)


def hsv_to_bgra(hue: float, saturation: float, value: float) -> Colour:
    """Convert HSV, each in [0, 1], to opaque BGRA, each in [0, 255]."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return 255 * blue, 255 * green, 255 * red, 255.0
