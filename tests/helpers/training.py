"""Trainings of a small model with MMEngine's runner."""

import itertools
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from swahr_mmpose import ScheduleHook

NUMBER = itertools.count()


class Line(BaseModel):
    """A model of two weights."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, *inputs, mode='tensor'):
        return dict(loss=self.layer(torch.stack(inputs)).square().mean())


class Numbers(Dataset):
    """Numbers from 0 to 1."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return torch.full((1,), index / self.size)


class Recorder(Hook):
    """Record the learning rate of each iteration, by its number."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates[runner.iter] = runner.optim_wrapper.get_lr()['lr'][0]


def linear(end, by_epoch=True, **kwargs):
    """A schedule that falls to 0."""
    return dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.0,
        end=end,
        by_epoch=by_epoch,
        convert_to_iter_based=by_epoch,
        **kwargs,
    )


def make_line_runner(
    folder, epochs=4, batch=2, size=8, runner_class=Runner, **kwargs
):
    """Make the runner of a small training, and a recorder.

    Args:
        folder: Work directory.
        epochs: Number of epochs, where the schedule ends too.
        batch: Batch size.
        size: Number of samples.
        runner_class: Class of the runner.
        **kwargs: Other settings of the runner.
    """
    recorder = Recorder()
    settings = dict(
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        param_scheduler=[linear(epochs)],
        auto_scale_lr=dict(base_batch_size=batch),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1), logger=None
        ),
    )
    settings.update(kwargs)
    runner = runner_class(
        model=Line(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=batch,
            dataset=Numbers(size),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        custom_hooks=[ScheduleHook(), recorder],
        experiment_name=f'line_{next(NUMBER)}',  # a logger of its own
        default_scope='mmpose',
        cfg=settings,
        **settings,
    )
    return runner, recorder


def read_log(runner):
    """Read what the runner logged."""
    logs = sorted(Path(runner.work_dir).glob('*/*.log'))
    return '\n'.join(path.read_text() for path in logs)
