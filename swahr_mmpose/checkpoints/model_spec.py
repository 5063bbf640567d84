# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Inference and validation of model hyper-parameters from a state dict.

K keypoints, C channels. Level 0 is the coarsest; each deconvolution stage
adds a level of twice the resolution.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, Mapping, NamedTuple, Tuple

from torch import Tensor

from .layouts import HRNET_MODULES, format_shape

__all__ = ['ModelShape', 'check_hrnet', 'is_hrnet', 'read_model_shape']

_BACKBONE = 'backbone.'
_FINAL, _DECONV = 'head.final_layers.', 'head.deconv_layers.'
_SCALE = 'head.scale_layers.'
_BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')
_COUNTER = 'num_batches_tracked'
_HRNET_KEY = re.compile(
    rf'backbone\.({"|".join(HRNET_MODULES)})(\.\w+)*'
    rf'\.({"|".join((*_BATCH_NORM, _COUNTER))})'
)
Shapes = Dict[str, Tuple[int, ...]]


class ModelShape(NamedTuple):
    """Hyper-parameters of the head.

    Attributes:
        num_keypoints (int): K.
        channels (int): C, channels of the features at level 0.
        num_basic_blocks (int): Residual blocks per deconvolution stage.
        scale_maps (bool): Whether there is a scale branch (SWAHR).
        tag_per_keypoint (bool): Whether each keypoint has its own tag maps,
            L*K in all, or all share L of them.
        num_levels (int): Heatmap levels, 1 + deconvolution stages.
        tag_dim (int): L, dimensions of a tag. Defaults to 1.
    """

    num_keypoints: int
    channels: int
    num_basic_blocks: int
    scale_maps: bool
    tag_per_keypoint: bool
    num_levels: int
    tag_dim: int = 1


def read_model_shape(state_dict: Mapping[str, Tensor]) -> ModelShape:
    """Infer the head's hyper-parameters and check its keys and shapes.

    The backbone may be of any type; :func:`check_hrnet` checks an HRNet.

    Args:
        state_dict (Mapping[str, Tensor]): Keys ``backbone.*`` and ``head.*``.

    Returns:
        ModelShape: Hyper-parameters.

    Raises:
        ValueError: If a key is part of neither a backbone nor the head, or a
            key of the head is missing or has another shape.
    """
    _check_prefixes(state_dict)
    k = _get_shape(state_dict, f'{_FINAL}1.weight')[0]
    maps, c = _get_shape(state_dict, f'{_FINAL}0.weight')[:2]
    per_keypoint, tag_dim = _find_tags((maps, c), k)
    model = ModelShape(
        num_keypoints=k,
        channels=c,
        num_basic_blocks=_count_layers(state_dict, f'{_DECONV}0.') - 1,
        scale_maps=_count_layers(state_dict, _SCALE) > 0,
        tag_per_keypoint=per_keypoint,
        num_levels=_count_levels(state_dict),
        tag_dim=tag_dim,
    )
    _check_head(state_dict, model)
    return model


def _find_tags(shape: Tuple[int, ...], num_keypoints: int) -> Tuple[bool, int]:
    """Find whether tags are per keypoint, and their dimensions.

    Raises:
        ValueError: If the number of maps of level 0 does not fit K.
    """
    num_tags = shape[0] - num_keypoints
    if num_tags > 0 and num_tags % num_keypoints == 0:
        return True, num_tags // num_keypoints
    if 0 < num_tags < num_keypoints:
        return False, num_tags
    raise ValueError(
        f'{_FINAL}0.weight has shape {(*shape, 1, 1)}, but {_FINAL}1.weight '
        f'has {num_keypoints} keypoints; expected {2 * num_keypoints} (or '
        f'{num_keypoints + 1}) maps, heatmaps and tags, or more for tags of '
        'several dimensions'
    )


