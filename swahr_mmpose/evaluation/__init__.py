# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Metrics, pose NMS and COCO result files."""

from .coco_metric import BottomupCocoMetric
from .crowdpose_metric import CrowdPoseMetric

__all__ = ['BottomupCocoMetric', 'CrowdPoseMetric']
