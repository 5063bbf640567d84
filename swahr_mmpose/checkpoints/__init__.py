# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Reading, conversion, publication and download of checkpoints."""

from .pretrained import PretrainedBackbone

__all__ = ['PretrainedBackbone']
