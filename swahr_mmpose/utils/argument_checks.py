# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of arguments that need neither torch nor MMPose.

The commands run them before they import these, so that a mistyped path is
reported at once. Reading the files may still fail later.
"""

from __future__ import annotations

import os
import os.path as osp
from typing import Any, Optional, Sequence, Tuple

from swahr_mmpose.utils import model_index
from swahr_mmpose.utils.config import (
    describe_other_file,
    is_config_file,
    require_config,
)

__all__ = [
    'describe_missing',
    'describe_wrong_checkpoint',
    'require_checkpoint',
    'require_file',
    'require_fraction',
    'require_model',
    'require_onnx',
    'require_output',
]

# Maximum number of files that a message names.
_MAX_NAMES = 5
# Maximum bytes of a text file that names a checkpoint.
_MAX_TEXT = 4096


def require_file(path: str, name: str, remedy: str) -> None:
    """Raise if a file does not exist.

    Args:
        path (str): Path; ``~`` is expanded.
        name (str): Name of the file in the message, such as ``'model file'``.
        remedy (str): What to do.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
    """
    if osp.isdir(osp.expanduser(path)):
        raise IsADirectoryError(
            f'{name} {path} is a folder, expected a file; {remedy}'
        )
    if not osp.isfile(osp.expanduser(path)):
        raise FileNotFoundError(f'{name} {path} does not exist; {remedy}')


def require_checkpoint(checkpoint: str) -> None:
    """Raise if a checkpoint is a path that does not exist.

    Args:
        checkpoint (str): File, or URL, which is not opened.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, or a text file such as MMEngine's
            ``last_checkpoint``.
    """
    if '://' not in checkpoint:
        problem = describe_wrong_checkpoint(checkpoint)
        if problem:
            raise ValueError(problem)
        remedy = 'give the path of a file, or a URL'
        require_file(checkpoint, 'checkpoint', remedy)


def describe_wrong_checkpoint(path: str) -> str:
    """Describe a folder, or a text file that names a checkpoint.

    Args:
        path (str): Path that was given for a checkpoint.

    Returns:
        str: Message with the path to give instead; empty for other paths.
    """
    place = osp.expanduser(path)
    if osp.isdir(place):
        latest = _find_checkpoint(place)
        remedy = f', such as {latest}' if latest else ' (.pth)'
        return f'checkpoint {path} is a folder; give a file{remedy}'
    named = _read_checkpoint_name(place)
    if not named:
        return ''
    return (
        f'{path} is a text file that names a checkpoint; give the checkpoint, '
        f'{named}'
    )


def _find_checkpoint(folder: str) -> str:
    """Find the latest checkpoint of a work directory; empty if none."""
    named = _read_checkpoint_name(osp.join(folder, 'last_checkpoint'))
    for place in (named, osp.join(folder, osp.basename(named))):
        if named and osp.isfile(place):
            return place
    files = [
        osp.join(folder, name)
        for name in sorted(os.listdir(folder))
        if name.endswith('.pth')
    ]
    return max(files, key=osp.getmtime, default='')


def _read_checkpoint_name(path: str) -> str:
    """Read the path in a text file; empty for files of another content."""
    if not osp.isfile(path) or osp.getsize(path) > _MAX_TEXT:
        return ''
    with open(path, 'rb') as stream:
        text = stream.read().decode('utf-8', 'replace').strip()
    is_path = text.endswith('.pth') and text.isprintable()
    return text if is_path else ''


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


def describe_missing(paths: Sequence[str]) -> str:
    """Format the message on inputs that do not exist.

    Args:
        paths (Sequence[str]): Missing files and folders, at least one.

    Returns:
        str: Message with the first five.
    """
    if len(paths) == 1:
        return f'input {paths[0]} does not exist; check its path'
    names = [*paths[:_MAX_NAMES], *['...'] * (len(paths) > _MAX_NAMES)]
    return (
        f'{len(paths)} inputs do not exist: {", ".join(names)}; check their '
        'paths'
    )


def require_fraction(name: str, value: Any, kind: str = 'a score') -> None:
    """Raise unless a threshold is a number from 0 to 1.

    Scores are values of heatmaps, whose targets are at most 1. Predicted ones
    may exceed 1 a little; a higher threshold is a mistake all the same.

    Args:
        name (str): Name of the argument or option.
        value (Any): Value.
        kind (str): What it is. Defaults to ``'a score'``.

    Raises:
        ValueError: If it is not a number, NaN or out of range.
    """
    is_number = isinstance(value, (int, float)) or hasattr(value, '__float__')
    number = float(value) if is_number else float('nan')
    if 0 <= number <= 1:
        return
    got = f'{number:g}' if is_number else repr(value)
    remedy = ''
    if kind == 'a score' and 1 < number <= 100:
        remedy = f'; for {number:g} % use {number / 100:g}'
    raise ValueError(f'{name} must be {kind} from 0 to 1, got {got}{remedy}')


def require_output(
    name: str, path: Optional[str], endings: Sequence[str] = ()
) -> None:
    """Raise if a file cannot be written when the command is done.

    Args:
        name (str): Name of the option.
        path (str, optional): File to write; missing folders are created when
            it is written. None: no file.
        endings (Sequence[str]): Allowed endings, such as ``['.json']``.
            Defaults to (), any.

    Raises:
        OSError: If the path is a folder, or its folder cannot be written.
        ValueError: If the name has another ending.
    """
    if path is None:
        return
    if endings and not path.lower().endswith(tuple(endings)):
        raise ValueError(
            f'{name} is {path}, expected a name that ends with '
            f'{" or ".join(endings)}'
        )
    if osp.isdir(path):
        raise IsADirectoryError(
            f'{name} {path} is a folder, expected the name of a file to '
            'write; add a file name'
        )
    folder = osp.dirname(osp.abspath(path))
    while not osp.lexists(folder):
        folder = osp.dirname(folder)
    if not osp.isdir(folder):
        raise NotADirectoryError(
            f'{name} {path} cannot be written: {folder} is no folder; choose '
            'another folder'
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(
            f'{name} {path} cannot be written: no permission to write to '
            f'{folder}; choose another folder'
        )
