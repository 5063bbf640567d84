# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Compare the weights of a checkpoint with those that a model expects."""

from __future__ import annotations

from typing import List, Mapping, Optional

from torch import Tensor, nn

__all__ = ['compare_state_dicts', 'refuse_other_weights']


# Only training needs it: published baselines have none, and a model without
# it may be given weights that have.
_OPTIONAL = 'head.scale_layers.'


def compare_state_dicts(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> List[str]:
    """What of a checkpoint does not fit a model, a line each.

    The scale branch may be absent on either side.

    Args:
        given (Mapping[str, Tensor]): State dict of the checkpoint.
        expected (Mapping[str, Tensor]): State dict of the model.

    Returns:
        list[str]: Empty if everything fits.
    """
    problems = []
    for key, tensor in expected.items():
        if key not in given:
            if not key.startswith(_OPTIONAL):
                problems.append(f'{key} is missing')
        elif given[key].shape != tensor.shape:
            problems.append(
                f'{key} has shape {tuple(given[key].shape)}, the '
                f'model {tuple(tensor.shape)}'
            )
    problems += [
        f'{key} is not part of the model'
        for key in given
        if key not in expected and not key.startswith(_OPTIONAL)
    ]
    return problems


def refuse_other_weights(
    model: nn.Module,
    checkpoint: dict,
    name: Optional[str],
    in_part: bool = False,
) -> None:
    """Raise unless the weights of a checkpoint are those of a model.

    Args:
        model (nn.Module): Not wrapped.
        checkpoint (dict): A state dict, or a dict that holds ``state_dict``.
        name (str, optional): Of the file, for the message.
        in_part (bool): Whether the head may differ, as in fine-tuning.
    """
    state = checkpoint.get('state_dict', checkpoint)
    given = {_plain(k): v for k, v in state.items() if _is_weight(k)}
    expected = {k: v for k, v in model.state_dict().items() if _is_weight(k)}
    problems = compare_state_dicts(given, expected)
    if in_part and any(_fits(given, expected, k) for k in expected):
        common = {k: v for k, v in expected.items() if k in given}
        problems = [
            p
            for p in compare_state_dicts(given, {**given, **common})
            if not p.startswith('head.')
        ]
    if not problems:
        return
    shown = '\n  '.join(problems[:5])
    raise ValueError(
        f'checkpoint {name or ""} does not fit the model: {len(problems)} '
        f'difference(s)\n  {shown}\nUse the config that it was trained '
        'with, or convert it first.'
    )


def _fits(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor], key: str
) -> bool:
    """Whether a tensor, not a mere counter, is the same on both sides."""
    shape = expected[key].shape
    return key in given and len(shape) > 0 and given[key].shape == shape


def _plain(key: str) -> str:
    """Without the prefix of DDP, with the head's name of today."""
    key = key[len('module.') :] if key.startswith('module.') else key
    return key.replace('keypoint_head', 'head')


def _is_weight(key: str) -> bool:
    return not _plain(key).startswith('data_preprocessor.')
