# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Kinds of keypoint errors of multi-person pose estimation.

The taxonomy of "Benchmarking and Error Diagnosis in Multi-Instance Pose
Estimation" (Ronchi and Perona, ICCV 2017): each labelled keypoint of a matched
person is good, or an error of one of four kinds, by its keypoint similarity
(the summand of OKS) to all annotated keypoints.

G annotated people of an image, K keypoints.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

__all__ = [
    'ERROR_KINDS',
    'People',
    'classify_keypoints',
    'count_errors',
    'keypoint_similarity',
]

ERROR_KINDS = ('good', 'jitter', 'inversion', 'swap', 'miss')
_GOOD, _JITTER, _INVERSION, _SWAP, _MISS = range(5)
# Similarities that separate good from jitter, and jitter from other errors
# (Section 3 of the paper).
_GOOD_SIMILARITY, _NEAR_SIMILARITY = 0.85, 0.5


class People(NamedTuple):
    """Annotated people of an image.

    Attributes:
        keypoints (np.ndarray): Pixels, shape (G, K, 2).
        labelled (np.ndarray): Whether a keypoint is labelled, bool (G, K).
        areas (np.ndarray): Areas in square pixels, shape (G,).
    """

    keypoints: np.ndarray
    labelled: np.ndarray
    areas: np.ndarray


def keypoint_similarity(
    squared_distances: np.ndarray, areas: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Compute ``exp(-d^2 / (2 area (2 sigma)^2))``, the summand of OKS.

    Args:
        squared_distances (np.ndarray): Square pixels, shape (..., K).
        areas (np.ndarray): Areas of the annotated people in square pixels,
            broadcast to the distances.
        sigmas (np.ndarray): OKS sigmas of the keypoints, shape (K,).

    Returns:
        np.ndarray: Similarities from 0 to 1, shape (..., K).
    """
    variances = (2 * np.asarray(sigmas)) ** 2
    return np.exp(
        -squared_distances / (2 * variances * (areas + np.spacing(1)))
    )


def classify_keypoints(
    detection: np.ndarray,
    people: People,
    person: int,
    sigmas: np.ndarray,
    flip_indices: Sequence[int],
) -> np.ndarray:
    """Classify the keypoints of a detection that is matched to a person.

    A keypoint is ``good`` at a similarity of .85 or more to its own
    annotation, and ``jitter`` at .5 or more. Otherwise it is an
    ``inversion`` if its left/right counterpart of the same person is at .5 or
    more, a ``swap`` if the same keypoint or its counterpart of another person
    is, and else a ``miss``.

    Args:
        detection (np.ndarray): Pixels, shape (K, 2).
        people (People): Annotated people of the image.
        person (int): Index of the matched person.
        sigmas (np.ndarray): OKS sigmas, shape (K,).
        flip_indices (Sequence[int]): Index of the left/right counterpart of
            each keypoint.

    Returns:
        np.ndarray: Indices into :data:`ERROR_KINDS`, int64 (K,), and -1 for
        keypoints of the person that are not labelled.
    """
    same, mirrored = (
        _compare(detection, people, sigmas, order)
        for order in (np.arange(len(sigmas)), np.asarray(flip_indices))
    )
    others = np.arange(len(people.areas)) != person
    of_others = np.maximum(same, mirrored)[others].max(axis=0, initial=0)
    kinds = np.select(
        [
            same[person] >= _GOOD_SIMILARITY,
            same[person] >= _NEAR_SIMILARITY,
            mirrored[person] >= _NEAR_SIMILARITY,
            of_others >= _NEAR_SIMILARITY,
        ],
        [_GOOD, _JITTER, _INVERSION, _SWAP],
        _MISS,
    )
    return np.where(people.labelled[person], kinds, -1)


def _compare(
    detection: np.ndarray,
    people: People,
    sigmas: np.ndarray,
    order: np.ndarray,
) -> np.ndarray:
    """Compute similarities of detected keypoints to reordered annotations.

    Args:
        detection (np.ndarray): Pixels, shape (K, 2).
        people (People): Annotated people.
        sigmas (np.ndarray): OKS sigmas, shape (K,).
        order (np.ndarray): Annotated keypoint to compare each detected
            keypoint with, int (K,).

    Returns:
        np.ndarray: Similarities, shape (G, K), 0 where not labelled.
    """
    offsets = people.keypoints[:, order] - detection
    similarity = keypoint_similarity(
        (offsets**2).sum(axis=2), people.areas[:, None], sigmas[order]
    )
    return similarity * people.labelled[:, order]


def count_errors(
    matches: Sequence[Tuple[np.ndarray, People, int]],
    sigmas: np.ndarray,
    flip_indices: Optional[Sequence[int]] = None,
) -> np.ndarray:
    """Count the kinds of errors of all matched people.

    Args:
        matches (Sequence[tuple]): Detection (K, 2), people of its image, and
            index of the matched person; arguments of
            :func:`classify_keypoints`.
        sigmas (np.ndarray): OKS sigmas, shape (K,).
        flip_indices (Sequence[int], optional): Left/right counterparts.
            Defaults to ``None``, no counterparts.

    Returns:
        np.ndarray: Counts by keypoint and kind, int64 (K, 5).
    """
    sigmas = np.asarray(sigmas, float)
    order = range(len(sigmas)) if flip_indices is None else flip_indices
    counts = np.zeros((len(sigmas), len(ERROR_KINDS)), int)
    for detection, people, person in matches:
        kinds = classify_keypoints(detection, people, person, sigmas, order)
        labelled = np.flatnonzero(kinds >= 0)
        counts[labelled, kinds[labelled]] += 1
    return counts
