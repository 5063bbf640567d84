# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Key layouts of HigherHRNet and SWAHR state dicts, and their renaming.

Functions map state dicts to state dicts and read no files. Every key must be
known; an unknown key raises an error that names it.

========== ===================== =========================================
layout     backbone              head
========== ===================== =========================================
official   ``conv1`` ...         ``final_layers``, ``deconv_layers``,
           ``stage4`` (HRNet)    ``conv_scale_layers`` (SWAHR only)
mmpose-0.x ``backbone.conv1``    ``keypoint_head.final_layers`` ...
           ... (HRNet)
mmpose     ``backbone.*`` (any)  ``head.final_layers``, ...,
           (this package)        ``head.scale_layers``
========== ===================== =========================================
"""

from __future__ import annotations

from typing import Any, Collection, Dict, List, Mapping, Tuple, TypeVar

from torch import Tensor

__all__ = [
    'HRNET_MODULES',
    'detect_layout',
    'format_shape',
    'from_mmpose_0x',
    'from_official',
    'select_backbone_weights',
    'strip_prefixes',
    'to_mmpose_0x',
    'to_official',
    'unwrap',
]

V = TypeVar('V')

# Top-level modules of MMPose's and the official HRNet.
HRNET_MODULES = (
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
# Prefix in the other layout: prefix in ours. The rest of a key is the same.
_OFFICIAL = {
    **{name: f'backbone.{name}' for name in HRNET_MODULES},
    **{old: f'head.{new}' for old, new in {**_HEAD, **_SCALE}.items()},
}
_MMPOSE_0X = {
    'backbone': 'backbone',
    **{f'keypoint_head.{o}': f'head.{n}' for o, n in _HEAD.items()},
}
# Keys under which a file may hold the state dict, in order of preference.
_WRAPPERS = ('state_dict', 'best_state_dict', 'model_state_dict')
# Prefixes of DistributedDataParallel and of HigherHRNet's network_to_half.
_PREFIXES = ('module.', '1.')


def unwrap(content: Any) -> Tuple[Mapping[str, Tensor], List[str]]:
    """Extract the state dict from the content of a checkpoint file.

    Args:
        content: State dict, or dict with the key ``state_dict``,
            ``best_state_dict`` or ``model_state_dict``.

    Returns:
        tuple[Mapping, list[str]]: The state dict, and the key under which it
        was found (an empty list if none).

    Raises:
        ValueError: If the content has no state dict.
    """
    if isinstance(content, Mapping):
        for name in _WRAPPERS:
            if isinstance(content.get(name), Mapping):
                return unwrap(content[name])[0], [name]
        if content and all(isinstance(v, Tensor) for v in content.values()):
            return content, []
        got = f'a dict of {sorted(map(str, content))[:6]}'
    else:
        got = f'a {type(content).__name__}'
    raise ValueError(
        f'there is no state dict in the file: it holds {got}; expected '
        f'tensors by name, or a dict with one of {list(_WRAPPERS)}'
    )


def strip_prefixes(
    state_dict: Mapping[str, V],
) -> Tuple[Dict[str, V], List[str]]:
    """Strip the prefixes ``module.`` and ``1.`` that wrappers add to keys.

    Args:
        state_dict (Mapping): State dict.

    Returns:
        tuple[dict, list[str]]: The state dict without prefixes, and the
        prefixes removed, outermost first.

    Raises:
        ValueError: If only some keys have a prefix.
    """
    state = dict(state_dict)
    removed: List[str] = []
    while True:
        prefix = next(
            (p for p in _PREFIXES if any(k.startswith(p) for k in state)), None
        )
        if prefix is None:
            return state, removed
        for key in state:
            if not key.startswith(prefix):
                raise ValueError(
                    f'key {key!r} lacks the prefix {prefix!r} that others '
                    'have; is this more than one model in one file?'
                )
        state = {k[len(prefix) :]: v for k, v in state.items()}
        removed.append(prefix)


def detect_layout(state_dict: Mapping[str, Any]) -> str:
    """Detect the layout of a state dict by its top-level names.

    Args:
        state_dict (Mapping): State dict without wrappers and prefixes.

    Returns:
        str: ``'official'``, ``'mmpose-0.x'`` or ``'mmpose'``.

    Raises:
        ValueError: If the layout is unknown, or there is no head.
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
            'final_layers); it needs no conversion: set '
            'model.backbone.init_cfg.checkpoint to the file'
        )
    raise ValueError(
        f'unknown layout: the keys begin with {sorted(tops)[:8]}; expected '
        'HigherHRNet or SWAHR of the official repositories, of MMPose 0.x or '
        'of this package'
    )


