# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From a training checkpoint to what a model zoo should hold."""

from __future__ import annotations

from typing import Any, Dict, Mapping

import numpy as np

from .conversion import convert

__all__ = ['to_publish']

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
            :mod:`swahr_mmpose.checkpoints`.
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
