# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Standard deviations of keypoints from the scale maps.

N people, K keypoints, map size h x w. Scale maps hold ``alpha = 1 / s - 1``.
"""

from __future__ import annotations

import math

import numpy as np

from .metadata import Settings

__all__ = ['compute_sigmas', 'read_scales']

# Upper bound of s.
_LARGEST_SCALE = 16.0


def compute_sigmas(
    keypoints: np.ndarray,
    scores: np.ndarray,
    scale_maps: np.ndarray,
    settings: Settings,
) -> np.ndarray:
    """Compute the standard deviations of the keypoints of one image.

    Args:
        keypoints (np.ndarray): Input pixels, shape (N, K, 2).
        scores (np.ndarray): Keypoint scores, shape (N, K).
        scale_maps (np.ndarray): alpha of the finest level, float32, shape
            (K, h, w).
        settings (Settings): Settings of the model.

    Returns:
        np.ndarray: Input pixels, float32, shape (N, K); NaN for missing
        keypoints.
    """
    stride, sigma = settings.finest_stride, settings.sigma
    # Decoding puts the centre of the first cell here, in input pixels.
    first = stride / 2 - (0.5 if settings.unbiased else 0)
    cells = (keypoints.astype(np.float64) - first) / stride
    scales = np.zeros(scores.shape)
    for n, person in enumerate(cells):  # one at a time: less memory
        scales[n] = read_scales(scale_maps, person, sigma)
    sigmas = sigma * stride * np.sqrt(scales)
    return np.where(scores > 0, sigmas, np.nan).astype(np.float32)


@np.errstate(invalid='ignore', over='ignore')  # maps may be not finite
def read_scales(
    scale_maps: np.ndarray, cells: np.ndarray, sigma: float
) -> np.ndarray:
    """Read s around keypoints with the weights ``H |ln H|``.

    H is the Gaussian of standard deviation ``sigma`` around the keypoint. Its
    power ``1/s`` (Eq. 6 of SWAHR) changes with s where ``H |ln H|`` is large,
    and not at the keypoint itself.

    Args:
        scale_maps (np.ndarray): alpha, float32, shape (K, h, w).
        cells (np.ndarray): Keypoints ``(x, y)`` in cells, shape (K, 2).
        sigma (float): Standard deviation in cells.

    Returns:
        np.ndarray: s, float64, shape (K,); at most 16, NaN where it cannot be
        read.
    """
    height, width = scale_maps.shape[1:]
    radius = math.ceil(3 * sigma)
    steps = np.arange(-radius, radius + 1)
    nearest = np.rint(cells).astype(np.int64)
    x = nearest[:, 0, None, None] + steps
    y = nearest[:, 1, None, None] + steps[:, None]
    squared = (x - cells[:, 0, None, None]) ** 2
    squared = squared + (y - cells[:, 1, None, None]) ** 2
    exponent = squared / (2 * sigma**2)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    weights = exponent * np.exp(-exponent) * inside
    k = np.arange(len(scale_maps))[:, None, None]
    values = scale_maps[k, y.clip(0, height - 1), x.clip(0, width - 1)]
    total = weights.sum(axis=(-2, -1))
    mean = (weights * values).sum(axis=(-2, -1)) / np.where(
        total > 0, total, np.nan
    )
    return 1 / np.maximum(1 + mean, 1 / _LARGEST_SCALE)
