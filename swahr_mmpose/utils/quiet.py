# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""No warnings and messages of other packages that no user can act upon."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from typing import Any, Iterator, TextIO, cast

__all__ = ['hide_coco_messages', 'ignore_warnings_of_others', 'import_quietly']

# Names of modules that are not of this package.
_OTHERS = r'(?!swahr_mmpose\b)'
# Beginnings of the lines that pycocotools and xtcocotools print.
_COCO_MESSAGES = (
    'loading annotations into memory...',
    'creating index...',
    'index created!',
    'loading and preparing results...',
    'running per image evaluation...',
    'evaluate annotation type ',
    'accumulating evaluation results...',
    'done (t=',
    'average precision  (ap) @[',
    'average recall     (ar) @[',
)


def ignore_warnings_of_others() -> None:
    """Print warnings of this package only, from now on.

    Python's option ``-W`` and ``PYTHONWARNINGS`` take precedence.
    """
    if not sys.warnoptions:
        warnings.filterwarnings('ignore', module=_OTHERS)
        warnings.filterwarnings('default', module=r'swahr_mmpose\b')


@contextmanager
def import_quietly() -> Iterator[None]:
    """Ignore warnings of other packages within the context.

    mmengine 0.10 imports ``pkg_resources``, which warns. Python's option
    ``-W`` and ``PYTHONWARNINGS`` take precedence.
    """
    if sys.warnoptions:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', module=_OTHERS)
        yield


@contextmanager
def hide_coco_messages() -> Iterator[None]:
    """Hide what pycocotools and xtcocotools print within the context.

    Other lines on standard output, such as those of a dataset class of the
    user, are printed.
    """
    if sys.stdout is None:  # a program without a console on Windows
        yield
        return
    lines = _LineFilter(sys.stdout)
    try:
        with redirect_stdout(cast(TextIO, lines)):
            yield
    finally:
        lines.finish()


class _LineFilter:
    """Stream that drops the lines of ``_COCO_MESSAGES``.

    Other attributes are those of the stream.

    Args:
        stream (TextIO): Stream of the other lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.rest = stream, ''

    def write(self, text: str) -> int:
        """Write complete lines; keep the rest."""
        *lines, self.rest = (self.rest + text).split('\n')
        for line in lines:
            if not line.strip().lower().startswith(_COCO_MESSAGES):
                self.stream.write(f'{line}\n')
        return len(text)

    def finish(self) -> None:
        """Write a last line without an end."""
        if self.rest:
            self.stream.write(self.rest)
        self.rest = ''

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
