# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Models: pose estimator, HigherHRNet head, SWAHR losses."""

from .heads import HigherHRNetHead
from .losses import PullPushLoss, SWAHRLoss
from .pose_estimator import (
    BottomupPyramidDataPreprocessor,
    BottomupPyramidPoseEstimator,
)

__all__ = [
    'BottomupPyramidDataPreprocessor',
    'BottomupPyramidPoseEstimator',
    'HigherHRNetHead',
    'PullPushLoss',
    'SWAHRLoss',
]
