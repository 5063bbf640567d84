# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The geometry of bottom-up training and testing, as pure functions.

Sizes are ``(w, h)``, points ``(x, y)`` in pixels, the first pixel at (0, 0);
matrices map the original image to the network's input.  The conventions are
those of the official code, kept so that published weights and numbers hold.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import cv2
import numpy as np

__all__ = [
    'Resized',
    'apply_affine',
    'resize_image',
    'resize_matrix',
    'resized_geometry',
    'scaled_matrix',
    'square_affine_matrix',
    'zoom_of',
]

Size = Tuple[int, int]


def square_affine_matrix(
    center: Sequence[float], side: float, rotation: float, output_side: int
) -> np.ndarray:
    """Map a square of the image onto the square input, then rotate.

    Args:
        center (Sequence[float]): Centre of the square in the image.
        side (float): Its side in pixels of the image.
        rotation (float): Degrees about the centre of the output.
        output_side (int): Side of the output in pixels.

    Returns:
        np.ndarray: float64, shape (2, 3).
    """
    zoom = output_side / side
    half = output_side / 2
    angle = -np.deg2rad(rotation)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    linear = turn * zoom
    shift = np.array([half, half]) - linear @ np.asarray(center, float)
    return np.concatenate([linear, shift[:, None]], axis=1)


def scaled_matrix(
    matrix: np.ndarray, size: Size, to_size: Size, unbiased: bool = False
) -> np.ndarray:
    """The same map onto a smaller output.

    Args:
        matrix (np.ndarray): Onto the output, shape (2, 3).
        size (tuple): Of the output.
        to_size (tuple): Of the smaller one.
        unbiased (bool): Whether cells have the pixels that they cover in
            their middle, ``x' = (x + 1/2) * w' / w - 1/2``, or officially
            ``x' = x * w' / w``.

    Returns:
        np.ndarray: Shape (2, 3).
    """
    factors = np.array([to_size[0] / size[0], to_size[1] / size[1]])
    scaled = matrix * factors[:, None]
    if unbiased:
        scaled[:, 2] += (factors - 1) / 2
    return scaled


def zoom_of(matrix: np.ndarray) -> float:
    """By how much a matrix (2, 3) enlarges lengths."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def apply_affine(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Transform points of shape (..., 2) by a matrix (2, 3), in float64.

    Points that are not finite stay so.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        return np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2]


class Resized(NamedTuple):
    """How a test image is resized.

    ``size`` is that of the result; ``center`` in the image comes to its
    middle; ``extent`` are the pixels of the image that its width and height
    cover.
    """

    size: Size
    center: Tuple[float, float]
    extent: Tuple[float, float]


def resized_geometry(
    image_size: Size,
    input_size: int,
    scale: float = 1.0,
    min_scale: float = 1.0,
    unbiased: bool = False,
) -> Resized:
    """Short side to ``input_size * scale``, long side to a multiple of 64.

    Sizes are rounded at the smallest scale of the pyramid and multiplied from
    there, so that the maps of all scales lie over each other.  A fraction of
    a pixel above a multiple of 64 is dropped, as officially.

    Args:
        image_size (tuple): Size of the image, ``(w, h)``.
        input_size (int): Short side at scale 1.
        scale (float): This level of the pyramid.
        min_scale (float): The smallest level of the pyramid.
        unbiased (bool): Whether the middles of image and output are to lie on
            each other exactly, so that a mirrored image is a mirrored output;
            the official centre is a whole pixel.

    Returns:
        Resized: See there.
    """
    w, h = image_size
    short, long = min(w, h), max(w, h)
    short_unit = _to_multiple(min_scale * input_size)
    short_side = int(short_unit * scale / min_scale)
    long_unit = _to_multiple(short_unit / short * long)
    long_side = int(long_unit * scale / min_scale)
    covered = long_side / short_side * short
    size, extent = (long_side, short_side), (covered, float(h))
    if w < h:
        size, extent = (short_side, long_side), (float(w), covered)
    center: Tuple[float, float] = (int(w / 2 + 0.5), int(h / 2 + 0.5))
    if unbiased:
        # The centre of a pixel is half a pixel off its edge, on both sides.
        half = (extent[0] / size[0] - 1) / 2
        center = (w / 2 + half, h / 2 + half)
    return Resized(size, center, extent)


def _to_multiple(length: float) -> int:
    return int((length + 63) // 64 * 64)


def resize_matrix(resized: Resized) -> np.ndarray:
    """The matrix of a :class:`Resized`, float64 of shape (2, 3).

    Made of float32 points, as officially, so that images are equal to the
    last bit.
    """
    (w, h), (cx, cy), (extent, _) = resized
    src = np.array(
        [[cx, cy], [cx, cy - extent / 2], [cx - extent / 2, cy - extent / 2]],
        np.float32,
    )
    dst = np.array(
        [
            [w / 2, h / 2],
            [w / 2, h / 2 - w / 2],
            [w / 2 - w / 2, h / 2 - w / 2],
        ],
        np.float32,
    )
    return cv2.getAffineTransform(src, dst)


def resize_image(
    image: np.ndarray, resized: Resized, unbiased: bool = False
) -> np.ndarray:
    """Resize an image, black where it does not reach.

    Args:
        image (np.ndarray): uint8 (h, w, 3).
        resized (Resized): Where to.
        unbiased (bool): Whether a mirrored image is to become the mirrored
            result, to the last bit.  Positions are rounded to 1/32 pixel, in
            doubt to the even one, which is the same from both sides: so does
            ``remap`` of OpenCV 4, not that of 5 (nor ``warpAffine``).

    Returns:
        np.ndarray: uint8, of ``resized.size``.
    """
    if not unbiased:
        return cv2.warpAffine(image, resize_matrix(resized), resized.size)
    x, y = (
        ((np.arange(n) - n / 2) * (extent / n) + center).astype(np.float32)
        for n, extent, center in zip(*resized[::2], resized.center)
    )
    grid_x, grid_y = np.meshgrid(np.round(x * 32) / 32, np.round(y * 32) / 32)
    return cv2.remap(image, grid_x, grid_y, cv2.INTER_LINEAR)
