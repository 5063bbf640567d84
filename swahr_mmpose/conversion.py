# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From what any checkpoint file holds to a state dict of one layout."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple

import torch
from torch import Tensor

from .checkpoints import (
    detect_layout,
    from_mmpose_0x,
    from_official,
    strip_prefixes,
    to_official,
    unwrap,
)
from .model_shape import ModelShape, read_model_shape

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
