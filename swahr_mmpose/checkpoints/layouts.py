# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""State dicts of HigherHRNet and SWAHR: every published layout, in and out.

Functions from state dict to state dict; no files.  Every key is accounted
for, or the conversion stops and names it.  K keypoints, C channels.

========== ===================== =========================================
layout     network               head
========== ===================== =========================================
official   ``conv1`` ...         ``final_layers``, ``deconv_layers``,
           ``stage4``            ``conv_scale_layers`` (SWAHR only)
mmpose-0.x ``backbone.conv1``    ``keypoint_head.final_layers`` ...
mmpose     ``backbone.conv1``    ``head.final_layers``, ...,
           (ours)                ``head.scale_layers``
========== ===================== =========================================
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple, TypeVar

from torch import Tensor

__all__ = [
    'BACKBONE',
    'backbone_weights',
    'detect_layout',
    'from_mmpose_0x',
    'from_official',
    'shape_of',
    'strip_prefixes',
    'to_official',
    'unwrap',
]

V = TypeVar('V')

BACKBONE = (
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
_SCALE = {'conv_scale_layers': 'scale_layers'}
_HEAD = {'final_layers': 'final_layers', 'deconv_layers': 'deconv_layers'}
# Foreign prefix -> ours.  What follows the prefix is the same in both.
_OFFICIAL = {
    **{name: f'backbone.{name}' for name in BACKBONE},
    **{old: f'head.{new}' for old, new in {**_HEAD, **_SCALE}.items()},
}
_MMPOSE_0X = {
    **{f'backbone.{name}': f'backbone.{name}' for name in BACKBONE},
    **{f'keypoint_head.{o}': f'head.{n}' for o, n in _HEAD.items()},
}
# What wraps a state dict, in the order of preference.
_WRAPPERS = ('state_dict', 'best_state_dict', 'model_state_dict')
# Left by DistributedDataParallel, and by HigherHRNet's network_to_half.
_PREFIXES = ('module.', '1.')


def unwrap(content: Any) -> Tuple[Mapping[str, Tensor], List[str]]:
    """The state dict in what a checkpoint file holds.

    Args:
        content: A state dict, or a dict that wraps one.

    Returns:
        tuple[Mapping, list[str]]: The state dict, and the wrapper's name
        where there was one.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(content, Mapping):
        for name in _WRAPPERS:
            if isinstance(content.get(name), Mapping):
                return unwrap(content[name])[0], [name]
        if content and all(isinstance(v, Tensor) for v in content.values()):
            return content, []
        found = f'a dict of {sorted(map(str, content))[:6]}'
    else:
        found = f'a {type(content).__name__}'
    raise ValueError(
        f'there is no state dict in the file: it holds {found}; expected '
        f'tensors by name, or a dict with one of {list(_WRAPPERS)}'
    )


def strip_prefixes(
    state_dict: Mapping[str, V],
) -> Tuple[Dict[str, V], List[str]]:
    """Take off what wrappers of the network put before every key.

    Returns:
        tuple[dict, list[str]]: The state dict without, and the prefixes
        taken off, outermost first.

    Raises:
        ValueError: If some keys have a prefix and others do not.
    """
    state = dict(state_dict)
    taken: List[str] = []
    while True:
        prefix = next(
            (p for p in _PREFIXES if any(k.startswith(p) for k in state)), None
        )
        if prefix is None:
            return state, taken
        for key in state:
            if not key.startswith(prefix):
                raise ValueError(
                    f'key {key!r} lacks the prefix {prefix!r} that others '
                    'have; is this more than one model in one file?'
                )
        state = {k[len(prefix) :]: v for k, v in state.items()}
        taken.append(prefix)


def detect_layout(state_dict: Mapping[str, Any]) -> str:
    """Whose names the keys are.

    Args:
        state_dict (Mapping): Without wrappers or prefixes.

    Returns:
        str: ``'official'``, ``'mmpose-0.x'`` or ``'mmpose'``.

    Raises:
        ValueError: If they are nobody's, or of a backbone alone.
    """
    tops = {key.split('.')[0] for key in state_dict}
    if 'keypoint_head' in tops:
        return 'mmpose-0.x'
    if {'backbone', 'head'} <= tops:
        return 'mmpose'
    if 'final_layers' in tops and 'conv1' in tops:
        return 'official'
    if tops & {'conv1', 'backbone'}:
        raise ValueError(
            'this is a backbone without the head of HigherHRNet (no '
            'final_layers); it needs no conversion: name the file in '
            'model.backbone.init_cfg.checkpoint'
        )
    raise ValueError(
        f'unknown layout: the keys begin with {sorted(tops)[:8]}; expected '
        'HigherHRNet or SWAHR of the official repositories, of MMPose 0.x or '
        'of this package'
    )


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
                f'unexpected key {key!r}{shape_of(value)}; expected one '
                f'that begins with one of {sorted(table)}. Is this a '
                'checkpoint of another model?'
            )
    return renamed


def shape_of(value: Any) -> str:
    """The shape of a tensor, in words; empty for anything else."""
    shape = getattr(value, 'shape', None)
    return '' if shape is None else f' of shape {tuple(shape)}'


def from_official(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Official SWAHR or HigherHRNet keys to those of our estimator.

    Args:
        state_dict (Mapping): Without wrappers or prefixes.

    Returns:
        dict: ``backbone.*`` and ``head.*``; ``to_official`` is its inverse.

    Raises:
        KeyError: If a key belongs to neither repository's model.
    """
    return _rename(state_dict, _OFFICIAL)


def from_mmpose_0x(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Keys of a HigherHRNet of MMPose 0.x to those of our estimator."""
    return _rename(state_dict, _MMPOSE_0X)


def to_official(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Our keys to the official ones, the inverse of :func:`from_official`."""
    return _rename(state_dict, {new: old for old, new in _OFFICIAL.items()})


def backbone_weights(
    state_dict: Mapping[str, Tensor],
) -> Tuple[Dict[str, Tensor], List[str]]:
    """The backbone's part of any checkpoint.

    Args:
        state_dict (Mapping[str, Tensor]): Of a pose model in any layout, or
            of an HRNet trained on ImageNet.

    Returns:
        tuple[dict, list[str]]: Weights by the backbone's own names, and the
        keys that are not of the backbone.
    """
    state, _ = strip_prefixes(state_dict)
    prefix = 'backbone.'
    if any(key.startswith(prefix) for key in state):
        inner = {k[len(prefix) :]: k for k in state if k.startswith(prefix)}
    else:
        inner = {k: k for k in state if k.split('.')[0] in BACKBONE}
    used = set(inner.values())
    left = [key for key in state if key not in used]
    return {name: state[key] for name, key in inner.items()}, left
