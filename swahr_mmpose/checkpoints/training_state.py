# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check of what a training needs besides weights in order to be resumed.

MMEngine and PyTorch load these values as they are: a wrong one would end the
training later, or change it without a message.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Sequence

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

__all__ = ['list_state_problems']

_MAX_COUNT = 2**31  # of epochs and iterations
_MAX_SETTING = 1e30  # of an optimizer, as learning rate or momentum
_HUB = 'message_hub'


def list_state_problems(
    checkpoint: Mapping[str, Any],
    optimizer: Optional[Any] = None,
    schedulers: Sequence[Mapping[str, Any]] = (),
) -> List[str]:
    """List the values of a checkpoint with which no training can go on.

    Missing entries are not reported.

    Args:
        checkpoint (Mapping): Content of a checkpoint.
        optimizer (Optimizer, optional): New optimizer, with which the state
            of the checkpoint is compared; a dict for several ones, which are
            not compared. Defaults to None.
        schedulers (Sequence[Mapping]): States of the new schedulers, with
            which those of the checkpoint are compared if their number is the
            same. Defaults to ().

    Returns:
        list[str]: Problems, as "KEY is GOT, expected ...".
    """
    problems = [*_check_position(checkpoint), *_check_hub(checkpoint)]
    if not problems:
        problems += _check_optimizer(checkpoint, optimizer)
        problems += _check_schedulers(checkpoint, schedulers)
        problems += _check_early_stopping(checkpoint)
        problems += _check_gradients(checkpoint)
    return problems


def _differ(key: str, got: Any, expected: str) -> str:
    """Format a problem."""
    if isinstance(got, (torch.Tensor, np.ndarray, dict, HistoryBuffer)):
        text = f'of type {type(got).__name__}'
    else:
        text = ascii(got)[:60]
    return f'{key} is {text}, expected {expected}'


def _is_number(value: Any) -> bool:
    """Whether a value is a number, which may be infinite."""
    kinds = (int, float, np.integer, np.floating)
    plain = isinstance(value, kinds) and not isinstance(value, bool)
    return plain and (isinstance(value, float) or abs(value) < 2**63)


def _is_count(value: Any) -> bool:
    """Whether a value is a number of epochs or iterations."""
    return type(value) is int and 0 <= value < _MAX_COUNT


