# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Learning rate schedules: their end, their course, and their resuming.

MMEngine's schedulers compute a value from the previous one. When a training is
resumed, MMEngine loads their state from the checkpoint, also the settings that
the config changes, and counts iterations of the old epoch length. Here, a
schedule that differs is computed again from the start.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.optim.scheduler.param_scheduler import INF
from mmengine.runner import EpochBasedTrainLoop

__all__ = [
    'Position',
    'ScheduleError',
    'build_dummy_schedule',
    'differs',
    'format_options',
    'get_ends',
    'scale_for_accumulation',
    'step_schedule',
]

# Attributes of schedulers that change in each step.
_PROGRESS = (
    'last_step',
    '_global_step',
    '_last_value',
    'best',
    'num_bad_epochs',
    'cooldown_counter',
    'verbose',
)


class ScheduleError(ValueError):
    """Settings of a training that do not belong together."""


class Position(NamedTuple):
    """Position in a training.

    Args:
        epoch (int): Number of complete epochs.
        iteration (int): Number of iterations.
    """

    epoch: int
    iteration: int


def get_ends(
    schedulers: Sequence[Any], train_loop: Any, epoch_length: int
) -> List[float]:
    """Compute where schedules end, in the unit of the training's length.

    Args:
        schedulers (Sequence[_ParamScheduler]): Schedulers.
        train_loop (BaseLoop): Training loop.
        epoch_length (int): Number of iterations per epoch.

    Returns:
        list[float]: End of each in epochs, or in iterations for a training
        whose length is given in iterations; infinity for none.
    """
    unit = epoch_length if has_epochs(train_loop) else 1
    ends = []
    for scheduler in schedulers:
        length = epoch_length if scheduler.by_epoch else 1
        finite = scheduler.end < INF
        ends.append(scheduler.end * length / unit if finite else float('inf'))
    return ends


def has_epochs(train_loop: Any) -> bool:
    """Whether the length of a training is given in epochs."""
    return isinstance(train_loop, EpochBasedTrainLoop)


def build_dummy_schedule(runner: Any) -> Tuple[List[Any], OptimWrapper]:
    """Build the schedulers of the config for an optimizer without weights.

    Args:
        runner (Runner): Runner with an optimizer.

    Returns:
        tuple: Schedulers at their first step, and their optimizer. Its
        parameter groups have the settings of the runner's optimizer.
    """
    groups = [
        dict(
            {k: v for k, v in group.items() if not k.startswith('initial_')},
            params=[torch.zeros(1, requires_grad=True)],
            **{
                k[len('initial_') :]: v
                for k, v in group.items()
                if k.startswith('initial_')
            },
        )
        for group in map(_drop_parameters, runner.optim_wrapper.param_groups)
    ]
    optimizer = OptimWrapper(torch.optim.SGD(groups, lr=1.0))
    config = runner.cfg.get('param_scheduler') or []
    return runner._build_param_scheduler(config, optimizer), optimizer


def _drop_parameters(group: Mapping[str, Any]) -> Dict[str, Any]:
    """Copy a parameter group without its parameters."""
    initial = {k[len('initial_') :] for k in group if k.startswith('initial_')}
    return {
        k: v for k, v in group.items() if k != 'params' and k not in initial
    }


def step_schedule(
    schedulers: Sequence[Any], position: Position, epoch_length: int
) -> None:
    """Step schedulers from the start to a position, as a training does.

    Args:
        schedulers (Sequence[_ParamScheduler]): Schedulers at their first
            step.
        position (Position): Position to reach.
        epoch_length (int): Number of iterations per epoch.
    """
    by_iteration = [s for s in schedulers if not s.by_epoch]
    by_epoch = [s for s in schedulers if s.by_epoch]
    for optimizer in {id(s.optimizer): s.optimizer for s in schedulers}.values():
        optimizer._global_step = 0  # MMEngine warns before the first step.
    for iteration in range(1, position.iteration + 1):
        for scheduler in by_iteration:
            scheduler.step()
        if iteration % epoch_length == 0 and (
            iteration // epoch_length <= position.epoch
        ):
            for scheduler in by_epoch:
                scheduler.step()


