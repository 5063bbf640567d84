# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""HigherHRNet head."""

from .higherhrnet_head import HigherHRNetHead

__all__ = ['HigherHRNetHead']
