# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checkpoints: safe reading, layouts, conversion, download."""

from .pretrained import PretrainedBackbone

__all__ = ['PretrainedBackbone']
