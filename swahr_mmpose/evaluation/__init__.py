# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Metrics and the COCO result format."""

from .crowdpose_metric import CrowdPoseMetric

__all__ = ['CrowdPoseMetric']
