# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What the head predicts, and how its levels and views become one.

B images, K keypoints, L tag dimensions; sizes of maps are ``(h, w)``.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import torch
from torch import Tensor

from swahr_mmpose.structures import HeadOutput
from swahr_mmpose.utils.tensor_ops import resize

__all__ = ['Maps', 'decoded_size', 'fuse_levels', 'merge_flipped']

Maps = Tuple[Tensor, Tensor]


def decoded_size(
    input_size: Sequence[int], upsample: bool = True
) -> Tuple[Tuple[int, int], float]:
    """The size ``(h, w)`` of maps to find people in, and pixels per cell.

    Args:
        input_size (Sequence[int]): ``(w, h)`` in pixels.
        upsample (bool): Maps as large as the input, as officially; ``False``:
            of half that size, which is that of the finest level, faster and
            a little less accurate (docs/speed.md).
    """
    width, height = int(input_size[0]), int(input_size[1])
    if upsample:
        return (height, width), 1.0
    return (height // 2, width // 2), 2.0


def merge_flipped(
    output: HeadOutput, flipped: HeadOutput, flip_indices: Sequence[int]
) -> HeadOutput:
    """Average the heatmaps of both views, level by level; stack their tags.

    Before anything is enlarged: averages and bilinear interpolation are
    linear, and small maps are cheaper.

    Args:
        output (HeadOutput): Of the image.
        flipped (HeadOutput): Of its mirror image.
        flip_indices (Sequence[int]): The mirror partner of each keypoint.

    Returns:
        HeadOutput: Heatmaps by level, tags (B, 2*K, h, w), no scale maps.
    """
    order = list(flip_indices)
    heatmaps = [
        other[:, order].flip(-1).float().add_(maps).div_(2)
        for maps, other in zip(output.heatmaps, flipped.heatmaps)
    ]
    tags = [output.tags, flipped.tags[:, order].flip(-1)]
    return HeadOutput(heatmaps, torch.cat(tags, dim=1), None)


def fuse_levels(
    output: HeadOutput, size: Sequence[int], levels: Sequence[int] = (0, 1)
) -> Maps:
    """Mean heatmap of the levels, first at the size of the finest one.

    Args:
        output (HeadOutput): Of the head, or of :func:`merge_flipped`.
        size (Sequence[int]): Size ``(H, W)`` of the result.
        levels (Sequence[int]): Whose heatmaps count.

    Returns:
        tuple[Tensor, Tensor]: Heatmaps (B, K, H, W), and the tags as they
        are: whoever needs them reads them between cells
        (:mod:`swahr_mmpose.utils.tensor_ops`).
    """
    available = range(len(output.heatmaps))
    if not levels or any(level not in available for level in levels):
        raise ValueError(
            f'heatmap_levels are {list(levels)}, expected some of '
            f'{list(available)}'
        )
    finest = output.heatmaps[-1].shape[-2:]
    maps = [resize(output.heatmaps[i].float(), finest) for i in levels]
    mean = maps[0]
    if len(maps) > 1:
        mean = sum(maps[2:], maps[0] + maps[1]).div_(len(maps))
    return resize(mean, size), output.tags.float()
