# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hook that checks the length of a training against its schedules."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import BaseLoop
from mmpose.registry import HOOKS

from swahr_mmpose.engine.schedule import (
    SAVED_ITER,
    Position,
    SettingsError,
    build_dummy_schedule,
    copy_scheduled,
    expand_groups,
    format_options,
    get_ends,
    has_epochs,
    list_differences,
    scale_for_accumulation,
    step_schedule,
)
from swahr_mmpose.utils.input_size import find_input_size_variable

__all__ = ['ScheduleHook']

# Below this part of its maximum a learning rate does not train.
_NEGLIGIBLE = 1e-2
_META = 'schedule'  # key of a checkpoint's meta


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Keep training length, schedules, batch size and checkpoint consistent.

    Before the run:

    * A training that goes on after its schedule has reached a learning rate
      of (nearly) 0 is refused. One that ends before its schedule is reported.
    * ``auto_scale_lr`` takes gradient accumulation into account.
    * A total batch size other than that of the learning rate is reported.

    When a training is resumed:

    * If the config's schedule or the number of iterations per epoch (other
      batch size, other number of processes) differs from that of the
      checkpoint, the schedule of the config is continued at the epoch
      reached. MMEngine continues that of the checkpoint. A config without
      schedule continues at its learning rate.
    * A complete training is reported; one that is longer than the config says
      is refused.
    """

    priority = 'HIGH'

    def before_run(self, runner: Any) -> None:
        """Scale the learning rate, and check the schedules.

        Args:
            runner (Runner): Runner of a training, test or validation.

        Raises:
            SettingsError: If the learning rate is 0 before the end.
        """
        _refuse_unused_input_size(runner.cfg)
        if not isinstance(runner._train_loop, BaseLoop):
            return
        auto_scale = runner.auto_scale_lr or {}
        if auto_scale.get('enable'):
            factor = scale_for_accumulation(runner)
            if factor > 1:
                runner.logger.info(
                    f'Gradients are accumulated over {factor} iterations: '
                    f'the learning rate is scaled by {factor} once more, for '
                    f'{_get_total_batch(runner)} images per step'
                )
        elif 'base_batch_size' in auto_scale:
            _report_batch_size(runner, auto_scale['base_batch_size'])
        _check_interval(runner)
        if _has_schedule(runner):
            _check_length(runner)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Adapt the state of schedulers and optimizer, and the iteration.

        Args:
            runner (Runner): Runner of a training, test or validation.
            checkpoint (dict): Content of the checkpoint; changed in place.

        Raises:
            SettingsError: If the checkpoint is of a later epoch than the last
                one, or its schedules cannot be adapted.
        """
        training = isinstance(runner._train_loop, BaseLoop)
        if not (training and runner._resume and 'meta' in checkpoint):
            return
        meta = checkpoint['meta']
        done = Position(meta.get('epoch', 0), meta.get('iter', 0))
        _report_progress(runner, done)
        reasons = _list_changes(runner, checkpoint, done)
        if reasons:
            _continue_schedule(runner, checkpoint, done, reasons)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the epoch length and the batch size to the metadata.

        Args:
            runner (Runner): Runner of a training.
            checkpoint (dict): Content to save.
        """
        checkpoint['meta'][_META] = dict(
            epoch_length=len(runner.train_dataloader),
            total_batch_size=_get_total_batch(runner),
        )


def _refuse_unused_input_size(cfg: Any) -> None:
    """Raise if the variable ``input_size`` of the config is not applied.

    The commands of this package apply it when they read a config file.
    """
    size = find_input_size_variable(cfg)
    if size is not None:
        raise SettingsError(
            f'the config sets input_size = {size} and inherits codec and '
            'pipelines of another size, which MMEngine does not evaluate '
            'again; use `swahr train` or `swahr test`, or set both'
        )


def _has_schedule(runner: Any) -> bool:
    """Whether the config has schedulers of a single optimizer."""
    schedulers = runner.param_schedulers
    config = runner.cfg.get('param_scheduler')
    return bool(config) and isinstance(schedulers, list) and bool(schedulers)


def _get_total_batch(runner: Any) -> int:
    """Compute the number of images per step of the optimizer."""
    loader, wrappers = runner.train_dataloader, runner.optim_wrapper
    size = loader.batch_size
    if size is None:  # a batch sampler
        size = getattr(loader.batch_sampler, 'batch_size', None) or 1
    if isinstance(wrappers, OptimWrapperDict):
        wrappers = next(iter(wrappers.values()))
    return size * runner.world_size * wrappers._accumulative_counts


def _report_batch_size(runner: Any, base: int) -> None:
    """Warn if the learning rate is for another total batch size."""
    total = _get_total_batch(runner)
    if total != base:
        runner.logger.warning(
            f'The learning rate of the config is for {base} images per step '
            f'(auto_scale_lr.base_batch_size), and there are {total}. Add '
            '--auto-scale-lr to scale it'
        )


def _check_length(runner: Any) -> None:
    """Compare the length of the training with the end of its schedules."""
    key, length = _get_length(runner.train_loop)
    schedulers = [s for s in runner.param_schedulers if s.param_name == 'lr']
    epoch_length = len(runner.train_dataloader)
    ends = get_ends(schedulers, runner.train_loop, epoch_length)
    end = max(ends, default=float('inf'))
    if end in (length, float('inf')):
        return
    remedy = f'To end both together, add {format_options(runner, length)}'
    if end > length:
        runner.logger.warning(
            f'{key} is {length}, but the learning rate is scheduled until '
            f'{end:g}: the training ends before it is low. {remedy}'
        )
        return
    part = _get_final_part(runner)
    text = (
        f'{key} is {length}, but the schedule ends at {end:g}, with '
        f'{part:.2g} of the highest learning rate'
    )
    if part < _NEGLIGIBLE:
        raise SettingsError(f'{text}: nothing is learned after it. {remedy}')
    if part < 1:
        runner.logger.warning(f'{text}. {remedy}')


def _get_length(train_loop: Any) -> Tuple[str, int]:
    """Get the config key and the value of the training's length."""
    if has_epochs(train_loop):
        return 'train_cfg.max_epochs', train_loop.max_epochs
    return 'train_cfg.max_iters', train_loop.max_iters


