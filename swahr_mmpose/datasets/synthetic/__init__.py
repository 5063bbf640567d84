# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Seeded synthetic datasets, for the quick start and for tests."""

from .coco_records import KEYPOINT_NAMES
from .config import KINDS, SyntheticConfig
from .dataset import FORMAT_VERSION, is_complete, make_synthetic_dataset

__all__ = [
    'FORMAT_VERSION',
    'KEYPOINT_NAMES',
    'KINDS',
    'SyntheticConfig',
    'is_complete',
    'make_synthetic_dataset',
]
