# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hooks: input and loss checks, atomic checkpoints, visualization."""

from .check_hooks import CheckCheckpointHook, CheckLossHook, CheckPathsHook
from .checkpoint_hook import SafeCheckpointHook
from .metric_hook import CheckMetricHook
from .schedule_hook import ScheduleHook
from .visualization_hook import BottomupVisualizationHook

__all__ = [
    'BottomupVisualizationHook',
    'CheckCheckpointHook',
    'CheckLossHook',
    'CheckMetricHook',
    'CheckPathsHook',
    'SafeCheckpointHook',
    'ScheduleHook',
]
