# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Transforms of the bottom-up pipeline: loading, geometry, masks, packing."""

from .bottomup_transforms import (
    BottomupGetLossMask,
    BottomupPyramidResize,
    BottomupRandomSquareAffine,
)
from .formatting import BottomupPackInputs
from .loading import BottomupLoadImage

__all__ = [
    'BottomupGetLossMask',
    'BottomupLoadImage',
    'BottomupPackInputs',
    'BottomupPyramidResize',
    'BottomupRandomSquareAffine',
]
