# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Loss mask: the region of an image in which the heatmap loss counts.

Sizes are ``(w, h)`` in pixels; masks are bool arrays (h, w).
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

__all__ = ['loss_mask', 'valid_region']

Size = Tuple[int, int]


# Coordinates of a polygon from which on pycocotools may crash.
_FAR = 1e7


def _decode_segmentation(annotation: dict, size: Size) -> np.ndarray:
    """The pixels of an annotation, bool (h, w)."""
    w, h = size
    segmentation = annotation['segmentation']
    problem = _segmentation_problem(segmentation, size)
    if problem:
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")}: its segmentation {problem}; '
            'correct the annotation file'
        )
    if isinstance(segmentation, dict):
        if isinstance(segmentation['counts'], list):
            segmentation = coco_mask.frPyObjects(segmentation, h, w)
        return coco_mask.decode(segmentation).astype(bool)
    parts = coco_mask.frPyObjects(segmentation, h, w)
    return coco_mask.decode(parts).astype(bool).any(axis=2)


def _segmentation_problem(segmentation: Any, size: Size) -> Optional[str]:
    """What pycocotools would crash on, or make a random mask of."""
    w, h = size
    if isinstance(segmentation, dict):
        got, counts = list(segmentation['size']), segmentation['counts']
        if got != [h, w]:
            return f'is of size {got}, the image of [{h}, {w}] (height, width)'
        if isinstance(counts, list) and sum(counts) != h * w:
            return f'counts {sum(counts)} pixels, the image has {h * w}'
        return None
    numbers = np.array([n for part in segmentation for n in part], float)
    if not (np.abs(numbers) < _FAR).all():
        return f'has coordinates that are no numbers, or beyond {_FAR:.0e}'
    return None


def valid_region(annotations: Sequence[dict], size: Size) -> np.ndarray:
    """Where the heatmap loss counts: not on people without keypoints.

    Left out are crowd regions and people none of whose keypoints is labelled.
    One that has no segmentation cannot be left out (CrowdPose has none).

    Args:
        annotations (Sequence[dict]): COCO annotations of the image, all.
        size (tuple): Size of the image, ``(w, h)``.

    Returns:
        np.ndarray: bool, shape (h, w).
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


def loss_mask(
    region: np.ndarray, matrix: np.ndarray, size: Size, flip: bool
) -> np.ndarray:
    """The valid region as one heatmap level sees it.

    Args:
        region (np.ndarray): bool, shape (h, w) of the image.
        matrix (np.ndarray): From the image to this level, shape (2, 3).
        size (tuple): Size of the level, ``(w, h)``.
        flip (bool): Whether the level is mirrored afterwards.

    Returns:
        np.ndarray: bool, shape (h, w) of the level; False outside the image.
    """
    warped = cv2.warpAffine(region.astype(np.uint8) * 255, matrix, size)
    mask = warped > 127  # > 0.5 of 255
    return mask[:, ::-1].copy() if flip else mask
