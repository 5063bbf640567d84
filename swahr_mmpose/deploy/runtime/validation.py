# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of an ONNX file from an unknown source: settings, inputs, outputs.

Settings are bounded so that resizing and decoding have bounded cost. The graph
itself is run by ONNX Runtime as it is.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np

__all__ = [
    'check_input_size',
    'check_maps',
    'check_session',
    'find_problem',
    'parse_score_threshold',
]

_MAX_SIDE = 2048
_MAX_KEYPOINTS = 1000
_MAX_KERNEL = 63
_MAX_LEVELS = 8
_MAX_STRIDE = 64
_MAX_SIGMA = 8
# Candidates of all keypoints, each of which may become a person.
_MAX_CANDIDATES = 20000
# Pixels of a network input; normalization takes 24 bytes for each.
_MAX_PIXELS = 1 << 24

Rule = Tuple[str, Callable[[Any], bool], str]


def find_problem(settings: Any) -> Optional[str]:
    """Find the first setting of a wrong type or out of range.

    Args:
        settings (Settings): Settings, of any JSON values.

    Returns:
        str, optional: Description, or None if all are valid.
    """
    values = dict(settings._asdict(), codec=None)
    values.update(
        (f'codec.{name}', value)
        for name, value in settings.codec._asdict().items()
    )
    for name, is_valid, expected in _list_rules():
        if not is_valid(values[name]):
            return f'{name} is {_shorten(values[name])}, expected {expected}'
    count = len(settings.keypoints)
    for name, is_valid, expected in _list_keypoint_rules(count):
        if not is_valid(values[name]):
            got = _shorten(values[name])
            return f'{name} is {got}, expected {expected} ({count} keypoints)'
    return _find_stride_problem(settings)


def _list_rules() -> Iterator[Rule]:
    """List the rules of settings that are checked on their own."""
    for name, high in (
        ('input_size', _MAX_SIDE),
        ('size_factor', 1024),
        ('stride', _MAX_STRIDE),
        ('finest_stride', _MAX_STRIDE),
        ('codec.topk', 1000),
    ):
        yield name, _in_range(1, high), f'an integer from 1 to {high}'
    for name in (
        'unbiased', 'flip_test', 'fused', 'output_scales',
        'ignore_orientation', 'codec.fill_missing',
    ):  # fmt: skip
        yield name, lambda v: isinstance(v, bool), 'true or false'
    yield (
        'sigma',
        lambda v: _is_number(v) and 0 < v <= _MAX_SIGMA,
        f'a positive number up to {_MAX_SIGMA}',
    )
    yield 'mean', _are_three_numbers, 'three finite numbers'
    yield (
        'std',
        lambda v: _are_three_numbers(v) and min(v) > 0,
        'three positive finite numbers',
    )
    yield 'channel_order', lambda v: v in ('rgb', 'bgr'), "'rgb' or 'bgr'"
    yield 'keypoints', _are_names, f'1 to {_MAX_KEYPOINTS} different names'
    yield (
        'heatmap_levels',
        lambda v: _are_integers(v, _MAX_LEVELS) and 0 < len(v) == len(set(v)),
        f'different integers from 0 to {_MAX_LEVELS - 1}',
    )
    yield (
        'codec.nms_kernel',
        lambda v: _in_range(1, _MAX_KERNEL)(v) and v % 2 == 1,
        f'an odd integer from 1 to {_MAX_KERNEL}',
    )
    for name in ('codec.keypoint_thr', 'codec.tag_thr'):
        yield name, lambda v: _is_number(v) and v >= 0, 'a number from 0'
    yield (
        'codec.max_instances',
        lambda v: v is None or _in_range(1, 10**6)(v),
        'null or a positive integer',
    )


def _list_keypoint_rules(count: int) -> Iterator[Rule]:
    """List the rules of settings that depend on the number of keypoints."""
    for name in ('flip_indices', 'codec.keypoint_order'):
        yield (
            name,
            lambda v: (
                _are_integers(v, count) and sorted(v) == list(range(count))
            ),
            'each keypoint index once',
        )
    yield (
        'skeleton',
        lambda v: (
            isinstance(v, list)
            and len(v) <= count**2
            and all(_are_integers(e, count) and len(e) == 2 for e in v)
        ),
        'pairs of keypoint indices',
    )
    limit = _MAX_CANDIDATES // count
    yield 'codec.topk', _in_range(1, limit), f'an integer up to {limit}'


def _find_stride_problem(s: Any) -> Optional[str]:
    """Find strides that do not divide the sides of an input."""
    for name in ('stride', 'finest_stride'):
        stride = getattr(s, name)
        if s.size_factor % stride:
            return (
                f'{name} is {stride}, expected a divisor of size_factor '
                f'{s.size_factor}'
            )
    return None


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number of moderate size."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) < 1e9  # False for NaN
    )


def _in_range(low: int, high: int) -> Callable[[Any], bool]:
    """Make a test for integers from ``low`` to ``high``."""
    return lambda v: type(v) is int and low <= v <= high


def _are_integers(value: Any, end: int) -> bool:
    """Return whether a value is a list of integers from 0 below ``end``."""
    is_index = _in_range(0, end - 1)
    return isinstance(value, list) and all(map(is_index, value))


def _are_three_numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(map(_is_number, value))
    )


