# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Deprecated alias of :mod:`swahr_mmpose.apis.inferencer`."""

import warnings

from .apis.inferencer import *  # noqa: F403

warnings.warn(
    'swahr_mmpose.inference is deprecated and will be removed in 0.3; import '
    'swahr_mmpose.apis.inferencer instead',
    DeprecationWarning,
    stacklevel=2,
)
