# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""How the learned scale goes with the size of people.

N people, K keypoints; scale maps hold ``alpha = 1 / s - 1``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import rankdata

__all__ = ['person_scales', 'rank_correlation']


def person_scales(
    alpha: np.ndarray, keypoints: np.ndarray, visible: np.ndarray
) -> np.ndarray:
    """The scale s that the network gives to each person.

    1/s is what it predicts, so that is averaged, over the cells that the
    person's keypoints lie in.

    Args:
        alpha (np.ndarray): Scale map of one level, shape (K, h, w).
        keypoints (np.ndarray): Cells ``(x, y)``, shape (N, K, 2).
        visible (np.ndarray): Larger than 0 where labelled, shape (N, K).

    Returns:
        np.ndarray: s, shape (N,); NaN for people without a labelled keypoint
        on the map, infinite where the mean of 1/s is not positive.
    """
    cells = np.floor(np.asarray(keypoints, float) + 0.5).astype(int)
    x, y = cells[..., 0], cells[..., 1]
    height, width = alpha.shape[1:]
    counts = (np.asarray(visible) > 0) & (x >= 0) & (x < width)
    counts &= (y >= 0) & (y < height)
    scales = np.full(len(cells), np.nan)
    for n in np.flatnonzero(counts.any(axis=1)):
        k = np.flatnonzero(counts[n])
        inverse = 1 + float(alpha[k, y[n, k], x[n, k]].mean(dtype=np.float64))
        scales[n] = 1 / inverse if inverse > 0 else math.inf
    return scales


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two sequences.

    Args:
        a (np.ndarray): Shape (N,).
        b (np.ndarray): Shape (N,).

    Returns:
        float: From -1 to 1; NaN for fewer than two pairs, or where either
        sequence is constant.
    """
    if len(a) != len(b):
        raise ValueError(f'got {len(a)} and {len(b)} values, expected pairs')
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return math.nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