def differs(
    states: Sequence[Mapping[str, Any]], schedulers: Sequence[Any]
) -> List[str]:
    """List settings of schedulers that a checkpoint has otherwise.

    Args:
        states (Sequence[Mapping]): States of the checkpoint.
        schedulers (Sequence[_ParamScheduler]): Schedulers of the config.

    Returns:
        list[str]: ``key: value in the checkpoint -> value in the config``.
    """
    if len(states) != len(schedulers):
        return [f'number of schedulers: {len(states)} -> {len(schedulers)}']
    return [
        f'param_scheduler.{n}.{key}: {state[key]} -> {value}'
        for n, (state, scheduler) in enumerate(zip(states, schedulers))
        for key, value in scheduler.state_dict().items()
        if key in state and key not in _PROGRESS and state[key] != value
    ]


def scale_for_accumulation(runner: Any) -> int:
    """Scale the learning rate by the number of accumulated iterations.

    ``Runner.scale_lr`` takes the batch size of one iteration. With gradient
    accumulation over n iterations, a step of the optimizer has n times as
    many images. To be called once, before the first iteration.

    Args:
        runner (Runner): Runner with optimizer and schedulers.

    Returns:
        int: Largest factor; 1 without accumulation.
    """
    wrappers = runner.optim_wrapper
    is_dict = isinstance(wrappers, OptimWrapperDict)
    by_name = dict(wrappers.items()) if is_dict else {'': wrappers}
    schedulers = runner.param_schedulers or []
    factors = [1]
    for name, wrapper in by_name.items():
        factor = wrapper._accumulative_counts
        own = schedulers.get(name, []) if is_dict and schedulers else schedulers
        factors.append(factor)
        for group in wrapper.optimizer.param_groups:
            _scale_values(group, ('lr', 'initial_lr'), factor)
        for scheduler in own:
            if scheduler.param_name == 'lr':
                scheduler.base_values = [
                    v * factor for v in scheduler.base_values
                ]
                scheduler._last_value = [
                    v * factor for v in scheduler._last_value
                ]
    return max(factors)


def _scale_values(
    group: Dict[str, Any], keys: Sequence[str], factor: float
) -> None:
    """Multiply values of a parameter group."""
    for key in keys:
        if key in group:
            group[key] = group[key] * factor


def format_options(runner: Any, length: int) -> str:
    """Write the options that set the training's length and its schedules.

    The schedules that end last get the new end.

    Args:
        runner (Runner): Runner with schedulers.
        length (int): New length, in epochs or iterations.

    Returns:
        str: Arguments of ``tools/train.py``.
    """
    loop = runner.train_loop
    name = 'max_epochs' if has_epochs(loop) else 'max_iters'
    options = [f'train_cfg.{name}={length}']
    config = runner.cfg.get('param_scheduler') or []
    single = isinstance(config, dict)
    entries = [config] if single else list(config)
    ends = get_ends(
        runner.param_schedulers, loop, len(runner.train_dataloader)
    )
    finite = [end for end in ends if end < float('inf')]
    for n, (entry, end) in enumerate(zip(entries, ends)):
        if finite and end == max(finite) and 'end' in entry:
            key = 'param_scheduler' if single else f'param_scheduler.{n}'
            options += _set_end(runner, key, entry, length)
    return '--cfg-options ' + ' '.join(options)


def _set_end(
    runner: Any, key: str, entry: Mapping[str, Any], length: int
) -> List[str]:
    """Write the options that set the end of a scheduler."""
    epoch_length = len(runner.train_dataloader)
    epochs, by_epoch = has_epochs(runner.train_loop), entry.get('by_epoch', True)
    if epochs and not by_epoch:
        length *= epoch_length
    elif by_epoch and not epochs:
        length = -(-length // epoch_length)
    options = [f'{key}.end={length}']
    if 'T_max' in entry:
        options.append(f'{key}.T_max={length - entry.get("begin", 0)}')
    return options
