# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Restricted reading and atomic writing of checkpoint files."""

from __future__ import annotations

import hashlib
import os
import os.path as osp
import pickle
import tarfile
import zipfile
from typing import Any, Union

import torch

from swahr_mmpose.utils.argument_checks import describe_wrong_checkpoint
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.text import escape

from . import safe_unpickler
from .sizes import RefusedError, check_archive, check_sizes

__all__ = ['file_sha256', 'read_checkpoint', 'write_checkpoint']

Path = Union[str, 'os.PathLike[str]']
TORCH_VERSION = tuple(int(n) for n in torch.__version__.split('.')[:2])


def read_checkpoint(path: Path, map_location: Any = 'cpu') -> Any:
    """Read a file of ``torch.save`` without running code from it.

    An unrestricted pickle can run any program. Only tensors, numbers,
    strings, containers of them and the objects of MMEngine's training
    checkpoints are accepted. Before a tensor is allocated, checksums are
    verified and the declared sizes are compared with the file's.

    Args:
        path (str): Checkpoint file.
        map_location: Target device as for ``torch.load``. Defaults to
            ``'cpu'``.

    Returns:
        Any: The saved object.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is a folder or not a checkpoint, is truncated or
            damaged, declares more data than the file has, or holds other
            objects than those listed above.
    """
    is_zip = _check_format(path)
    try:
        if is_zip:
            check_archive(path)
        is_program = is_zip and _is_torchscript(path)
        if not is_program:
            check_sizes(path, is_zip)
        content = None if is_program else _load(path, map_location)
    except RefusedError as error:
        raise ValueError(
            f'{path} ({osp.getsize(path)} bytes) is refused: '
            f'{escape(error, 400)}. Do not trust the file; get it again from '
            'its author'
        ) from error
    except pickle.UnpicklingError as error:
        if 'pickle data was truncated' in str(error):
            raise ValueError(_describe_truncation(path)) from error
        raise ValueError(
            f'{path} is refused: it holds more than weights, and reading '
            'that could run any code in the file.\n'
            f'  torch: {_summarize_error(error)}\n'
            'If the file is not merely damaged, get one with weights only. '
            'If you trust its author, load it with the program that wrote it '
            'and save its state dict again.'
        ) from error
    except Exception as error:  # a truncated pickle can raise any type
        if isinstance(error, MemoryError) or 'CUDA' in str(error):
            raise
        raise ValueError(
            f'{_describe_truncation(path)} ({_summarize_error(error)})'
        ) from error
    if is_program:
        raise ValueError(
            f'{path} is a TorchScript program, expected weights; save the '
            'state dict of the model instead'
        )
    return content


def _check_format(path: Path) -> bool:
    """Check for the two formats of ``torch.save``; return True for zip."""
    problem = describe_wrong_checkpoint(str(path))
    if problem:
        raise ValueError(problem)
    if not osp.isfile(path):
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    with open(path, 'rb') as stream:
        magic = stream.read(4)
    if magic == b'PK\x03\x04':
        if zipfile.is_zipfile(path):
            return True
        raise ValueError(_describe_truncation(path))
    if magic[:1] != b'\x80' or tarfile.is_tarfile(path):
        raise ValueError(
            f'{path} ({osp.getsize(path)} bytes) is not a checkpoint: it '
            f'begins with {magic!r}, expected a file of torch.save'
        )
    return False


def _is_torchscript(path: Path) -> bool:
    """Whether a zip file is a TorchScript archive, which torch would load."""
    records = torch._C.PyTorchFileReader(str(path)).get_all_records()
    return any(name.endswith('constants.pkl') for name in records)


def _load(path: Path, map_location: Any) -> Any:
    """Load with torch's allow-list, or with ours for torch before 2.6."""
    if TORCH_VERSION >= (2, 6):
        return torch.load(path, map_location=map_location, weights_only=True)
    return torch.load(
        path,
        map_location=map_location,
        pickle_module=safe_unpickler,
        weights_only=False,
    )


def _describe_truncation(path: Path) -> str:
    """Format the message for a truncated or damaged file."""
    return (
        f'{path} ({osp.getsize(path)} bytes) cannot be read; it seems to be '
        'truncated or damaged: download or copy it again'
    )


def _summarize_error(error: BaseException) -> str:
    """Select the line of an error that names the refused object."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [
        line for line in lines if 'GLOBAL' in line or 'Unsupported' in line
    ]
    return escape((named or lines or [type(error).__name__])[0])


def write_checkpoint(
    content: Any, path: Path, overwrite: bool = False
) -> None:
    """Write a file with ``torch.save``, atomically.

    Args:
        content: Object to save.
        path (str): Target file; its folder is created.
        overwrite (bool): Whether an existing file is replaced. Defaults to
            False.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
    """
    with replaced_file(str(path), overwrite) as stream:
        torch.save(content, stream)


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file.

    Args:
        path (str): File.

    Returns:
        str: 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
