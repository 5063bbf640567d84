# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""COCO annotations of synthetic people and crowds."""

from __future__ import annotations

from typing import Dict, List

import cv2
import numpy as np

from .canvas import Person
from .people import NUM_KEYPOINTS

KEYPOINT_NAMES = ['nose'] + [
    f'{side}_{part}'
    for part in (
        'eye',
        'ear',
        'shoulder',
        'elbow',
        'wrist',
        'hip',
        'knee',
        'ankle',
    )
    for side in ('left', 'right')
]
# Constants sigma_k of OKS, as in pycocotools.
COCO_SIGMAS = (
    (0.026,)
    + 2 * (0.025,)
    + 2 * (0.035,)
    + 2 * (0.079,)
    + 2 * (0.072,)
    + 2 * (0.062,)
    + 2 * (0.107,)
    + 2 * (0.087,)
    + 2 * (0.089,)
)
SKELETON = [  # COCO's, one-based
    [16, 14],
    [14, 12],
    [17, 15],
    [15, 13],
    [12, 13],
    [6, 12],
    [7, 13],
    [6, 7],
    [6, 8],
    [7, 9],
    [8, 10],
    [9, 11],
    [2, 3],
    [1, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
    [5, 7],
]


def make_person_record(person: Person) -> Dict:
    """Make the annotation of a person.

    Args:
        person (Person): Person with known visibility.

    Returns:
        dict: keypoints, num_keypoints, bbox, area, segmentation (polygons),
        iscrowd.
    """
    mask, labelled = person.silhouette, person.visibility > 0
    keypoints = np.c_[person.keypoints.round(2), person.visibility]
    keypoints[~labelled] = 0
    # The box also contains the pixels around the keypoints.
    extent = mask.copy()
    points = keypoints[labelled, :2]
    column, row = np.r_[np.floor(points), np.ceil(points)].astype(int).T
    extent[row, column] = True
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return {
        'iscrowd': 0,
        'num_keypoints': int(labelled.sum()),
        'keypoints': [
            int(v) if v == int(v) else v for v in keypoints.ravel().tolist()
        ],
        'area': int(mask.sum()),
        'bbox': _compute_box(extent),
        'segmentation': [c.ravel().tolist() for c in contours if len(c) >= 3],
    }


def make_crowd_record(mask: np.ndarray) -> Dict:
    """Make the annotation of a crowd region.

    Args:
        mask (np.ndarray): bool, shape (h, w).

    Returns:
        dict: As for a person; the segmentation is an uncompressed RLE
        (column-major run lengths, zeros first), no keypoint is labelled.
    """
    flat = np.r_[False, mask.ravel(order='F')]
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff([0, *edges, mask.size]).tolist()
    return {
        'iscrowd': 1,
        'num_keypoints': 0,
        'keypoints': [0] * 3 * NUM_KEYPOINTS,
        'area': int(mask.sum()),
        'bbox': _compute_box(mask),
        'segmentation': {'size': list(mask.shape), 'counts': counts},
    }


def _compute_box(mask: np.ndarray) -> List[int]:
    """Compute COCO's bbox ``[x, y, w, h]`` in px of a bool mask (h, w)."""
    return list(cv2.boundingRect(mask.astype(np.uint8)))


def make_document(
    category: str, keypoints: List[str], skeleton: List[List[int]]
) -> Dict:
    """Make a COCO annotation file without images.

    Args:
        category (str): Name of the category.
        keypoints (list[str]): Names of the K keypoints.
        skeleton (list[list[int]]): One-based skeleton edges.

    Returns:
        dict: Content of the file.
    """
    what = 'people with COCO keypoints' if category == 'person' else category
    return {
        'info': {'description': f'Synthetic {what}'},
        'licenses': [{'id': 1, 'name': 'No third-party material', 'url': ''}],
        'images': [],
        'annotations': [],
        'categories': [
            {
                'id': 1,
                'name': category,
                'supercategory': category,
                'keypoints': keypoints,
                'skeleton': skeleton,
            }
        ],
    }
