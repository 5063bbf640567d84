# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Download of checkpoints, and safe loaders for MMEngine.

A URL is downloaded once, checked against the hash in its name and read in the
same restricted way as a local file.
"""

from __future__ import annotations

import errno
import os
import os.path as osp
import re
import socket
from typing import Any, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_distributed

from swahr_mmpose.utils.launchers import get_local_rank

from .io import read_checkpoint

__all__ = [
    'DownloadError',
    'describe_failure',
    'drop_config',
    'load_from_http',
    'load_from_local',
    'local_file',
]

# Errors of a disk; other OSErrors may be those of a connection.
_DISK_ERRORS = (errno.ENOSPC, errno.EROFS)


class DownloadError(OSError, RuntimeError):
    """A file that cannot be downloaded."""


def local_file(checkpoint: str, folder: Optional[str] = None) -> str:
    """Resolve a checkpoint file or URL to a local path.

    Only local rank 0 downloads; the other processes wait.

    Args:
        checkpoint (str): File or URL. If the URL's file name contains the
            beginning of its SHA-256 (``-8ae85183.pth``,
            ``-8ae85183_20200713.pth``), the download is verified.
        folder (str, optional): Download folder. Defaults to None, the
            ``checkpoints`` folder of torch hub.

    Returns:
        str: Path of the file. A local path is returned with ``~`` expanded,
        and need not exist.

    Raises:
        ValueError: If the URL has no file name.
        DownloadError: If the download fails or its hash differs.
    """
    if '://' not in checkpoint:
        return osp.expanduser(checkpoint)
    name = osp.basename(urlparse(checkpoint).path)
    if name in ('', '.', '..'):
        raise ValueError(f'{checkpoint} names no file, expected .../NAME.pth')
    hub = torch.hub.get_dir()
    folder = folder or osp.join(hub, 'checkpoints')
    path = osp.join(folder, name)
    mmengine_path = osp.join(osp.dirname(hub), 'checkpoints', name)
    if not osp.isfile(path) and osp.isfile(mmengine_path):
        return mmengine_path  # already downloaded by MMEngine
    # Without a process group nothing waits for the first process.
    alone = not is_distributed() or get_local_rank() == 0
    if alone and not osp.isfile(path):
        os.makedirs(folder, exist_ok=True)
        _download(checkpoint, path)
    barrier()
    return path


def _download(url: str, path: str) -> None:
    """Download a file; verify the SHA-256 prefix in its name, if any."""
    hashed = re.search(r'-([0-9a-f]{8,64})(_\d{8})?\.\w+$', osp.basename(path))
    try:
        torch.hub.download_url_to_file(
            url, path, hash_prefix=hashed and hashed.group(1)
        )
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f'cannot download {url}: {describe_failure(error, url)}; '
            f'download it manually and save it as {path}, or give another '
            'file'
        ) from error


def describe_failure(error: BaseException, url: str) -> str:
    """Describe why a download failed, in the words of a user.

    Args:
        error (BaseException): Error of ``urllib`` or torch.
        url (str): Address.

    Returns:
        str: Reason without a remedy.
    """
    parts = urlparse(url)
    host = parts.netloc or parts.path
    if isinstance(error, HTTPError):
        return f'{host} answers with status {error.code} ({error.reason})'
    if isinstance(error, OSError) and not isinstance(error, URLError):
        if error.filename or error.errno in _DISK_ERRORS:
            return f'the file cannot be written ({error.strerror})'
    cause = getattr(error, 'reason', error)  # of an URLError
    if isinstance(cause, socket.gaierror):
        return f'{host} is not reachable (no network, or no such host)'
    if isinstance(cause, FileNotFoundError):
        return f'{parts.path} does not exist'
    if isinstance(cause, OSError):
        return f'no connection to {host} ({cause.strerror or cause})'
    return str(cause)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a local checkpoint: a safe replacement of MMEngine's loader.

    Args:
        filename (str): File.
        map_location: Target device as for ``torch.load``. Defaults to None.

    Returns:
        Any: Content without ``meta['config']``; see :func:`drop_config`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: See :func:`read_checkpoint`.
    """
    return drop_config(read_checkpoint(local_file(filename), map_location))


def load_from_http(
    filename: str,
    map_location: Any = None,
    model_dir: Optional[str] = None,
    progress: bool = True,
) -> Any:
    """Load a checkpoint by URL: a safe replacement of MMEngine's loader.

    MMEngine's loader unpickles without restriction, so a file could run code.

    Args:
        filename (str): URL.
        map_location: Target device as for ``torch.load``. Defaults to None.
        model_dir (str, optional): Download folder; see :func:`local_file`.
        progress (bool): Ignored; part of MMEngine's signature.

    Returns:
        Any: Content without ``meta['config']``; see :func:`drop_config`.

    Raises:
        DownloadError: If the download fails or its hash differs.
        ValueError: See :func:`local_file` and :func:`read_checkpoint`.
    """
    path = local_file(filename, model_dir)
    return drop_config(read_checkpoint(path, map_location))


def drop_config(checkpoint: Any) -> Any:
    """Remove the config that MMEngine would execute when resuming.

    MMEngine parses ``meta['config']`` to compare the number of GPUs. Its
    current checkpoints do not have this key.

    Args:
        checkpoint: Content of a checkpoint; changed in place.

    Returns:
        Any: The same object.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        meta.pop('config', None)
    return checkpoint
