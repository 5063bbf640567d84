# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Resizing and normalization of images, and mapping of points back.

Sizes are ``(w, h)``, points ``(x, y)`` in pixels, the first pixel is at
(0, 0). Images are uint8 (h, w, 3). Equal to ``BottomupPyramidResize`` at scale
1 with OpenCV 4, whose bilinear interpolation at multiples of 1/32 pixel is
integer arithmetic and is reproduced exactly.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple, Type

import numpy as np

__all__ = [
    'Resized',
    'fitted_geometry',
    'normalize',
    'resize_image',
    'resized_geometry',
]

Size = Tuple[int, int]
Taps = Tuple[np.ndarray, np.ndarray]


class Resized(NamedTuple):
    """Geometry of a resized image.

    Attributes:
        size: Size ``(w, h)`` of the result in pixels.
        center: Point of the image at the centre of the result.
        extent: Size ``(w, h)`` of the covered region in image pixels.
    """

    size: Size
    center: Tuple[float, float]
    extent: Tuple[float, float]

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Map points of the result to the image.

        Args:
            points (np.ndarray): Points in pixels of the result, (..., 2).

        Returns:
            np.ndarray: Points in image pixels, float64, shape (..., 2).
        """
        extent = np.array(self.extent)
        return (
            points / np.array(self.size) * extent
            + np.array(self.center)
            - 0.5 * extent
        )


def resized_geometry(
    image_size: Size, side: int, factor: int, unbiased: bool
) -> Resized:
    """Compute the geometry of resizing the short side of an image.

    Both sides are rounded up to multiples of ``factor``.

    Args:
        image_size (tuple): Size ``(w, h)`` of the image in pixels.
        side (int): Short side of the result in pixels.
        factor (int): Number that divides both sides of the result.
        unbiased (bool): Whether the centres of image and result coincide
            exactly; in the official convention the centre is rounded to a
            whole pixel.

    Returns:
        Resized: Geometry.
    """
    w, h = image_size
    short_side = _round_up(side, factor)
    long_side = _round_up(short_side / min(w, h) * max(w, h), factor)
    covered = long_side / short_side * min(w, h)
    size, extent = (long_side, short_side), (covered, float(h))
    if w < h:
        size, extent = (short_side, long_side), (float(w), covered)
    return Resized(size, _locate_center(w, h, size, extent, unbiased), extent)


def fitted_geometry(image_size: Size, size: Size, unbiased: bool) -> Resized:
    """Compute the geometry of resizing an image into a fixed size.

    The complete image is visible and keeps its aspect ratio.

    Args:
        image_size (tuple): Size ``(w, h)`` of the image in pixels.
        size (tuple): Size ``(w, h)`` of the result in pixels.
        unbiased (bool): Whether the centres of image and result coincide
            exactly, see :func:`resized_geometry`.

    Returns:
        Resized: Geometry.
    """
    w, h = image_size
    step = max(w / size[0], h / size[1])
    extent = (step * size[0], step * size[1])
    return Resized(size, _locate_center(w, h, size, extent, unbiased), extent)


def _locate_center(
    w: int, h: int, size: Size, extent: Tuple[float, float], unbiased: bool
) -> Tuple[float, float]:
    """Locate the point of the image at the centre of the result."""
    if not unbiased:
        return int(w / 2 + 0.5), int(h / 2 + 0.5)
    half = (extent[0] / size[0] - 1) / 2
    return w / 2 + half, h / 2 + half


def _round_up(length: float, factor: int) -> int:
    """Round up to a multiple of ``factor``."""
    return int((length + factor - 1) // factor * factor)


def resize_image(
    image: np.ndarray, resized: Resized, unbiased: bool
) -> np.ndarray:
    """Resize an image, with zeros outside of it.

    Args:
        image (np.ndarray): uint8, shape (h, w, 3).
        resized (Resized): Geometry.
        unbiased (bool): Whether positions are rounded as by ``cv2.remap``
            instead of ``cv2.warpAffine``.

    Returns:
        np.ndarray: uint8, shape (H, W, 3) of ``resized.size``.
    """
    locate = _locate_exact if unbiased else _locate_official
    taps_x, taps_y = (
        _make_taps(positions, length)
        for positions, length in zip(locate(resized), image.shape[1::-1])
    )
    # At most 255 * 32 after the first step, 255 * 32 * 32 after the second.
    rows = _interpolate(image, taps_y, 0, np.uint16)
    both = _interpolate(rows, taps_x, 1, np.int32)
    return ((both + 512) >> 10).astype(np.uint8)


def _locate_official(resized: Resized) -> Sequence[np.ndarray]:
    """Locate source columns and rows as ``cv2.warpAffine``.

    The matrix is computed from float32 points, inverted and rounded to 1/1024
    pixels, for columns the slope and the offset separately.

    Returns:
        Sequence[np.ndarray]: Positions in 1/32 pixels, int64, (w,) and (h,).
    """
    (w, h), (cx, cy), (extent, _) = resized
    slope_x, slope_y = (
        (float(np.float32(c)) - float(np.float32(c - extent / 2))) / (w / 2)
        for c in (cx, cy)
    )
    x = np.rint(slope_x * np.arange(w) * 1024)
    x += np.rint((cx - slope_x * w / 2) * 1024)
    y = np.rint((slope_y * np.arange(h) + (cy - slope_y * h / 2)) * 1024)
    return [(position.astype(np.int64) + 16) >> 5 for position in (x, y)]


def _locate_exact(resized: Resized) -> Sequence[np.ndarray]:
    """Locate source columns and rows as ``cv2.remap``.

    Positions are rounded half to even, which is symmetric under a flip.

    Returns:
        Sequence[np.ndarray]: Positions in 1/32 pixels, int64, (w,) and (h,).
    """
    positions = []
    for n, extent, center in zip(*resized[::2], resized.center):
        position = (np.arange(n) - n / 2) * (extent / n) + center
        positions.append(np.rint(position.astype(np.float32) * np.float32(32)))
    return [position.astype(np.int64) for position in positions]


def _make_taps(positions: np.ndarray, length: int) -> Taps:
    """Compute the two pixels around each position and their weights.

    Args:
        positions (np.ndarray): Positions in 1/32 pixels, int64, shape (n,).
        length (int): Number of pixels along the axis.

    Returns:
        tuple[np.ndarray, np.ndarray]: Indices and weights in 1/32, both
        (2, n); the weight is 0 outside of the image.
    """
    before, fraction = positions >> 5, positions & 31
    index = np.stack([before, before + 1])
    inside = (index >= 0) & (index < length)
    weights = np.where(inside, np.stack([32 - fraction, fraction]), 0)
    return np.clip(index, 0, length - 1), weights


def _interpolate(
    array: np.ndarray, taps: Taps, axis: int, dtype: Type[np.integer]
) -> np.ndarray:
    """Compute weighted sums of two slices along an axis, in a type."""
    shape = [1, 1, 1]
    shape[axis] = -1
    first, second = (
        array.take(index, axis) * weight.astype(dtype).reshape(shape)
        for index, weight in zip(*taps)
    )
    first += second
    return first


def normalize(
    image: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Normalize an image and move its channels to the front.

    Args:
        image (np.ndarray): uint8, shape (h, w, 3).
        mean (Sequence[float]): Mean per channel, in the order of the image.
        std (Sequence[float]): Standard deviation per channel, in the order of
            the image.

    Returns:
        np.ndarray: float32, shape (3, h, w).
    """
    planes = image.transpose(2, 0, 1).astype(np.float32, order='C')
    planes -= np.asarray(mean, np.float32)[:, None, None]
    planes /= np.asarray(std, np.float32)[:, None, None]
    return planes
