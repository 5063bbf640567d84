# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Conversion of checkpoints between layouts, and their publication."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple

import torch
from torch import Tensor

from .compare import refuse_non_finite
from .layouts import (
    detect_layout,
    from_mmpose_0x,
    from_official,
    strip_prefixes,
    to_mmpose_0x,
    to_official,
    unwrap,
)
from .meta import select_meta
from .model_spec import ModelShape, check_hrnet, is_hrnet, read_model_shape

__all__ = ['LAYOUTS', 'Converted', 'convert', 'prepare_to_publish']

LAYOUTS = ('mmpose', 'official', 'mmpose-0.x')
_TO_OURS: Dict[str, Callable[[Dict[str, Tensor]], Dict[str, Tensor]]] = {
    'official': from_official,
    'mmpose-0.x': from_mmpose_0x,
    'mmpose': dict,
}
_FROM_OURS: Dict[str, Callable[[Dict[str, Tensor]], Dict[str, Tensor]]] = {
    'official': to_official,
    'mmpose-0.x': to_mmpose_0x,
    'mmpose': dict,
}
_SCALE = 'head.scale_layers.'


class Converted(NamedTuple):
    """A converted state dict and its origin.

    Attributes:
        state_dict (dict[str, Tensor]): Weights in the target layout.
        model (ModelShape): Hyper-parameters of the head.
        layout (str): Detected layout of the source.
        wrapper (list[str]): Key under which the state dict was found; empty
            if none.
        prefixes (list[str]): Prefixes stripped from all keys.
        from_half (bool): Whether tensors were converted to float32.
    """

    state_dict: Dict[str, Tensor]
    model: ModelShape
    layout: str
    wrapper: List[str]
    prefixes: List[str]
    from_half: bool


def convert(
    content: Any, to: str = 'mmpose', scale_maps: bool = True
) -> Converted:
    """Convert a checkpoint of HigherHRNet or SWAHR; detect its layout.

    The official and MMPose 0.x layouts exist for HRNet only. From
    ``'mmpose'`` to ``'mmpose'`` any backbone is accepted.

    Args:
        content: Content of the checkpoint file.
        to (str): Target layout: ``'mmpose'`` (this package),
            ``'official'`` or ``'mmpose-0.x'``. Defaults to ``'mmpose'``.
        scale_maps (bool): Whether to keep the scale branch, which MMPose 0.x
            does not have. Defaults to True.

    Returns:
        Converted: Result. Tensors are shared with ``content``, except
        half-precision ones, which are converted to float32.

    Raises:
        ValueError: If a layout is unknown, a key is missing or unknown, or a
            shape does not fit.
    """
    if to not in LAYOUTS:
        raise ValueError(f'to is {to!r}, expected one of {LAYOUTS}')
    wrapped, wrapper = unwrap(content)
    state, prefixes = strip_prefixes(wrapped)
    layout = detect_layout(state)
    ours = _TO_OURS[layout](state)
    if not scale_maps:
        ours = {k: v for k, v in ours.items() if not k.startswith(_SCALE)}
    model = read_model_shape(ours)
    if to != 'mmpose' and model.tag_dim > 1:
        raise ValueError(
            f'the tags have {model.tag_dim} dimensions (tag_dim), which the '
            f"layout {to} does not have; use to='mmpose'"
        )
    if layout != 'mmpose' or to != 'mmpose' or is_hrnet(ours):
        check_hrnet(ours)
    halves = [
        k
        for k, v in ours.items()
        if v.dtype in (torch.float16, torch.bfloat16)
    ]
    for key in halves:
        ours[key] = ours[key].float()
    result = _FROM_OURS[to](ours)
    return Converted(result, model, layout, wrapper, prefixes, bool(halves))


def prepare_to_publish(
    content: Any, scale_maps: bool = True
) -> Dict[str, Any]:
    """Reduce a checkpoint to weights and metadata for a model zoo.

    Args:
        content: Content of the checkpoint file, in any layout of
            :mod:`swahr_mmpose.checkpoints.layouts`. In the layout of this
            package the backbone may be of any type.
        scale_maps (bool): Whether to keep the scale branch, which is needed
            for training and for figures of scales only. Defaults to True.

    Returns:
        dict: ``state_dict`` with contiguous CPU tensors that share no
        storage, and ``meta`` with the values that :func:`select_meta`
        accepts, so that ``torch.load`` reads the file with
        ``weights_only=True``.

    Raises:
        ValueError: If a weight is NaN or infinite, or see :func:`convert`
            and :func:`select_meta`.
    """
    state = convert(content, scale_maps=scale_maps).state_dict
    weights = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in state.items()
    }
    refuse_non_finite(weights, 'to publish')
    meta = content.get('meta') if isinstance(content, Mapping) else None
    return dict(meta=select_meta(meta)[0], state_dict=weights)
