# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""One-line messages for config files that MMEngine cannot read."""

from __future__ import annotations

import os.path as osp
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional

from swahr_mmpose.utils.resources import find_resource

__all__ = ['config_errors']

# Functions of MMEngine's Config whose ``filename`` is the file being read.
_READERS = ('fromfile', '_file2dict', '_is_lazy_import', '_parse_lazy_import')
_PACKAGE = 'swahr_mmpose::'


@contextmanager
def config_errors(path: str) -> Iterator[None]:
    """Name the file, the line and the mistake when reading a config.

    Args:
        path (str): Config file that is read in the context.

    Raises:
        ValueError: In place of any exception but OSError and ValueError. The
            message names the inherited file if the mistake is there.
    """
    try:
        yield
    except FileNotFoundError as error:
        missing = _find_file(error)
        if missing is None or str(error.filename) != missing:
            raise
        raise FileNotFoundError(
            f'config {path}: the inherited file {missing} does not exist; '
            'correct _base_, whose paths are relative to the folder of the '
            'config'
        ) from error
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:
        file = _find_file(error) or path
        raise ValueError(f'config {file}: {_describe(error, file)}') from error


def _find_file(error: Exception) -> Optional[str]:
    """Find the config file that MMEngine was reading; None if unknown."""
    found, trace = None, error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        is_reader = code.co_name in _READERS
        if is_reader and osp.join('mmengine', 'config') in code.co_filename:
            found = trace.tb_frame.f_locals.get('filename')
        trace = trace.tb_next
    return None if found is None else str(found)


def _describe(error: Exception, file: str) -> str:
    """Describe the mistake and its remedy."""
    if isinstance(error, SyntaxError):
        return f'line {error.lineno}: syntax error: {error.msg}'
    if isinstance(error, ImportError):
        return _describe_import(error, file)
    if isinstance(error, AssertionError) and 'load swahr_mmpose' in str(error):
        return _describe_package(error)
    return f'{_find_line(error, file)}{type(error).__name__}: {error}'


def _find_line(error: Exception, file: str) -> str:
    """Find the line of the config, or of a module of the user."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if osp.abspath(frame.filename) == osp.abspath(file):
            return f'line {frame.lineno}: '
    last = frames[-1]
    folders = Path(last.filename).parts
    if 'mmengine' in folders or 'swahr_mmpose' in folders:
        return ''
    return f'{last.filename}, line {last.lineno}: '


def _describe_import(error: ImportError, file: str) -> str:
    """Describe a module of ``custom_imports`` or of the config itself."""
    cause: Any = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__
    key = '' if cause is error else 'custom_imports: '
    return (
        f'{key}{cause}; correct the name, install its package, or add its '
        'folder to the environment variable PYTHONPATH (for a module beside '
        f'the config {osp.dirname(osp.abspath(file))})'
    )


def _describe_package(error: Exception) -> str:
    """Name the file that ``_base_ = 'swahr_mmpose::...'`` means."""
    name = '...'
    trace = error.__traceback__
    while trace is not None:
        given = trace.tb_frame.f_locals.get('cfg_path')
        if isinstance(given, str) and given.startswith(_PACKAGE):
            name = given[len(_PACKAGE) :]
        trace = trace.tb_next
    target = str(find_resource('configs').joinpath(*name.split('/')))
    return (
        f'MMEngine knows no configs by {_PACKAGE + name!r}; write the path '
        f'instead, _base_ = {target!r}'
    )
