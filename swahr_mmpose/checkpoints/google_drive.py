# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Download of a file from a public Google Drive folder with ``gdown``.

``gdown`` is optional: ``pip install gdown`` (5 or later).
"""

from __future__ import annotations

import os
import os.path as osp
import posixpath
from typing import Any, List

from .download import DownloadError

__all__ = ['download_from_folder', 'is_folder']


def is_folder(url: str) -> bool:
    """Whether a URL is that of a Google Drive folder.

    Args:
        url (str): URL.

    Returns:
        bool: True for ``https://drive.google.com/drive/folders/...``.
    """
    return url.startswith('https://drive.google.com/drive/folders/')


def download_from_folder(url: str, file: str, target: str) -> str:
    """Download one file of a folder, unless it exists.

    Args:
        url (str): URL of the folder.
        file (str): Path of the file within the folder.
        target (str): File to write.

    Returns:
        str: ``target``.

    Raises:
        DownloadError: If ``gdown`` is missing, the folder cannot be read, it
            has no such file, or the download fails.
    """
    if osp.isfile(target):
        return target
    try:
        import gdown
    except ImportError:
        raise DownloadError(
            'files on Google Drive need gdown: pip install gdown'
        ) from None
    part = f'{target}.part'
    os.makedirs(osp.dirname(target), exist_ok=True)
    try:
        entries = gdown.download_folder(
            url=url, quiet=True, skip_download=True
        )
        entry = _find_entry(entries or [], file)
        written = gdown.download(id=entry.id, output=part)
    except DownloadError:
        raise
    except Exception as error:  # gdown and requests raise errors of many kinds
        raise DownloadError(
            f'gdown: {str(error).strip() or type(error).__name__}'
        ) from None
    if not written:
        raise DownloadError(f'gdown could not download {file}')
    os.replace(part, target)
    return target


def _find_entry(entries: List[Any], file: str) -> Any:
    """Find a file in the list of a folder, by its path or else its name."""
    paths = [str(entry.path).replace(os.sep, '/') for entry in entries]
    name = posixpath.basename(file)
    for match in (
        lambda p: p == file,
        lambda p: posixpath.basename(p) == name,
    ):
        found = [e for e, p in zip(entries, paths) if match(p)]
        if len(found) == 1:
            return found[0]
    raise DownloadError(f'the folder has no file {file}, only {paths[:9]}')
