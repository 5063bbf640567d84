# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checkpoints by URL: fetched once, checked, read as files on disk are."""

from __future__ import annotations

import os
import os.path as osp
import re
from typing import Any, Optional
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier

from .io import read_checkpoint

__all__ = ['load_from_http', 'load_from_local', 'local_file', 'without_code']


def local_file(checkpoint: str, folder: Optional[str] = None) -> str:
    """The file itself, or where its download is kept.

    Of the processes of a machine the first one downloads.

    Args:
        checkpoint (str): File or URL.  Where a URL's name ends in the start
            of its SHA-256 (``-8ae85183.pth``, ``-8ae85183_20200713.pth``),
            the download is checked.
        folder (str, optional): Of downloads. ``None``: torch's cache.

    Raises:
        RuntimeError: If it cannot be fetched, or is not what its name says.
    """
    if '://' not in checkpoint:
        return osp.expanduser(checkpoint)
    name = osp.basename(urlparse(checkpoint).path)
    if name in ('', '.', '..'):
        raise ValueError(f'{checkpoint} names no file, expected .../NAME.pth')
    hub = torch.hub.get_dir()
    folder = folder or osp.join(hub, 'checkpoints')
    path = osp.join(folder, name)
    staged = osp.join(osp.dirname(hub), 'checkpoints', name)
    if not osp.isfile(path) and osp.isfile(staged):
        return staged  # where MMEngine keeps its downloads
    hashed = re.search(r'-([0-9a-f]{8,64})(_\d{8})?\.\w+$', name)
    local_rank: Any = os.environ.get('LOCAL_RANK', 0)
    if int(local_rank) == 0 and not osp.isfile(path):
        os.makedirs(folder, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                checkpoint, path, hash_prefix=hashed and hashed.group(1)
            )
        except (OSError, RuntimeError) as error:
            raise RuntimeError(
                f'cannot fetch {checkpoint} ({error}); fetch it by other '
                f'means and put it at {path}, or name another file'
            ) from error
    barrier()
    return path


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """In the place of MMEngine's: :func:`read_checkpoint`."""
    return without_code(read_checkpoint(local_file(filename), map_location))


def load_from_http(
    filename: str,
    map_location: Any = None,
    model_dir: Optional[str] = None,
    progress: bool = True,
) -> Any:
    """In the place of MMEngine's, which runs what the file carries."""
    path = local_file(filename, model_dir)
    return without_code(read_checkpoint(path, map_location))


def without_code(checkpoint: Any) -> Any:
    """A checkpoint without the config that MMEngine would run on resuming.

    It reads ``meta['config']``, which its files of today do not have, to
    compare numbers of GPUs.

    Args:
        checkpoint: What was read; changed in place.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    if isinstance(meta, dict):
        meta.pop('config', None)
    return checkpoint
