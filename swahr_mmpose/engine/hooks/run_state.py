# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""State of a training that MMEngine's checkpoints lack.

* Gradients accumulated across the end of an epoch.
* Seed of the sampler, by which the images of each epoch are in order.
* Best score and count of :class:`mmengine.hooks.EarlyStoppingHook`.
* Whether the validation that follows a checkpoint has taken place.

File names in the message hub are checked as well: they come from a
checkpoint, which may be a stranger's.
"""

from __future__ import annotations

import os.path as osp
from typing import Any, Callable, Dict, List, Optional

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EarlyStoppingHook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from swahr_mmpose.engine.schedule import SettingsError

__all__ = [
    'collect_early_stopping',
    'collect_gradients',
    'collect_sampler_seed',
    'drop_foreign_files',
    'get_position',
    'is_validation_due',
    'reduce_to_names',
    'restore_early_stopping',
    'restore_gradients',
    'restore_sampler_seed',
    'skip_trained_batches',
]


def _unwrap(model: Any) -> Any:
    """Get the model without its wrapper (DDP)."""
    return model.module if is_model_wrapper(model) else model


def collect_gradients(runner: Any) -> Optional[Dict[str, Any]]:
    """Copy the gradients that no optimizer step has used yet.

    Processes accumulate their own gradients; their mean is returned, with
    which the next step is the same. All processes must call this.

    Args:
        runner (Runner): Runner of the training.

    Returns:
        dict | None: ``accumulative_counts`` and ``gradients`` by parameter
        name, empty if none are pending; None for several optimizers.
    """
    wrapper = runner.optim_wrapper
    counts = getattr(wrapper, '_accumulative_counts', None)
    if counts is None:
        return None
    gradients: Dict[str, torch.Tensor] = {}
    if counts == 1 or wrapper.should_update():
        return dict(accumulative_counts=counts, gradients=gradients)
    for name, parameter in _unwrap(runner.model).named_parameters():
        gradient = parameter.grad
        if get_world_size() > 1 and parameter.requires_grad:
            # Every process takes part, also without a gradient of its own.
            gradient = (
                torch.zeros_like(parameter)
                if gradient is None
                else gradient.clone()
            )
            all_reduce(gradient, 'mean')
        if gradient is not None:
            gradients[name] = gradient.detach().cpu().clone()
    if not any(gradient.any() for gradient in gradients.values()):
        gradients = {}  # saved again before the first iteration
    return dict(accumulative_counts=counts, gradients=gradients)


def restore_gradients(
    runner: Any, saved: Optional[Dict[str, Any]], iteration: int
) -> None:
    """Set the gradients of :func:`collect_gradients`.

    Args:
        runner (Runner): Runner of the resumed training.
        saved (dict, optional): Entry of the checkpoint. Without it, as in
            checkpoints of MMEngine, gradients that may be lost are reported.
        iteration (int): Iteration at which the checkpoint was saved.

    Raises:
        SettingsError: If gradients were accumulated over another number of
            iterations, or do not fit the model.
    """
    if saved is None:
        _report_lost_gradients(runner, iteration)
        return
    if not saved['gradients']:
        return
    counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    key = 'optim_wrapper.accumulative_counts'
    if saved['accumulative_counts'] != counts:
        raise SettingsError(
            f'the checkpoint has gradients accumulated with {key}='
            f'{saved["accumulative_counts"]}, got {counts}; resume with the '
            'former'
        )
    parameters = dict(_unwrap(runner.model).named_parameters())
    for name, gradient in saved['gradients'].items():
        parameter = parameters.get(name)
        if parameter is None or parameter.shape != gradient.shape:
            raise SettingsError(
                f'the checkpoint has a gradient for {name} of shape '
                f'{tuple(gradient.shape)}, which does not fit the model'
            )
        parameter.grad = gradient.to(parameter)
    runner.logger.info('accumulated gradients are restored')


def _report_lost_gradients(runner: Any, iteration: int) -> None:
    """Warn of accumulated gradients that the checkpoint does not have.

    Those of several optimizers are never saved: each has a count of its own,
    which MMEngine starts again.
    """
    wrapper = runner.optim_wrapper
    is_dict = isinstance(wrapper, OptimWrapperDict)
    wrappers = dict(wrapper.items()) if is_dict else {'': wrapper}
    for name, one in wrappers.items():
        counts = getattr(one, '_accumulative_counts', 1)
        key = '.'.join(['optim_wrapper', *([name] if name else [])])
        lost = iteration % counts
        if lost:
            runner.logger.warning(
                'the checkpoint has no accumulated gradients, but '
                f'{key}.accumulative_counts is {counts} and iteration '
                f'{iteration} is no multiple of it: gradients of up to {lost} '
                'iterations are lost'
            )


def _get_sampler(runner: Any) -> Any:
    """Get the sampler of the training, also within a batch sampler.

    None of a loader that is not torch's and has none.
    """
    loader = runner.train_dataloader
    batch_sampler = getattr(loader, 'batch_sampler', None)
    own = getattr(loader, 'sampler', None)
    return getattr(batch_sampler, 'sampler', own)


def collect_sampler_seed(runner: Any) -> Optional[int]:
    """Get the seed of the training's sampler.

    Args:
        runner (Runner): Runner of the training.

    Returns:
        int | None: Seed; None if the sampler has none.
    """
    seed = getattr(_get_sampler(runner), 'seed', None)
    return seed if type(seed) is int else None


def restore_sampler_seed(runner: Any, seed: Optional[int]) -> None:
    """Set the seed of the sampler of a resumed training.

    MMEngine builds the sampler before it reads the checkpoint, with a new
    random seed if the config has none. Images would be in another order, and
    :class:`~swahr_mmpose.datasets.samplers.SeededSampler` would augment them
    otherwise.

    Args:
        runner (Runner): Runner of the resumed training.
        seed (int, optional): Seed in the checkpoint. A seed of the sampler in
            the config is kept.
    """
    sampler, loop = _get_sampler(runner), runner.train_loop
    loader = runner.cfg.get('train_dataloader') or {}
    chosen = (loader.get('sampler') or {}).get('seed')
    if seed is None or chosen is not None or not hasattr(sampler, 'seed'):
        return
    if sampler.seed != seed:
        sampler.seed = seed
        if isinstance(sampler, InfiniteSampler):
            # Workers have drawn from the indices, which end with them.
            sampler.indices = sampler._indices_of_rank()
        # A loop by iterations has begun to iterate when it was built.
        iterator = getattr(loop, 'dataloader_iterator', None)
        if iterator is not None:
            loop.dataloader_iterator = type(iterator)(loop.dataloader)


def _find_early_stopping(runner: Any) -> List[Any]:
    """List the hooks of the runner that stop a training early."""
    return [h for h in runner.hooks if isinstance(h, EarlyStoppingHook)]


# The settings by which a training was stopped; with others it may go on.
_STOP_SETTINGS = ('patience', 'min_delta', 'stopping_threshold')


def collect_early_stopping(runner: Any) -> Dict[str, Dict[str, Any]]:
    """Collect scores and counts of the hooks that stop a training early.

    Args:
        runner (Runner): Runner of the training.

    Returns:
        dict: State by the name of the monitored metric.
    """
    return {
        hook.monitor: dict(
            wait_count=hook.wait_count,
            best_score=float(hook.best_score),
            stopped=bool(runner.train_loop.stop_training),
            settings=[getattr(hook, name) for name in _STOP_SETTINGS],
        )
        for hook in _find_early_stopping(runner)
    }


def restore_early_stopping(
    runner: Any, saved: Optional[Dict[str, Dict[str, Any]]]
) -> None:
    """Set the state of :func:`collect_early_stopping`.

    Args:
        runner (Runner): Runner of the resumed training.
        saved (dict, optional): Entry of the checkpoint. A monitored metric
            without state is logged; its count begins at 0.
    """
    for hook in _find_early_stopping(runner):
        state = (saved or {}).get(hook.monitor)
        if state is None:
            runner.logger.warning(
                f'the checkpoint has no state of EarlyStoppingHook for '
                f'{hook.monitor}: its count begins again at 0'
            )
            continue
        hook.wait_count = int(state['wait_count'])
        hook.best_score = float(state['best_score'])
        settings = [getattr(hook, name) for name in _STOP_SETTINGS]
        if state['stopped'] and settings == state['settings']:
            runner.train_loop.stop_training = True
            runner.logger.info(
                'EarlyStoppingHook has ended this training; it goes on with '
                'another patience, min_delta or stopping_threshold'
            )


def get_position(loop: Any) -> int:
    """Get the number of epochs, or of iterations, that a loop has finished.

    Args:
        loop (BaseLoop): Training loop.

    Returns:
        int: Iterations for ``IterBasedTrainLoop``, else epochs.
    """
    return loop.iter if isinstance(loop, IterBasedTrainLoop) else loop.epoch


def is_validation_due(loop: Any) -> bool:
    """Whether a validation follows the present position of a training loop.

    Args:
        loop (BaseLoop): Training loop.

    Returns:
        bool: False for loops other than MMEngine's.
    """
    if not isinstance(loop, (EpochBasedTrainLoop, IterBasedTrainLoop)):
        return False
    position = get_position(loop)
    is_epoch = isinstance(loop, EpochBasedTrainLoop)
    last = loop.max_epochs if is_epoch else loop.max_iters
    loop._decide_current_val_interval()
    return position >= max(loop.val_begin, 1) and (
        position % loop.val_interval == 0 or position == last
    )


def skip_trained_batches(runner: Any) -> None:
    """Skip the batches of the first epoch that are trained already.

    With checkpoints by iterations, a training whose length is given in epochs
    may be resumed within one. MMEngine would repeat the epoch from its start,
    and train more iterations than the schedule has.

    Args:
        runner (Runner): Runner of the resumed training.
    """
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    trained = loop.iter - loop.epoch * len(loop.dataloader)
    if not 0 < trained <= len(loop.dataloader):
        return
    runner.logger.info(
        f'epoch {loop.epoch + 1} goes on after {trained} of '
        f'{len(loop.dataloader)} iterations; their images are read again'
    )
    epoch, run_iter = loop.epoch, loop.run_iter

    def run_new(idx: int, data_batch: Any) -> None:
        if loop.epoch != epoch or idx >= trained:
            run_iter(idx, data_batch)

    loop.run_iter = run_new


def reduce_to_names(info: Dict[str, Any]) -> None:
    """Reduce the paths of checkpoints in a message hub to file names.

    Args:
        info (dict): ``runtime_info`` of a message hub; changed in place.
    """
    for key, value in info.items():
        if _is_pointer(key) and isinstance(value, str):
            info[key] = osp.basename(value.replace('\\', '/'))


def drop_foreign_files(
    hub: Any, is_own: Callable[[str, Any], bool]
) -> List[str]:
    """Remove names of files from a message hub that are not of this run.

    Args:
        hub (MessageHub): Message hub of a resumed training.
        is_own (Callable): Whether the value of a key may be kept.

    Returns:
        list[str]: Keys that were removed. With a best checkpoint its score is
        removed, so that the next validation gives a new best checkpoint.
    """
    removed = [
        key
        for key, value in hub.runtime_info.items()
        if _is_pointer(key) and not is_own(key, value)
    ]
    for key in removed:
        for name in (key, key.replace('best_ckpt', 'best_score', 1)):
            hub.runtime_info.pop(name, None)
            hub._resumed_keys.pop(name, None)
    return removed


def _is_pointer(key: str) -> bool:
    """Whether a key of the message hub names checkpoint files."""
    return key in ('last_ckpt', 'best_ckpt') or key.startswith('best_ckpt_')
