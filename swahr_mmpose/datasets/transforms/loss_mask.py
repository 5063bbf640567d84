# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Loss mask: the region of an image in which the heatmap loss counts.

``valid_region`` decodes the region at the resolution of the image,
``warp_loss_mask`` warps it onto a heatmap level.  Sizes are ``(w, h)`` in
pixels; masks are bool arrays (h, w).
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

__all__ = ['valid_region', 'warp_loss_mask']

Size = Tuple[int, int]

# Bound of polygon coordinates; pycocotools may crash on larger ones.
_MAX_COORDINATE = 1e7


def valid_region(annotations: Sequence[dict], size: Size) -> np.ndarray:
    """Compute the region of an image in which the heatmap loss counts.

    Crowd regions and people without a labelled keypoint are excluded.
    Instances without a segmentation cannot be excluded (CrowdPose has none).

    Args:
        annotations (Sequence[dict]): All COCO annotations of the image.
        size (tuple): Image size ``(w, h)`` in pixels.

    Returns:
        np.ndarray: bool, shape (h, w).

    Raises:
        ValueError: If a segmentation does not fit the image, or has
            coordinates that are not finite or too large.
        Exception: Any error of pycocotools on other invalid segmentations.
    """
    region = np.ones((size[1], size[0]), dtype=bool)
    for annotation in annotations:
        labelled = annotation.get('num_keypoints')
        if labelled is None:
            labelled = np.count_nonzero(annotation['keypoints'][2::3])
        unlabelled = annotation.get('iscrowd', 0) or labelled == 0
        if unlabelled and annotation.get('segmentation'):
            region &= ~_decode_segmentation(annotation, size)
    return region


def _decode_segmentation(annotation: dict, size: Size) -> np.ndarray:
    """Decode the segmentation of an annotation, bool (h, w)."""
    w, h = size
    segmentation = annotation['segmentation']
    problem = _find_problem(segmentation, size)
    if problem:
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")}: segmentation {problem}; '
            'correct the annotation file'
        )
    if isinstance(segmentation, dict):
        if isinstance(segmentation['counts'], list):
            segmentation = coco_mask.frPyObjects(segmentation, h, w)
        return coco_mask.decode(segmentation).astype(bool)
    parts = coco_mask.frPyObjects(segmentation, h, w)
    return coco_mask.decode(parts).astype(bool).any(axis=2)


def _find_problem(segmentation: Any, size: Size) -> Optional[str]:
    """Find input that makes pycocotools crash or return a random mask."""
    w, h = size
    if isinstance(segmentation, dict):
        got, counts = list(segmentation['size']), segmentation['counts']
        if got != [h, w]:
            return f'has size {got}, expected the image size {[h, w]} (h, w)'
        if isinstance(counts, list) and sum(counts) != h * w:
            return (
                f'has counts that add up to {sum(counts)} pixels, expected '
                f'{h * w} as in the image'
            )
        return None
    numbers = np.array([n for part in segmentation for n in part], float)
    if not (np.abs(numbers) < _MAX_COORDINATE).all():
        return (
            'has coordinates that are not finite numbers below '
            f'{_MAX_COORDINATE:.0e}'
        )
    return None


def warp_loss_mask(
    region: np.ndarray, matrix: np.ndarray, size: Size, flip: bool
) -> np.ndarray:
    """Warp the valid region of an image onto a heatmap level.

    Args:
        region (np.ndarray): bool, shape (h, w) of the image.
        matrix (np.ndarray): Matrix (2, 3) from the image to the level.
        size (tuple): Size ``(w, h)`` of the level in cells.
        flip (bool): Whether to flip the mask horizontally after warping.

    Returns:
        np.ndarray: bool, shape (h, w) of the level; ``False`` outside the
        image.
    """
    warped = cv2.warpAffine(region.astype(np.uint8) * 255, matrix, size)
    mask = warped > 127  # > 0.5 of 255
    return mask[:, ::-1].copy() if flip else mask
