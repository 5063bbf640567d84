# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The scale branch, which checkpoints may lack and testing does not need.

Baselines have none, and ``--strip-scale-maps`` leaves it out. MMEngine would
then run the initial weights of the branch, whose scale is 1 everywhere.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Optional

from torch import nn

__all__ = [
    'PREFIX',
    'has_scale_branch',
    'match_scale_branch',
    'normalize_key',
    'require_scale_branch',
]

# Beginning of its keys in a state dict.
PREFIX = 'head.scale_layers.'


def normalize_key(key: str) -> str:
    """Strip the prefix of DDP and rename ``keypoint_head`` to ``head``.

    Args:
        key (str): Key of a state dict.

    Returns:
        str: Key as in the state dict of the model.
    """
    key = key[len('module.') :] if key.startswith('module.') else key
    return key.replace('keypoint_head', 'head')


def has_scale_branch(keys: Iterable[str]) -> bool:
    """Whether a state dict has the scale branch.

    Args:
        keys (Iterable[str]): State dict, or its keys.

    Returns:
        bool: True if any key belongs to the branch.
    """
    return any(normalize_key(key).startswith(PREFIX) for key in keys)


def _has_scale_layers(model: nn.Module) -> bool:
    """Whether the head of a model has a scale branch."""
    head = getattr(model, 'head', None)
    return getattr(head, 'scale_layers', None) is not None


def match_scale_branch(model: Any, checkpoint: Dict[str, Any]) -> None:
    """Drop the scale branch where the other side has none.

    Args:
        model (nn.Module): Model for inference. Without scale branch in the
            checkpoint its ``head.scale_layers`` becomes None.
        checkpoint (dict): State dict, or dict with the key ``state_dict``;
            without scale branch in the model its keys are removed.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not _has_scale_layers(model):
        for key in [k for k in state if has_scale_branch([k])]:
            del state[key]
    elif not has_scale_branch(state):
        model.head.scale_layers = None


def require_scale_branch(
    model: nn.Module,
    checkpoint: Dict[str, Any],
    config: Optional[str],
    name: Optional[str],
) -> None:
    """Raise unless model and checkpoint have a scale branch.

    Args:
        model (nn.Module): Model of the config.
        checkpoint (dict): State dict, or dict with the key ``state_dict``.
        config (str, optional): Name of the config, for the message.
        name (str, optional): File name of the checkpoint, for the message.

    Raises:
        ValueError: If one of them has none.
    """
    if not _has_scale_layers(model):
        raise ValueError(
            f'config {config or ""} has no scale branch '
            '(model.head.scale_maps), which scales need; use a SAHR or SWAHR '
            'model, such as swahr-w32. Without --output-scales '
            '(model.test_cfg.output_scales=False) this one detects people'
        )
    if not has_scale_branch(checkpoint.get('state_dict', checkpoint)):
        raise ValueError(
            f'checkpoint {name or ""} has no scale branch, which scales need; '
            'use the checkpoint of a SAHR or SWAHR training, published '
            'without --strip-scale-maps. Without --output-scales '
            '(model.test_cfg.output_scales=False) this one detects people'
        )