def _check_position(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Check the numbers of epochs and iterations."""
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        yield _differ('meta', meta, 'a dict')
        return
    for key in ('epoch', 'iter'):
        if key in meta and not _is_count(meta[key]):
            yield _differ(f'meta.{key}', meta[key], 'a number from 0')
    for key, seed in (
        ('meta.seed', meta.get('seed')),
        ('sampler_seed', checkpoint.get('sampler_seed')),
    ):
        if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):
            yield _differ(key, seed, 'a number from 0 to 2^32 - 1')


def _check_hub(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Check the message hub: logged values, and flags by name."""
    hub = checkpoint.get(_HUB)
    if not isinstance(hub, dict):
        return
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        values = hub.get(key)
        if not isinstance(values, dict) or not all(
            isinstance(name, str) and name.isprintable() for name in values
        ):
            yield _differ(f'{_HUB}.{key}', values, 'a dict with text as keys')
            return
    for name, flag in hub['resumed_keys'].items():
        if flag is not True:
            yield _differ(f'{_HUB}.resumed_keys.{name}', flag, 'True')
    for name, value in hub['runtime_info'].items():
        if isinstance(value, torch.Tensor):
            yield _differ(f'{_HUB}.runtime_info.{name}', value, 'no tensor')
        elif name.startswith('best_score') and not _is_number(value):
            yield _differ(f'{_HUB}.runtime_info.{name}', value, 'a number')


def _check_optimizer(
    checkpoint: Mapping[str, Any], new: Optional[Any]
) -> Iterator[str]:
    """Check the state of a single optimizer."""
    if 'optimizer' not in checkpoint or isinstance(new, dict):
        return
    state = checkpoint['optimizer']
    valid = isinstance(state, dict) and isinstance(state.get('state'), dict)
    groups = state.get('param_groups') if valid else None
    if not isinstance(groups, list) or not all(
        isinstance(group, dict) and isinstance(group.get('params'), list)
        for group in groups
    ):
        yield _differ('optimizer', state, 'the state dict of an optimizer')
        return
    if new is not None:
        yield from _compare_groups(groups, new.param_groups)
    shapes = (
        [p.shape for g in new.param_groups for p in g['params']] if new else []
    )
    for index, values in state['state'].items():
        shape = shapes[index] if index in range(len(shapes)) else None
        if not isinstance(values, dict) or not all(
            _is_moment(value, name, shape) for name, value in values.items()
        ):
            yield _differ(
                f'optimizer.state.{index}', values, 'finite tensors by name'
            )
            return


def _compare_groups(
    groups: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Compare parameter groups with those of a new optimizer."""
    if len(groups) != len(new):
        yield (
            f'optimizer has {len(groups)} parameter groups, expected '
            f'{len(new)}'
        )
        return
    for n, (group, other) in enumerate(zip(groups, new)):
        yield from _compare_group(f'optimizer.param_groups.{n}', group, other)


def _compare_group(
    key: str, group: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[str]:
    """Compare the settings of a parameter group with those of a new one."""
    params = group['params']
    if len(params) != len(new['params']) or not all(map(_is_count, params)):
        yield _differ(
            f'{key}.params', params, f'{len(new["params"])} different indices'
        )
    for name, value in new.items():
        if name == 'params':
            continue
        got = group.get(name)
        if _is_number(value):
            number: Any = got
            if not (_is_number(got) and abs(number) < _MAX_SETTING):
                yield _differ(f'{key}.{name}', got, 'a finite number')
        elif got is not None and not _is_like(got, value):
            yield _differ(f'{key}.{name}', got, f'a value such as {value}')


def _is_like(value: Any, other: Any) -> bool:
    """Whether a value has the type of another; numbers are of one type."""
    if other is None:  # of any plain type
        return isinstance(value, (bool, str)) or _is_number(value)
    if _is_number(other):
        return _is_number(value)
    if isinstance(other, (list, tuple)):
        numbers = all(_is_number(v) for v in other)
        return isinstance(value, (list, tuple)) and (
            not numbers or all(_is_number(v) for v in value)
        )
    return isinstance(value, type(other))


def _is_moment(value: Any, name: str = '', shape: Any = None) -> bool:
    """Whether a value may be state of an optimizer for a parameter."""
    if isinstance(value, torch.Tensor):
        fits = shape is None or value.ndim == 0 or value.shape == shape
        finite = not value.is_floating_point() or value.isfinite().all()
        return fits and bool(finite)
    if value is None:
        return True
    # Counts of steps are numbers in files of some versions.
    is_tensor = isinstance(name, str) and name.startswith(('exp_', 'momentum'))
    return _is_number(value) and not is_tensor


def _check_schedulers(
    checkpoint: Mapping[str, Any], new: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Check the states of the schedulers of a single optimizer."""
    states = checkpoint.get('param_schedulers')
    is_split = isinstance(states, dict) and not new  # several optimizers
    if 'param_schedulers' not in checkpoint or is_split:
        return
    if not isinstance(states, list) or not all(
        isinstance(state, dict) for state in states
    ):
        yield _differ('param_schedulers', states, 'a list of state dicts')
        return
    for n, (state, other) in enumerate(zip(states, new)):
        if len(states) != len(new):
            return  # of another schedule
        for name, value in other.items():
            if value is None or name not in state:
                continue
            if not _is_like(state[name], value):
                yield _differ(
                    f'param_schedulers.{n}.{name}',
                    state[name],
                    f'a value such as {ascii(value)[:40]}',
                )


def _check_early_stopping(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Check the entry ``early_stopping`` of :class:`.SafeCheckpointHook`."""
    states = checkpoint.get('early_stopping')
    if states is None:
        return
    valid = isinstance(states, dict) and all(
        isinstance(state, dict)
        and _is_count(state.get('wait_count'))
        and _is_number(state.get('best_score'))
        and isinstance(state.get('stopped'), bool)
        and isinstance(state.get('settings'), list)
        for state in states.values()
    )
    if not valid:
        yield _differ(
            'early_stopping', states, 'wait_count and best_score by metric'
        )


def _check_gradients(checkpoint: Mapping[str, Any]) -> Iterator[str]:
    """Check the entry ``accumulated_gradients``."""
    saved = checkpoint.get('accumulated_gradients')
    if saved is None:
        return
    gradients = saved.get('gradients') if isinstance(saved, dict) else None
    if (
        not isinstance(gradients, dict)
        or not _is_count(saved.get('accumulative_counts'))
        or not all(isinstance(g, torch.Tensor) for g in gradients.values())
        or not all(_is_moment(g) for g in gradients.values())
    ):
        yield _differ(
            'accumulated_gradients', saved, 'finite tensors by parameter'
        )
