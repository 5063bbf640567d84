# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Safe text: values of files as they may be printed on a terminal."""

from __future__ import annotations

from typing import Any

__all__ = ['escape']

_MAX_LENGTH = 200


def escape(value: Any, limit: int = _MAX_LENGTH) -> str:
    r"""Escape and shorten text from a file.

    A terminal executes escape sequences in a name, and some Unicode
    characters change the order in which others are shown.

    Args:
        value: Text, or a value that is converted to text.
        limit (int): Maximum length of the result in characters; the middle of
            longer text is omitted.  Defaults to 200.

    Returns:
        str: Printable text, e.g. ``'a\\x1b[2J.jpg'``.
    """
    text = str(value)
    if len(text) > limit:
        half = (limit - 3) // 2
        text = f'{text[:half]}...{text[-half:]}'
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode('ascii')
        for c in text
    )
