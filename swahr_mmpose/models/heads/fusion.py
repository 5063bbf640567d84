# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Fusion of heatmap levels and flip-test views for decoding.

B images, K keypoints, L tag dimensions; map sizes are ``(h, w)`` in cells.
Level 0 is the coarsest.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import torch
from torch import Tensor

from swahr_mmpose.structures import HeadOutput
from swahr_mmpose.utils.tensor_ops import resize

__all__ = ['Maps', 'decoded_size', 'fuse_levels', 'merge_flipped']

# Fused heatmaps (B, K, H, W) and tags (B, L*K, h, w).
Maps = Tuple[Tensor, Tensor]


def decoded_size(
    input_size: Sequence[int], upsample: bool, finest_stride: float
) -> Tuple[Tuple[int, int], float]:
    """Get the size and stride of the heatmaps in which people are decoded.

    Args:
        input_size (Sequence[int]): Input size ``(w, h)`` in pixels.
        upsample (bool): Whether to decode at input resolution, as in the
            official implementation. ``False``: at the resolution of the
            finest level, which is faster and slightly less accurate
            (docs/speed.md).
        finest_stride (float): Stride of the finest level in input pixels,
            ``HigherHRNetHead.finest_stride``.

    Returns:
        tuple[tuple[int, int], float]: Size ``(h, w)`` in cells, and stride in
        input pixels per cell.
    """
    stride = 1.0 if upsample else float(finest_stride)
    width, height = input_size
    return (int(height / stride), int(width / stride)), stride


def merge_flipped(
    output: HeadOutput, flipped: HeadOutput, flip_indices: Sequence[int]
) -> HeadOutput:
    """Average heatmaps and concatenate tags of both views of a flip test.

    Heatmaps are averaged per level before resizing: averaging and bilinear
    interpolation are linear, and small maps are cheaper.

    Args:
        output (HeadOutput): Output for the images.
        flipped (HeadOutput): Output for the horizontally flipped images.
        flip_indices (Sequence[int]): Index of the left/right counterpart of
            each keypoint, K of them.

    Returns:
        HeadOutput: Heatmaps (B, K, h, w) per level and tags (B, 2*L*K, h, w)
        in image orientation. Scale maps are averaged like heatmaps, if both
        views have them.
    """
    order = list(flip_indices)
    heatmaps, scale_maps = (
        [
            other[:, order].flip(-1).float().add_(maps).div_(2)
            for maps, other in zip(levels or (), flipped_levels or ())
        ]
        for levels, flipped_levels in (
            (output.heatmaps, flipped.heatmaps),
            (output.scale_maps, flipped.scale_maps),
        )
    )
    groups = range(0, flipped.tags.shape[1], len(order))
    tag_order = [first + k for first in groups for k in order]
    tags = [output.tags, flipped.tags[:, tag_order].flip(-1)]
    return HeadOutput(heatmaps, torch.cat(tags, dim=1), scale_maps or None)


def fuse_levels(
    output: HeadOutput,
    size: Sequence[int],
    levels: Optional[Sequence[int]] = None,
) -> Maps:
    """Average heatmaps over levels at the finest size, then resize.

    Args:
        output (HeadOutput): Output of the head or of :func:`merge_flipped`.
        size (Sequence[int]): Size ``(H, W)`` of the result.
        levels (Sequence[int], optional): Levels to average. Defaults to
            ``None``, all.

    Returns:
        tuple[Tensor, Tensor]: Heatmaps (B, K, H, W), and tags (B, L*K, h, w)
        of level 0, not resized: decoding reads them by bilinear interpolation
        (:func:`swahr_mmpose.utils.tensor_ops.read_maps`).

    Raises:
        ValueError: If ``levels`` is empty or has a level that does not exist.
    """
    available = range(len(output.heatmaps))
    levels = available if levels is None else levels
    if not levels or any(level not in available for level in levels):
        raise ValueError(
            f'heatmap_levels of test_cfg is {list(levels)}, expected one or '
            f'more of {list(available)}'
        )
    finest = output.heatmaps[-1].shape[-2:]
    maps = [resize(output.heatmaps[i].float(), finest) for i in levels]
    mean = maps[0]
    if len(maps) > 1:
        mean = sum(maps[2:], maps[0] + maps[1]).div_(len(maps))
    return resize(mean, size), output.tags.float()
