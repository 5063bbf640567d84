# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Predicted scales of people, and their correlation with size and confidence.

N people, K keypoints; scale maps hold ``alpha = 1 / s - 1``.

Eq. 6 and Eq. 8 of the paper change a target in proportion to ``H |ln H|``,
with the Gaussian H: neither at the keypoint itself, where H is 1, nor outside
the Gaussian, where H is 0. Scales are therefore read with these weights, which
are largest at ``sqrt(2) * sigma`` from the keypoint.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.stats import spearmanr

__all__ = [
    'PersonScales',
    'bootstrap_interval',
    'person_confidences',
    'person_scales',
    'person_target_changes',
    'rank_correlation',
    'summarize_scales',
]

Window = Tuple[int, int, slice, slice]


class PersonScales(NamedTuple):
    """Measurements of N people.

    Attributes:
        sizes (np.ndarray): Square roots of the box areas in input pixels,
            shape (N,).
        scales (np.ndarray): Scales s by level, shape (levels, N).
        confidences (np.ndarray): Mean heights of the predicted peaks by
            level, shape (levels, N).
        changes (np.ndarray): Mean squares of the change of the target by its
            scale, shape (levels, N).
        errors (np.ndarray): Mean squares of the error of the heatmap, shape
            (levels, N).
    """

    sizes: np.ndarray
    scales: np.ndarray
    confidences: np.ndarray
    changes: np.ndarray
    errors: np.ndarray


def person_scales(
    alpha: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    sigma: float = 2.0,
) -> np.ndarray:
    """Compute the predicted scale s of each person, where it acts.

    The network predicts 1/s. Its values are averaged over the Gaussians of
    the person's keypoints with the weights ``H |ln H|``.

    Args:
        alpha (np.ndarray): Scale map of one level, shape (K, h, w).
        keypoints (np.ndarray): Cells ``(x, y)``, shape (N, K, 2).
        visible (np.ndarray): Visibility, shape (N, K); labelled keypoints
            have values above 0.
        sigma (float): Standard deviation of the Gaussians in cells. Defaults
            to 2.

    Returns:
        np.ndarray: s, shape (N,); NaN for people without a labelled keypoint
        on the map, infinite if the mean of 1/s is not positive.
    """
    sums = np.zeros((2, len(keypoints)))
    windows = _iterate_windows(alpha.shape[1:], keypoints, visible, 3 * sigma)
    for n, k, rows, columns in windows:
        log = _log_gaussian(keypoints[n, k], rows, columns, sigma)
        weights = log * np.exp(-log)
        sums[0, n] += weights.sum()
        sums[1, n] += (weights * alpha[k, rows, columns]).sum()
    known = sums[0] > 0
    inverse = 1 + sums[1] / np.where(known, sums[0], np.nan)
    scales = np.full(len(keypoints), np.inf)
    np.divide(1, inverse, out=scales, where=~(inverse <= 0))
    return scales


def person_confidences(
    heatmaps: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    sigma: float = 2.0,
) -> np.ndarray:
    """Compute the mean height of the predicted peaks of each person.

    The height at a keypoint is the maximum of its heatmap within ``sigma``
    cells in x and in y.

    Args:
        heatmaps (np.ndarray): Predicted heatmaps, shape (K, h, w).
        keypoints (np.ndarray): Cells ``(x, y)``, shape (N, K, 2).
        visible (np.ndarray): Visibility, shape (N, K); labelled keypoints
            have values above 0.
        sigma (float): Standard deviation of the Gaussians in cells. Defaults
            to 2.

    Returns:
        np.ndarray: Heights, shape (N,); NaN for people without a labelled
        keypoint on the map.
    """
    totals, counts = np.zeros(len(keypoints)), np.zeros(len(keypoints))
    windows = _iterate_windows(heatmaps.shape[1:], keypoints, visible, sigma)
    for n, k, rows, columns in windows:
        totals[n] += heatmaps[k, rows, columns].max()
        counts[n] += 1
    return totals / np.where(counts > 0, counts, np.nan)


def person_target_changes(
    alpha: np.ndarray,
    heatmaps: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    sigma: float = 2.0,
) -> Tuple[np.ndarray, np.ndarray]:
    """Compute by how much scales change the targets of each person.

    With the target H and its adaptation ``H' = H + alpha H ln H + (alpha
    ln H)^2 H / 2`` (Eq. 8), these are the means of ``(H' - H)^2`` and of
    ``(P - H)^2`` over the cells within three standard deviations of the
    person's keypoints in x and in y. The first is far below the second where
    scales have little effect on the loss.

    Args:
        alpha (np.ndarray): Scale map of one level, shape (K, h, w).
        heatmaps (np.ndarray): Predicted heatmaps P, shape (K, h, w).
        keypoints (np.ndarray): Cells ``(x, y)``, shape (N, K, 2).
        visible (np.ndarray): Visibility, shape (N, K); labelled keypoints
            have values above 0.
        sigma (float): Standard deviation of the Gaussians in cells. Defaults
            to 2.

    Returns:
        tuple: Changes and errors, shape (N,) each; NaN for people without a
        labelled keypoint on the map.
    """
    windows = list(
        _iterate_windows(alpha.shape[1:], keypoints, visible, 3 * sigma)
    )
    logs = np.full(alpha.shape, np.inf)  # ln(1/H)
    for n, k, rows, columns in windows:
        log = _log_gaussian(keypoints[n, k], rows, columns, sigma)
        logs[k, rows, columns] = np.minimum(logs[k, rows, columns], log)
    targets = np.exp(-logs)
    logs[np.isinf(logs)] = 0
    power = alpha * logs
    squares = (
        ((power**2 / 2 - power) * targets) ** 2,
        (heatmaps - targets) ** 2,
    )
    totals = np.zeros((3, len(keypoints)))
    for n, k, rows, columns in windows:
        cells = [maps[k, rows, columns] for maps in squares]
        totals[:, n] += cells[0].sum(), cells[1].sum(), cells[0].size
    known = np.where(totals[2] > 0, totals[2], np.nan)
    return totals[0] / known, totals[1] / known


