# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Values of annotation files in messages."""

from __future__ import annotations

from reprlib import repr as short
from typing import Any

from swahr_mmpose.utils.text import escape

__all__ = ['count', 'describe', 'escape', 'short']

_TYPES = {
    type(None): 'null',
    bool: 'a boolean',
    int: 'a number',
    float: 'a number',
    str: 'text',
    list: 'a list',
    dict: 'an object',
}


def describe(value: Any) -> str:
    """Name the JSON type of a value, e.g. ``'text'`` or ``'NaN'``."""
    if isinstance(value, float) and value != value:
        return 'NaN'
    return _TYPES.get(type(value), type(value).__name__)


def count(number: int, noun: str) -> str:
    """Write a number of things, e.g. ``'1 image'`` or ``'2 images'``."""
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'
