# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Geometry of bottom-up training and testing, as pure functions.

Sizes are ``(w, h)``, points ``(x, y)`` in pixels, the first pixel at (0, 0).
Matrices map the original image to the network's input.  By default the
coordinate convention is that of the official implementation, so that
published weights and results remain valid; ``unbiased`` selects the exact one.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import cv2
import numpy as np

__all__ = [
    'Resized',
    'apply_affine',
    'flip_matrix',
    'resize_image',
    'resize_matrix',
    'resized_geometry',
    'scale_factor',
    'scale_matrix',
    'square_affine_matrix',
]

Size = Tuple[int, int]


def square_affine_matrix(
    center: Sequence[float], side: float, rotation: float, output_side: int
) -> np.ndarray:
    """Compute the matrix that maps a rotated square onto the input.

    Args:
        center (Sequence[float]): Centre ``(x, y)`` of the square, in image
            pixels.
        side (float): Side of the square, in image pixels.
        rotation (float): Rotation about the centre of the output, in degrees.
        output_side (int): Side of the output in pixels.

    Returns:
        np.ndarray: float64, shape (2, 3).
    """
    scale = output_side / side
    half = output_side / 2
    angle = -np.deg2rad(rotation)
    rotate = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    linear = rotate * scale
    shift = np.array([half, half]) - linear @ np.asarray(center, float)
    return np.concatenate([linear, shift[:, None]], axis=1)


def scale_matrix(
    matrix: np.ndarray, size: Size, to_size: Size, unbiased: bool
) -> np.ndarray:
    """Rescale the output of an affine matrix, e.g. to a heatmap level.

    Args:
        matrix (np.ndarray): Matrix (2, 3) from the image to the output.
        size (tuple): Output size of ``matrix``.
        to_size (tuple): Output size of the result.
        unbiased (bool): Whether to align pixel centres, ``x' = (x + 1/2) *
            w' / w - 1/2``.  ``False``: ``x' = x * w' / w``, as in the
            official implementation.

    Returns:
        np.ndarray: Shape (2, 3).
    """
    factors = np.array([to_size[0] / size[0], to_size[1] / size[1]])
    scaled = matrix * factors[:, None]
    if unbiased:
        scaled[:, 2] += (factors - 1) / 2
    return scaled


def flip_matrix(size: Size, horizontal: bool, vertical: bool) -> np.ndarray:
    """Compute the matrix that flips an image of a size.

    Args:
        size (tuple): Size of the image.
        horizontal (bool): Whether to exchange left and right.
        vertical (bool): Whether to exchange top and bottom.

    Returns:
        np.ndarray: float64, shape (3, 3).
    """
    matrix = np.eye(3)
    for axis, flip in enumerate((horizontal, vertical)):
        if flip:
            matrix[axis, axis], matrix[axis, 2] = -1, size[axis] - 1
    return matrix


def scale_factor(matrix: np.ndarray) -> float:
    """Compute the factor by which a similarity (2, 3) scales lengths."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def apply_affine(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Transform points by an affine matrix, in float64.

    Args:
        points (np.ndarray): Shape (..., 2).
        matrix (np.ndarray): Shape (2, 3).

    Returns:
        np.ndarray: float64, shape (..., 2).  Points that are not finite stay
        so, without a warning.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        return np.asarray(points, float) @ matrix[:, :2].T + matrix[:, 2]


class Resized(NamedTuple):
    """Geometry of a resized test image.

    Attributes:
        size (tuple): Output size ``(w, h)`` in pixels.
        center (tuple): Point ``(x, y)`` of the image that maps to the centre
            of the output.
        extent (tuple): Width and height of the output, in image pixels.
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
    """Compute the size and placement of a resized test image.

    The short side becomes ``input_size * scale``, the long side a multiple of
    64.  Sizes are rounded at the smallest scale of the pyramid and multiplied
    from there, so that the maps of all scales are aligned.  A fraction of a
    pixel above a multiple of 64 is dropped, as in the official
    implementation.

    Args:
        image_size (tuple): Image size ``(w, h)`` in pixels.
        input_size (int): Short side at scale 1, in pixels.
        scale (float): Scale of this pyramid level.  Defaults to 1.
        min_scale (float): Smallest scale of the pyramid.  Defaults to 1.
        unbiased (bool): Whether to align the centres of image and output
            exactly, so that flipping commutes with resizing.  ``False``: the
            centre is rounded to an integer pixel, as in the official
            implementation.  Defaults to ``False``.

    Returns:
        Resized: Size, centre and extent.
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
        # Pixel centres are half a pixel from the edge, in image and output.
        half = (extent[0] / size[0] - 1) / 2
        center = (w / 2 + half, h / 2 + half)
    return Resized(size, center, extent)


def _to_multiple(length: float) -> int:
    """Round up to a multiple of 64; less than a pixel above it is dropped."""
    return int((length + 63) // 64 * 64)


def resize_matrix(resized: Resized) -> np.ndarray:
    """Compute the matrix from the image to a resized output.

    It is estimated from three float32 points, as in the official
    implementation, so that resized images are equal bit for bit.

    Args:
        resized (Resized): Geometry of the output.

    Returns:
        np.ndarray: float64, shape (2, 3).
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
    image: np.ndarray, resized: Resized, unbiased: bool
) -> np.ndarray:
    """Resize an image; pixels outside of it are black.

    Args:
        image (np.ndarray): uint8, shape (h, w, 3).
        resized (Resized): Geometry of the output.
        unbiased (bool): Whether a horizontally flipped image must give the
            flipped result, bit for bit.  Sampling positions are then rounded
            to 1/32 pixel, half to even, which is symmetric.  ``cv2.remap`` of
            OpenCV 4 rounds in this way; OpenCV 5 and ``cv2.warpAffine`` do
            not.

    Returns:
        np.ndarray: uint8, shape (h', w', 3) with ``(w', h') = resized.size``.
    """
    if not unbiased:
        return cv2.warpAffine(image, resize_matrix(resized), resized.size)
    x, y = (
        ((np.arange(n) - n / 2) * (extent / n) + center).astype(np.float32)
        for n, extent, center in zip(*resized[::2], resized.center)
    )
    grid_x, grid_y = np.meshgrid(np.round(x * 32) / 32, np.round(y * 32) / 32)
    return cv2.remap(image, grid_x, grid_y, cv2.INTER_LINEAR)
