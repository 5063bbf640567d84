# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Deprecated alias of :mod:`swahr_mmpose.deploy.runtime`."""

import warnings

from .deploy.runtime import *  # noqa: F403

warnings.warn(
    'swahr_mmpose.runtime is deprecated and will be removed in 0.3; import '
    'swahr_mmpose.deploy.runtime instead',
    DeprecationWarning,
    stacklevel=2,
)
