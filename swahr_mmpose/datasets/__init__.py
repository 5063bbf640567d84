# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Samplers, transforms, dataset checks, custom and synthetic datasets."""

from .samplers import EqualSizeBatchSampler, SeededSampler
from .transforms import (
    BottomupGetLossMask,
    BottomupLoadImage,
    BottomupPackInputs,
    BottomupPyramidResize,
    BottomupRandomSquareAffine,
)

__all__ = [
    'BottomupGetLossMask',
    'BottomupLoadImage',
    'BottomupPackInputs',
    'BottomupPyramidResize',
    'BottomupRandomSquareAffine',
    'EqualSizeBatchSampler',
    'SeededSampler',
]
