# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Atomic writes: a file appears complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import os.path as osp
import tempfile
from typing import BinaryIO, Iterator

__all__ = ['replaced_file']


@contextlib.contextmanager
def replaced_file(path: str) -> Iterator[BinaryIO]:
    """A stream whose content replaces a file once it is complete.

    It is written beside the file under another name, which is removed where
    something goes wrong; the folder is made.

    Args:
        path (str): The file.
    """
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=folder, prefix=osp.basename(path) + '.', suffix='.part'
    )
    try:
        with os.fdopen(handle, 'wb') as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
