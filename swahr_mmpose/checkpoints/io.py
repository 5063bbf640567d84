# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checkpoint files: read without running what they carry, written whole."""

from __future__ import annotations

import hashlib
import os
import os.path as osp
import pickle
import tarfile
import zipfile
from typing import Any, Union

import torch

from swahr_mmpose.utils.atomic_write import replaced_file

from . import safe_unpickler

__all__ = ['file_sha256', 'read_checkpoint', 'write_checkpoint']

Path = Union[str, 'os.PathLike[str]']
TORCH_VERSION = tuple(int(n) for n in torch.__version__.split('.')[:2])


def read_checkpoint(path: Path, map_location: Any = 'cpu') -> Any:
    """Read a file that ``torch.save`` wrote.

    Nothing but tensors, numbers, strings and containers of them (and what
    MMEngine puts into training checkpoints) is read; a pickle can hold any
    program, and this runs none.

    Args:
        path (str): The file.
        map_location: Of ``torch.load``. Defaults to the CPU.

    Returns:
        What was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, is cut short, or holds objects
            that only code of its own could make.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    size = osp.getsize(path)
    with open(path, 'rb') as stream:
        magic = stream.read(4)
    zipped = magic == b'PK\x03\x04'
    if not zipped and (magic[:1] != b'\x80' or tarfile.is_tarfile(path)):
        raise ValueError(
            f'{path} ({size} bytes) is no checkpoint: it begins with '
            f'{magic!r}, not as a file of torch.save does'
        )
    if zipped and not zipfile.is_zipfile(path):
        raise ValueError(_cut_short(path, size))
    try:
        program = zipped and _is_program(path)
        content = None if program else _load(path, map_location)
    except pickle.UnpicklingError as error:
        if 'pickle data was truncated' in str(error):
            raise ValueError(_cut_short(path, size)) from error
        raise ValueError(
            f'{path} is refused: it holds more than weights, and reading '
            'that could run any program that its author put there.\n'
            f'  torch: {_first_sentence(error)}\n'
            'If it is not merely damaged, ask for a file of weights alone; '
            'where you trust its author, read it where it was made and save '
            'its state dict again.'
        ) from error
    except Exception as error:  # a pickle cut anywhere raises anything
        if isinstance(error, MemoryError) or 'CUDA' in str(error):
            raise
        raise ValueError(
            f'{_cut_short(path, size)} ({_first_sentence(error)})'
        ) from error
    if program:
        raise ValueError(
            f'{path} is a TorchScript program, expected weights; save the '
            'state dict of the model instead'
        )
    return content


def _is_program(path: Path) -> bool:
    """Whether a zip file is one of TorchScript, which torch would load."""
    records = torch._C.PyTorchFileReader(str(path)).get_all_records()
    return any(name.endswith('constants.pkl') for name in records)


def _load(path: Path, map_location: Any) -> Any:
    """Read what is allowed, by torch's own list or by ours."""
    if TORCH_VERSION >= (2, 6):
        return torch.load(path, map_location=map_location, weights_only=True)
    return torch.load(
        path,
        map_location=map_location,
        pickle_module=safe_unpickler,
        weights_only=False,
    )


def _cut_short(path: Path, size: int) -> str:
    return (
        f'{path} ({size} bytes) cannot be read; it seems to be cut short or '
        'damaged: fetch it again'
    )


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [
        line for line in lines if 'GLOBAL' in line or 'Unsupported' in line
    ]
    return (named or lines or [type(error).__name__])[0][:200]


def write_checkpoint(
    content: Any, path: Path, overwrite: bool = False
) -> None:
    """Write a file with ``torch.save``, as a whole or not at all.

    Args:
        content: What to save.
        path (str): The file.
        overwrite (bool): Whether it may exist.

    Raises:
        FileExistsError: If it exists and may not.
    """
    if osp.exists(path) and not overwrite:
        raise FileExistsError(
            f'{path} exists; it is not overwritten. Choose another name'
        )
    with replaced_file(str(path)) as stream:
        torch.save(content, stream)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
