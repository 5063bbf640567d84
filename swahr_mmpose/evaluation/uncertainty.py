# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""How well an estimated uncertainty orders the errors of keypoints.

N predicted and G annotated people of an image, K keypoints; M keypoints of
all images.
"""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .error_analysis import keypoint_similarity
from .scale_statistics import rank_correlation

__all__ = [
    'KeypointErrors',
    'bootstrap_intervals',
    'concatenate_errors',
    'match_keypoints',
    'summarize_order',
]

_MATCH_OKS = 0.1


class KeypointErrors(NamedTuple):
    """Keypoints that were found, with their errors.

    Attributes:
        errors (np.ndarray): Distance to the annotation in pixels, shape (M,).
        estimates (dict[str, np.ndarray]): Estimates by name, larger for a
            less certain keypoint, shape (M,) each.
        images (np.ndarray): Index of the image, int, shape (M,).
    """

    errors: np.ndarray
    estimates: Dict[str, np.ndarray]
    images: np.ndarray


def match_keypoints(
    keypoints: np.ndarray,
    found: np.ndarray,
    annotated: np.ndarray,
    labelled: np.ndarray,
    areas: np.ndarray,
    oks_sigmas: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Match people at the maximum total OKS; compare their keypoints.

    Pairs of an OKS below .1 are no match.

    Args:
        keypoints (np.ndarray): Predicted keypoints in pixels, shape
            (N, K, 2).
        found (np.ndarray): Predicted keypoints to compare, bool (N, K).
        annotated (np.ndarray): Annotated keypoints in pixels, shape
            (G, K, 2).
        labelled (np.ndarray): Whether an annotated keypoint is labelled, bool
            (G, K).
        areas (np.ndarray): Areas of the annotated people in square pixels,
            shape (G,).
        oks_sigmas (np.ndarray): OKS sigmas of the keypoints, shape (K,).

    Returns:
        tuple: Indices of the predicted person, of the annotated person and of
        the keypoint, int (M,) each, and distances in pixels, shape (M,).
    """
    offsets = keypoints[:, None].astype(float) - annotated[None]
    squared = (offsets**2).sum(axis=-1)
    similarity = keypoint_similarity(squared, areas[:, None], oks_sigmas)
    counts = np.maximum(labelled.sum(axis=-1), 1)
    oks = (similarity * labelled).sum(axis=-1) / counts
    rows, columns = linear_sum_assignment(-oks)
    accepted = oks[rows, columns] >= _MATCH_OKS
    rows, columns = rows[accepted], columns[accepted]
    pair, k = np.nonzero(found[rows] & labelled[columns])
    distances = np.sqrt(squared[rows[pair], columns[pair], k])
    return rows[pair], columns[pair], k, distances


def concatenate_errors(parts: Sequence[KeypointErrors]) -> KeypointErrors:
    """Concatenate the keypoints of several images.

    Args:
        parts (Sequence[KeypointErrors]): Keypoints with the same estimates,
            at least one entry.

    Returns:
        KeypointErrors: All keypoints.
    """
    return KeypointErrors(
        np.concatenate([part.errors for part in parts]),
        {
            name: np.concatenate([part.estimates[name] for part in parts])
            for name in parts[0].estimates
        },
        np.concatenate([part.images for part in parts]),
    )


def summarize_order(
    errors: np.ndarray, estimate: np.ndarray
) -> Dict[str, float]:
    """Summarize how an estimate orders errors.

    Args:
        errors (np.ndarray): Errors in pixels, shape (M,).
        estimate (np.ndarray): Estimate, larger for a less certain keypoint,
            shape (M,).

    Returns:
        dict[str, float]: ``rank_correlation`` of Spearman; mean and median
        error of the half with the smaller estimate and of the other half
        (``mean_surest``, ``mean_others``, ``median_surest``,
        ``median_others``); NaN where not defined.
    """
    order = np.argsort(estimate, kind='stable')
    half = len(order) // 2
    surest, others = errors[order[:half]], errors[order[half:]]
    result = dict(rank_correlation=rank_correlation(errors, estimate))
    for name, compute in (('mean', np.mean), ('median', np.median)):
        for part, values in (('surest', surest), ('others', others)):
            value = float(compute(values)) if len(values) else math.nan
            result[f'{name}_{part}'] = value
    return result


def bootstrap_intervals(
    keypoints: KeypointErrors,
    estimate: str,
    num_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Dict[str, Optional[Tuple[float, float]]]:
    """Compute percentile bootstrap intervals over images.

    Keypoints of an image are not independent; so images are resampled.

    Args:
        keypoints (KeypointErrors): Keypoints with errors and estimates.
        estimate (str): Name of the estimate.
        num_resamples (int): Number of resamples. Defaults to 1000.
        seed (int): Seed of the resampling. Defaults to 0.
        level (float): Coverage of the intervals. Defaults to 0.95.

    Returns:
        dict[str, tuple[float, float] | None]: Interval of each value of
        :func:`summarize_order`; None without a finite value.
    """
    rng = np.random.default_rng(seed)
    groups = [
        np.flatnonzero(keypoints.images == image)
        for image in np.unique(keypoints.images)
    ]
    values = keypoints.estimates[estimate]
    resampled: List[Dict[str, float]] = []
    for _ in range(num_resamples if groups else 0):
        chosen = rng.integers(0, len(groups), len(groups))
        rows = np.concatenate([groups[g] for g in chosen])
        resampled.append(summarize_order(keypoints.errors[rows], values[rows]))
    tail = 50 * (1 - level)
    intervals: Dict[str, Optional[Tuple[float, float]]] = {}
    for name in summarize_order(np.zeros(0), np.zeros(0)):
        column = np.array([entry[name] for entry in resampled])
        column = column[np.isfinite(column)]
        intervals[name] = None
        if len(column):
            low, high = np.percentile(column, [tail, 100 - tail])
            intervals[name] = float(low), float(high)
    return intervals
