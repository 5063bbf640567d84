# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Runners of the commands, and the end of distributed processes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Iterator

import torch.distributed as dist
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from swahr_mmpose.engine.hooks import CheckMetricHook, ScheduleHook
from swahr_mmpose.utils.cli import user_errors
from swahr_mmpose.utils.device import enable_pinned_memory
from swahr_mmpose.utils.registry_errors import BuildError, build_errors

from .console import make_quiet

__all__ = ['leave_process_group', 'make_runner']


def make_runner(cfg: Any, quiet: bool = False) -> Runner:
    """Make the runner of a config, as MMPose's tools do.

    Hooks that check settings are added if the config has none of them. Errors
    of the checkpoint file, of pretrained weights, and of types and arguments
    in the config exit with a message of one line. The checkpoint is loaded by
    ``train`` or ``test``, after all hooks are prepared.

    Args:
        cfg (Config): Complete config.
        quiet (bool): Whether to print a line per epoch and a table per
            evaluation, see :mod:`.console`. Defaults to False, all messages
            of MMEngine.

    Returns:
        Runner: Runner, which has not loaded a checkpoint.
    """
    enable_pinned_memory(cfg)
    with user_errors(BuildError), build_errors():
        runner = _build_runner(cfg, quiet)
    for hook in (ScheduleHook, CheckMetricHook):
        if not any(isinstance(h, hook) for h in runner.hooks):
            runner.register_hook(hook())
    for name in ('load_or_resume', '_init_model_weights'):
        setattr(runner, name, _exit_on_user_errors(getattr(runner, name)))
    return runner


def _build_runner(cfg: Any, quiet: bool) -> Runner:
    """Build the runner of a config, of the class that it names."""
    name = cfg.get('runner_type')
    runner_class = Runner if name is None else RUNNERS.get(name)
    if runner_class is None:
        return RUNNERS.build(cfg)  # raises the error that names it
    if quiet:
        runner_class = make_quiet(runner_class)
    return runner_class.from_cfg(cfg)


def _exit_on_user_errors(function: Callable[[], None]) -> Callable[[], None]:
    """Wrap a function that reads files of the user."""

    def call() -> None:
        with user_errors():
            function()

    return call


@contextmanager
def leave_process_group() -> Iterator[None]:
    """Destroy the process group of a distributed run at its end.

    Without this, threads of the group may abort the process at exit, after a
    complete run. After an error, NCCL groups are left to the launcher, since
    their destruction may wait for other processes.
    """
    try:
        yield
    except BaseException:
        if dist.is_initialized() and dist.get_backend() != 'nccl':
            dist.destroy_process_group()
        raise
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
