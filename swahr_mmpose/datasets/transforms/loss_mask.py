# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Loss mask: the region of an image in which the heatmap loss counts.

``valid_region`` decodes the region at the resolution of the image,
``warp_loss_mask`` warps it onto a heatmap level.  Sizes are ``(w, h)`` in
pixels; masks are bool arrays (h, w).
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from swahr_mmpose.datasets.checks.run_lengths import decompress_run_lengths
from swahr_mmpose.datasets.checks.schema import find_perimeter_problem
from swahr_mmpose.utils.annotations import count_labelled

__all__ = ['read_run_lengths', 'valid_region', 'warp_loss_mask']

Size = Tuple[int, int]

# Bound of polygon coordinates; pycocotools may crash on larger ones.
_MAX_COORDINATE = 1e7


def valid_region(annotations: Sequence[dict], size: Size) -> np.ndarray:
    """Compute the region of an image in which the heatmap loss counts.

    Crowd regions and people without a labelled keypoint are excluded;
    without ``num_keypoints``, labelled keypoints are counted. Instances
    without a segmentation cannot be excluded (CrowdPose has none).

    Args:
        annotations (Sequence[dict]): All COCO annotations of the image.
        size (tuple): Image size ``(w, h)`` in pixels.

    Returns:
        np.ndarray: bool, shape (h, w).

    Raises:
        ValueError: If a segmentation does not fit the image, or has
            coordinates that are not finite or too large, a perimeter that is
            too long, or run lengths that do not cover the image.
        Exception: Any error of pycocotools on other invalid segmentations.
    """
    excluded: List[Any] = []
    for annotation in annotations:
        is_crowd = annotation.get('iscrowd', 0)
        unlabelled = is_crowd or count_labelled(annotation) == 0
        if unlabelled and annotation.get('segmentation'):
            excluded += _encode_segmentation(annotation, size)
    if not excluded:
        return np.ones((size[1], size[0]), dtype=bool)
    union = coco_mask.decode(coco_mask.merge(excluded))
    # Decoded in columns; OpenCV transposes ten times as fast as NumPy.
    return cv2.transpose(union.T) == 0


def _encode_segmentation(annotation: dict, size: Size) -> List[Any]:
    """Encode the parts of a segmentation as pycocotools' run lengths."""
    w, h = size
    segmentation = annotation['segmentation']
    try:
        if isinstance(segmentation, dict):
            counts = read_run_lengths(segmentation, size)
            lengths = dict(size=[h, w], counts=counts)
            return [coco_mask.frPyObjects(lengths, h, w)]
        polygons = _check_polygons(segmentation, size)
    except ValueError as error:
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")}: segmentation {error}; '
            'correct the annotation file'
        ) from error
    return coco_mask.frPyObjects(polygons, h, w) if polygons else []


def _check_polygons(segmentation: Any, size: Size) -> List[Any]:
    """Return the polygons that are not empty.

    Raises:
        ValueError: If pycocotools would crash, or read it as something else
            than polygons.
    """
    if not isinstance(segmentation, list) or not all(
        isinstance(part, (list, tuple)) for part in segmentation
    ):
        raise ValueError('is neither a mask nor a list of polygons')
    polygons = [part for part in segmentation if len(part)]
    if not all(_is_coordinate(n) for part in polygons for n in part):
        raise ValueError(
            'has coordinates that are not finite numbers below '
            f'{_MAX_COORDINATE:.0e}'
        )
    lengths = [len(part) for part in polygons]
    short = [n for n in lengths if n < 6 or n % 2]
    if short:
        raise ValueError(
            f'has a polygon of {short[0]} numbers, expected x and y of three '
            'or more points'
        )
    problem = find_perimeter_problem(polygons, size)
    if problem:
        raise ValueError(problem)
    return polygons


def _is_coordinate(value: Any) -> bool:
    """Whether a value is a number that pycocotools can draw."""
    number = isinstance(value, (int, float, np.number))
    plain = number and not isinstance(value, (bool, np.bool_))
    return plain and abs(value) < _MAX_COORDINATE


def read_run_lengths(segmentation: dict, size: Size) -> List[int]:
    """Read and check the run lengths of a run-length encoded mask.

    Pycocotools does not check them and returns uninitialised memory where
    they do not cover the image.

    Args:
        segmentation (dict): COCO's ``size`` ``[h, w]`` and ``counts``, a list
            or a compressed string.
        size (tuple): Image size ``(w, h)`` in pixels.

    Returns:
        list[int]: Lengths of the runs of 0 and 1, alternating, in columns.

    Raises:
        ValueError: If the size is not that of the image, or the run lengths
            are not integers of 0 or more that add up to its pixels.
    """
    (w, h), counts = size, segmentation.get('counts')
    got = segmentation.get('size')
    if not isinstance(got, (list, tuple)) or list(got) != [h, w]:
        raise ValueError(
            f'has size {got}, expected the image size {[h, w]} (h, w)'
        )
    if isinstance(counts, (str, bytes)):
        counts = decompress_run_lengths(counts)
    elif not isinstance(counts, (list, tuple)):
        raise ValueError(
            f'has counts of type {type(counts).__name__}, expected a list of '
            'run lengths or a compressed string'
        )
    plain = {int}.issuperset(map(type, counts))
    if plain and counts and 0 <= min(counts) <= max(counts) <= h * w:
        return _check_total(list(counts), size)
    for index, count in enumerate(counts):
        if not _is_whole_number(count) or not 0 <= count <= h * w:
            raise ValueError(
                f'has the run length {count!r:.40} (counts[{index}]), '
                f'expected an integer from 0 to {h * w}, the pixels of the '
                'image'
            )
    return _check_total([int(count) for count in counts], size)


def _check_total(lengths: List[int], size: Size) -> List[int]:
    """Return run lengths; raise ValueError if they miss some pixels."""
    w, h = size
    if sum(lengths) != h * w:
        raise ValueError(
            f'has counts that add up to {sum(lengths)} pixels, expected '
            f'{h * w} as in the image'
        )
    return lengths


def _is_whole_number(value: Any) -> bool:
    """Whether a value is an integer; 4.0 is one, true and '4' are not."""
    numbers = (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, numbers):
        return False
    if isinstance(value, int):  # may be too large for np.isfinite
        return True
    return bool(np.isfinite(value)) and value == int(value)


def warp_loss_mask(
    region: np.ndarray,
    matrix: np.ndarray,
    size: Size,
    flip: bool,
    flip_vertical: bool = False,
) -> np.ndarray:
    """Warp the valid region of an image onto a heatmap level.

    Args:
        region (np.ndarray): bool, shape (h, w) of the image.
        matrix (np.ndarray): Matrix (2, 3) from the image to the level.
        size (tuple): Size ``(w, h)`` of the level in cells.
        flip (bool): Whether to flip the mask horizontally after warping.
        flip_vertical (bool): Whether to flip it vertically after warping.
            Defaults to ``False``.

    Returns:
        np.ndarray: bool, shape (h, w) of the level; ``False`` outside the
        image.
    """
    warped = cv2.warpAffine(region.astype(np.uint8) * 255, matrix, size)
    if flip or flip_vertical:
        # 0 exchanges top and bottom, 1 left and right, -1 both.
        code = int(flip) if flip != flip_vertical else -1
        warped = cv2.flip(warped, code)
    return warped > 127  # > 0.5 of 255
