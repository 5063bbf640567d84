# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR and HigherHRNet for MMPose 1.x.

Importing the package registers its parts in MMPose's registries and does
nothing else::

    custom_imports = dict(imports=['swahr_mmpose'], allow_failed_imports=False)
"""

from . import compat

compat.apply()

from .batches import EqualSizeBatchSampler  # noqa: E402
from .codec import ScaleAwareAssociativeEmbedding  # noqa: E402
from .estimator import (  # noqa: E402
    BottomupPyramidDataPreprocessor,
    BottomupPyramidPoseEstimator,
)
from .fusion import HeadOutput  # noqa: E402
from .head import HigherHRNetHead  # noqa: E402
from .hooks import CheckCheckpointHook, CheckLossHook, CheckPathsHook  # noqa: E402
from .initializers import PretrainedBackbone  # noqa: E402
from .losses import SWAHRLoss  # noqa: E402
from .metrics import CrowdPoseMetric  # noqa: E402
from .safe_checkpoints import SafeCheckpointHook  # noqa: E402
from .samples import BottomupLoadImage, BottomupPackInputs  # noqa: E402
from .seeding import SeededSampler  # noqa: E402
from .tag_loss import PullPushLoss  # noqa: E402
from .transforms import (  # noqa: E402
    BottomupGetLossMask,
    BottomupPyramidResize,
    BottomupRandomSquareAffine,
)
from .visualization_hook import BottomupVisualizationHook  # noqa: E402

__version__ = '0.1.0'

__all__ = [
    'BottomupGetLossMask',
    'BottomupLoadImage',
    'BottomupPackInputs',
    'BottomupPyramidDataPreprocessor',
    'BottomupPyramidPoseEstimator',
    'BottomupPyramidResize',
    'BottomupRandomSquareAffine',
    'BottomupVisualizationHook',
    'CheckCheckpointHook',
    'CheckLossHook',
    'CheckPathsHook',
    'CrowdPoseMetric',
    'EqualSizeBatchSampler',
    'HeadOutput',
    'HigherHRNetHead',
    'PretrainedBackbone',
    'PullPushLoss',
    'SWAHRLoss',
    'SafeCheckpointHook',
    'ScaleAwareAssociativeEmbedding',
    'SeededSampler',
    '__version__',
]
