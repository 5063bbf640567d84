# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of arguments that need neither torch nor MMPose.

The commands run them before they import these, so that a mistyped path is
reported at once. Reading the files may still fail later.
"""

from __future__ import annotations

import os.path as osp
from typing import Optional

from swahr_mmpose.utils import model_index
from swahr_mmpose.utils.config import require_config

__all__ = ['require_checkpoint', 'require_file', 'require_model']


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
