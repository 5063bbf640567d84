# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check for the packages of the extra ``export``."""

from __future__ import annotations

import sys
from importlib.util import find_spec

__all__ = ['require_packages']


def require_packages(*names: str) -> None:
    """Exit with a one-line message if packages are not installed.

    Args:
        *names (str): Names of packages, for import and for pip.

    Raises:
        SystemExit: If a package is not installed.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        sys.exit(
            f'error: {", ".join(missing)} not installed, required by this '
            f'command: pip install {" ".join(missing)}'
        )
