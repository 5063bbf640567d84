# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR and HigherHRNet for MMPose 1.x.

Importing the package applies the patches of :mod:`swahr_mmpose.compat` and
registers codecs, models, transforms, metrics, samplers and hooks in MMPose's
registries. In a config::

    custom_imports = dict(imports=['swahr_mmpose'], allow_failed_imports=False)
"""

import os.path as _osp
import sys as _sys

__version__ = '0.1.0'


def _is_doctor() -> bool:
    """Whether this process is ``swahr doctor``.

    ``swahr doctor`` must run where the imports below fail.
    """
    program = _osp.basename(_sys.argv[0]) if _sys.argv else ''
    return program in ('-m', 'swahr', 'swahr.exe') and (
        _sys.argv[1:2] == ['doctor']
    )


if not _is_doctor():
    from . import compat

    compat.apply()

    from .checkpoints import PretrainedBackbone
    from .codecs import ScaleAwareAssociativeEmbedding
    from .datasets import (
        BottomupGetLossMask,
        BottomupLoadImage,
        BottomupPackInputs,
        BottomupPyramidResize,
        BottomupRandomSquareAffine,
        EqualSizeBatchSampler,
        SeededSampler,
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

    __all__ = [
        'BottomupCocoMetric',
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
        'CheckMetricHook',
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
        'ScheduleHook',
        'SeededSampler',
        '__version__',
    ]
