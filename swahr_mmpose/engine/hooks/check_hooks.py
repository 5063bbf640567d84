# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hooks that check checkpoints, losses and image paths."""

from __future__ import annotations

from typing import Any, Optional

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop
from mmpose.registry import HOOKS

from swahr_mmpose.checkpoints.averaged import (
    has_averaged_weights,
    report_averaged_weights,
)
from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.download import drop_config
from swahr_mmpose.checkpoints.scale_branch import (
    match_scale_branch,
    require_scale_branch,
)
from swahr_mmpose.checkpoints.training_state import list_state_problems
from swahr_mmpose.datasets.checks.image_files import refuse_paths_outside

__all__ = ['CheckCheckpointHook', 'CheckLossHook', 'CheckPathsHook']


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse a checkpoint of another model, or one with NaN.

    MMEngine loads the entries that fit and leaves the rest as initialized.
    With this hook, testing and resuming require all entries. Fine-tuning
    (``load_from``) requires that at least one entry fits, and all common
    entries outside the head; MMEngine reports what it did not load.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare the checkpoint with the runner's model.

        Args:
            runner (Runner): Runner of a training or test.
            checkpoint (dict): Content of the checkpoint. ``meta['config']``
                is removed.

        Raises:
            ValueError: If the weights do not fit or are not finite, if a test
                with ``test_cfg.output_scales`` has no scale branch, if a
                training without averaging resumes from averaged weights, or
                resumes from a file without training state.
        """
        drop_config(checkpoint)
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        # Only a runner that trains builds the training loop.
        training = isinstance(runner._train_loop, BaseLoop)
        fine_tuning = training and not runner._resume
        refuse_other_weights(
            model,
            checkpoint,
            runner._load_from or 'to resume from',
            fine_tuning=fine_tuning,
        )
        if not training:
            _match_scale_branch(runner, model, checkpoint)
        if training and runner._resume:
            _check_training_state(runner, checkpoint)
        if not (training and runner._resume):
            report_averaged_weights(checkpoint, runner._load_from)
        elif has_averaged_weights(checkpoint) and not any(
            isinstance(hook, EMAHook) for hook in runner.hooks
        ):
            raise ValueError(
                'the checkpoint to resume from has averaged weights '
                '(EMAHook) and the config has no EMAHook: the training would '
                'go on with the averaged weights. Add the hook to '
                'custom_hooks, or start a new training with load_from'
            )


def _match_scale_branch(runner: Any, model: Any, checkpoint: dict) -> None:
    """Drop a scale branch without counterpart; raise if it is needed."""
    if (getattr(model, 'test_cfg', None) or {}).get('output_scales'):
        config = getattr(getattr(runner, 'cfg', None), 'filename', None)
        require_scale_branch(model, checkpoint, config, runner._load_from)
    match_scale_branch(model, checkpoint)


def _check_training_state(runner: Any, checkpoint: dict) -> None:
    """Check what a training needs besides weights in order to go on.

    Without position or message hub, or with invalid values, ValueError is
    raised. A missing optimizer or schedule is logged: both start again.
    """
    meta = checkpoint.get('meta')
    missing = [
        f'meta.{key}'
        for key in ('epoch', 'iter')
        if not isinstance(meta, dict) or type(meta.get(key)) is not int
    ]
    if not isinstance(checkpoint.get('message_hub'), dict):
        missing.append('message_hub')
    if missing:
        raise ValueError(
            f'{runner._load_from} cannot be resumed from: it has no '
            f'{", ".join(missing)}, expected a checkpoint of a training. '
            'Start a new training from its weights with --cfg-options '
            f'load_from={runner._load_from}'
        )
    problems = list_state_problems(
        checkpoint,
        runner.optim_wrapper.optimizer
        if isinstance(runner.optim_wrapper, OptimWrapper)
        else {},
        [s.state_dict() for s in runner.param_schedulers]
        if isinstance(runner.param_schedulers, list)
        else (),
    )
    if problems:
        raise ValueError(
            f'{runner._load_from} cannot be resumed from: '
            f'{"; ".join(problems[:3])}. The file is damaged or made by '
            'another program; resume from an earlier checkpoint'
        )
    for key, effect in (
        ('optimizer', 'momentum and moments start at 0'),
        ('param_schedulers', 'the schedule of the config is used'),
    ):
        if key not in checkpoint:
            runner.logger.warning(
                f'{runner._load_from} has no {key}: {effect}, and the '
                'training does not end in the weights of an uninterrupted one'
            )


@HOOKS.register_module()
class CheckLossHook(Hook):
    """Stop a training with NaN or infinite losses, and name them.

    MMEngine continues, and its next checkpoints hold NaN. The last iteration
    of each epoch is checked too, and so are weights before they are saved.

    Args:
        interval (int): Iterations between two checks. Each check waits for
            the GPU. Defaults to 50.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Check the losses every ``interval`` iterations.

        Args:
            runner (Runner): Runner of the training.
            batch_idx (int): Index of the batch in the epoch.
            data_batch: Not used.
            outputs (dict, optional): Values by name; those whose names begin
                with ``loss`` are checked.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        loader = runner.train_dataloader
        if not (
            self.every_n_train_iters(runner, self.interval)
            or self.end_of_epoch(loader, batch_idx)
        ):
            return
        bad = [
            name
            for name, value in (outputs or {}).items()
            if name.startswith('loss')
            and not torch.isfinite(torch.as_tensor(value)).all()
        ]
        if bad:
            raise FloatingPointError(
                f'iteration {runner.iter + 1}: {", ".join(bad)} not finite. '
                'Lower the learning rate or clip gradients '
                '(optim_wrapper.clip_grad), and resume from an earlier '
                'checkpoint. Check the annotations with '
                'tools/dataset_tools/check_dataset.py'
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Check the weights; a step may diverge after a finite loss.

        Args:
            runner (Runner): Runner of the training.
            checkpoint (dict): Content to save, with ``state_dict``.

        Raises:
            FloatingPointError: If a weight is not finite.
        """
        for name, value in checkpoint.get('state_dict', {}).items():
            if torch.is_floating_point(value) and not value.isfinite().all():
                raise FloatingPointError(
                    f'iteration {runner.iter + 1}: {name} is not finite, and '
                    'no checkpoint is written. Lower the learning rate or '
                    'clip gradients (optim_wrapper.clip_grad), and resume '
                    'from the last checkpoint'
                )


@HOOKS.register_module()
class CheckPathsHook(Hook):
    """Refuse annotations whose image files lie outside the image folder.

    Otherwise a file name such as ``../../home/me/key.png`` would be read.
    """

    def before_train(self, runner: Any) -> None:
        """Check the training images, and those of validation if there is one.

        Args:
            runner (Runner): Runner of the training.

        Raises:
            ValueError: If an image file lies outside its folder.
        """
        refuse_paths_outside(runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            refuse_paths_outside(runner.val_dataloader.dataset)

    def before_val(self, runner: Any) -> None:
        """Check the images of a validation without training.

        Args:
            runner (Runner): Runner of the validation.

        Raises:
            ValueError: If an image file lies outside its folder.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            refuse_paths_outside(runner.val_dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        """Check the test images.

        Args:
            runner (Runner): Runner of the test.

        Raises:
            ValueError: If an image file lies outside its folder.
        """
        refuse_paths_outside(runner.test_dataloader.dataset)
