# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From an image to the network's input, and back with points.

Sizes are ``(w, h)``, points ``(x, y)`` in pixels, the first pixel at (0, 0).
Images are uint8 (h, w, 3).  What ``BottomupPyramidResize`` does at scale 1,
without OpenCV, whose bilinear resizing in steps of 1/32 pixel is integer
arithmetic and can be had exactly.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import numpy as np

__all__ = ['Resized', 'normalized', 'resize_image', 'resized_geometry']

Size = Tuple[int, int]
Taps = Tuple[np.ndarray, np.ndarray]


class Resized(NamedTuple):
    """How an image is resized.

    ``size`` is that of the result; ``center`` in the image comes to its
    middle; ``extent`` are the pixels of the image that its width and height
    cover.
    """

    size: Size
    center: Tuple[float, float]
    extent: Tuple[float, float]

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points of the input (..., 2) as pixels of the image, float64."""
        extent = np.array(self.extent)
        return (
            points / np.array(self.size) * extent
            + np.array(self.center)
            - 0.5 * extent
        )


def resized_geometry(
    image_size: Size, side: int, factor: int = 64, unbiased: bool = False
) -> Resized:
    """Short side to ``side``, long side up to a multiple of ``factor``.

    Args:
        image_size (tuple): Size of the image, ``(w, h)``.
        side (int): Short side of the result.
        factor (int): Both sides become multiples of it.
        unbiased (bool): Whether the middles of image and result lie on each
            other exactly; the official centre is a whole pixel.

    Returns:
        Resized: See there.
    """
    w, h = image_size
    short_side = _to_multiple(side, factor)
    long_side = _to_multiple(short_side / min(w, h) * max(w, h), factor)
    covered = long_side / short_side * min(w, h)
    size, extent = (long_side, short_side), (covered, float(h))
    if w < h:
        size, extent = (short_side, long_side), (float(w), covered)
    center: Tuple[float, float] = (int(w / 2 + 0.5), int(h / 2 + 0.5))
    if unbiased:
        half = (extent[0] / size[0] - 1) / 2
        center = (w / 2 + half, h / 2 + half)
    return Resized(size, center, extent)


def _to_multiple(length: float, factor: int) -> int:
    return int((length + factor - 1) // factor * factor)


def resize_image(
    image: np.ndarray, resized: Resized, unbiased: bool = False
) -> np.ndarray:
    """Resize an image, black where it does not reach.

    Args:
        image (np.ndarray): uint8 (h, w, 3).
        resized (Resized): Where to.
        unbiased (bool): Positions rounded as by ``cv2.remap``, or as by
            ``cv2.warpAffine``.

    Returns:
        np.ndarray: uint8, of ``resized.size``.
    """
    steps = _exact_steps if unbiased else _official_steps
    taps_x, taps_y = (
        _taps(position, length)
        for position, length in zip(steps(resized), image.shape[1::-1])
    )
    # At most 255 * 32, and then * 32.
    rows = _between(image.astype(np.uint16), taps_y, axis=0)
    both = _between(rows.astype(np.int32), taps_x, axis=1)
    return ((both + 512) >> 10).astype(np.uint8)


def _official_steps(resized: Resized) -> Sequence[np.ndarray]:
    """Where columns and rows come from, in 1/32 pixels, int64 (w,) and (h,).

    The matrix is made of float32 points, inverted and taken in 1/1024 pixels,
    the columns' slope and offset each for itself.
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


def _exact_steps(resized: Resized) -> Sequence[np.ndarray]:
    """The same, rounded to the even step, which is so from both sides."""
    steps = []
    for n, extent, center in zip(*resized[::2], resized.center):
        position = (np.arange(n) - n / 2) * (extent / n) + center
        steps.append(np.rint(position.astype(np.float32) * np.float32(32)))
    return [position.astype(np.int64) for position in steps]


def _taps(steps: np.ndarray, length: int) -> Taps:
    """The two pixels around each position, and their weights of 32.

    Returns:
        tuple[np.ndarray, np.ndarray]: Indices and weights, both (2, n); the
        weight is 0 outside the image.
    """
    before, share = steps >> 5, steps & 31
    index = np.stack([before, before + 1])
    inside = (index >= 0) & (index < length)
    weights = np.where(inside, np.stack([32 - share, share]), 0)
    return np.clip(index, 0, length - 1), weights


def _between(array: np.ndarray, taps: Taps, axis: int) -> np.ndarray:
    """Weighted sums of two slices along an axis, in the array's type."""
    shape = [1, 1, 1]
    shape[axis] = -1
    first, second = (
        array.take(index, axis) * weight.astype(array.dtype).reshape(shape)
        for index, weight in zip(*taps)
    )
    first += second
    return first


def normalized(
    image: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Subtract the mean, divide by the deviation, channels first.

    Args:
        image (np.ndarray): uint8 (h, w, 3).
        mean (Sequence[float]): Of each channel, in the image's order.
        std (Sequence[float]): Likewise.

    Returns:
        np.ndarray: float32 (3, h, w).
    """
    planes = image.transpose(2, 0, 1).astype(np.float32, order='C')
    planes -= np.asarray(mean, np.float32)[:, None, None]
    planes /= np.asarray(std, np.float32)[:, None, None]
    return planes
