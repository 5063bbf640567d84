# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Selection of the metadata of a published checkpoint.

An entry of ``meta`` is published only if its value has the expected type and
form. Anything else may hold a path, a name of the author's computer or the
value of an environment variable.
"""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Tuple

import numpy as np

__all__ = ['select_meta']

Check = Callable[[Any], bool]


def select_meta(meta: Any) -> Tuple[Dict[str, Any], List[str]]:
    """Select the publishable entries of a checkpoint's ``meta``.

    Args:
        meta: ``meta`` of a checkpoint; may be of any type.

    Returns:
        tuple[dict, list[str]]: Entries with built-in Python values, and the
        names of entries that are left out.

    Raises:
        ValueError: If keypoint names cannot be published, or the metadata
            has more than a million values.
    """
    plain = _to_builtin(meta, 0, [_MAX_VALUES])
    kept, removed = _select(plain, _META, '')
    for key in ('keypoint_id2name', 'keypoint_name2id'):
        if f'dataset_meta.{key}' in removed:
            got = plain['dataset_meta'][key]
            raise ValueError(
                f'meta.dataset_meta.{key} is {got!r:.200}, expected '
                'names of at most 100 printable characters without "{{", and '
                'their indices; rename the keypoints in the metainfo'
            )
    return kept, removed


def _select(
    value: Any, checks: Mapping[str, Any], prefix: str
) -> Tuple[Dict[str, Any], List[str]]:
    """Select the entries of a mapping that pass their check."""
    kept: Dict[str, Any] = {}
    removed: List[str] = []
    for key, item in value.items() if isinstance(value, dict) else ():
        check = checks.get(key) if isinstance(key, str) else None
        if isinstance(check, dict) and isinstance(item, dict):
            kept[key], below = _select(item, check, f'{prefix}{key}.')
            removed += below
        elif callable(check) and check(item):
            kept[key] = item
        else:
            removed.append(f'{prefix}{key!s:.40}')
    return kept, removed


_MAX_DEPTH = 6
_MAX_VALUES = 1_000_000


def _to_builtin(value: Any, depth: int, left: List[int]) -> Any:
    """Convert NumPy values and sets to built-in types, recursively.

    ``left`` counts values: shared lists may have exponentially many.
    """
    left[0] -= 1
    if left[0] < 0:
        _raise_too_many()
    if depth > _MAX_DEPTH:
        return None  # no metadata is nested as deep
    if isinstance(value, Mapping):
        return {
            _to_key(k): _to_builtin(v, depth + 1, left)
            for k, v in value.items()
        }
    if isinstance(value, np.ndarray):
        # A shape like (10**9, 0) has no values, but as many lists.
        left[0] -= math.prod(max(1, n) for n in value.shape)
        return value.tolist() if left[0] >= 0 else _raise_too_many()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted((_to_key(v) for v in value), key=str)
    if isinstance(value, (list, tuple)):
        return [_to_builtin(v, depth + 1, left) for v in value]
    return value


def _raise_too_many() -> NoReturn:
    raise ValueError(f'meta has more than {_MAX_VALUES} values')


def _to_key(value: Any) -> Any:
    """Convert a key of a mapping to a built-in type."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, (str, int, float)) else repr(value)


def _matches(pattern: str) -> Check:
    """Make a check for strings of a form."""
    form = re.compile(pattern)
    return lambda value: isinstance(value, str) and bool(form.fullmatch(value))


def _is_number(value: Any) -> bool:
    """Whether a value is a number, but not a bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    """Whether a value is an integer of at least 0."""
    return type(value) is int and value >= 0


def _is_list(check: Check, max_length: int = 10000) -> Check:
    """Make a check for lists of values that pass a check."""
    return lambda value: (
        isinstance(value, list)
        and len(value) <= max_length
        and all(map(check, value))
    )


def _is_dict(check_key: Check, check_value: Check) -> Check:
    """Make a check for dicts."""
    return lambda value: (
        isinstance(value, dict)
        and all(map(check_key, value))
        and all(map(check_value, value.values()))
    )


# Words of a name. Slashes, backslashes, colons, braces and "$" would allow
# paths, addresses and templates.
_is_name = _matches(r'[\w .()+,-]{1,100}')


# Names of keypoints may have any printable character: they are needed.
def _is_keypoint_name(value: Any) -> bool:
    """Whether a value is printable and no template of MMEngine."""
    return (
        isinstance(value, str)
        and len(value) <= 100
        and value.isprintable()
        and '{{' not in value
    )


_is_version = _matches(r'[\w.+-]{1,40}')
_is_category = _is_dict(
    _is_name,
    lambda value: (
        _is_number(value)
        or _is_name(value)
        or _is_list(_is_keypoint_name)(value)
        or _is_list(_is_list(_is_count))(value)
    ),
)
_is_indices = _is_list(_is_count)
_is_pairs = _is_list(_is_indices)
_is_colors = _is_list(_is_list(_is_number))

_META: Dict[str, Any] = dict(
    epoch=_is_count,
    iter=_is_count,
    mmengine_version=_is_version,
    swahr_mmpose_version=_is_version,
    time=_matches(r'[\d_: -]{1,30}'),
    source=dict(
        file=_is_name,
        sha256=_matches('[0-9a-f]{64}'),
        layout=_is_name,
        taken_off=_is_list(_is_name, 10),
        from_half=lambda value: isinstance(value, bool),
    ),
    dataset_meta=dict(
        dataset_name=_is_name,
        num_keypoints=_is_count,
        keypoint_id2name=_is_dict(_is_count, _is_keypoint_name),
        keypoint_name2id=_is_dict(_is_keypoint_name, _is_count),
        upper_body_ids=_is_indices,
        lower_body_ids=_is_indices,
        flip_indices=_is_indices,
        flip_pairs=_is_pairs,
        keypoint_colors=_is_colors,
        num_skeleton_links=_is_count,
        skeleton_links=_is_pairs,
        skeleton_link_colors=_is_colors,
        dataset_keypoint_weights=_is_list(_is_number),
        sigmas=_is_list(_is_number),
        classes=_is_list(_is_name),
        CLASSES=_is_list(lambda v: _is_name(v) or _is_category(v)),
    ),
)
