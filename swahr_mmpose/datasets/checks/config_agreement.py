# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Agreement of the sizes, keypoints and channels within a config."""

from __future__ import annotations

import inspect
from typing import Any, Dict, Iterator, List, Tuple

from mmpose.registry import KEYPOINT_CODECS

from .nested import get_type_name, iter_pipelines

__all__ = ['check_config']

# Transforms whose ``unbiased`` must agree with the codec.
_UNBIASED_TRANSFORMS = ('BottomupGetLossMask', 'BottomupPyramidResize')


def check_config(cfg: Any) -> None:
    """Check that sizes, keypoints and channels of a config agree.

    Args:
        cfg (Config): Config of a model with a ``HigherHRNetHead``; others are
            not checked.

    Raises:
        ValueError: With every value that disagrees and its config key, or if
            the type of a codec is not registered.
    """
    head = cfg.model.get('head') or {}
    if get_type_name(head.get('type')) != 'HigherHRNetHead':
        return
    problems = [
        problem
        for settings in _collect_settings(cfg, head)
        for problem in _find_disagreements(settings)
    ]
    if problems:
        raise ValueError(
            '\n  '.join([f'config: {len(problems)} problem(s)', *problems])
            + '\nGive them the same value; a config that changes the codec '
            'must set the pipelines and the head again.'
        )


def _collect_settings(cfg: Any, head: Any) -> List[Dict[str, Any]]:
    """Collect groups of settings, by config key, that must be equal."""
    decoder = head.get('decoder') or {}
    codecs = {'model.head.decoder': decoder}
    if 'codec' in cfg:
        codecs['codec'] = cfg.codec
    codecs.update(_collect_encoders(cfg))
    groups = _collect_encoding(codecs)
    groups.setdefault('input_size', {}).update(
        _collect_arguments(cfg, 'input_size')
    )
    groups.setdefault('unbiased', {}).update(_collect_unbiased(cfg))
    order = decoder.get('decode_keypoint_order', ())
    num_keypoints = {
        'model.head.num_keypoints': head.get('num_keypoints'),
        'length of model.head.decoder.decode_keypoint_order': len(order),
    }
    return [
        *groups.values(),
        _collect_scales(cfg),
        num_keypoints,
        _collect_channels(cfg),
    ]


def _collect_encoders(cfg: Any) -> Dict[str, Any]:
    """Collect the codecs of ``GenerateTarget``, also of lists of codecs."""
    codecs = {}
    for key, value in _collect_arguments(cfg, 'encoder').items():
        if isinstance(value, (list, tuple)):
            codecs.update({f'{key}[{n}]': c for n, c in enumerate(value)})
        else:
            codecs[key] = value
    return codecs


def _collect_scales(cfg: Any) -> Dict[str, Any]:
    """Collect the ranges of scaling if none is the ``scale_range`` set.

    Datasets may be scaled differently; the variable must be used by one.
    """
    scales = {
        f'{place}.scale': transform['scale']
        for place, name, transform in _iter_transforms(cfg)
        if name == 'BottomupRandomSquareAffine' and 'scale' in transform
    }
    wanted = _to_tuple(cfg.get('scale_range'))
    if wanted is None or wanted in map(_to_tuple, scales.values()):
        return {}
    return {**scales, 'scale_range': wanted} if scales else {}


def _collect_encoding(codecs: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Collect the arguments of codecs on which targets depend.

    Args:
        codecs (dict): Codec configs by config key.

    Returns:
        dict: Values by config key, by name of the argument.
    """
    defaults: Dict[str, Any] = {}
    for codec in codecs.values():
        if 'type' in codec:
            defaults.update(_read_encoding_defaults(codec['type']))
    return {
        name: {
            f'{key}.{name}': c.get(name, default) for key, c in codecs.items()
        }
        for name, default in defaults.items()
    }


def _read_encoding_defaults(codec_type: Any) -> Dict[str, Any]:
    """Read the arguments of a codec class, except those of decoding.

    Arguments of decoding begin with ``decode_``, as in MMPose's
    ``AssociativeEmbedding``.  The default of a required argument is ``None``.
    """
    is_name = isinstance(codec_type, str)
    codec_class = KEYPOINT_CODECS.get(codec_type) if is_name else codec_type
    if codec_class is None:
        raise ValueError(
            f'config: codec type {codec_type!r} is not registered, expected a '
            'name in KEYPOINT_CODECS; correct it, or import its module by '
            'custom_imports'
        )
    return {
        name: None if p.default is p.empty else p.default
        for name, p in inspect.signature(codec_class).parameters.items()
        if not name.startswith('decode_')
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _collect_arguments(cfg: Any, key: str) -> Dict[str, Any]:
    """Collect the values of an argument of all pipeline transforms."""
    return {
        f'{place}.{key}': transform[key]
        for place, _, transform in _iter_transforms(cfg)
        if key in transform
    }


def _collect_unbiased(cfg: Any) -> Dict[str, bool]:
    """Collect ``unbiased`` of the transforms that depend on it."""
    return {
        f'{place}.unbiased': transform.get('unbiased', False)
        for place, name, transform in _iter_transforms(cfg)
        if name in _UNBIASED_TRANSFORMS
    }


def _iter_transforms(cfg: Any) -> Iterator[Tuple[str, str, Any]]:
    """Yield the transforms of all pipelines as (place, name, config)."""
    for split in ('train', 'val', 'test'):
        key = f'{split}_dataloader'
        loader = cfg.get(key)
        pipelines = iter_pipelines(loader['dataset'], key) if loader else ()
        for place, pipeline in pipelines:
            for transform in pipeline:
                name = get_type_name(transform['type'])
                yield f'{place}: {name}', name, transform


def _collect_channels(cfg: Any) -> Dict[str, Any]:
    """Collect the channels at 1/4 resolution of head and HRNet."""
    channels = {'model.head.in_channels': cfg.model.head.get('in_channels')}
    backbone = cfg.model.backbone
    if get_type_name(backbone.get('type')) == 'HRNet' and 'extra' in backbone:
        stage = backbone['extra']['stage4']
        key = 'model.backbone.extra.stage4.num_channels[0]'
        channels[key] = stage['num_channels'][0]
    return channels


def _find_disagreements(values: Dict[str, Any]) -> List[str]:
    """List values that should be equal, as ``key = value``, if they differ."""
    plain = {key: _to_tuple(value) for key, value in values.items()}
    if len({str(value) for value in plain.values()}) <= 1:
        return []
    return [f'{key} = {value}' for key, value in plain.items()]


def _to_tuple(value: Any) -> Any:
    """Convert lists to tuples, so that [64, 64] and (64, 64) are equal."""
    if isinstance(value, (list, tuple)):
        return tuple(_to_tuple(v) for v in value)
    return value
