# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decode the maps of one image into people, in heatmap cells.

B images, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np
from torch import Tensor

from . import grouping, peaks
from .block_max import BlockMax
from .missing_keypoints import fill_missing_keypoints

__all__ = ['decode_image', 'split_tags']


def split_tags(
    heatmaps: Tensor, tags: Tensor, keypoint_order: Sequence[int]
) -> Tensor:
    """Check the shapes of the maps and split the tag channels.

    Args:
        heatmaps (Tensor): Shape (B, K, H, W).
        tags (Tensor): Shape (B, L*K, h, w), L groups of K channels, with
            h <= H and w <= W.
        keypoint_order (Sequence[int]): Grouping order, K keypoints.

    Returns:
        Tensor: View of the tags, shape (B, L, K, h, w).

    Raises:
        ValueError: If the order does not have K entries, or the tags have
            another number of channels or are larger than the heatmaps.
    """
    num_keypoints = heatmaps.shape[1]
    if len(keypoint_order) != num_keypoints:
        raise ValueError(
            f'decode_keypoint_order has {len(keypoint_order)} entries, but '
            f'the heatmaps have {num_keypoints} keypoints; set it in the codec'
        )
    larger = any(a > b for a, b in zip(tags.shape[2:], heatmaps.shape[2:]))
    if tags.shape[1] % num_keypoints or larger:
        raise ValueError(
            f'tags of shape {tuple(tags.shape)} do not match heatmaps of '
            f'shape {tuple(heatmaps.shape)}; expected (B, L*K, h, w) with '
            'h <= H and w <= W'
        )
    return tags.unflatten(1, (-1, num_keypoints))


def decode_image(
    heatmaps: Tensor,
    tags: Tensor,
    candidates: peaks.Candidates,
    blocks: BlockMax,
    *,
    max_people: Optional[int],
    **options: Any,
) -> Tuple[grouping.People, np.ndarray]:
    """Group candidates, keep the best people, fill missing keypoints.

    Args:
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w), with h <= H and w <= W.
        candidates (Candidates): Peaks of this image: scores (K, M), indices
            (K, M) and tags (K, M, L).
        blocks (BlockMax): Block-max index of the heatmaps.
        max_people (int, optional): Number of people to keep, by instance
            score; they stay in the order of grouping. ``None``: all.
        options (Any): Keyword arguments of :func:`.grouping.group_by_tags`.

    Returns:
        tuple[People, np.ndarray]: People in cells, and instance scores (N,):
        the mean over all K keypoint scores before missing ones are filled.
    """
    y, x = np.divmod(candidates.indices.cpu().numpy(), heatmaps.shape[2])
    people = grouping.group_by_tags(
        candidates.scores.cpu().numpy(),
        np.stack([x, y], axis=-1),
        candidates.tags.cpu().numpy(),
        **options,
    )
    scores = people.scores.mean(axis=1)
    best = np.argsort(-scores, kind='stable')
    keep = np.sort(best[:max_people])
    people = grouping.People(*(array[keep] for array in people))
    people = fill_missing_keypoints(people, heatmaps, tags, blocks)
    return people, scores[keep]
