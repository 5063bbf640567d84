# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Schema of a COCO keypoint file: the types of the values, by key.

The schema is checked before anything else: later checks, and pycocotools,
calculate with the values.  A missing key and null are not an error of type.
"""

from __future__ import annotations

import math
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from .text import describe, short

__all__ = [
    'SCHEMA',
    'are_coordinates',
    'are_finite',
    'find_list_problem',
    'find_perimeter_problem',
    'find_type_problems',
    'is_integer',
    'is_number',
]

# Bound of coordinates; pycocotools crashes on much larger polygons.
MAX_COORDINATE = 1e7
_MAX_NUMBER = 1e15
# Perimeter in pixels that pycocotools may draw for an image of any size.
_MAX_PERIMETER = 1e6


class Field(NamedTuple):
    """Type of the value of a key.

    Attributes:
        is_valid (callable): Function of the value.
        expected (str): Description of a valid value.
    """

    is_valid: Callable[[Any], bool]
    expected: str


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number of usual magnitude."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < _MAX_NUMBER
    )


def is_integer(value: Any) -> bool:
    """Return whether a value is a number without a fraction."""
    return is_number(value) and value == int(value)


def are_coordinates(values: Any) -> bool:
    """Return whether a value is a list of finite numbers below the bound."""
    if not isinstance(values, list) or find_list_problem('', values):
        return False
    return are_finite(values)


def are_finite(values: Sequence[float]) -> bool:
    """Return whether all numbers are finite and below the bound."""
    try:
        # NaN and infinity propagate through a sum.
        total = math.fsum(values)
    except (OverflowError, ValueError):
        return False
    return math.isfinite(total) and (
        not values
        or (max(values) < MAX_COORDINATE and min(values) > -MAX_COORDINATE)
    )


def find_perimeter_problem(
    polygons: Sequence[Sequence[float]], size: Tuple[int, int]
) -> Optional[str]:
    """Find polygons whose perimeter is too long to be drawn.

    pycocotools allocates 40 bytes per pixel of the perimeter, also outside of
    the image: a few coordinates of 1e6 take gigabytes, or crash it.

    Args:
        polygons (Sequence): Polygons of finite coordinates, flat lists of x
            and y of three or more points.
        size (tuple): Image size ``(w, h)`` in pixels.

    Returns:
        str, optional: Problem, or ``None``.
    """
    total = 0.0
    for polygon in polygons:
        points = np.reshape(np.asarray(polygon, float), (-1, 2))
        steps = np.abs(points - np.roll(points, 1, axis=0))
        total += float(steps.max(axis=1).sum())
    limit = max(_MAX_PERIMETER, float(size[0]) * float(size[1]))
    if total <= limit:
        return None
    return (
        f'has polygons with a perimeter of {total:.3g} pixels, expected at '
        f'most {limit:.3g} for an image of {size[0]} x {size[1]}'
    )


def _is_flag(value: Any) -> bool:
    """Return whether a value is 0, 1, or a boolean."""
    return isinstance(value, bool) or (is_number(value) and value in (0, 1))


def _is_count(value: Any) -> bool:
    """Return whether a value is a number of at least 0."""
    return is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
    """Return whether a value is text."""
    return isinstance(value, str)


_INTEGER = Field(is_integer, 'an integer')
_COUNT = Field(_is_count, '0 or more')
# Lists of numbers have their own messages, see find_list_problem.
_LISTS = ('keypoints', 'bbox')
SCHEMA: Dict[str, Dict[str, Field]] = {
    'images': {
        'id': _INTEGER,
        'file_name': Field(_is_text, 'text'),
        'width': _INTEGER,
        'height': _INTEGER,
    },
    'annotations': {
        'id': _INTEGER,
        'image_id': _INTEGER,
        'category_id': _INTEGER,
        'area': _COUNT,
        'iscrowd': Field(_is_flag, '0 or 1'),
        'num_keypoints': _COUNT,
    },
    'categories': {'id': _INTEGER, 'name': Field(_is_text, 'text')},
}


def find_type_problems(record: dict, table: str) -> Dict[str, str]:
    """Find the values of a record that have another type than expected.

    Args:
        record (dict): Record of an image, annotation or category.
        table (str): Key of :data:`SCHEMA`.

    Returns:
        dict[str, str]: Messages, e.g. ``"has the id '7' (text), expected an
        integer"``, by key of the record.
    """
    problems = {}
    for key, (is_valid, expected) in SCHEMA[table].items():
        value = record.get(key)
        if value is None or is_valid(value):
            continue
        problems[key] = (
            f'has the {key} {short(value)} ({describe(value)}), expected '
            f'{expected}{_suggest_fix(value, is_valid)}'
        )
    if table == 'annotations':
        problems.update(_iter_list_problems(record))
    return problems


def _suggest_fix(value: Any, is_valid: Callable[[Any], bool]) -> str:
    """Suggest to remove quotes if the text is a valid number."""
    if not isinstance(value, str) or len(value) > 30:
        return ''
    try:
        number = float(value)
    except ValueError:
        return ''
    return '; remove the quotes' if is_valid(number) else ''


def _iter_list_problems(record: dict) -> Iterator[tuple]:
    """Yield (key, message) for the lists of numbers of an annotation."""
    for key in _LISTS:
        values = record.get(key)
        problem = None if values is None else find_list_problem(key, values)
        if problem:
            yield key, problem


def find_list_problem(key: str, values: Any) -> Optional[str]:
    """Find a value that is not a flat list of numbers (NaN is a number).

    Args:
        key (str): Key of the list, for the message.
        values: Value of the key.

    Returns:
        str, optional: Problem, or ``None``.
    """
    if not isinstance(values, list):
        got = f'{short(values)} ({describe(values)})'
        return f'has the {key} {got}, expected a list of numbers'
    if set(map(type, values)) <= {int, float}:  # the common case, fast
        return None
    for value in values:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            continue
        remedy = 'remove the quotes' if isinstance(value, str) else ''
        if isinstance(value, list):
            remedy = 'write one flat list without inner brackets'
        return (
            f'has {short(value)} ({describe(value)}) in {key}, expected '
            f'numbers{"; " if remedy else ""}{remedy}'
        )
    return None
