"""Values with which no training goes on are found before it starts."""

import copy

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper
from torch import nn

from swahr_mmpose.checkpoints.training_state import list_state_problems

DELETED = object()


def make_optimizer():
    torch.manual_seed(0)
    return torch.optim.SGD(nn.Linear(3, 1).parameters(), 0.1, momentum=0.9)


def make_checkpoint():
    optimizer = make_optimizer()
    for group in optimizer.param_groups:
        for parameter in group['params']:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2])
    return dict(
        meta=dict(epoch=1, iter=4, seed=0),
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([1.0], [1])},
            runtime_info=dict(best_score=0.5, best_ckpt='best_acc.pth'),
            resumed_keys={'train/loss': True},
        ),
        optimizer=OptimWrapper(optimizer).state_dict(),
        param_schedulers=[scheduler.state_dict()],
        early_stopping=dict(
            acc=dict(
                wait_count=0, best_score=-1e400, stopped=False, settings=[]
            )
        ),
        accumulated_gradients=dict(
            accumulative_counts=3, gradients=dict(weight=torch.zeros(1, 3))
        ),
    )


def list_problems(checkpoint):
    good = make_checkpoint()
    return list_state_problems(
        checkpoint, make_optimizer(), good['param_schedulers']
    )


def test_a_state_that_was_just_saved_is_fine():
    assert list_problems(make_checkpoint()) == []
    assert list_state_problems(make_checkpoint()) == []
    bare = dict(meta=dict(epoch=0, iter=0), message_hub={})
    assert 'message_hub' in list_state_problems(bare)[0]


CASES = [
    ('meta.iter', -1),
    ('meta.iter', 10**400),
    ('meta.epoch', True),
    ('meta.seed', []),
    ('message_hub.log_scalars', [[1]]),
    ('message_hub.log_scalars', {'\x1b[2J': 1}),
    ('message_hub.resumed_keys.train/loss', 'yes'),
    ('message_hub.runtime_info.best_score', [1]),
    ('message_hub.runtime_info.best_ckpt', torch.zeros(3)),
    ('optimizer', None),
    ('optimizer.state', DELETED),
    ('optimizer.state.0', []),
    ('optimizer.state.1.momentum_buffer', torch.zeros(3)),
    ('optimizer.state.1.momentum_buffer', 5),
    ('optimizer.state.1.momentum_buffer', torch.tensor([float('nan')])),
    ('optimizer.param_groups', []),
    ('optimizer.param_groups.0', 7),
    ('optimizer.param_groups.0.params', [[], {}]),
    ('optimizer.param_groups.0.lr', DELETED),
    ('optimizer.param_groups.0.lr', float('inf')),
    ('optimizer.param_groups.0.momentum', 1e300),
    ('optimizer.param_groups.0.foreach', torch.zeros(3)),
    ('param_schedulers', None),
    ('param_schedulers.0', 1.0),
    ('param_schedulers.0.last_epoch', {}),
    ('early_stopping', 3),
    ('early_stopping.acc.wait_count', float('inf')),
    ('early_stopping.acc.best_score', None),
    ('accumulated_gradients', {}),
    ('accumulated_gradients.gradients.weight', 'x'),
    ('accumulated_gradients.accumulative_counts', -1),
]


@pytest.mark.parametrize(('key', 'value'), CASES)
def test_a_value_that_would_end_a_training_later_is_named(key, value):
    checkpoint = copy.deepcopy(make_checkpoint())
    *path, last = key.split('.')
    inner = checkpoint
    for name in path:
        inner = inner[int(name) if name.isdigit() else name]
    last = int(last) if last.isdigit() else last
    if value is DELETED:
        del inner[last]
    else:
        inner[last] = value
    problems = list_problems(checkpoint)
    assert len(problems) == 1
    assert key.startswith(problems[0].split(' ')[0].split('[')[0])
    assert problems[0].isprintable()


def test_another_number_of_schedulers_is_left_to_the_schedule_hook():
    checkpoint = make_checkpoint()
    checkpoint['param_schedulers'] *= 2
    assert list_problems(checkpoint) == []


def test_states_of_several_optimizers_are_not_compared():
    checkpoint = make_checkpoint()
    checkpoint['optimizer'] = dict(a=checkpoint['optimizer'])
    checkpoint['param_schedulers'] = dict(a=checkpoint['param_schedulers'])
    assert list_state_problems(checkpoint, {}) == []
