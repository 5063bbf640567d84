# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The option ``--cfg-options``: parsing and spelling."""

from __future__ import annotations

import argparse
import os.path as osp
from typing import Any, Dict, Iterator, Optional, Tuple

__all__ = ['ConfigAction', 'find_misspelt_keys']

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
