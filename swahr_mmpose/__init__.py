# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR and HigherHRNet for MMPose 1.x.

Importing the package applies the patches of :mod:`swahr_mmpose.compat` and
registers codecs, models, transforms, metrics, samplers and hooks in MMPose's
registries. In a config::

    custom_imports = dict(imports=['swahr_mmpose'], allow_failed_imports=False)

The commands of this package do the same after they have parsed their
arguments, see :func:`register_all`: help and usage errors need neither torch
nor MMPose.
"""

# ruff: noqa: F405

import os.path as _osp
import sys as _sys
from typing import TYPE_CHECKING
from typing import Any as _Any

__version__ = '0.1.0'
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

if TYPE_CHECKING:
    from ._public import *  # noqa: F403


def register_all() -> None:
    """Apply the patches and register everything; a second call does nothing.

    ``import swahr_mmpose`` calls it, except in a command of this package.
    """
    if 'HeadOutput' in globals():
        return
    from .utils.quiet import import_quietly

    with import_quietly():
        from . import compat

        compat.apply()
        from . import _public

    for name in __all__:
        if name != '__version__':
            globals()[name] = getattr(_public, name)


def is_command() -> bool:
    """Whether this process is a command of this package.

    That is ``swahr``, ``python -m swahr_mmpose``, or a script whose main
    module sets ``__swahr_command__``. Processes that a command starts are
    none.

    Returns:
        bool: True in a command, while its main module is imported.
    """
    spawned = _sys.modules.get('__mp_main__')
    if getattr(spawned, '__name__', '') == '__mp_main__':
        return False  # a process of multiprocessing, not the main one
    main = _sys.modules.get('__main__')
    if getattr(main, '__swahr_command__', False):
        return True
    name, words = _osp.basename(_sys.argv[0]), _sys.argv[1:2]
    if name == '-m':  # its value while the package is imported
        started = getattr(_sys, 'orig_argv', None)  # Python 3.10
        if started is None:
            return words == ['doctor']
        return 'swahr_mmpose' in started
    return name in ('swahr', 'swahr.exe')


def __getattr__(name: str) -> _Any:
    """Register everything when a public name is used."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    register_all()
    return globals()[name]


IS_COMMAND = bool(_sys.argv) and is_command()
if not IS_COMMAND:
    register_all()
