# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Poses and sizes of the instances of a data set.

N instances, K keypoints.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ['PoseStatistics', 'pose_statistics']


class PoseStatistics(NamedTuple):
    """Of N instances: shapes (K,), (K, 2), (K,).

    ``frequency`` is the share of instances in which a keypoint is labelled;
    ``mean`` the mean pose, with its middle at 0 and keypoints at a distance
    of 1 in the mean (root of squares); ``spread`` the standard deviation
    about it.
    """

    frequency: np.ndarray
    mean: np.ndarray
    spread: np.ndarray


def pose_statistics(keypoints: np.ndarray) -> PoseStatistics:
    """Where keypoints are, each pose moved and enlarged to one size.

    Args:
        keypoints (np.ndarray): ``(x, y, v)``, shape (N, K, 3). Mean and
            spread are those of poses with at least half of the keypoints
            (at least two) labelled, or if there are none, of all.

    Returns:
        PoseStatistics: Keypoints that no such pose has lie at 0, with the
        largest spread of the others.
    """
    seen = keypoints[..., 2] > 0
    frequency = seen.mean(axis=0) if len(seen) else np.zeros(seen.shape[1])
    whole = seen.sum(axis=1) >= max(2, seen.shape[1] / 2)
    if not whole.any():
        whole[:] = True
    shown = seen[whole][..., None]
    points = np.where(shown, keypoints[whole][..., :2], 0.0)
    count = np.maximum(shown.sum(axis=1, keepdims=True), 1)
    points = (points - points.sum(axis=1, keepdims=True) / count) * shown
    size = np.sqrt((points**2).sum(axis=(1, 2), keepdims=True) / count)
    points = points / np.maximum(size, 1e-9)
    times = np.maximum(shown.sum(axis=0), 1)
    mean = points.sum(axis=0) / times
    square = (((points - mean) ** 2) * shown).sum(axis=(0, 2)) / times[:, 0]
    spread = np.sqrt(square)
    unknown = ~shown.any(axis=0)[:, 0]
    spread[unknown] = spread.max(initial=0.0)
    return PoseStatistics(frequency, mean, spread)
