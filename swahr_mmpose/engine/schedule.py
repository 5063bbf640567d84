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
    'SAVED_ITER',
    'Position',
    'SettingsError',
    'build_dummy_schedule',
    'copy_scheduled',
    'expand_groups',
    'format_options',
    'get_ends',
    'has_epochs',
    'list_differences',
    'scale_for_accumulation',
    'step_schedule',
]

# Key of a checkpoint's meta: iteration at which it was saved, where that of
# MMEngine was adapted to another epoch length. Set while resuming.
SAVED_ITER = 'saved_iter'
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


class SettingsError(ValueError):
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


def build_dummy_schedule(
    runner: Any,
) -> Tuple[List[Any], OptimWrapper, List[int]]:
    """Build the schedulers of the config for an optimizer without weights.

    Args:
        runner (Runner): Runner with an optimizer.

    Returns:
        tuple: Schedulers at their first step; their optimizer, which has the
        defaults and the different parameter groups of the runner's optimizer;
        and the index of the group that each group of the runner is like.
        There may be hundreds of groups with few different settings.
    """
    wrapper = runner.optim_wrapper
    different: Dict[str, Dict[str, Any]] = {}
    index = []
    for group in wrapper.optimizer.param_groups:
        settings = _reset(group)
        del settings['params']
        key = repr(sorted(settings.items()))
        different.setdefault(key, settings)
        index.append(list(different).index(key))
    groups = [
        dict(settings, params=[torch.zeros(1, requires_grad=True)])
        for settings in different.values()
    ]
    # Momentum schedulers distinguish momentum and betas by the defaults.
    dummy = torch.optim.Optimizer(groups, dict(wrapper.defaults))
    optimizer = OptimWrapper(dummy)
    if wrapper.base_param_settings is not None:
        optimizer.base_param_settings = _reset(wrapper.base_param_settings)
    config = runner.cfg.get('param_scheduler') or []
    schedulers = runner._build_param_scheduler(config, optimizer)
    return schedulers, optimizer, index


def expand_groups(
    schedulers: Sequence[Any], optimizer: OptimWrapper, index: Sequence[int]
) -> None:
    """Repeat the groups of a dummy schedule for all groups of an optimizer.

    Args:
        schedulers (Sequence[_ParamScheduler]): Schedulers; changed.
        optimizer (OptimWrapper): Their optimizer; changed.
        index (Sequence[int]): Index of the group that each group is like.
    """
    groups = optimizer.optimizer.param_groups
    for scheduler in schedulers:
        for values in (scheduler.base_values, scheduler._last_value):
            # The settings of the base learning rate, if any, are the last.
            rest = values[len(groups) :]
            values[:] = [*(values[n] for n in index), *rest]
    groups[:] = [dict(groups[n]) for n in index]


def _reset(group: Mapping[str, Any]) -> Dict[str, Any]:
    """Copy the settings of a parameter group, with their initial values."""
    prefix = 'initial_'
    initial = {
        key[len(prefix) :]: value
        for key, value in group.items()
        if key.startswith(prefix)
    }
    plain = {k: v for k, v in group.items() if not k.startswith(prefix)}
    if 'betas' in plain and 'momentum' in initial:
        plain['betas'] = (initial['momentum'], plain['betas'][1])
    return {**plain, **initial}


def copy_scheduled(
    schedulers: Sequence[Any],
    source: OptimWrapper,
    target: Mapping[str, Any],
    others: Sequence[str] = (),
) -> None:
    """Copy what schedulers set into the state of an optimizer.

    Args:
        schedulers (Sequence[_ParamScheduler]): Schedulers of the source.
        source (OptimWrapper): Optimizer of :func:`build_dummy_schedule`.
        target (Mapping): State of an optimizer wrapper; its parameter groups
            are changed in place.
        others (Sequence[str]): Names of other settings to copy, which were
            scheduled before. Defaults to ().
    """
    names = {'lr', *others, *(s.param_name for s in schedulers)}
    keys = names | {f'initial_{name}' for name in names}
    if any(getattr(s, 'use_betas', False) for s in schedulers):
        keys.add('betas')
    pairs = list(zip(target['param_groups'], source.optimizer.param_groups))
    base = target.get('base_param_settings')
    if base is not None and source.base_param_settings is not None:
        pairs.append((base, source.base_param_settings))
    for old, new in pairs:
        old.update({key: new[key] for key in keys & set(new)})


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
    # A schedule that depends on metrics cannot be stepped without them.
    plain = [s for s in schedulers if not getattr(s, 'need_val_args', False)]
    by_iteration = [s for s in plain if not s.by_epoch]
    by_epoch = [s for s in plain if s.by_epoch]
    for scheduler in plain:  # MMEngine warns if the optimizer has no step.
        scheduler.optimizer._global_step = 0
    for iteration in range(1, position.iteration + 1):
        for scheduler in by_iteration:
            scheduler.step()
        if iteration % epoch_length == 0 and (
            iteration // epoch_length <= position.epoch
        ):
            for scheduler in by_epoch:
                scheduler.step()


def list_differences(
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
    schedulers: Any = runner.param_schedulers or []
    factors = [1]
    for name, wrapper in by_name.items():
        factor = wrapper._accumulative_counts
        is_split = isinstance(schedulers, dict)
        own = schedulers.get(name, []) if is_split else schedulers
        _scale_learning_rate(wrapper.param_groups, own, factor)
        factors.append(factor)
    return max(factors)


def _scale_learning_rate(
    groups: Sequence[Dict[str, Any]], schedulers: Sequence[Any], factor: int
) -> None:
    """Multiply the learning rates of an optimizer and its schedulers."""
    for group in groups:
        for key in {'lr', 'initial_lr'} & set(group):
            group[key] *= factor
    for scheduler in schedulers:
        if scheduler.param_name == 'lr':
            for values in (scheduler.base_values, scheduler._last_value):
                values[:] = [value * factor for value in values]


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
    config: Any = runner.cfg.get('param_scheduler') or []
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
    epochs = has_epochs(runner.train_loop)
    by_epoch = entry.get('by_epoch', True)
    if epochs and not by_epoch:
        length *= epoch_length
    elif by_epoch and not epochs:
        length = -(-length // epoch_length)
    options = [f'{key}.end={length}']
    if 'T_max' in entry:
        options.append(f'{key}.T_max={length - entry.get("begin", 0)}')
    return options
