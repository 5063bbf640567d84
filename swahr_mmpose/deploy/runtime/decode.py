# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decoding of the maps of one image into people.

N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .fusion import enlarge_by_doubling, read_cells
from .grouping import People, fill_missing, group_by_tags
from .metadata import Settings
from .peaks import find_peaks, log_parabola_shift, quarter_shift

__all__ = ['Decoded', 'decode']


class Decoded(NamedTuple):
    """People of one image, in the order of grouping.

    Attributes:
        keypoints: Input pixels, float32, shape (N, K, 2); (0, 0) where one is
            missing.
        keypoint_scores: Keypoint scores, float32, shape (N, K).
        scores: Instance scores, shape (N,), the mean over all K keypoints
            before missing ones are filled in.
        filled: Keypoints that were filled in, bool, shape (N, K).
    """

    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    filled: np.ndarray


def decode(
    heatmaps: np.ndarray, tags: np.ndarray, settings: Settings
) -> Decoded:
    """Decode heatmaps and tags of one image.

    NaN and infinity in heatmaps count as 0. Tags that are not finite match
    no person. The search for missing keypoints is bounded: where it would
    read more than 67 million cells, some are placed at a good cell instead of
    the best one, with a warning.

    Args:
        heatmaps (np.ndarray): float32, shape (K, H, W).
        tags (np.ndarray): float32, shape (L*K, h, w), of the same size or
            smaller.
        settings (Settings): Settings of the model.

    Returns:
        Decoded: People.
    """
    if not heatmaps.max(initial=-np.inf) < np.inf:
        heatmaps = np.nan_to_num(heatmaps, nan=0, posinf=0, neginf=-np.inf)
    size, codec = heatmaps.shape[1:], settings.codec
    tags = tags.reshape(-1, len(heatmaps), *tags.shape[1:])
    candidates = find_peaks(
        heatmaps, codec.keypoint_thr, codec.nms_kernel, codec.topk
    )
    with np.errstate(invalid='ignore', over='ignore'):
        tags = enlarge_by_doubling(tags, size)
        candidate_tags = [
            read_cells(tags[:, k], c.cells[:, 1], c.cells[:, 0], size).T
            for k, c in enumerate(candidates)
        ]
    people = group_by_tags(
        candidates,
        candidate_tags,
        codec.keypoint_order,
        codec.tag_thr,
        codec.topk,
    )
    scores = people.scores.mean(axis=1)
    best = np.argsort(-scores, kind='stable')
    keep = np.sort(best[: codec.max_instances])
    people = People(*(part[keep] for part in people))
    found = people.scores > 0
    if codec.fill_missing:
        people = fill_missing(people, heatmaps, tags, codec.keypoint_thr / 5)
    return Decoded(
        _to_pixels(heatmaps, people, settings),
        people.scores,
        scores[keep],
        (people.scores > 0) & ~found,
    )


def _to_pixels(
    heatmaps: np.ndarray, people: People, settings: Settings
) -> np.ndarray:
    """Refine cells and convert them to input pixels, float32 (N, K, 2)."""
    stride, unbiased = settings.stride, settings.unbiased
    if unbiased:
        # Neighbours at a distance of one cell of the finest level.
        step = max(round(settings.finest_stride / stride), 1)
        shift = log_parabola_shift(heatmaps, people.cells, step)
    else:
        shift = quarter_shift(heatmaps, people.cells)
    cells = people.cells.astype(np.float32) + shift + np.float32(0.5)
    pixels = cells * np.float32(stride) - np.float32(0.5 if unbiased else 0)
    return (pixels * (people.scores > 0)[..., None]).astype(np.float32)
