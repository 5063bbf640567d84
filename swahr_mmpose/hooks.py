# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hooks of the runner."""

from __future__ import annotations

import os.path as osp
from typing import Any, Iterator, List, Mapping, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop
from mmpose.registry import HOOKS
from torch import Tensor, nn

from .downloads import without_code
from .imagefiles import is_inside

__all__ = [
    'CheckCheckpointHook',
    'CheckLossHook',
    'CheckPathsHook',
    'compare_state_dicts',
    'refuse_other_weights',
]

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
                'before that; tools/check_dataset.py tells of bad annotations'
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


def refuse_paths_outside(dataset: Any) -> None:
    """Raise where images of a data set are not in its ``data_prefix.img``.

    Args:
        dataset (BaseDataset): Or a wrapper of such, of any depth.

    Raises:
        ValueError: With the first path that is outside.
    """
    for part in _plain_datasets(dataset):
        folder = osp.join(part.data_prefix.get('img', ''), '')
        for index in range(len(part)):
            path = part.get_data_info(index)['img_path']
            inside = path.startswith(folder)
            if not (inside and is_inside(path[len(folder) :])):
                raise ValueError(
                    f'image {path} is not in {folder or "a relative folder"}, '
                    'expected of data_prefix.img. Correct file_name in the '
                    'annotation file, or the prefix; do not trust a file that '
                    'names others than its own images'
                )


def _plain_datasets(dataset: Any) -> Iterator[Any]:
    """A data set, or those that it wraps, if they have images in a folder."""
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    for part in inner:
        if part is not None:
            yield from _plain_datasets(part)
        elif hasattr(dataset, 'data_prefix'):
            yield dataset


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
