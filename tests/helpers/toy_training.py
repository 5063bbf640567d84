"""A training of milliseconds with MMEngine's runner, which may be killed."""

import contextlib
import os
import uuid

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from swahr_mmpose import CheckCheckpointHook, SafeCheckpointHook

STAGES = [
    'before_train',
    'before_train_epoch',
    'after_train_iter',
    'after_train_epoch',
    'before_val',
    'after_val_iter',
    'after_val_epoch',
    'after_val',
    'before_save_checkpoint',
    'after_train',
]


class Killed(BaseException):
    """The end of the process."""


class Kill:
    """Count events, and raise at one of them and at all later ones.

    A killed process does nothing more, not even in ``finally``.
    """

    def __init__(self, at=None):
        self.at = at
        self.count = 0
        self.log = []

    @property
    def is_dead(self):
        return self.at is not None and self.count > self.at

    def __call__(self, event):
        self.log.append(event)
        self.count += 1
        if self.is_dead:
            raise Killed(event)


class KillHook(Hook):
    """Events at the stages of a run."""

    def __init__(self, kill, priority):
        self.priority = priority
        for stage in STAGES:
            setattr(
                self, stage, lambda *a, _s=stage, **k: kill(f'{_s} {priority}')
            )

    def get_triggered_stages(self):
        return STAGES


@contextlib.contextmanager
def killed_files(kill):
    """Events before and after files are replaced and removed."""
    before = {
        name: getattr(os, name) for name in ('replace', 'remove', 'unlink')
    }

    def wrap(name):
        def call(*args, **kwargs):
            path = os.path.basename(args[-1])
            kill(f'before {name} {path}')
            before[name](*args, **kwargs)
            kill(f'after {name} {path}')

        return call

    def unlink(path, **kwargs):
        if not kill.is_dead:  # the process removes no temporary file
            before['unlink'](path, **kwargs)

    for name in ('replace', 'remove'):
        setattr(os, name, wrap(name))
    os.unlink = unlink
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(os, name, function)


class Model(BaseModel):
    """Linear regression."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 1)

    def forward(self, x, mode='tensor'):
        x = torch.stack(x)
        y = self.layer(x)
        if mode == 'loss':
            return dict(loss=((y - x.sum(1, keepdim=True)) ** 2).mean())
        return [self.layer.weight.detach().sum()] * len(x)


class Acc(BaseMetric):
    """A number that varies without order as the weights change."""

    def process(self, data_batch, data_samples):
        self.results.append(float(data_samples[0]))

    def compute_metrics(self, results):
        METRICS.append(int(results[0] * 1e6) % 97 / 97)
        return dict(acc=METRICS[-1])


METRICS = []  # of all validations, in this order


def make_loaders(sampler, workers):
    """Make the data loaders of a training, of eight samples."""
    torch.manual_seed(1)
    data = [dict(x=x) for x in torch.randn(8, 3)]
    loader = dict(batch_size=2, num_workers=0, dataset=data)
    in_order = dict(type='DefaultSampler', shuffle=False)
    return dict(
        train_dataloader=dict(loader, sampler=sampler, num_workers=workers),
        val_dataloader=dict(loader, sampler=in_order),
    )


def make_hooks(kill, hooks, **opts):
    """Make the default and the custom hooks of a runner."""
    checkpoint = SafeCheckpointHook(
        **{**dict(interval=1, max_keep_ckpts=2, save_best='acc'), **opts}
    )
    return dict(
        default_hooks=dict(
            checkpoint=checkpoint, logger=dict(type='LoggerHook', interval=99)
        ),
        custom_hooks=[
            CheckCheckpointHook(),
            *hooks,
            KillHook(kill, 'HIGHEST'),
            KillHook(kill, 'LOWEST'),
        ],
    )


def make_runner(
    work_dir,
    kill=None,
    wrapper=None,
    hooks=(),
    train_cfg=None,
    seed=0,
    sampler=None,
    workers=0,
    **opts,
):
    """Make the runner of a training of a few epochs of four iterations."""
    loaders = make_loaders(sampler or dict(type='DefaultSampler'), workers)
    sgd = dict(type='SGD', lr=0.05, momentum=0.9)
    return Runner(
        Model(),
        str(work_dir),
        **loaders,
        train_cfg=train_cfg or dict(by_epoch=True, max_epochs=5),
        val_cfg=dict(),
        val_evaluator=[Acc()],
        optim_wrapper=dict(optimizer=sgd, **wrapper or {}),
        param_scheduler=dict(
            type='MultiStepLR', milestones=[2], by_epoch=True
        ),
        **make_hooks(kill or Kill(), hooks, **opts),
        randomness=dict(seed=seed),
        resume=True,
        default_scope='mmpose',
        experiment_name=uuid.uuid4().hex,
        log_level='WARNING',
    )


def train(work_dir, at=None, **options):
    """Train or resume; kill at an event. Return the runner and the events."""
    kill = Kill(at)
    runner = make_runner(work_dir, kill, **options)
    with contextlib.suppress(Killed), killed_files(kill):
        runner.train()
    return runner, kill


def early_stopping(**options):
    """Make the hook that stops the toy training early."""
    return EarlyStoppingHook('acc', **{**dict(patience=3), **options})
