# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Placement of the image in the network input, after all transforms.

The loss mask is made from annotations of the stored image and must follow
everything that moved the pixels.  Flips of MMPose's ``RandomFlip`` are
combined with those of ``BottomupRandomSquareAffine``; combinations that cannot
be followed are refused.  Sizes are ``(w, h)`` in pixels.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple

import numpy as np

from swahr_mmpose.utils.flip_marker import Flips, read_flips

from .geometry import flip_matrix

__all__ = [
    'AffineRecord',
    'Placement',
    'find_placement',
    'get_image_size',
    'is_stored_image',
    'prepend_flips',
]

Size = Tuple[int, int]


class AffineRecord(NamedTuple):
    """What ``BottomupRandomSquareAffine`` did, ``results['square_affine']``.

    Attributes:
        matrix (np.ndarray): Matrix (2, 3) from the stored image to the
            output, before the flip.
        size (tuple): Size of the output.
        from_stored (bool): Whether only flips ran before it.
    """

    matrix: np.ndarray
    size: Size
    from_stored: bool


class Placement(NamedTuple):
    """Placement of the stored image in the network input.

    Attributes:
        matrix (np.ndarray): Matrix (2, 3) from the stored image to the input,
            before the flips.
        size (tuple): Size of the input.
        flips (Flips): Flips of the input, afterwards.
    """

    matrix: np.ndarray
    size: Size
    flips: Flips


def get_image_size(results: Dict[str, Any]) -> Size:
    """Return the size of the stored image.

    Raises:
        KeyError: If no transform has loaded the image.
    """
    shape = results.get('ori_shape', results.get('img_shape'))
    if shape is None:
        raise KeyError(
            "neither 'ori_shape' nor 'img_shape' of the image "
            f'{results.get("img_path")} is known; start the pipeline with '
            'BottomupLoadImage'
        )
    return int(shape[1]), int(shape[0])


def is_stored_image(results: Dict[str, Any]) -> bool:
    """Whether the image is the stored one, apart from flips."""
    stored = results.get('ori_shape', results['img'].shape)[:2]
    same_size = tuple(stored) == tuple(results['img'].shape[:2])
    return same_size and not {'warp_mat', 'input_center'} & set(results)


def prepend_flips(matrix: np.ndarray, results: Dict[str, Any]) -> np.ndarray:
    """Let a matrix start at the stored image instead of the flipped one.

    Args:
        matrix (np.ndarray): Matrix (2, 3) from ``results['img']``.
        results (dict): Results dict of the pipeline.

    Returns:
        np.ndarray: Matrix (2, 3); the same if no flip ran before.
    """
    flips = _read_flips(results)
    if not any(flips):
        return matrix
    height, width = results['img'].shape[:2]
    full = np.concatenate([matrix, [[0, 0, 1]]])
    return (full @ flip_matrix((width, height), *flips))[:2]


def _read_flips(results: Dict[str, Any]) -> Flips:
    """Read the flips from a results dict."""
    keys = ('img_mask', 'flip', 'flip_direction')
    return read_flips(*(results.get(key) for key in keys))


def find_placement(results: Dict[str, Any]) -> Placement:
    """Find where the transforms of a pipeline have placed the image.

    Args:
        results (dict): Results dict of the pipeline: ``img``; with an affine
            transform of ours or of MMPose ``warp_mat`` and ``input_size``;
            with flips ``flip`` and ``flip_direction``.

    Returns:
        Placement: Placement of the stored image.

    Raises:
        ValueError: If a transform moved the image in a way that cannot be
            followed.
    """
    matrix = results.get('warp_mat')
    size = results.get('input_size')
    if matrix is None:
        matrix, size = np.eye(3)[:2], get_image_size(results)
    elif np.shape(matrix) == (3, 3) and (matrix[2] == [0, 0, 1]).all():
        matrix = matrix[:2]
    if size is None:
        size = results['img'].shape[1::-1]
    placement = Placement(matrix, tuple(size), _read_flips(results))
    problem = _find_problem(placement, results)
    if problem:
        raise ValueError(
            f'image {results.get("img_path")}: the loss mask cannot follow '
            f'the image: {problem}; correct the pipeline'
        )
    return placement


def _find_problem(
    placement: Placement, results: Dict[str, Any]
) -> Optional[str]:
    """Describe a transform that cannot be followed; None without one."""
    image, size = results.get('img'), placement.size
    shape = image.shape[:2][::-1] if isinstance(image, np.ndarray) else size
    if np.shape(placement.matrix) != (2, 3):
        return (
            f'got a warp_mat of shape {np.shape(placement.matrix)}, expected '
            '(2, 3); use an affine transform, not a perspective one'
        )
    record = results.get('square_affine')
    problem = None if record is None else _find_second(placement, results)
    if problem is None and shape != size:
        problem = (
            f'it has size {shape}, expected {size} (w, h), as after the '
            'affine transform; remove transforms that crop, resize or join '
            'images'
        )
    return problem


def _find_second(
    placement: Placement, results: Dict[str, Any]
) -> Optional[str]:
    """Describe a geometric transform beside ours; None without one."""
    record: AffineRecord = results['square_affine']
    if not record.from_stored:
        return (
            'it was cropped, resized or warped before '
            'BottomupRandomSquareAffine; remove that transform'
        )
    same = np.array_equal(placement.matrix, record.matrix)
    # MMPose's resizing transforms write input_center, but no warp_mat.
    if not same or placement.size != record.size or 'input_center' in results:
        return (
            'it was warped again after BottomupRandomSquareAffine; remove the '
            'second transform'
        )
    return None
