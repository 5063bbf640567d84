# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Public names of the package; importing this module registers them."""

# ruff: noqa: F401

from .checkpoints import PretrainedBackbone
from .codecs import ScaleAwareAssociativeEmbedding
from .datasets.samplers import EqualSizeBatchSampler, SeededSampler
from .datasets.transforms import (
    BottomupGetLossMask,
    BottomupLoadImage,
    BottomupPackInputs,
    BottomupPyramidResize,
    BottomupRandomSquareAffine,
)
from .engine.hooks import (
    BottomupVisualizationHook,
    CheckCheckpointHook,
    CheckLossHook,
    CheckMetricHook,
    CheckPathsHook,
    SafeCheckpointHook,
    ScheduleHook,
)
from .evaluation import BottomupCocoMetric, CrowdPoseMetric
from .models import (
    BottomupPyramidDataPreprocessor,
    BottomupPyramidPoseEstimator,
    HigherHRNetHead,
    PullPushLoss,
    SWAHRLoss,
)
from .structures import HeadOutput
