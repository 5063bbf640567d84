# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Position errors of found keypoints, and false peaks of heatmaps.

AP mixes detection, grouping and localization. These numbers separate them:
how many labelled keypoints are found, how far from their annotation (jitter),
and how many peaks of the heatmaps belong to no keypoint.

P detected people and G annotated people of an image, K keypoints. Coordinates
are in image pixels.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

import numpy as np
from scipy.ndimage import maximum_filter

from .error_analysis import People, keypoint_similarity

__all__ = [
    'ImageLocalization',
    'find_false_peaks',
    'find_keypoints',
    'find_map_peaks',
    'match_people',
    'summarize_localization',
]

MATCHED = 0.5  # minimum OKS of a match, and similarity of a found keypoint


class ImageLocalization(NamedTuple):
    """Keypoints and peaks of an image.

    Attributes:
        errors (np.ndarray): Distances of the M found keypoints to their
            annotations in px, shape (M,).
        sizes (np.ndarray): Square roots of the areas of their people in px,
            shape (M,).
        scores (np.ndarray): Their scores, shape (M,).
        num_labelled (int): Number of labelled keypoints.
        false_peaks (np.ndarray): Heights of peaks without a keypoint, shape
            (F,).
    """

    errors: np.ndarray
    sizes: np.ndarray
    scores: np.ndarray
    num_labelled: int
    false_peaks: np.ndarray


def match_people(
    keypoints: np.ndarray,
    scores: np.ndarray,
    people: People,
    sigmas: np.ndarray,
) -> List[Tuple[int, int]]:
    """Match detected to annotated people by OKS, the best score first.

    Args:
        keypoints (np.ndarray): Detected keypoints, shape (P, K, 2).
        scores (np.ndarray): Instance scores, shape (P,).
        people (People): Annotated people.
        sigmas (np.ndarray): OKS sigmas, shape (K,).

    Returns:
        list[tuple[int, int]]: Pairs of a detected and an annotated person,
        with an OKS of at least 0.5.
    """
    labelled = people.labelled.astype(float)
    free = labelled.sum(axis=1) > 0
    pairs = []
    for p in np.argsort(-np.asarray(scores), kind='stable').tolist():
        similarity = _compare(keypoints[p], people, sigmas)
        oks = (similarity * labelled).sum(1) / np.maximum(labelled.sum(1), 1)
        oks = np.where(free, oks, -1)
        if len(oks) and oks.max() >= MATCHED:
            g = int(oks.argmax())
            free[g] = False
            pairs.append((p, g))
    return pairs


def _compare(
    detection: np.ndarray, people: People, sigmas: np.ndarray
) -> np.ndarray:
    """Compute the similarities (G, K) of keypoints (K, 2) to annotations."""
    squared = ((detection - people.keypoints) ** 2).sum(axis=-1)
    return keypoint_similarity(squared, people.areas[:, None], sigmas)


