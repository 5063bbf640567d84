# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Progress on standard error: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Iterable, Iterator, Optional, Sized, TypeVar

__all__ = ['Progress', 'track']

T = TypeVar('T')
# Lines of a log file, besides the first one.
_PARTS = 10


class Progress:
    """Progress of a loop, a context manager.

    Where standard error is no terminal, such as in a log file, a line is
    printed at the start, after every tenth and at the end; nothing for a
    single item. Without a total, after 10, 100, 1000, ... items and at the
    end.

    Args:
        total (int, optional): Number of items; None if unknown.
        title (str): Text before the numbers. Defaults to none.
        unit (str): Plural of what is counted, with an s. Defaults to
            ``'images'``.
    """

    def __init__(
        self, total: Optional[int], title: str = '', unit: str = 'images'
    ) -> None:
        self.total, self.title, self.unit = total, title, unit
        self.count, self.note = 0, ''
        self._printed = -1
        self._started = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        """Draw the bar, or print the first line."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=self.total, desc=self.title or None, unit=f' {self.unit}'
            )
        elif self.total is not None:
            self._print()
        return self

    def update(self, note: str = '') -> None:
        """Count an item.

        Args:
            note (str): Text after the numbers. Defaults to none.
        """
        self.count, self.note = self.count + 1, note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update()
        elif self._is_due():
            self._print()

    def write(self, message: str) -> None:
        """Print a message above the bar.

        Args:
            message (str): Message.
        """
        if self._bar is not None:
            self._bar.write(message, file=sys.stderr)
        else:
            print(message, file=sys.stderr, flush=True)

    def __exit__(self, *error: Any) -> None:
        """Remove the bar, or print the last line."""
        if self._bar is not None:
            self._bar.close()
        elif self.count > self._printed:
            self._print()

    def _is_due(self) -> bool:
        """Whether to print a line for the current count."""
        if self.total is None:
            digits = str(self.count)
            return self.count >= 10 and digits.strip('0') == '1'
        if self.total <= _PARTS:
            return self.count == self.total
        before = (self.count - 1) * _PARTS // self.total
        return self.count * _PARTS // self.total > before

    def _print(self) -> None:
        """Print a line."""
        if self.total == 1:
            return
        self._printed = self.count
        total = '' if self.total is None else f'/{self.total}'
        single = self.count == 1 and self.total is None
        unit = self.unit[:-1] if single else self.unit
        line = f'{self.count}{total} {unit}'
        if self.title:
            line = f'{self.title}: {line}'
        if self.note:
            line += f', {self.note}'
        if self.count:
            line += f', {time.monotonic() - self._started:.0f} s'
        print(line, file=sys.stderr, flush=True)


def track(
    items: Iterable[T],
    title: str = '',
    unit: str = 'images',
    total: Optional[int] = None,
) -> Iterator[T]:
    """Iterate with a progress bar or lines, see :class:`Progress`.

    Args:
        items (Iterable): Items.
        title (str): Text before the numbers. Defaults to none.
        unit (str): Plural of what is counted. Defaults to ``'images'``.
        total (int, optional): Number of items. Defaults to None, the length
            of ``items`` if it has one.

    Yields:
        Any: Each item; it counts when the next one is requested.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(total, title, unit) as progress:
        for item in items:
            yield item
            progress.update()
