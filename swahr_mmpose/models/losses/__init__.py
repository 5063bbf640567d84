# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR heatmap loss and associative-embedding tag loss."""

from .swahr_loss import SWAHRLoss
from .tag_loss import PullPushLoss

__all__ = ['PullPushLoss', 'SWAHRLoss']
