# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Comparison of a checkpoint's weights with those that a model expects."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional

import torch
from torch import Tensor, nn

from .scale_branch import PREFIX, has_scale_branch, normalize_key

__all__ = ['compare_state_dicts', 'refuse_non_finite', 'refuse_other_weights']

_REMEDY = (
    'Use the config that it was trained with, or convert the checkpoint '
    '(swahr convert).'
)


def compare_state_dicts(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> List[str]:
    """List the differences between two state dicts.

    The complete scale branch may be absent on either side.

    Args:
        given (Mapping[str, Tensor]): State dict of the checkpoint.
        expected (Mapping[str, Tensor]): State dict of the model.

    Returns:
        list[str]: One line per missing, unexpected or differently shaped
        entry; empty if everything fits.
    """
    problems = []
    has_scales = has_scale_branch(given) and has_scale_branch(expected)
    for key, tensor in expected.items():
        if key not in given:
            if has_scales or not key.startswith(PREFIX):
                problems.append(f'{key} is missing')
        elif not isinstance(given[key], Tensor):
            problems.append(f'{key} is {type(given[key]).__name__}, no tensor')
        elif given[key].shape != tensor.shape:
            problems.append(
                f'{key} has shape {tuple(given[key].shape)}, the '
                f'model {tuple(tensor.shape)}'
            )
    problems += [
        f'{key} is not part of the model'
        for key in given
        if key not in expected and (has_scales or not key.startswith(PREFIX))
    ]
    return problems


def refuse_non_finite(state: Mapping[str, Any], name: Optional[str]) -> None:
    """Raise if a weight is NaN or infinite.

    Args:
        state (Mapping[str, Tensor]): State dict.
        name (str, optional): File name, for the message.

    Raises:
        ValueError: If a tensor has such values. The message names the first.
    """
    for key, value in state.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        number = value.numel() - int(torch.isfinite(value).sum())
        if number > 0:
            raise ValueError(
                f'checkpoint {name or ""}: {key} has {number} NaN or infinite '
                f'value(s) of {value.numel()}, expected finite weights. The '
                'training has diverged or the file is damaged; use an earlier '
                'checkpoint'
            )


def refuse_other_weights(
    model: nn.Module,
    checkpoint: dict,
    name: Optional[str],
    fine_tuning: bool = False,
    remedy: str = _REMEDY,
) -> None:
    """Raise unless the weights of a checkpoint fit a model and are finite.

    Args:
        model (nn.Module): Model without wrapper (DDP).
        checkpoint (dict): State dict, or dict with the key ``state_dict``.
        name (str, optional): File name, for the message.
        fine_tuning (bool): Whether the head may differ. At least one entry
            must still fit. Defaults to False.
        remedy (str): What to do if they do not fit. Defaults to another
            config, or conversion.

    Raises:
        ValueError: If entries are missing, unexpected or of another shape
            (the message lists the first five), or NaN or infinite.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if not isinstance(state, Mapping):
        raise ValueError(
            f'checkpoint {name or ""}: state_dict is {type(state).__name__}, '
            'expected a dict of tensors'
        )
    given = {normalize_key(k): v for k, v in state.items() if _is_weight(k)}
    expected = {k: v for k, v in model.state_dict().items() if _is_weight(k)}
    problems = compare_state_dicts(given, expected)
    if fine_tuning and any(_fits(given, expected, k) for k in expected):
        common = {k: v for k, v in expected.items() if k in given}
        problems = [
            p
            for p in compare_state_dicts(given, {**given, **common})
            if not p.startswith('head.')
        ]
    if not problems:
        refuse_non_finite(given, name)
        return
    shown = '\n  '.join(problems[:5])
    raise ValueError(
        f'checkpoint {name or ""} does not fit the model: {len(problems)} '
        f'difference(s)\n  {shown}\n{remedy}'
    )


def _fits(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor], key: str
) -> bool:
    """Whether a non-scalar entry has the same shape on both sides."""
    shape = expected[key].shape
    return (
        key in given
        and len(shape) > 0
        and getattr(given[key], 'shape', None) == shape
    )


def _is_weight(key: str) -> bool:
    """Whether a key belongs to the network, not to the preprocessor."""
    return not normalize_key(key).startswith('data_preprocessor.')