def _rename(
    state_dict: Mapping[str, V], table: Mapping[str, str]
) -> Dict[str, V]:
    """Replace the prefixes of all keys by a table of old and new prefixes."""
    renamed = {}
    for key, value in state_dict.items():
        for old, new in table.items():
            if key.startswith(old + '.'):
                renamed[new + key[len(old) :]] = value
                break
        else:
            raise ValueError(
                f'unexpected key {key!r}{format_shape(value)}; expected one '
                f'that begins with one of {sorted(table)}. Is this a '
                'checkpoint of another model?'
            )
    return renamed


def format_shape(value: Any) -> str:
    """Format the shape of a tensor for a message; empty for other types."""
    shape = getattr(value, 'shape', None)
    return '' if shape is None else f' of shape {tuple(shape)}'


def from_official(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Rename keys of official SWAHR or HigherHRNet to those of this package.

    Args:
        state_dict (Mapping): State dict without wrappers and prefixes.

    Returns:
        dict: Keys ``backbone.*`` and ``head.*``; :func:`to_official` is the
        inverse.

    Raises:
        ValueError: If a key is part of neither repository's model.
    """
    return _rename(state_dict, _OFFICIAL)


def from_mmpose_0x(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Rename keys of an MMPose 0.x HigherHRNet to those of this package.

    Args:
        state_dict (Mapping): State dict without wrappers and prefixes.

    Returns:
        dict: Keys ``backbone.*`` and ``head.*``.

    Raises:
        ValueError: If a key is not part of HigherHRNet.
    """
    return _rename(state_dict, _MMPOSE_0X)


def to_official(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Rename keys of this package to the official ones.

    Args:
        state_dict (Mapping): Keys ``backbone.*`` (HRNet) and ``head.*``.

    Returns:
        dict: Official keys; :func:`from_official` is the inverse.

    Raises:
        ValueError: If a key has no official name.
    """
    return _rename(state_dict, {new: old for old, new in _OFFICIAL.items()})


def to_mmpose_0x(state_dict: Mapping[str, V]) -> Dict[str, V]:
    """Rename keys of this package to those of MMPose 0.x.

    Args:
        state_dict (Mapping): Keys ``backbone.*`` (HRNet) and ``head.*``,
            without a scale branch.

    Returns:
        dict: Keys of MMPose 0.x; :func:`from_mmpose_0x` is the inverse.

    Raises:
        ValueError: If there is a scale branch, or a key is not part of
            HigherHRNet.
    """
    if any(key.startswith('head.scale_layers.') for key in state_dict):
        raise ValueError(
            'MMPose 0.x has no scale branch (head.scale_layers), expected a '
            'model without one; leave it out with --strip-scale-maps'
        )
    return _rename(state_dict, {new: old for old, new in _MMPOSE_0X.items()})


def select_backbone_weights(
    state_dict: Mapping[str, V], names: Collection[str]
) -> Tuple[Dict[str, V], List[str]]:
    """Select the weights of a backbone from any checkpoint.

    Keys are matched as they are, or without prefixes of wrappers and without
    ``backbone.``. The backbone may be of any type.

    Args:
        state_dict (Mapping[str, Tensor]): State dict of a pose model in any
            layout, or of a classifier with the same backbone.
        names (Collection[str]): Keys of the backbone's own state dict.

    Returns:
        tuple[dict, list[str]]: Weights by the backbone's own keys, and the
        other keys of the checkpoint.

    Raises:
        ValueError: If only some keys have the prefix of a wrapper.
    """
    state = dict(state_dict)
    if not set(names) <= set(state):
        state, _ = strip_prefixes(state)
    prefix = _find_backbone_prefix(state, names)
    keys = {name: prefix + name for name in names if prefix + name in state}
    used = set(keys.values())
    weights = {name: state[key] for name, key in keys.items()}
    return weights, [key for key in state if key not in used]


def _find_backbone_prefix(
    keys: Collection[str], names: Collection[str]
) -> str:
    """Find the prefix of a backbone's keys: ``'backbone.'`` or none."""
    prefix = 'backbone.'
    if not any(key.startswith(prefix) for key in keys):
        return ''
    plain, prefixed = (
        sum(start + name in keys for name in names) for start in ('', prefix)
    )
    return '' if plain > prefixed else prefix