def _get_final_part(runner: Any) -> float:
    """Compute the last learning rate, as a part of the highest one."""
    schedulers, optimizer, _ = build_dummy_schedule(runner)
    initial = [group['initial_lr'] for group in optimizer.param_groups]
    length = len(runner.train_dataloader)
    last = max(
        s.end * (length if s.by_epoch else 1)
        for s in schedulers
        if s.param_name == 'lr'
    )
    step_schedule(schedulers, Position(last // length, last), length)
    return max(
        group['lr'] / value if value else 0.0
        for group, value in zip(optimizer.param_groups, initial)
    )


def _check_interval(runner: Any) -> None:
    """Refuse a training that would not write any checkpoint."""
    key, length = _get_length(runner.train_loop)
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook) or hook.save_last:
            continue
        if hook.save_best and _has_validation(runner, length):
            continue
        unit = len(runner.train_dataloader)
        total = length * unit if has_epochs(runner.train_loop) else length
        first = hook.save_begin or hook.interval
        if (
            hook.interval <= 0
            or first * (unit if hook.by_epoch else 1) > total
        ):
            raise SettingsError(
                f'default_hooks.checkpoint.interval is {hook.interval}, '
                f'save_begin {hook.save_begin} and {key} {length}: no '
                'checkpoint would be written. Add '
                '--cfg-options default_hooks.checkpoint.save_last=True'
            )


def _has_validation(runner: Any, length: int) -> bool:
    """Whether a training of this length validates, at least at its end."""
    begin = getattr(runner.train_loop, 'val_begin', 1)
    return runner._val_loop is not None and begin <= length


def _report_progress(runner: Any, done: Position) -> None:
    """Report a complete training; refuse one that is too long."""
    key, length = _get_length(runner.train_loop)
    by_epochs = has_epochs(runner.train_loop)
    unit, now = ('epoch' if by_epochs else 'iteration'), done[not by_epochs]
    if now < length:
        return
    longer = format_options(runner, 2 * now)
    text = (
        f'the checkpoint {runner._load_from or "to resume from"} is of '
        f'{unit} {now}, and {key} is {length}'
    )
    if now > length:
        raise SettingsError(
            f'{text}. Resume from an earlier checkpoint '
            '(--resume CHECKPOINT), or train longer, e.g. with '
            f'{longer}'
        )
    runner.logger.warning(
        f'{text}: the training is complete, and nothing is trained. To train '
        f'longer, add e.g. {longer}'
    )


def _list_changes(
    runner: Any, checkpoint: Dict[str, Any], done: Position
) -> List[str]:
    """List in what the schedule differs from that of the checkpoint."""
    reasons = []
    old = _get_epoch_length(runner, checkpoint, done)
    length = len(runner.train_dataloader)
    if has_epochs(runner.train_loop) and old != length:
        reasons.append(f'iterations per epoch: {old} -> {length}')
    before = _read_meta(checkpoint, 'total_batch_size')
    total = _get_total_batch(runner)
    if before is not None and before != total:
        reasons.append(f'images per step: {before} -> {total}')
    states: Any = checkpoint.get('param_schedulers')
    if isinstance(states, (list, type(None))) and _has_schedule(runner):
        reasons += list_differences(states or [], runner.param_schedulers)
    elif isinstance(states, list) and not runner.param_schedulers:
        reasons += list_differences(states, [])
    elif reasons and (states or runner.param_schedulers):
        raise SettingsError(
            f'the settings differ from those of the checkpoint: '
            f'{_shorten(reasons)}. Only schedules of a single optimizer that '
            'are in the config can be adapted; resume with the settings of '
            'the checkpoint'
        )
    return reasons


def _shorten(reasons: List[str], number: int = 4) -> str:
    """Join the first reasons."""
    more = [f'and {len(reasons) - number} more'] * (len(reasons) > number)
    return '; '.join([*reasons[:number], *more])


def _read_meta(checkpoint: Dict[str, Any], key: str) -> Optional[int]:
    """Read a number that :class:`ScheduleHook` saved, if there is one."""
    saved = checkpoint['meta'].get(_META)
    value = saved.get(key) if isinstance(saved, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def _get_epoch_length(
    runner: Any, checkpoint: Dict[str, Any], done: Position
) -> int:
    """Get the number of iterations per epoch of the checkpoint's training."""
    saved = _read_meta(checkpoint, 'epoch_length')
    if saved is not None:
        return saved
    length = len(runner.train_dataloader)
    within = done.epoch * length <= done.iteration < (done.epoch + 1) * length
    states: Any = checkpoint.get('param_schedulers')
    comparable = isinstance(states, list) and _has_schedule(runner)
    if within and not (
        comparable and list_differences(states, runner.param_schedulers)
    ):
        return length
    # Saved by MMEngine alone, at the end of an epoch.
    return done.iteration // max(done.epoch, 1)


def _continue_schedule(
    runner: Any, checkpoint: Dict[str, Any], done: Position, reasons: List[str]
) -> None:
    """Put the config's schedule at the position reached."""
    schedulers, optimizer, index = build_dummy_schedule(runner)
    if any(getattr(s, 'need_val_args', False) for s in schedulers):
        raise SettingsError(
            f'the settings differ from those of the checkpoint: '
            f'{_shorten(reasons)}. A schedule that depends on metrics '
            'cannot be computed again; resume with the same settings'
        )
    length = len(runner.train_dataloader)
    if has_epochs(runner.train_loop):
        old = _get_epoch_length(runner, checkpoint, done)
        partial = done.iteration - done.epoch * old if old == length else 0
        done = Position(done.epoch, done.epoch * length + partial)
    else:  # epochs of such a training have no end
        done = Position(0, done.iteration)
    step_schedule(schedulers, done, length)
    expand_groups(schedulers, optimizer, index)
    meta = checkpoint['meta']
    meta[SAVED_ITER] = meta.get('iter', 0)
    meta['iter'] = done.iteration
    removed = [] if schedulers else checkpoint.pop('param_schedulers', [])
    if schedulers:
        checkpoint['param_schedulers'] = [s.state_dict() for s in schedulers]
    groups = checkpoint.get('optimizer', {}).get('param_groups', [])
    before = groups[0]['lr'] if groups else None
    if groups:
        names = [state.get('param_name', 'lr') for state in removed]
        names += ['betas'] * any(s.get('use_betas') for s in removed)
        copy_scheduled(schedulers, optimizer, checkpoint['optimizer'], names)
    course = 'The schedule of the config is continued'
    if not schedulers:
        course = 'The config has no schedule, and its rate is set'
    runner.logger.warning(
        'The training is resumed with other settings than those of the '
        f'checkpoint ({_shorten(reasons)}). {course} at iteration '
        f'{done.iteration}: '
        f'learning rate {before} -> {optimizer.param_groups[0]["lr"]}'
    )
