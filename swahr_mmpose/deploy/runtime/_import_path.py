# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Removal of folders with models from ``sys.path``."""

from __future__ import annotations

# Only modules that Python imports at its start: others, as sysconfig or
# typing, could be those of the working directory.
import os
import sys

__all__ = ['drop_unsafe_folders']


def drop_unsafe_folders() -> None:
    """Drop the working directory and the folder of this package.

    ``python -m swahr_runtime`` puts the working directory first on
    ``sys.path``. A file ``onnxruntime.py`` beside a downloaded model would be
    run in place of ONNX Runtime. Other programs choose their own ``sys.path``,
    which is not changed.
    """
    if sys.argv[:1] != ['-m']:  # its value while the package is imported
        return
    package = os.path.dirname(os.path.abspath(__file__))
    unsafe = {os.path.realpath(os.path.dirname(package)), os.path.realpath('')}
    before = list(sys.path)
    _drop(unsafe - {os.path.realpath(os.path.dirname(os.__file__))})
    unsafe -= set(map(os.path.realpath, _list_installation_folders()))
    sys.path[:] = before
    _drop(unsafe)


def _drop(folders: set[str]) -> None:
    """Drop folders from ``sys.path``."""
    sys.path[:] = [p for p in sys.path if os.path.realpath(p) not in folders]


def _list_installation_folders() -> list[str]:
    """List the folders of the standard library and of installed packages."""
    import site
    import sysconfig

    names = ('stdlib', 'platstdlib', 'purelib', 'platlib')
    folders = [sysconfig.get_path(name) for name in names]
    return [*folders, site.getusersitepackages()]
