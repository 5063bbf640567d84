# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What the head predicts, and how its levels and views become one.

B images, K keypoints, L tag dimensions; sizes of maps are ``(h, w)``.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['HeadOutput', 'Maps', 'fuse_levels', 'merge_flipped', 'resize']

Maps = Tuple[Tensor, Tensor]


class HeadOutput(NamedTuple):
    """What the network predicts, by level, coarse to fine.

    ``heatmaps`` are two tensors (B, K, h, w); ``tags`` (B, K, h, w) are of
    level 0 alone; ``scale_maps`` are two tensors like the heatmaps, holding
    ``alpha = 1 / s - 1``, or None.
    """

    heatmaps: List[Tensor]
    tags: Tensor
    scale_maps: Optional[List[Tensor]]


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, ``align_corners=False``, to ``size = (h, w)``."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(
        maps, size=tuple(size), mode='bilinear', align_corners=False
    )


def fuse_levels(output: HeadOutput, levels: Sequence[int] = (0, 1)) -> Maps:
    """Mean heatmap of the levels, and tags, at the size of level 1.

    Args:
        output (HeadOutput): Of the head.
        levels (Sequence[int]): Whose heatmaps count.

    Returns:
        tuple[Tensor, Tensor]: Heatmaps and tags, each (B, K, H/2, W/2).
    """
    available = range(len(output.heatmaps))
    if not levels or any(level not in available for level in levels):
        raise ValueError(
            f'heatmap_levels are {list(levels)}, expected some of '
            f'{list(available)}'
        )
    size = output.heatmaps[-1].shape[-2:]
    maps = [resize(output.heatmaps[i].float(), size) for i in levels]
    return sum(maps[1:], maps[0]) / len(maps), resize(
        output.tags.float(), size
    )


def merge_flipped(
    maps: Maps, flipped: Maps, flip_indices: Sequence[int]
) -> Maps:
    """Average the heatmaps of both views; stack their tags.

    Args:
        maps (tuple[Tensor, Tensor]): Of the image, each (B, K, H, W).
        flipped (tuple[Tensor, Tensor]): Of its mirror image.
        flip_indices (Sequence[int]): The mirror partner of each keypoint.

    Returns:
        tuple[Tensor, Tensor]: Heatmaps (B, K, H, W), tags (B, 2*K, H, W).
    """
    order = list(flip_indices)
    heatmaps, tags = (m.flip(-1)[:, order] for m in flipped)
    return (maps[0] + heatmaps) / 2, torch.cat([maps[1], tags], dim=1)
