# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From the maps of one image to its people, in cells.

B images, K keypoints, L tag dimensions, H x W cells.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import numpy as np
from torch import Tensor

from . import grouping, peaks
from .block_max import Runs
from .missing_keypoints import fill_missing_keypoints

__all__ = ['people_of_image', 'split_tags']


def split_tags(
    heatmaps: Tensor, tags: Tensor, keypoint_order: Sequence[int]
) -> Tensor:
    """Tag maps by dimension and keypoint, checked.

    Args:
        heatmaps (Tensor): Shape (B, K, H, W).
        tags (Tensor): Shape (B, L*K, h, w), not larger.
        keypoint_order (Sequence[int]): K keypoints.

    Returns:
        Tensor: A view, (B, L, K, h, w).
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
            f'tags of shape {tuple(tags.shape)} do not go with heatmaps of '
            f'shape {tuple(heatmaps.shape)}; expected (B, L*K, H, W), or '
            'smaller maps'
        )
    return tags.unflatten(1, (-1, num_keypoints))


def people_of_image(
    heatmaps: Tensor,
    tags: Tensor,
    found: peaks.Candidates,
    *,
    max_people: Optional[int] = None,
    runs: Optional[Runs] = None,
    **options: Any,
) -> Tuple[grouping.People, np.ndarray]:
    """Group candidates, keep the best people, fill in what they miss.

    Args:
        heatmaps (Tensor): Shape (K, H, W).
        tags (Tensor): Shape (L, K, h, w), not larger.
        found (Candidates): Of this image.
        max_people (int, optional): Keep those with the best scores, in the
            order in which they were found. ``None``: all.
        runs (Runs, optional): Of these heatmaps, where they are known.
        options: Of :func:`swahr_mmpose.codecs.grouping.group_by_tags`.

    Returns:
        tuple[People, np.ndarray]: People, and their scores (N,): the mean
        over all K keypoints before missing ones are filled in.
    """
    y, x = np.divmod(found.indices.cpu().numpy(), heatmaps.shape[2])
    people = grouping.group_by_tags(
        found.scores.cpu().numpy(),
        np.stack([x, y], axis=-1),
        found.tags.cpu().numpy(),
        **options,
    )
    scores = people.scores.mean(axis=1)
    best = np.argsort(-scores, kind='stable')
    keep = np.sort(best[:max_people])
    people = grouping.People(*(part[keep] for part in people))
    people = fill_missing_keypoints(people, heatmaps, tags, runs)
    return people, scores[keep]