def _are_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= _MAX_KEYPOINTS
        and all(isinstance(n, str) and 0 < len(n) <= 200 for n in value)
        and len(set(value)) == len(value)
    )


def _shorten(value: Any) -> str:
    """Format a value for a message, with at most 60 characters."""
    text = ascii(value)
    return text if len(text) <= 60 else f'{text[:60]}...'


def check_session(session: Any, settings: Any, path: str) -> None:
    """Check that inputs and outputs of a graph fit the settings.

    Args:
        session (InferenceSession): Session of ONNX Runtime.
        settings (Settings): Settings of the file.
        path (str): Path of the file for messages.

    Raises:
        ValueError: If they do not fit.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    count = 2 + settings.output_scales
    if not settings.fused:
        count += max(settings.heatmap_levels)
    kinds = [(i.type, len(i.shape), i.shape[1:2]) for i in inputs]
    if (
        kinds != [('tensor(float)', 4, [3])]
        or len(outputs) < count
        or (settings.fused and len(outputs) > count)
    ):
        raise ValueError(
            f'{path}: got inputs {_describe(inputs)} and outputs '
            f'{_describe(outputs)}, expected one float input (B, 3, H, W) and '
            f'{count} outputs; export the model again'
        )
    if any(output.type != 'tensor(float)' for output in outputs):
        raise ValueError(
            f'{path}: got outputs {_describe(outputs)}, expected '
            'float32; export the model again'
        )
    _check_input_shape(inputs[0].shape, settings.size_factor, path)


def _check_input_shape(shape: Sequence[Any], factor: int, path: str) -> None:
    """Check the shape of the input of a graph, fixed or not."""
    batch, _, *size = shape
    fixed = [n for n in size if isinstance(n, int)]
    if any(n < 1 or n % factor for n in fixed):
        raise ValueError(
            f'{path}: got an input of height and width {_shorten(size)}, '
            f'expected multiples of {factor}; export the model again'
        )
    if len(fixed) == 1 or (isinstance(batch, int) and batch != 1):
        raise ValueError(
            f'{path}: got an input of shape {_shorten(list(shape))}, expected '
            'height and width both fixed or both variable, and a batch of 1 '
            'or variable; export the model again'
        )
    if fixed:
        try:
            check_input_size((fixed[1], fixed[0]))
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error


def check_input_size(size: Tuple[int, int]) -> None:
    """Check the size of a network input before memory is allocated for it.

    Args:
        size (tuple): Size ``(w, h)`` in pixels.

    Raises:
        ValueError: If it has too many pixels.
    """
    if size[0] * size[1] > _MAX_PIXELS:
        raise ValueError(
            f'got a network input of {size[0]} x {size[1]} pixels, expected '
            f'at most {_MAX_PIXELS} pixels; crop the image, or export the '
            'model with a smaller input'
        )


def _describe(values: Sequence[Any]) -> str:
    """Format names, types and shapes of inputs or outputs."""
    return _shorten([f'{v.name} {v.type} {v.shape}' for v in values])


def check_maps(
    maps: Sequence[np.ndarray], inputs_shape: Tuple[int, ...], settings: Any
) -> None:
    """Check the shapes of the maps that a graph computed.

    Args:
        maps (Sequence[np.ndarray]): Heatmaps, expected shape (B, K,
            H / stride, W / stride); tags, expected shape (B, L*K, h, w) and
            not larger than the heatmaps; with ``output_scales`` the scale
            maps, expected shape (B, K, H / finest_stride, W / finest_stride).
        inputs_shape (tuple): Shape (B, 3, H, W) of the network input.
        settings (Settings): Settings of the file.

    Raises:
        ValueError: If a shape is another one.
    """
    heatmaps, tags, *scale_maps = maps
    count = len(settings.keypoints)
    batch, _, height, width = inputs_shape
    finest = [n // settings.finest_stride for n in (height, width)]
    size = [height // settings.stride, width // settings.stride]
    expected: List[int] = [batch, count, *size]
    shape = list(tags.shape)
    if (
        list(heatmaps.shape) != expected
        or len(shape) != 4
        or shape[0] != batch
        or not 1 <= shape[1] // count <= 16
        or shape[1] % count
        or not all(1 <= n <= limit for n, limit in zip(shape[2:], size))
    ):
        raise ValueError(
            f'the model computed heatmaps {heatmaps.shape} and tags '
            f'{tags.shape} for an input {inputs_shape}, expected heatmaps '
            f'{tuple(expected)} and tags of {count} channels or a multiple, '
            'of this size or smaller; export the model again'
        )
    for alpha in scale_maps:
        if list(alpha.shape) != [batch, count, *finest]:
            raise ValueError(
                f'the model computed scale maps {alpha.shape} for an input '
                f'{inputs_shape}, expected {(batch, count, *finest)}; export '
                'the model again'
            )


def parse_score_threshold(name: str, value: Any) -> float:
    """Parse a minimum instance score.

    Scores are values of heatmaps, whose targets are at most 1.

    Args:
        name (str): Name of the option, for the message.
        value (float | str): Value.

    Returns:
        float: Value.

    Raises:
        ValueError: If it is not a number from 0 to 1.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float('nan')
    if 0 <= number <= 1:
        return number
    remedy = ''
    if 1 < number <= 100:
        remedy = f'; for {number:g} % use {number / 100:g}'
    raise ValueError(
        f'{name} is {ascii(value)[:40]}, expected a number from 0 to 1{remedy}'
    )
