# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What model a state dict with our keys is of.  K keypoints, C channels."""

from __future__ import annotations

import re
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from torch import Tensor

from .layouts import BACKBONE, shape_of

__all__ = ['ModelShape', 'read_model_shape']

_BN = r'(weight|bias|running_mean|running_var|num_batches_tracked)'
_KNOWN = re.compile(
    rf'backbone\.({"|".join(BACKBONE)})(\.\w+)*\.{_BN}'
    rf'|backbone\.(conv[12]|bn[12])\.{_BN}'
    r'|head\.final_layers\.[01]\.(weight|bias)'
    r'|head\.deconv_layers\.0\.0\.0\.weight'
    rf'|head\.deconv_layers\.0\.0\.1\.{_BN}'
    r'|head\.deconv_layers\.0\.[1-9]\d*\.0\.'
    rf'(conv[12]\.weight|bn[12]\.{_BN})'
    rf'|head\.scale_layers\.[01]\.([03]\.(weight|bias)|1\.{_BN})'
)
_FINAL, _DECONV = 'head.final_layers.', 'head.deconv_layers.0.'
_SCALE = 'head.scale_layers.'


class ModelShape(NamedTuple):
    """What a state dict tells of its model."""

    num_keypoints: int
    channels: int
    num_basic_blocks: int
    scale_maps: bool
    tag_per_keypoint: bool


def read_model_shape(state_dict: Mapping[str, Tensor]) -> ModelShape:
    """Check the names of all keys, and the shapes of the head's.

    Args:
        state_dict (Mapping[str, Tensor]): With our keys.

    Returns:
        ModelShape: The model that it is of.

    Raises:
        ValueError: With the key and shape that do not fit, or are missing.
    """
    for key, value in state_dict.items():
        if not _KNOWN.fullmatch(key):
            raise ValueError(
                f'key {key!r}{shape_of(value)} is no part of HigherHRNet or '
                'SWAHR; is this a checkpoint of another model?'
            )
    k = _shape(state_dict, f'{_FINAL}1.weight')[0]
    maps, c = _shape(state_dict, f'{_FINAL}0.weight')[:2]
    if maps not in (2 * k, k + 1):
        raise ValueError(
            f'{_FINAL}0.weight has shape {(maps, c, 1, 1)}, but {_FINAL}1.'
            f'weight has {k} keypoints; expected {2 * k} (or {k + 1}) maps, '
            'heatmaps and tags'
        )
    blocks = {
        int(key[len(_DECONV) :].split('.')[0])
        for key in state_dict
        if key.startswith(_DECONV)
    }
    scale_maps = any(key.startswith(_SCALE) for key in state_dict)
    _check_complete(state_dict, len(blocks) - 1)
    shape = ModelShape(k, c, len(blocks) - 1, scale_maps, maps == 2 * k)
    _check_shapes(state_dict, shape, maps)
    return shape


def _check_complete(state_dict: Mapping[str, Tensor], blocks: int) -> None:
    """No part of the network may be missing as a whole."""
    bn = ('weight', 'bias', 'running_mean', 'running_var')
    needed = [f'{_DECONV}0.1.{name}' for name in bn]
    for block in range(1, blocks + 1):
        needed += [f'{_DECONV}{block}.0.conv{n}.weight' for n in (1, 2)]
        needed += [f'{_DECONV}{block}.0.bn{n}.{x}' for n in (1, 2) for x in bn]
    for key in needed:
        _shape(state_dict, key)
    tops = {key.split('.')[1] for key in state_dict if key[0] == 'b'}
    for name in BACKBONE:
        if name not in tops:
            raise ValueError(
                f'backbone.{name} is missing as a whole; is the file complete?'
            )
    weights = [key for key in state_dict if key.endswith('.running_mean')]
    for key in weights:
        for name in bn:
            _shape(state_dict, key[: -len('running_mean')] + name)


def _check_shapes(
    state_dict: Mapping[str, Tensor], model: ModelShape, maps: int
) -> None:
    k, c = model.num_keypoints, model.channels
    expected: Dict[str, Tuple[Optional[int], ...]] = {
        f'{_FINAL}0.bias': (maps,),
        f'{_FINAL}1.bias': (k,),
        f'{_DECONV}0.0.weight': (c + maps, None, 4, 4),
    }
    for level in (0, 1) if model.scale_maps else ():
        expected[f'{_SCALE}{level}.0.weight'] = (k, None, 1, 1)
        expected[f'{_SCALE}{level}.3.weight'] = (k, 1, 9, 9)
    for key, shape in expected.items():
        found = _shape(state_dict, key)
        if len(found) != len(shape) or any(
            b is not None and a != b for a, b in zip(found, shape)
        ):
            raise ValueError(
                f'{key} has shape {found}, expected {shape} for {k} '
                f'keypoints and {c} channels'
            )


def _shape(state_dict: Mapping[str, Tensor], key: str) -> Tuple[int, ...]:
    if key not in state_dict:
        raise ValueError(f'{key} is missing; is the file complete?')
    return tuple(state_dict[key].shape)
