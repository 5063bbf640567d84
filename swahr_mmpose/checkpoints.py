# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""State dicts of the official repositories, in and out.

Functions from state dict to state dict; no files.  Every key is accounted
for, or the conversion stops and names it.
"""

from __future__ import annotations

from typing import Dict, Mapping, TypeVar

__all__ = ['from_official', 'to_official']

V = TypeVar('V')

# Official prefix -> ours.  What follows the prefix is the same in both.
_BACKBONE = (
    'conv1',
    'bn1',
    'conv2',
    'bn2',
    'layer1',
    'transition1',
    'transition2',
    'transition3',
    'stage2',
    'stage3',
    'stage4',
)
_PREFIXES = {
    **{name: f'backbone.{name}' for name in _BACKBONE},
    'final_layers': 'head.final_layers',
    'deconv_layers': 'head.deconv_layers',
    'conv_scale_layers': 'head.scale_layers',
}


def _rename(
    state_dict: Mapping[str, V], table: Mapping[str, str]
) -> Dict[str, V]:
    renamed = {}
    for key, value in state_dict.items():
        for old, new in table.items():
            if key.startswith(old + '.'):
                renamed[new + key[len(old) :]] = value
                break
        else:
            raise KeyError(
                f'unexpected key {key!r}; expected one that begins with one '
                f'of {sorted(table)}. Is this a checkpoint of another model?'
            )
    return renamed


def from_official(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Official SWAHR or HigherHRNet keys to those of our estimator.

    Args:
        state_dict (Mapping): Without wrappers or prefixes.

    Returns:
        dict: ``backbone.*`` and ``head.*``; ``to_official`` is its inverse.

    Raises:
        KeyError: If a key belongs to neither repository's model.
    """
    return _rename(state_dict, _PREFIXES)


def to_official(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Our keys to the official ones, the inverse of :func:`from_official`."""
    return _rename(state_dict, {new: old for old, new in _PREFIXES.items()})
