# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From what any checkpoint file holds to a state dict of one layout."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .layouts import (
    detect_layout,
    from_mmpose_0x,
    from_official,
    strip_prefixes,
    to_official,
    unwrap,
)
from .model_spec import ModelShape, read_model_shape

__all__ = ['LAYOUTS', 'Converted', 'convert']

LAYOUTS = ('mmpose', 'official')
_TO_OURS: Dict[str, Callable[[Dict[str, Tensor]], Dict[str, Tensor]]] = {
    'official': from_official,
    'mmpose-0.x': from_mmpose_0x,
    'mmpose': dict,
}


class Converted(NamedTuple):
    """A state dict and where it came from.

    ``wrapper`` and ``prefixes`` were taken off; ``from_half`` says whether
    tensors were made float32.
    """

    state_dict: Dict[str, Tensor]
    model: ModelShape
    layout: str
    wrapper: List[str]
    prefixes: List[str]
    from_half: bool


def convert(content: Any, to: str = 'mmpose') -> Converted:
    """Convert a checkpoint of HigherHRNet or SWAHR.

    Args:
        content: What the file holds; the layout is detected.
        to (str): ``'mmpose'``, this package's, or ``'official'``.

    Returns:
        Converted: With tensors of its own for halves alone.

    Raises:
        ValueError: If the layout is unknown, or a shape does not fit.
        KeyError: If a key belongs to no part of the model.
    """
    if to not in LAYOUTS:
        raise ValueError(f'to is {to!r}, expected one of {LAYOUTS}')
    wrapped, wrapper = unwrap(content)
    state, prefixes = strip_prefixes(wrapped)
    layout = detect_layout(state)
    ours = _TO_OURS[layout](state)
    model = read_model_shape(ours)
    halves = [
        k
        for k, v in ours.items()
        if v.dtype in (torch.float16, torch.bfloat16)
    ]
    for key in halves:
        ours[key] = ours[key].float()
    result = ours if to == 'mmpose' else to_official(ours)
    return Converted(result, model, layout, wrapper, prefixes, bool(halves))


# What of the meta helps whoever gets the file.  The config is left out: it
# names folders of the machine, and the model zoo names the config.
_META = (
    'dataset_meta',
    'epoch',
    'iter',
    'mmengine_version',
    'source',
    'swahr_mmpose_version',
    'time',
)


def to_publish(content: Any, scale_maps: bool = True) -> Dict[str, Any]:
    """Weights and meta alone, as plain values.

    Args:
        content: What the checkpoint file holds, in any layout of
            :mod:`swahr_mmpose.checkpoints.layouts`.
        scale_maps (bool): Keep the scale branch, which only training and
            pictures of scales need.

    Returns:
        dict: ``state_dict``, contiguous and without the rest of any storage
        that it shared, and ``meta``, without arrays, so that every program
        reads the file with ``weights_only=True``.
    """
    state = convert(content).state_dict
    weights = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in state.items()
        if scale_maps or not key.startswith('head.scale_layers.')
    }
    meta = content.get('meta') if isinstance(content, Mapping) else None
    known = {k: v for k, v in (meta or {}).items() if k in _META}
    return dict(meta=_plain(known), state_dict=weights)


def _plain(value: Any) -> Any:
    """Arrays as lists, NumPy's numbers as Python's, all the way down."""
    if isinstance(value, Mapping):
        return {_plain(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(v) for v in value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
