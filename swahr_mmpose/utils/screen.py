# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check for a screen before windows are opened."""

from __future__ import annotations

import os
import sys

__all__ = ['require_screen']


def require_screen() -> None:
    """Raise if no window can be opened.

    Raises:
        OSError: If neither X11 nor Wayland is available on Linux.
    """
    screen = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    if sys.platform.startswith('linux') and not screen:
        raise OSError(
            'no screen for a window: neither DISPLAY nor WAYLAND_DISPLAY is '
            'set; write to files instead of --show'
        )
