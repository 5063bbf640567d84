# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hooks of the runner."""

from __future__ import annotations

from typing import Any, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop
from mmpose.registry import HOOKS

from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.download import without_code
from swahr_mmpose.datasets.checks.image_files import refuse_paths_outside

__all__ = ['CheckCheckpointHook', 'CheckLossHook', 'CheckPathsHook']


@HOOKS.register_module()
class CheckCheckpointHook(Hook):
    """Refuse a checkpoint of another model.

    MMEngine loads whatever fits and goes on with the rest as it was
    initialised.  Testing and resuming need everything; fine-tuning
    (``load_from``) needs something, and what it did not take is reported by
    MMEngine.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare the checkpoint with the runner's model."""
        without_code(checkpoint)
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        # The loop is built only by a runner that trains.
        training = isinstance(runner._train_loop, BaseLoop)
        fine_tuning = training and not runner._resume
        refuse_other_weights(
            model,
            checkpoint,
            runner._load_from or 'to resume from',
            in_part=fine_tuning,
        )


@HOOKS.register_module()
class CheckLossHook(Hook):
    """End a training whose losses are no numbers, and say which.

    MMEngine goes on, and its next checkpoints hold NaN.  The last iteration
    of each epoch is looked at as well, and weights before they are saved.

    Args:
        interval (int): Iterations between two looks, for each of which a GPU
            has to be waited for. Defaults to 50.
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
        """Look at the losses of every so many iterations."""
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
                'Lower the learning rate, or clip gradients '
                '(optim_wrapper.clip_grad), and go on from a checkpoint '
                'before that; tools/dataset_tools/check_dataset.py tells of bad annotations'
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Look at the weights; a loss may be finite and its step not."""
        for name, value in checkpoint.get('state_dict', {}).items():
            if torch.is_floating_point(value) and not value.isfinite().all():
                raise FloatingPointError(
                    f'iteration {runner.iter + 1}: {name} is not finite, and '
                    'no checkpoint is written. Lower the learning rate, or '
                    'clip gradients (optim_wrapper.clip_grad), and go on from '
                    'the last checkpoint'
                )


@HOOKS.register_module()
class CheckPathsHook(Hook):
    """Refuse annotations whose images lie outside the folder of images.

    A file name such as ``../../home/me/key.png`` would otherwise be read.
    """

    def before_train(self, runner: Any) -> None:
        """Look at the images of training and, if there is any, validation."""
        refuse_paths_outside(runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            refuse_paths_outside(runner.val_dataloader.dataset)

    def before_val(self, runner: Any) -> None:
        """Look at the images of a validation without training."""
        if not isinstance(runner._train_loop, BaseLoop):
            refuse_paths_outside(runner.val_dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        """Look at the images of the test."""
        refuse_paths_outside(runner.test_dataloader.dataset)
