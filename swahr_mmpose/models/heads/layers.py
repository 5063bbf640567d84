# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Layers of the HigherHRNet head."""

from __future__ import annotations

from typing import Optional, Sequence

from mmpose.models.backbones.resnet import BasicBlock
from torch import nn

__all__ = [
    'expand_dilations',
    'make_deconv_stage',
    'make_dilated_block',
    'make_scale_branch',
]


def make_dilated_block(channels: int, dilation: int = 1) -> BasicBlock:
    """Make a residual block with two dilated convolutions (Table 7).

    MMPose's argument ``dilation`` dilates the first convolution only.

    Args:
        channels (int): Input and output channels.
        dilation (int): Dilation of both convolutions. Defaults to 1.

    Returns:
        BasicBlock: Block of MMPose; names and shapes of parameters do not
        depend on the dilation.
    """
    block = BasicBlock(channels, channels, dilation=dilation)
    block.conv2.dilation = (dilation, dilation)
    block.conv2.padding = (dilation, dilation)
    return block


def make_deconv_stage(
    in_channels: int, out_channels: int, dilations: Sequence[int]
) -> nn.Sequential:
    """Make a transposed convolution of stride 2 and residual blocks.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        dilations (Sequence[int]): Dilations of the residual blocks, one per
            block.

    Returns:
        nn.Sequential: Stage with the parameter names of published
        checkpoints.
    """
    up = nn.Sequential(
        nn.ConvTranspose2d(
            in_channels, out_channels, 4, 2, padding=1, bias=False
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
    blocks = (make_dilated_block(out_channels, d) for d in dilations)
    return nn.Sequential(up, *(nn.Sequential(block) for block in blocks))


def make_scale_branch(in_channels: int, num_keypoints: int) -> nn.Sequential:
    """Make the scale branch of one level (SWAHR, Section 3.5).

    The 9x9 depth-wise convolution keeps s smooth within a Gaussian.

    Args:
        in_channels (int): Input channels.
        num_keypoints (int): K, number of scale maps alpha = 1 / s - 1.

    Returns:
        nn.Sequential: Branch with the parameter names of published
        checkpoints.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, num_keypoints, 1),
        nn.BatchNorm2d(num_keypoints),
        nn.ReLU(inplace=True),
        nn.Conv2d(
            num_keypoints, num_keypoints, 9, padding=4, groups=num_keypoints
        ),
    )


def expand_dilations(
    dilations: Optional[Sequence[int]], num_blocks: int
) -> Sequence[int]:
    """Get one dilation per residual block.

    Args:
        dilations (Sequence[int], optional): Dilations; ``None``: 1.
        num_blocks (int): Number of residual blocks per stage.

    Returns:
        Sequence[int]: Dilations, ``num_blocks`` of them.

    Raises:
        ValueError: If their number is not ``num_blocks``.
    """
    if dilations is None:
        return [1] * num_blocks
    if len(dilations) != num_blocks:
        raise ValueError(
            f'got {len(dilations)} dilations {list(dilations)}, expected one '
            f'per residual block (num_basic_blocks={num_blocks}); change '
            'either in the head'
        )
    return dilations
