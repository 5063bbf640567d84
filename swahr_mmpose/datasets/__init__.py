# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Samplers, transforms, dataset checks, custom and synthetic datasets.

Samplers and transforms are imported on use: custom and synthetic datasets
need neither OpenMMLab nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    """Import samplers and transforms on use."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = 'samplers' if name.endswith('Sampler') else 'transforms'
    return getattr(import_module(f'{__name__}.{module}'), name)
