# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decoding on a CPU: only blocks above a threshold are read.

B images, N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import List

import numpy as np
import torch
from torch import Tensor

from . import block_max, peaks
from .block_max import BlockMax
from .grouping import DecodedImage, DecodeOptions, group_image
from .missing_keypoints import fill_missing_keypoints

__all__ = ['decode_pruned']


def decode_pruned(
    heatmaps: Tensor, tags: Tensor, options: DecodeOptions
) -> List[DecodedImage]:
    """Decode maps, one image after the other.

    Args:
        heatmaps (Tensor): float32, shape (B, K, H, W).
        tags (Tensor): float32, shape (B, L, K, h, w), with h <= H and
            w <= W.
        options (DecodeOptions): Options.

    Returns:
        list[DecodedImage]: People of each image, in cells.
    """
    heatmaps, blocks = block_max.index_finite(heatmaps, options.low_threshold)
    candidates = peaks.find_candidates(
        heatmaps,
        tags,
        blocks,
        threshold=options.keypoint_threshold,
        kernel=options.nms_kernel,
        topk=options.topk,
    )
    return [
        _decode_image(
            heatmaps[b],
            tags[b],
            peaks.Candidates(*(t[b] for t in candidates)),
            blocks.select_part(b, len(heatmaps)),
            options,
        )
        for b in range(len(heatmaps))
    ]


def _decode_image(
    heatmaps: Tensor,
    tags: Tensor,
    candidates: peaks.Candidates,
    blocks: BlockMax,
    options: DecodeOptions,
) -> DecodedImage:
    """Group candidates, keep the best people, fill missing keypoints.

    Args:
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w), with h <= H and w <= W.
        candidates (Candidates): Peaks of this image: scores (K, M), indices
            (K, M) and tags (K, M, L).
        blocks (BlockMax): Block-max index of the heatmaps.
        options (DecodeOptions): Options.

    Returns:
        DecodedImage: People, in cells.
    """
    y, x = np.divmod(candidates.indices.numpy(), heatmaps.shape[2])
    people, instance_scores = group_image(
        candidates.scores.numpy(),
        np.stack([x, y], axis=-1),
        candidates.tags.numpy(),
        options,
    )
    missing = ~(people.scores > 0)
    if options.fill_missing:
        people = fill_missing_keypoints(people, heatmaps, tags, blocks)
    cells = torch.from_numpy(people.cells)
    keypoints = torch.arange(len(heatmaps))
    step = options.parabola_step
    values = peaks.read_neighbours(heatmaps, keypoints, cells, step or 1)
    shifts = peaks.refine_cells(values, cells, heatmaps.shape[1:], step)
    filled = missing & (people.scores > 0)
    return DecodedImage(people, instance_scores, filled, shifts.numpy())
