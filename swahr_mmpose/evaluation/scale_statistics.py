# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Predicted scales of people and their correlation with size.

N people, K keypoints; scale maps hold ``alpha = 1 / s - 1``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import spearmanr

__all__ = ['person_scales', 'rank_correlation']


def person_scales(
    alpha: np.ndarray, keypoints: np.ndarray, visible: np.ndarray
) -> np.ndarray:
    """Compute the predicted scale s of each person.

    The network predicts 1/s. Its values are averaged over the cells of the
    person's keypoints.

    Args:
        alpha (np.ndarray): Scale map of one level, shape (K, h, w).
        keypoints (np.ndarray): Cells ``(x, y)``, shape (N, K, 2).
        visible (np.ndarray): Visibility, shape (N, K); labelled keypoints
            have values above 0.

    Returns:
        np.ndarray: s, shape (N,); NaN for people without a labelled keypoint
        on the map, infinite if the mean of 1/s is not positive.
    """
    cells = np.floor(np.asarray(keypoints, float) + 0.5).astype(int)
    x, y = cells[..., 0], cells[..., 1]
    height, width = alpha.shape[1:]
    valid = (np.asarray(visible) > 0) & (x >= 0) & (x < width)
    valid &= (y >= 0) & (y < height)
    scales = np.full(len(cells), np.nan)
    for n in np.flatnonzero(valid.any(axis=1)):
        k = np.flatnonzero(valid[n])
        inverse = 1 + float(alpha[k, y[n, k], x[n, k]].mean(dtype=np.float64))
        scales[n] = 1 / inverse if inverse > 0 else math.inf
    return scales


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Compute Spearman's rank correlation of two sequences.

    Args:
        a (np.ndarray): First sequence, shape (N,).
        b (np.ndarray): Second sequence, shape (N,).

    Returns:
        float: Correlation from -1 to 1; NaN for fewer than two pairs or a
        constant sequence.

    Raises:
        ValueError: If the lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f'got {len(a)} and {len(b)} values, expected pairs')
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return math.nan  # SciPy warns for constants
    return float(spearmanr(a, b)[0])