def is_hrnet(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether the names of the backbone's weights are those of an HRNet.

    Args:
        state_dict (Mapping[str, Tensor]): Keys ``backbone.*`` and ``head.*``.

    Returns:
        bool: True if there is a ``stage2`` and all names are HRNet's; some
        may be missing.
    """
    keys = [key for key in state_dict if key.startswith(_BACKBONE)]
    return any(key.startswith(f'{_BACKBONE}stage2.') for key in keys) and all(
        map(_HRNET_KEY.fullmatch, keys)
    )


def check_hrnet(state_dict: Mapping[str, Tensor]) -> None:
    """Check that the backbone is a complete HRNet.

    Args:
        state_dict (Mapping[str, Tensor]): Keys ``backbone.*`` and ``head.*``.

    Raises:
        ValueError: If a key is not part of HRNet, or a module or an entry of
            a BatchNorm layer is missing.
    """
    keys = [key for key in state_dict if key.startswith(_BACKBONE)]
    for key in keys:
        if not _HRNET_KEY.fullmatch(key):
            raise ValueError(
                f'key {key!r}{format_shape(state_dict[key])} is not part of '
                'HRNet; the official and MMPose 0.x layouts exist for HRNet '
                'only'
            )
    modules = {key.split('.')[1] for key in keys}
    for name in HRNET_MODULES:
        if name not in modules:
            raise ValueError(
                f'{_BACKBONE}{name} is missing; is the file complete?'
            )
    for key in keys:
        if key.endswith('.running_mean'):
            for name in _BATCH_NORM:
                _get_shape(state_dict, key[: -len('running_mean')] + name)


def _check_prefixes(state_dict: Mapping[str, Tensor]) -> None:
    """Raise for keys outside the backbone and the head's three lists."""
    known = (_BACKBONE, _FINAL, _DECONV, _SCALE)
    _refuse_keys(
        state_dict, [key for key in state_dict if not key.startswith(known)]
    )


def _refuse_keys(
    state_dict: Mapping[str, Tensor], unknown: Iterable[str]
) -> None:
    """Raise if there are unknown keys; list up to five of them."""
    unknown = list(unknown)
    if unknown:
        shown = (f'{k!r}{format_shape(state_dict[k])}' for k in unknown[:5])
        raise ValueError(
            f'{len(unknown)} key(s) are not part of HigherHRNet or SWAHR: '
            f'{", ".join(shown)}; expected backbone.* and the layers of '
            'HigherHRNetHead. Is this a checkpoint of another model?'
        )


def _count_layers(keys: Iterable[str], prefix: str) -> int:
    """Count the layers of a list: 1 + the largest index after a prefix."""
    pattern = re.compile(re.escape(prefix) + r'(\d+)\.')
    matches = (pattern.match(key) for key in keys)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


def _count_levels(state_dict: Mapping[str, Tensor]) -> int:
    """Count heatmap levels; raise if the head's lists disagree."""
    final, stages, scales = (
        _count_layers(state_dict, prefix)
        for prefix in (_FINAL, _DECONV, _SCALE)
    )
    if final != stages + 1 or scales not in (0, final):
        raise ValueError(
            f'the head has {final} layers {_FINAL}*, {stages} {_DECONV}* and '
            f'{scales} {_SCALE}*; expected N, N - 1 and N (or 0) for N '
            'heatmap levels. Is the file complete?'
        )
    return final


def _check_head(state_dict: Mapping[str, Tensor], model: ModelShape) -> None:
    """Raise unless the head has exactly the expected keys and shapes."""
    expected = _list_head_shapes(state_dict, model)
    for key, shape in expected.items():
        got = _get_shape(state_dict, key)
        if got != shape:
            raise ValueError(
                f'{key} has shape {got}, expected {shape} for '
                f'{model.num_keypoints} keypoints and {model.channels} '
                'channels'
            )
    _refuse_keys(
        state_dict,
        [
            key
            for key in state_dict
            if key.startswith('head.')
            and key not in expected
            and key.replace(_COUNTER, 'running_mean') not in expected
        ],
    )


def _list_head_shapes(
    state_dict: Mapping[str, Tensor], model: ModelShape
) -> Shapes:
    """List the head's keys with shapes, without BatchNorm's counters.

    The output channels of a deconvolution are read from the state dict.
    """
    k, c = model.num_keypoints, model.channels
    maps = k + model.tag_dim * (k if model.tag_per_keypoint else 1)
    shapes: Shapes = {}
    for level in range(model.num_levels):
        if level > 0:
            stage = f'{_DECONV}{level - 1}.'
            inputs = c + maps
            c = _get_shape(state_dict, f'{_FINAL}{level}.weight')[1]
            maps = k
            shapes.update(
                _list_stage_shapes(stage, inputs, c, model.num_basic_blocks)
            )
        shapes[f'{_FINAL}{level}.weight'] = (maps, c, 1, 1)
        shapes[f'{_FINAL}{level}.bias'] = (maps,)
        if model.scale_maps:
            branch = f'{_SCALE}{level}.'
            shapes[f'{branch}0.weight'] = (k, c, 1, 1)
            shapes[f'{branch}0.bias'] = shapes[f'{branch}3.bias'] = (k,)
            shapes[f'{branch}3.weight'] = (k, 1, 9, 9)
            shapes.update(_list_batch_norm_shapes(f'{branch}1.', k))
    return shapes


def _list_stage_shapes(
    stage: str, inputs: int, outputs: int, blocks: int
) -> Shapes:
    """List the keys and shapes of a deconvolution stage."""
    shapes: Shapes = {f'{stage}0.0.weight': (inputs, outputs, 4, 4)}
    shapes.update(_list_batch_norm_shapes(f'{stage}0.1.', outputs))
    for block in range(1, blocks + 1):
        for n in (1, 2):
            layer = f'{stage}{block}.0.'
            shapes[f'{layer}conv{n}.weight'] = (outputs, outputs, 3, 3)
            shapes.update(_list_batch_norm_shapes(f'{layer}bn{n}.', outputs))
    return shapes


def _list_batch_norm_shapes(layer: str, channels: int) -> Shapes:
    """List the keys and shapes of a BatchNorm layer."""
    return {f'{layer}{name}': (channels,) for name in _BATCH_NORM}


def _get_shape(state_dict: Mapping[str, Tensor], key: str) -> Tuple[int, ...]:
    """Get the shape of an entry; raise ValueError if it is missing."""
    if key not in state_dict:
        raise ValueError(f'{key} is missing; is the file complete?')
    return tuple(state_dict[key].shape)