def _log_gaussian(
    keypoint: np.ndarray, rows: slice, columns: slice, sigma: float
) -> np.ndarray:
    """Compute ln(1/H) of the Gaussian of a keypoint in a window."""
    x, y = keypoint
    squared = (np.arange(rows.start, rows.stop)[:, None] - y) ** 2 + (
        np.arange(columns.start, columns.stop) - x
    ) ** 2
    return squared / (2 * sigma**2)


def _iterate_windows(
    size: Tuple[int, ...],
    keypoints: np.ndarray,
    visible: np.ndarray,
    reach: float,
) -> Iterator[Window]:
    """Iterate over the labelled keypoints on a map.

    Args:
        size (tuple): Size ``(h, w)`` of the map.
        keypoints (np.ndarray): Cells ``(x, y)``, shape (N, K, 2).
        visible (np.ndarray): Visibility, shape (N, K).
        reach (float): Half of the side of the window in cells.

    Yields:
        tuple: Person, keypoint, and rows and columns of the window, cut at
        the border of the map.
    """
    height, width = size
    cells = np.floor(np.asarray(keypoints, float) + 0.5).astype(int)
    x, y = cells[..., 0], cells[..., 1]
    valid = (np.asarray(visible) > 0) & (x >= 0) & (x < width)
    valid &= (y >= 0) & (y < height)
    radius = math.ceil(reach)
    for n, k in np.argwhere(valid).tolist():
        top, left = y[n, k] - radius, x[n, k] - radius
        rows = slice(max(top, 0), min(top + 2 * radius + 1, height))
        yield (
            n,
            k,
            rows,
            slice(max(left, 0), min(left + 2 * radius + 1, width)),
        )


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


def bootstrap_interval(
    a: np.ndarray,
    b: np.ndarray,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Tuple[float, float]:
    """Compute the percentile bootstrap interval of a rank correlation.

    Args:
        a (np.ndarray): First sequence, shape (N,).
        b (np.ndarray): Second sequence, shape (N,).
        resamples (int): Number of resamples of the pairs. Defaults to 1000.
        level (float): Probability of the interval, 0 to 1. Defaults to 0.95.
        seed (int): Seed of the random number generator. Defaults to 0.

    Returns:
        tuple[float, float]: Lower and upper bound; NaN if the correlation is
        not defined.

    Raises:
        ValueError: If the lengths differ.
    """
    if math.isnan(rank_correlation(a, b)):
        return math.nan, math.nan
    rng, a, b = np.random.default_rng(seed), np.asarray(a), np.asarray(b)
    found = [
        rank_correlation(a[chosen], b[chosen])
        for chosen in rng.integers(0, len(a), (resamples, len(a)))
    ]
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(found, [tail, 100 - tail])
    return float(low), float(high)


def summarize_scales(
    people: PersonScales, strides: Sequence[int]
) -> Dict[str, Any]:
    """Summarize scales: correlations, spread, and means by size.

    Args:
        people (PersonScales): Measurements. People with a value that is not
            finite are left out.
        strides (Sequence[int]): Input pixels per cell of each level.

    Returns:
        dict: JSON content: ``people`` and ``left_out`` (counts), and by level
        (``'1/4'``, ``'1/2'``) the rank correlations of s with ``size`` and
        ``confidence``, each with its 95 % bootstrap interval, the ``spread``
        (range of the central 90 % of s, relative to its median),
        ``scale_of_thirds_by_size``, and the root mean squares
        ``target_change`` of ``H' - H`` and ``error`` of ``P - H``.
    """
    known = np.isfinite(people.scales).all(axis=0)
    known &= np.isfinite(people.confidences).all(axis=0)
    sizes = people.sizes[known]
    result: Dict[str, Any] = {
        'people': int(known.sum()),
        'left_out': int((~known).sum()),
    }
    thirds = np.array_split(np.argsort(sizes), 3)
    for level, stride in enumerate(strides):
        s = people.scales[level, known]
        confidences = people.confidences[level, known]
        result[f'1/{stride}'] = {
            'size': _correlate(s, sizes),
            'confidence': _correlate(s, confidences),
            'spread': _compute_spread(s),
            'scale_of_thirds_by_size': [
                float(s[t].mean()) if len(t) else None for t in thirds
            ],
            'target_change': _root_mean(people.changes[level, known]),
            'error': _root_mean(people.errors[level, known]),
        }
    return result


def _root_mean(squares: np.ndarray) -> Optional[float]:
    """Compute the root of a mean of squares; None without values."""
    return float(np.sqrt(squares.mean())) if len(squares) else None


def _correlate(a: np.ndarray, b: np.ndarray) -> Dict[str, Any]:
    """Compute rank correlation and interval; None where not defined."""
    correlation = rank_correlation(a, b)
    if math.isnan(correlation):
        return {'rank_correlation': None, 'interval': None}
    return {
        'rank_correlation': correlation,
        'interval': list(bootstrap_interval(a, b)),
    }


def _compute_spread(s: np.ndarray) -> Any:
    """Compute the range of the central 90 % relative to the median."""
    if not len(s):
        return None
    low, middle, high = np.percentile(s, [5, 50, 95])
    return float((high - low) / middle)