def find_keypoints(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    people: People,
    sigmas: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the labelled keypoints that a matched detection has.

    A keypoint is found if its similarity, the summand of OKS, is at least
    0.5.

    Args:
        keypoints (np.ndarray): Detected keypoints, shape (P, K, 2).
        keypoint_scores (np.ndarray): Their scores, shape (P, K).
        scores (np.ndarray): Instance scores, shape (P,).
        people (People): Annotated people.
        sigmas (np.ndarray): OKS sigmas, shape (K,).

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Distances in px, square
        roots of the areas of the people in px, and keypoint scores, shape
        (M,) each.
    """
    found: List[Tuple[np.ndarray, ...]] = [(np.zeros(0),) * 3]
    for p, g in match_people(keypoints, scores, people, sigmas):
        near = _compare(keypoints[p], people, sigmas)[g] >= MATCHED
        near &= people.labelled[g]
        offsets = keypoints[p, near] - people.keypoints[g, near]
        size = np.full(near.sum(), np.sqrt(people.areas[g]))
        errors = np.linalg.norm(offsets, axis=1)
        found.append((errors, size, keypoint_scores[p, near]))
    errors, sizes, heights = (np.concatenate(part) for part in zip(*found))
    return errors, sizes, heights


def find_map_peaks(
    heatmaps: np.ndarray, threshold: float, kernel: int = 5
) -> Tuple[np.ndarray, np.ndarray]:
    """Find local maxima of heatmaps above a threshold.

    Args:
        heatmaps (np.ndarray): Heatmaps, shape (K, h, w).
        threshold (float): Height that a peak must exceed.
        kernel (int): Side of the window of a maximum in cells. Defaults to 5.

    Returns:
        tuple[np.ndarray, np.ndarray]: Keypoint, x and y of the peaks in
        cells, int64 (F, 3), and their heights, shape (F,).
    """
    largest = maximum_filter(heatmaps, size=(1, kernel, kernel))
    k, y, x = np.nonzero((heatmaps == largest) & (heatmaps > threshold))
    return np.stack([k, x, y], axis=1), heatmaps[k, y, x]


def find_false_peaks(
    peaks: np.ndarray,
    keypoints: np.ndarray,
    people: People,
    ignored: np.ndarray,
    sigmas: np.ndarray,
    reach: float,
) -> np.ndarray:
    """Find the peaks that belong to no labelled keypoint.

    Peaks in ignored regions are neither true nor false. A peak belongs to a
    keypoint of its heatmap that is at most ``reach`` pixels away, or whose
    similarity is at least 0.5.

    Args:
        peaks (np.ndarray): Peaks ``(x, y)`` in px, shape (F, 2).
        keypoints (np.ndarray): Keypoint of the heatmap of each peak, shape
            (F,).
        people (People): Annotated people.
        ignored (np.ndarray): Mask of crowds and unlabelled people, bool
            (H, W).
        sigmas (np.ndarray): OKS sigmas, shape (K,).
        reach (float): Distance in px.

    Returns:
        np.ndarray: bool (F,), True for false peaks.
    """
    last = np.array(ignored.shape[::-1]) - 1
    x, y = np.clip(np.rint(peaks).astype(int), 0, last).T
    false = ~ignored[y, x]
    offsets = peaks[:, None] - people.keypoints[:, keypoints].transpose(
        1, 0, 2
    )
    squared = (offsets**2).sum(axis=-1)  # (F, G)
    similar = keypoint_similarity(
        squared, people.areas, np.asarray(sigmas)[keypoints][:, None]
    )
    near = (squared <= reach**2) | (similar >= MATCHED)
    near &= people.labelled[:, keypoints].T
    return false & ~near.any(axis=1)


def summarize_localization(
    images: List[ImageLocalization], large: float = 96.0
) -> Dict[str, float]:
    """Summarize the images of a dataset.

    Args:
        images (list[ImageLocalization]): Measurements, at least one image.
        large (float): Square root of the area in px from which a person is
            large. Defaults to 96, as in COCO.

    Returns:
        dict[str, float]: ``found`` (share of the labelled keypoints),
        ``jitter`` (mean distance of found keypoints in px), ``jitter (M)``
        (of people that are not large) and ``jitter (L)`` (of large ones),
        ``peak_height`` (median score of found keypoints), ``false_peaks``
        (per image) and ``strong_false_peaks`` (those above half of
        ``peak_height``, per image).
    """
    errors, sizes, scores = (
        np.concatenate([getattr(image, name) for image in images])
        for name in ('errors', 'sizes', 'scores')
    )
    heights = np.concatenate([image.false_peaks for image in images])
    middle = float(np.median(scores)) if len(scores) else 0.0
    is_large = sizes >= large
    return {
        'found': len(errors) / max(sum(i.num_labelled for i in images), 1),
        'jitter': _average(errors),
        'jitter (M)': _average(errors[~is_large]),
        'jitter (L)': _average(errors[is_large]),
        'peak_height': middle,
        'false_peaks': len(heights) / len(images),
        'strong_false_peaks': float((heights > middle / 2).sum())
        / len(images),
    }


def _average(values: np.ndarray) -> float:
    """Average values; NaN without any, and without a warning."""
    return float(values.mean()) if len(values) else float('nan')
