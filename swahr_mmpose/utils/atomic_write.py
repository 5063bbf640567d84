# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Atomic writes of files."""

from __future__ import annotations

import contextlib
import os
import os.path as osp
import tempfile
from typing import BinaryIO, Iterator

__all__ = ['replaced_file', 'replaced_path']


@contextlib.contextmanager
def replaced_file(path: str, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Write a file atomically through a stream.

    The content is written to a temporary file in the same folder, which is
    created if missing. The temporary file replaces ``path`` when the context
    ends, and is removed on an error.

    Args:
        path (str): File to write.
        overwrite (bool): Whether to replace an existing file. Defaults to
            True.

    Yields:
        BinaryIO: Binary stream of the temporary file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        IsADirectoryError: If the path is a folder.
    """
    with _replace_atomically(path, '.part', overwrite) as temporary:
        with open(temporary, 'wb') as stream:
            yield stream


@contextlib.contextmanager
def replaced_path(path: str, overwrite: bool = True) -> Iterator[str]:
    """Write a file atomically through a temporary path.

    Use it for writers that require a path; otherwise use
    :func:`replaced_file`, which works in the same way.

    Args:
        path (str): File to write.
        overwrite (bool): Whether to replace an existing file. Defaults to
            True.

    Yields:
        str: Path of the temporary file, empty, in the same folder and with
        the extension of ``path``.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        IsADirectoryError: If the path is a folder.
    """
    suffix = f'.part{osp.splitext(path)[1]}'
    with _replace_atomically(path, suffix, overwrite) as temporary:
        yield temporary


@contextlib.contextmanager
def _replace_atomically(
    path: str, suffix: str, overwrite: bool
) -> Iterator[str]:
    """Create a temporary file; move it to ``path``, or remove it on errors."""
    _check_target(path, overwrite)
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=folder, prefix=osp.basename(path) + '.', suffix=suffix
    )
    os.close(handle)
    try:
        yield temporary
        _sync(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        _check_target(path, overwrite)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # removed by others
            os.unlink(temporary)
        raise


def _sync(path: str) -> None:
    """Flush a closed file to the disk."""
    with open(path, 'rb+') as stream:
        os.fsync(stream.fileno())


def _check_target(path: str, overwrite: bool) -> None:
    """Raise for a folder, and for a file that must not be overwritten."""
    if osp.isdir(path):
        raise IsADirectoryError(
            f'{path} is a folder, expected the name of a file to write; add '
            'a file name'
        )
    if not overwrite and osp.exists(path):
        raise FileExistsError(
            f'{path} exists and is not overwritten; choose another name or '
            'delete it'
        )
