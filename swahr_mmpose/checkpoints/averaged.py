# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checkpoints with averaged weights, as MMEngine's ``EMAHook`` writes them."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from mmengine.logging import print_log

__all__ = ['has_averaged_weights', 'report_averaged_weights']

_KEY = 'ema_state_dict'


def has_averaged_weights(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint was saved with ``EMAHook``.

    Its ``state_dict`` has the averaged weights; those of the optimizer are in
    ``ema_state_dict``.

    Args:
        checkpoint (Mapping): Content of the checkpoint.

    Returns:
        bool: True for averaged weights.
    """
    return _KEY in checkpoint


def report_averaged_weights(
    checkpoint: Mapping[str, Any], path: Optional[str]
) -> None:
    """Report if the weights taken for inference are averaged ones.

    Args:
        checkpoint (Mapping): Content of the checkpoint.
        path (str, optional): File, for the message.
    """
    if has_averaged_weights(checkpoint):
        print_log(
            f'{path}: the averaged weights (EMAHook, state_dict) are used, '
            f'not those of the last iteration ({_KEY})',
            logger='current',
        )
