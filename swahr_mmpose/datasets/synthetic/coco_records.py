# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What COCO's annotation format says of people and crowds."""

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
SKELETON = [  # as COCO has it, counted from 1
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


def box_of(mask: np.ndarray) -> List[int]:
    """COCO's bbox (x, y, w, h in px) of a (h, w) bool mask."""
    return list(cv2.boundingRect(mask.astype(np.uint8)))


def person_record(person: Person) -> Dict:
    """What COCO says of a person: keypoints, box, area and outline."""
    mask, seen = person.silhouette, person.visibility > 0
    keypoints = np.c_[person.keypoints.round(2), person.visibility]
    keypoints[~seen] = 0
    extent = mask.copy()  # with the pixels around the keypoints, for the box
    points = keypoints[seen, :2]
    column, row = np.r_[np.floor(points), np.ceil(points)].astype(int).T
    extent[row, column] = True
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    return {
        'iscrowd': 0,
        'num_keypoints': int(seen.sum()),
        'keypoints': [
            int(v) if v == int(v) else v for v in keypoints.ravel().tolist()
        ],
        'area': int(mask.sum()),
        'bbox': box_of(extent),
        'segmentation': [c.ravel().tolist() for c in contours if len(c) >= 3],
    }


def crowd_record(mask: np.ndarray) -> Dict:
    """What COCO says of a crowd: run lengths down the columns, zeros first."""
    flat = np.r_[False, mask.ravel(order='F')]
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff([0, *edges, mask.size]).tolist()
    return {
        'iscrowd': 1,
        'num_keypoints': 0,
        'keypoints': [0] * 3 * NUM_KEYPOINTS,
        'area': int(mask.sum()),
        'bbox': box_of(mask),
        'segmentation': {'size': list(mask.shape), 'counts': counts},
    }


def empty_document(
    category: str, keypoints: List[str], skeleton: List[List[int]]
) -> Dict:
    """A COCO annotation file without pictures."""
    what = 'people with COCO keypoints' if category == 'person' else category
    return {
        'info': {'description': f'Drawn {what}'},
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
