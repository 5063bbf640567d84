# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A seeded data set of drawn people: the quick start's, and the tests'."""

from .dataset import FORMAT_VERSION, is_complete, make_synthetic_dataset
from .kinds import KINDS
from .records import KEYPOINT_NAMES
from .settings import SyntheticConfig

__all__ = [
    'FORMAT_VERSION',
    'KEYPOINT_NAMES',
    'KINDS',
    'SyntheticConfig',
    'is_complete',
    'make_synthetic_dataset',
]
