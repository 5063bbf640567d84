# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Suppression of whole poses: a person who was found twice.

N people, K keypoints.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
from mmpose.evaluation.functional import oks_nms

__all__ = ['boxes_of', 'pose_nms', 'select_people']


def boxes_of(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Boxes around the keypoints that were found.

    Args:
        keypoints (np.ndarray): Shape (N, K, 2).
        scores (np.ndarray): Shape (N, K), 0 where a keypoint is missing.

    Returns:
        np.ndarray: ``x1, y1, x2, y2``, shape (N, 4); zeros without keypoints.
    """
    found = (scores > 0)[..., None]
    low = np.where(found, keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(found, keypoints, -np.inf).max(axis=1, initial=-np.inf)
    boxes = np.concatenate([low, high], axis=1)
    return np.where(found.any(axis=1), boxes, 0.0)


def pose_nms(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    sigmas: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """Of people who are alike, the one with the best score.

    Likeness is COCO's object keypoint similarity over the keypoints that
    both have, with half the mean of both boxes for the area (a person covers
    about half of his box); MMPose's ``oks_nms`` does the suppressing.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Shape (N, K), 0 where one is missing.
        scores (np.ndarray): Of the people, shape (N,).
        sigmas (np.ndarray): Of the data set's metainfo, shape (K,).
        threshold (float): People more alike than this are one, 0 to 1.

    Returns:
        np.ndarray: Indices of those who stay, best score first.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(
            f'the threshold of pose NMS is a similarity from 0 to 1, got '
            f'{threshold}'
        )
    if np.shape(sigmas) != keypoints.shape[1:2]:
        raise ValueError(
            f'got {np.shape(sigmas)} sigmas for keypoints of shape '
            f'{keypoints.shape}, expected one for each keypoint'
        )
    boxes = boxes_of(keypoints, keypoint_scores)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / 2
    order = np.argsort(-scores, kind='stable')
    joined = np.concatenate([keypoints, keypoint_scores[..., None]], axis=2)
    people = [
        dict(keypoints=joined[n], score=-rank, area=areas[n])
        for rank, n in enumerate(order)
    ]
    kept = oks_nms(people, threshold, np.asarray(sigmas), vis_thr=0.0)
    return order[np.asarray(kept, dtype=int)]


def select_people(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    sigmas: np.ndarray,
    threshold: float = 0.0,
    nms: Optional[float] = None,
    max_people: Optional[int] = None,
) -> np.ndarray:
    """Which people of an image to report.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Shape (N, K), 0 where one is missing.
        scores (np.ndarray): Of the people, shape (N,).
        sigmas (np.ndarray): Of the data set's metainfo, shape (K,).
        threshold (float): People that score less are left out.
        nms (float, optional): Threshold of :func:`pose_nms`.
        max_people (int, optional): No more than so many.

    Returns:
        np.ndarray: Their indices, best score first.
    """
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] >= threshold]
    if nms is not None:
        kept = pose_nms(
            keypoints[order], keypoint_scores[order], scores[order], sigmas,
            nms,
        )  # fmt: skip
        order = order[kept]
    return order[:max_people]
