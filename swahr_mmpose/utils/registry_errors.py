# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Messages for settings that MMEngine's registries cannot build."""

from __future__ import annotations

import difflib
import inspect
import re
from contextlib import contextmanager
from types import FrameType
from typing import Any, Iterable, Iterator, List, Optional

from mmengine.registry import Registry

__all__ = ['BuildError', 'build_errors']


class BuildError(ValueError):
    """A setting with an unknown ``type`` or argument, or a wrong value."""


@contextmanager
def build_errors() -> Iterator[None]:
    """Name the unknown ``type`` or argument when building from a config.

    Raises:
        BuildError: If a registry has no such type, the type has no such
            argument or lacks one, or a class of this package or torch's data
            loader refuses a value. Other errors are not changed.
    """
    try:
        yield
    except BuildError:
        raise
    except ValueError as error:
        name = _find_refusing_class(error)
        if name is None:
            raise
        raise BuildError(f'{name}: {error}') from error
    except (KeyError, TypeError) as error:
        message = _describe(error)
        if message is None:
            raise
        raise BuildError(message) from error


def _find_refusing_class(error: ValueError) -> Optional[str]:
    """Find the class that refused an argument; None for other errors.

    It is of this package and built by a registry, or torch's data loader.
    """
    frame, trace = _find_build_frame(error), error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get('__name__', '') if trace else ''
    if module.startswith('torch.utils.data.'):
        return 'data loader'
    if frame is None or module.partition('.')[0] != 'swahr_mmpose':
        return None
    return getattr(frame.f_locals.get('obj_cls'), '__name__', None)


def _describe(error: Exception) -> Optional[str]:
    """Describe an error that was raised by building; None for others."""
    frame = _find_build_frame(error)
    if frame is None:
        return _describe_runner_error(error)
    text = str(error)
    unknown = re.search(r'"?(\w+) is not in the (?:\w+::)?(.+?) regist', text)
    if unknown:
        names = _list_types(frame.f_locals.get('registry'))
        return (
            f'type {unknown[1]!r} is unknown in the registry {unknown[2]!r}'
            f'{_suggest(unknown[1], names)}; correct it in the config, or add '
            'its module to custom_imports'
        )
    kind = frame.f_locals.get('obj_cls')
    if kind is None:
        return None
    got = re.search(r"unexpected keyword argument '(\w+)'", text)
    if got:
        names = _list_arguments(kind)
        return (
            f'{kind.__name__} has no argument {got[1]!r}'
            f'{_suggest(got[1], names)}; expected some of '
            f'{", ".join(names)}; correct it in the config or in '
            '--cfg-options'
        )
    lacking = re.search(r'missing \d+ required .*arguments?: (.+)', text)
    if lacking:
        return (
            f'{kind.__name__} lacks {lacking[1]}; add it to its dict in the '
            'config'
        )
    return None


def _describe_runner_error(error: Exception) -> Optional[str]:
    """Describe an unknown argument of a class built by MMEngine's runner.

    Loops and data loaders without a ``type`` do not pass a registry.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get('__name__') if trace else None
    got = re.search(
        r"(?:(\w+)\.)?__init__\(\) got an unexpected keyword argument '(\w+)'",
        str(error),
    )
    if module != 'mmengine.runner.runner' or not got:
        return None
    return (
        f'{got[1] or "the loop or data loader"} has no argument {got[2]!r}; '
        'correct it in the config or in --cfg-options'
    )


def _find_build_frame(error: Exception) -> Optional[FrameType]:
    """Find the innermost call of a registry in the traceback of an error."""
    frame, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == 'build_from_cfg':
            frame = trace.tb_frame
        trace = trace.tb_next
    return frame


def _list_types(registry: Any) -> List[str]:
    """List the names in a registry and its parents."""
    names: List[str] = []
    while isinstance(registry, Registry):
        names += registry.module_dict
        registry = registry.parent
    return names


def _list_arguments(kind: Any) -> List[str]:
    """List the named arguments of a class and its base classes."""
    names: List[str] = []
    for base in inspect.getmro(kind) if inspect.isclass(kind) else (kind,):
        function = vars(base).get('__init__') if base is not kind else kind
        if function is None or base is object:
            continue
        names += [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
            and p.name not in ('self', *names)
        ]
    return names


def _suggest(name: str, names: Iterable[str]) -> str:
    """Format the nearest name as a question."""
    close = difflib.get_close_matches(name, list(names), 1)
    return f', did you mean {close[0]!r}?' if close else ''
