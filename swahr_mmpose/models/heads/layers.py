# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What the head is made of."""

from __future__ import annotations

from typing import Optional, Sequence

from mmpose.models.backbones.resnet import BasicBlock
from torch import nn

__all__ = [
    'deconvolution',
    'dilated_basic_block',
    'one_per_block',
    'scale_branch',
]


def dilated_basic_block(channels: int, dilation: int = 1) -> BasicBlock:
    """A residual block, both of whose convolutions are dilated (Table 7).

    MMPose's ``dilation`` is that of the first convolution alone.

    Args:
        channels (int): In and out.
        dilation (int): 1 for none.

    Returns:
        BasicBlock: Of MMPose, names and shapes of weights unchanged.
    """
    block = BasicBlock(channels, channels, dilation=dilation)
    block.conv2.dilation = (dilation, dilation)
    block.conv2.padding = (dilation, dilation)
    return block


def deconvolution(
    inputs: int, outputs: int, dilations: Sequence[int]
) -> nn.Sequential:
    """Twice the size: a transposed convolution, then residual blocks.

    Args:
        inputs (int): Channels in.
        outputs (int): Channels out.
        dilations (Sequence[int]): One for each block.

    Returns:
        nn.Sequential: Named as in published checkpoints.
    """
    up = nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, 2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
    blocks = (dilated_basic_block(outputs, d) for d in dilations)
    return nn.Sequential(up, *(nn.Sequential(block) for block in blocks))


def scale_branch(in_channels: int, num_keypoints: int) -> nn.Sequential:
    """Section 3.5: its wide kernel makes s smooth within a Gaussian.

    Args:
        in_channels (int): Channels in.
        num_keypoints (int): Scale maps out, alpha = 1 / s - 1.

    Returns:
        nn.Sequential: Named as in published checkpoints.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, num_keypoints, 1),
        nn.BatchNorm2d(num_keypoints),
        nn.ReLU(inplace=True),
        nn.Conv2d(
            num_keypoints, num_keypoints, 9, padding=4, groups=num_keypoints
        ),
    )


def one_per_block(
    dilations: Optional[Sequence[int]], blocks: int
) -> Sequence[int]:
    """A dilation for each block, 1 where none are given."""
    dilations = [1] * blocks if dilations is None else dilations
    if len(dilations) != blocks:
        raise ValueError(
            f'dilations are {list(dilations)}, expected one for each of '
            f'num_basic_blocks={blocks}'
        )
    return dilations
