# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""One input size for codec, pipelines and head of a config.

Sizes are ``(w, h)`` in pixels.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Iterator, Optional, Set, Tuple

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    'apply_input_size_variable',
    'find_input_size_variable',
    'parse_input_size',
    'set_input_size',
]

Size = Tuple[int, int]
# Sides of the network input are multiples of it, as those of test images.
_MULTIPLE = 64
# Transforms of this package for square inputs only.
_SQUARE = ('BottomupRandomSquareAffine', 'BottomupPyramidResize')


def parse_input_size(text: str) -> Size:
    """Parse the value of ``--input-size``.

    Args:
        text (str): ``'640'``, ``'640,512'`` or ``'640x512'``: width and
            height in pixels.

    Returns:
        tuple[int, int]: Size.

    Raises:
        argparse.ArgumentTypeError: If it is no size, or a side is not a
            multiple of 64.
    """
    sides = text.replace('x', ',').split(',')
    if not (len(sides) in (1, 2) and all(s.strip().isdigit() for s in sides)):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no input size, expected a side in pixels such as '
            '640, or WIDTH,HEIGHT'
        )
    width, height = int(sides[0]), int(sides[-1])
    try:
        _check_size((width, height))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return width, height


def _check_size(size: Size) -> None:
    """Raise ValueError if a side is not a multiple of 64."""
    for side in size:
        if side < _MULTIPLE or side % _MULTIPLE:
            near = max(round(side / _MULTIPLE), 1) * _MULTIPLE
            raise ValueError(
                f'input size {side} is not a multiple of {_MULTIPLE}; the '
                f'nearest one is {near}'
            )


def set_input_size(cfg: Config, size: Size) -> None:
    """Set the input size of codecs, pipelines and head.

    Heatmap sizes keep their ratio to the input size. Values that several
    places of a config share are set once in each.

    Args:
        cfg (Config): Complete config, for example one that MMEngine wrote
            into a work directory; changed in place.
        size (tuple[int, int]): Size ``(w, h)``.

    Raises:
        ValueError: If a side is not a multiple of 64, the config has no
            input size, or a transform needs a square one.
    """
    _check_size(size)
    content = cfg._cfg_dict
    places = list(_iter_places(content))
    if not places:
        raise ValueError(
            '--input-size: the config has no input_size in codec or '
            'pipelines, expected a bottom-up config'
        )
    for place in places:
        name = str(place.get('type', '')).rpartition('.')[2]
        if name in _SQUARE and size[0] != size[1]:
            raise ValueError(
                f'--input-size {size[0]},{size[1]}: {name} needs a square '
                f'input; use --input-size {max(size)}'
            )
    for place in places:
        _resize(place, size)
    if 'input_size' in cfg:
        cfg.input_size = size


def _resize(place: Any, size: Size) -> None:
    """Set the sizes of a codec or transform."""
    old = place['input_size']

    def scale(heatmap: Any) -> Size:
        width, height = (
            new * cells // before
            for new, cells, before in zip(size, heatmap, old)
        )
        return width, height

    if place.get('heatmap_sizes'):
        place['heatmap_sizes'] = [scale(s) for s in place['heatmap_sizes']]
    if place.get('heatmap_size'):
        place['heatmap_size'] = scale(place['heatmap_size'])
    place['input_size'] = size


def _iter_places(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the dicts of codecs and transforms that have an input size."""
    if isinstance(value, dict):
        if depth and _is_size(value.get('input_size')):
            yield value
        for item in value.values():
            yield from _iter_places(item, depth + 1)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _iter_places(item, depth + 1)


def _is_size(value: Any) -> bool:
    """Whether a value is a pair of integers."""
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(side, int) for side in value)
    )


def _list_sizes(cfg: Any) -> Set[Size]:
    """List the sizes of codecs and transforms."""
    return {tuple(p['input_size']) for p in _iter_places(cfg._cfg_dict)}


def _get_variable(cfg: Any) -> Optional[Size]:
    """Get the variable ``input_size`` of a config; None without one."""
    value = cfg.get('input_size')
    if isinstance(value, int):
        return value, value
    return tuple(value) if _is_size(value) else None


def apply_input_size_variable(cfg: Config) -> None:
    """Apply the variable ``input_size`` of a config file.

    MMEngine does not evaluate inherited pipelines again. A config that
    inherits another and sets ``input_size`` alone gets codec, pipelines and
    head of this size.

    Args:
        cfg (Config): Config as read from a file; changed in place.

    Raises:
        ValueError: If the size that the variable sets, or that a model with a
            ``HigherHRNetHead`` shares with it, is not valid.
    """
    size, variable = find_input_size_variable(cfg), _get_variable(cfg)
    try:
        if size is not None:
            set_input_size(cfg, size)
        elif variable is not None and _is_shared(cfg, variable):
            _check_size(variable)
    except ValueError as error:
        raise ValueError(
            f'config {cfg.filename}: input_size = {cfg.input_size}: {error}'
        ) from error


def _is_shared(cfg: Any, size: Size) -> bool:
    """Whether codec and pipelines of a HigherHRNetHead have the size."""
    head = (cfg.get('model') or {}).get('head') or {}
    is_ours = 'HigherHRNetHead' in str(head.get('type'))
    return is_ours and _list_sizes(cfg) == {size}


def find_input_size_variable(cfg: Config) -> Optional[Size]:
    """Find the variable ``input_size`` that codec and pipelines do not have.

    Args:
        cfg (Config): Config as read from a file.

    Returns:
        tuple[int, int] | None: Size to apply. None if all agree, or if a file
        sets codec or pipelines itself.
    """
    size, used = _get_variable(cfg), _list_sizes(cfg)
    if size is None or not used or used == {size} or not cfg.filename:
        return None
    return _trace_variable(str(cfg.filename))


def _trace_variable(path: str) -> Optional[Size]:
    """Find the size that a file, or one it inherits, sets as a variable."""
    from mmengine.config import Config

    if Config._is_lazy_import(path):
        return None
    bases = [
        Config._get_cfg_path(base, path)[0]
        for base in Config._get_base_files(path)
    ]
    own = _read_plainly(path)
    inherited = [_read_plainly(base) for base in bases]
    used = set().union(*map(_list_sizes, inherited)) if bases else set()
    if _list_sizes(own) != used:
        return None
    sizes = [_get_variable(cfg) for cfg in inherited]
    if _get_variable(own) not in sizes:
        return _get_variable(own)
    traced = [_trace_variable(base) for base in bases]
    return next((size for size in traced if size is not None), None)


def _read_plainly(path: str) -> Config:
    """Read a config file without its custom imports."""
    from mmengine.config import Config

    return Config.fromfile(path, import_custom_modules=False)
