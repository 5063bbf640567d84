# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The option ``--cfg-options``: parsing and spelling."""

from __future__ import annotations

import argparse
import inspect
import os.path as osp
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

__all__ = ['ConfigAction', 'check_option_values', 'find_misspelt_keys']

# Words that may replace a number or a switch.
_WORDS = dict(loss_scale=('dynamic',), resume=('auto',))
# Shorter keys, such as lr, differ from others by one character by chance.
_MIN_LENGTH = 4


class ConfigAction(argparse.Action):
    """MMEngine's ``DictAction``, imported when the option is used."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        """Parse ``KEY=VALUE`` into the namespace.

        Raises:
            argparse.ArgumentError: If a value has another form.
        """
        from mmengine.config import DictAction

        for value in values:
            if value.find('=') < 1:
                raise argparse.ArgumentError(
                    self,
                    f'got {value!r}, expected KEY=VALUE without spaces, such '
                    'as train_cfg.max_epochs=1',
                )
        action = DictAction(self.option_strings, self.dest, nargs='+')
        try:
            action(parser, namespace, values, option_string)
        except AssertionError as error:
            raise argparse.ArgumentError(
                self, f'{error}; close every bracket'
            ) from error


def check_option_values(cfg: Any, options: Dict[str, Any]) -> None:
    """Compare texts with the numbers and switches that they replace.

    Args:
        cfg (Config): Config without the options.
        options (dict): Values by dotted key.

    Raises:
        ValueError: If a value is a text, but that of the config, or else the
            default of the argument, is a number, True or False.
    """
    for key, value in options.items():
        if not isinstance(value, str):
            continue
        old = _find_old_value(cfg, key)
        if not isinstance(old, (int, float)):
            continue
        if value in _WORDS.get(key.rpartition('.')[2], ()):
            continue
        kind = 'True or False' if isinstance(old, bool) else 'a number'
        raise ValueError(
            f'--cfg-options {key}={value}: got a text, expected {kind} such '
            f'as {old}'
        )


def _find_old_value(cfg: Any, key: str) -> Any:
    """Find the value of a dotted key, or the default of the argument."""
    *parents, name = key.split('.')
    node = cfg
    for part in parents:
        if isinstance(node, (list, tuple)) and part.isdigit():
            node = node[int(part)] if int(part) < len(node) else None
        else:
            node = node.get(part) if hasattr(node, 'get') else None
    if isinstance(node, (list, tuple)) and name.isdigit():
        return node[int(name)] if int(name) < len(node) else None
    if not hasattr(node, 'get'):
        return None
    if name in node:
        return node[name]
    return _find_default(node.get('type'), name)


def _find_default(type_name: Any, argument: str) -> Any:
    """Find the default of an argument of a registered class."""
    from swahr_mmpose.utils.config import look_up_type

    name = str(type_name).rpartition('.')[2]
    for kind in look_up_type(name) if isinstance(type_name, str) else ():
        for base in inspect.getmro(kind) if inspect.isclass(kind) else (kind,):
            parameter = _list_parameters(base).get(argument)
            if parameter is not None:
                return parameter.default
    return None


def _list_parameters(kind: Any) -> Mapping[str, inspect.Parameter]:
    """List the parameters of a class or function; none of built-in ones."""
    try:
        return inspect.signature(kind).parameters
    except ValueError:
        return {}


def find_misspelt_keys(
    cfg: Any, options: Dict[str, Any]
) -> Iterator[Tuple[str, str, str]]:
    """Find new keys that differ by one character from an existing one.

    Args:
        cfg (Config): Config without the options.
        options (dict): Values by dotted key.

    Yields:
        tuple[str, str, str]: Dotted key, the part of it that is new, and the
        similar one of the config.
    """
    for key in options:
        node = cfg
        for part in key.split('.'):
            if isinstance(node, (list, tuple)):
                index = int(part) if part.isdigit() else len(node)
                node = node[index] if index < len(node) else None
                continue
            if not hasattr(node, 'keys'):
                break
            if part not in node:
                similar = [k for k in node.keys() if _is_similar(part, k)]
                if similar:
                    yield key, part, similar[0]
                break
            node = node[part]


def _is_similar(new: str, old: Any) -> bool:
    """Whether one edit, or one exchange of neighbours, makes keys equal."""
    if not isinstance(old, str) or min(len(new), len(old)) < _MIN_LENGTH:
        return False
    start = len(osp.commonprefix([new, old]))
    ends = [new[start:][::-1], old[start:][::-1]]
    end = len(osp.commonprefix(ends))
    rest, other = (text[end:] for text in ends)
    if (rest + other).isdigit():  # stage2, stage3
        return False
    return max(len(rest), len(other)) <= 1 or (
        len(rest) == 2 and rest == other[::-1]
    )
