# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From the maps of one image to people in pixels of the input.

N people, K keypoints, L tag dimensions, H x W cells.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from .fusion import doubled, read
from .grouping import People, fill_missing, group_by_tags
from .metadata import Settings
from .peaks import find_peaks, log_parabola_shift, quarter_shift

__all__ = ['decode']

Decoded = Tuple[np.ndarray, np.ndarray, np.ndarray]


def decode(
    heatmaps: np.ndarray, tags: np.ndarray, settings: Settings
) -> Decoded:
    """Find the people of one image.

    In heatmaps NaN and infinity count as 0; such a tag fits nobody.

    Args:
        heatmaps (np.ndarray): float32 (K, H, W).
        tags (np.ndarray): float32 (L*K, h, w), smaller or as large.
        settings (Settings): Of the model.

    Returns:
        tuple: Keypoints float32 (N, K, 2) in pixels of the input, (0, 0)
        where one is missing, their scores (N, K), and scores of people (N,):
        the mean over all K before missing keypoints are filled in.
    """
    if not heatmaps.max(initial=-np.inf) < np.inf:
        heatmaps = np.nan_to_num(heatmaps, nan=0, posinf=0, neginf=-np.inf)
    size, codec = heatmaps.shape[1:], settings.codec
    with np.errstate(invalid='ignore', over='ignore'):
        tags = doubled(tags.reshape(-1, *_maps_shape(heatmaps, tags)), size)
    found = find_peaks(
        heatmaps, codec.keypoint_thr, codec.nms_kernel, codec.topk
    )
    with np.errstate(invalid='ignore', over='ignore'):
        own = [
            read(tags[:, k], c.cells[:, 1], c.cells[:, 0], size).T
            for k, c in enumerate(found)
        ]
    people = group_by_tags(
        found, own, codec.keypoint_order, codec.tag_thr, codec.topk
    )
    scores = people.scores.mean(axis=1)
    best = np.argsort(-scores, kind='stable')
    keep = np.sort(best[: codec.max_instances])
    people = People(*(part[keep] for part in people))
    people = fill_missing(people, heatmaps, tags, codec.keypoint_thr / 5)
    keypoints = _to_pixels(heatmaps, people, settings)
    return keypoints, people.scores, scores[keep]


def _maps_shape(
    heatmaps: np.ndarray, tags: np.ndarray
) -> Tuple[int, int, int]:
    return len(heatmaps), tags.shape[1], tags.shape[2]


def _to_pixels(
    heatmaps: np.ndarray, people: People, settings: Settings
) -> np.ndarray:
    stride, unbiased = settings.stride, settings.unbiased
    if unbiased:
        # Neighbours one cell of the finest level away.
        step = max(round(settings.finest_stride / stride), 1)
        shift = log_parabola_shift(heatmaps, people.cells, step)
    else:
        shift = quarter_shift(heatmaps, people.cells)
    cells = people.cells.astype(np.float32) + shift + np.float32(0.5)
    pixels = cells * np.float32(stride) - np.float32(0.5 if unbiased else 0)
    return (pixels * (people.scores > 0)[..., None]).astype(np.float32)
