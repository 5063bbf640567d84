# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Pose NMS: suppression of duplicate instances by OKS.

N instances, K keypoints.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
from mmpose.evaluation.functional import oks_nms

__all__ = ['boxes_of', 'pose_nms', 'select_people']


def boxes_of(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Compute the bounding boxes of the detected keypoints.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        scores (np.ndarray): Keypoint scores, shape (N, K), 0 for missing
            keypoints.

    Returns:
        np.ndarray: ``x1, y1, x2, y2``, shape (N, 4); zeros for instances
        without keypoints.
    """
    detected = (scores > 0)[..., None]
    low = np.where(detected, keypoints, np.inf).min(axis=1, initial=np.inf)
    high = np.where(detected, keypoints, -np.inf).max(axis=1, initial=-np.inf)
    boxes = np.concatenate([low, high], axis=1)
    return np.where(detected.any(axis=1), boxes, 0.0)


def pose_nms(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    sigmas: np.ndarray,
    threshold: float,
) -> np.ndarray:
    """Suppress instances that are similar to a better one.

    The similarity is COCO's OKS over the keypoints that both instances have.
    Its area is half the mean area of both boxes, since a person covers about
    half of the box. MMPose's ``oks_nms`` does the suppression.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Keypoint scores, shape (N, K), 0 for
            missing keypoints.
        scores (np.ndarray): Instance scores, shape (N,).
        sigmas (np.ndarray): Sigmas of the dataset's metainfo, shape (K,).
        threshold (float): OKS from 0 to 1 above which an instance is
            suppressed.

    Returns:
        np.ndarray: Indices of the remaining instances, best score first.

    Raises:
        ValueError: If the threshold is not in [0, 1], or there is not one
            sigma per keypoint.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(
            f'the threshold of pose NMS is {threshold}, expected an OKS from '
            '0 to 1'
        )
    if np.shape(sigmas) != keypoints.shape[1:2]:
        raise ValueError(
            f'got {np.shape(sigmas)} sigmas for keypoints of shape '
            f'{keypoints.shape}, expected one per keypoint'
        )
    boxes = boxes_of(keypoints, keypoint_scores)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) / 2
    order = np.argsort(-scores, kind='stable')
    triples = np.concatenate([keypoints, keypoint_scores[..., None]], axis=2)
    people = [
        dict(keypoints=triples[n], score=-rank, area=areas[n])
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
    """Select the instances of an image to report.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Keypoint scores, shape (N, K), 0 for
            missing keypoints.
        scores (np.ndarray): Instance scores, shape (N,).
        sigmas (np.ndarray): Sigmas of the dataset's metainfo, shape (K,).
        threshold (float): Minimum instance score. Defaults to 0.
        nms (float, optional): OKS threshold of :func:`pose_nms`. Defaults to
            None, no suppression.
        max_people (int, optional): Maximum number of instances. Defaults to
            None, no limit.

    Returns:
        np.ndarray: Indices of the selected instances, best score first.

    Raises:
        ValueError: See :func:`pose_nms`.
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
