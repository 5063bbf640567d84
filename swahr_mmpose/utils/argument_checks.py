# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of arguments that need neither torch nor MMPose.

The commands run them before they import these, so that a mistyped path is
reported at once. Reading the files may still fail later.
"""

from __future__ import annotations

import os.path as osp
from typing import Optional, Tuple

from swahr_mmpose.utils import model_index
from swahr_mmpose.utils.config import (
    describe_other_file,
    is_config_file,
    require_config,
)

__all__ = [
    'require_checkpoint',
    'require_file',
    'require_model',
    'require_onnx',
]


def require_file(path: str, name: str, remedy: str) -> None:
    """Raise if a file does not exist.

    Args:
        path (str): Path; ``~`` is expanded.
        name (str): Name of the file in the message, such as ``'model file'``.
        remedy (str): What to do.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not osp.isfile(osp.expanduser(path)):
        raise FileNotFoundError(f'{name} {path} does not exist; {remedy}')


def require_checkpoint(checkpoint: str) -> None:
    """Raise if a checkpoint is a path that does not exist.

    Args:
        checkpoint (str): File, or URL, which is not opened.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if '://' not in checkpoint:
        remedy = 'give the path of a file, or a URL'
        require_file(checkpoint, 'checkpoint', remedy)


def require_model(config: str, checkpoint: Optional[str]) -> None:
    """Raise if a model cannot be found.

    Args:
        config (str): Config file, or short name of published weights.
        checkpoint (str, optional): Checkpoint; None for that of the name.

    Raises:
        FileNotFoundError: If config or checkpoint do not exist.
        ValueError: If the name is unknown, or a config has no checkpoint.
    """
    if model_index.is_model_name(config):
        model_index.find_model(config)
    else:
        require_config(config)
        if checkpoint is None:
            raise ValueError(
                f'no checkpoint for {config}; give its path after the '
                'config, or instead of both a name that `swahr fetch` lists'
            )
    if checkpoint is not None:
        require_checkpoint(checkpoint)


def require_onnx(path: str) -> None:
    """Raise if an exported model does not exist, or is another file.

    Args:
        path (str): Path of a file. Only known endings are recognized, such as
            those of checkpoints and configs.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a file of another type, or no file.
    """
    kind, source = _describe_source(path)
    remedy = f'make one with `swahr onnx export {source}`'
    if kind not in ('', 'an ONNX model'):
        raise ValueError(
            f'{path} is {kind}, expected an ONNX file (.onnx); {remedy}'
        )
    remedy = f'give the path of a file .onnx, or {remedy}'
    require_file(path, 'model file', remedy)


def _describe_source(path: str) -> Tuple[str, str]:
    """Describe a file, and the arguments that export it to ONNX."""
    kind = describe_other_file(path)
    if kind == 'a checkpoint':
        return kind, f'CONFIG {path}'
    if is_config_file(path):
        return 'a config', f'{path} CHECKPOINT'
    if not kind and not osp.exists(path) and path in model_index.list_models():
        return 'the name of published weights', path
    return kind, 'CONFIG CHECKPOINT'
