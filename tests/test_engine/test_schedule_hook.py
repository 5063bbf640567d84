"""Training length, schedules, batch size and checkpoint stay consistent."""

import re
from types import SimpleNamespace

import pytest
import torch
from helpers import toy_training
from helpers.training import Recorder, linear, make_line_runner, read_log
from mmengine.optim import LinearLR, OptimWrapper
from torch import nn

from swahr_mmpose import ScheduleHook
from swahr_mmpose.engine.schedule import (
    Position,
    SettingsError,
    build_dummy_schedule,
    expand_groups,
    step_schedule,
)


def train(folder, **kwargs):
    """Train; return the runner and the learning rates by iteration."""
    runner, recorder = make_line_runner(folder, **kwargs)
    runner.train()
    return runner, recorder.rates


def resume(folder, path, **kwargs):
    return train(folder, resume=True, load_from=str(path), **kwargs)


def options_of(text):
    """Options that a message recommends."""
    command = re.search(r'--cfg-options (.*)', text)[1]
    return dict(item.split('=') for item in command.split())


@pytest.fixture
def finished(tmp_path):
    """A training of 4 epochs with 4 iterations each."""
    train(tmp_path / 'first')
    return tmp_path / 'first'


def test_more_epochs_than_the_schedule_has_are_refused(tmp_path, finished):
    longer = dict(train_cfg=dict(by_epoch=True, max_epochs=7))
    for load in ({}, dict(resume=True, load_from=f'{finished}/epoch_4.pth')):
        with pytest.raises(SettingsError, match='max_epochs is 7') as error:
            train(tmp_path / 'a', **longer, **load)
        assert options_of(str(error.value)) == {
            'train_cfg.max_epochs': '7',
            'param_scheduler.0.end': '7',
        }


@pytest.mark.parametrize('epoch', [2, 4])
def test_a_resumed_training_follows_a_longer_schedule(
    tmp_path, finished, epoch
):
    whole = train(tmp_path / 'whole', epochs=7)[1]
    runner, rest = resume(
        tmp_path / 'rest', finished / f'epoch_{epoch}.pth', epochs=7
    )
    assert rest == pytest.approx(
        {n: rate for n, rate in whole.items() if n >= 4 * epoch}
    )
    assert max(rest.values()) > 0.03
    assert 'param_scheduler.0.end: 16 -> 28' in read_log(runner)


@pytest.mark.parametrize('known', [True, False])
@pytest.mark.parametrize('batch', [1, 3, 8])
def test_a_schedule_is_kept_in_epochs_with_another_batch_size(
    tmp_path, finished, batch, known
):
    path = finished / 'epoch_1.pth'
    if not known:  # a checkpoint of MMEngine alone
        checkpoint = torch.load(path, weights_only=False)
        assert checkpoint['meta'].pop('schedule')['epoch_length'] == 4
        torch.save(checkpoint, path)
    whole_runner, whole = train(tmp_path / 'whole', batch=batch)
    length = len(whole_runner.train_dataloader)
    runner, rest = resume(tmp_path / 'rest', path, batch=batch)
    assert rest == pytest.approx(
        {n: rate for n, rate in whole.items() if n >= length}
    )
    assert runner.iter == runner.max_iters == 4 * length
    assert rest[4 * length - 1] == pytest.approx(0, abs=1e-9)
    assert f'iterations per epoch: 4 -> {length}' in read_log(runner)


def test_the_same_settings_continue_to_the_bit(tmp_path, finished):
    whole = train(tmp_path / 'whole')[1]
    runner, rest = resume(tmp_path / 'rest', finished / 'epoch_2.pth')
    assert rest == {n: rate for n, rate in whole.items() if n >= 8}
    assert 'other settings' not in read_log(runner)


def test_steps_by_epoch_and_warm_up_are_continued(tmp_path):
    def schedule(end):
        warm_up = dict(
            type='LinearLR', start_factor=0.1, end=3, by_epoch=False
        )
        steps = dict(
            type='MultiStepLR', milestones=[2, end - 1], gamma=0.5, end=end
        )
        return dict(param_scheduler=[warm_up, steps])

    train(tmp_path / 'first', **schedule(4))
    whole = train(tmp_path / 'whole', epochs=6, **schedule(6))[1]
    rest = resume(
        tmp_path / 'rest',
        tmp_path / 'first/epoch_4.pth',
        epochs=6,
        **schedule(6),
    )[1]
    assert rest == pytest.approx({n: r for n, r in whole.items() if n >= 16})


def test_a_training_counted_in_iterations_is_continued(tmp_path):
    def settings(length):
        return dict(
            train_cfg=dict(by_epoch=False, max_iters=length),
            param_scheduler=[linear(length, by_epoch=False)],
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook', interval=5, by_epoch=False
                ),
                logger=None,
            ),
        )

    train(tmp_path / 'first', **settings(10))
    path = tmp_path / 'first/iter_10.pth'
    whole = train(tmp_path / 'whole', **settings(20))[1]
    rest = resume(tmp_path / 'rest', path, **settings(20))[1]
    assert rest == pytest.approx({n: r for n, r in whole.items() if n >= 10})
    longer = dict(settings(10), train_cfg=settings(20)['train_cfg'])
    with pytest.raises(SettingsError, match='max_iters is 20') as error:
        train(tmp_path / 'longer', **longer)
    assert options_of(str(error.value)) == {
        'train_cfg.max_iters': '20',
        'param_scheduler.0.end': '20',
    }


def test_a_complete_training_is_reported(tmp_path, finished):
    runner, rates = resume(tmp_path / 'again', finished / 'epoch_4.pth')
    assert not rates
    log = read_log(runner)
    assert 'the training is complete, and nothing is trained' in log
    assert options_of(log)['param_scheduler.0.end'] == '8'


def test_a_checkpoint_of_a_later_epoch_is_refused(tmp_path, finished):
    with pytest.raises(SettingsError, match='epoch 4, and train_cfg.max_e'):
        resume(tmp_path / 'again', finished / 'epoch_4.pth', epochs=3)


def test_a_training_that_ends_before_its_schedule_is_reported(tmp_path):
    runner, rates = train(
        tmp_path, train_cfg=dict(by_epoch=True, max_epochs=2)
    )
    log = read_log(runner)
    assert len(rates) == 8
    assert 'the training ends before it is low' in log
    assert options_of(log)['param_scheduler.0.end'] == '2'


def test_a_warm_up_alone_is_no_end(tmp_path):
    warm_up = dict(type='LinearLR', start_factor=0.1, end=3, by_epoch=False)
    runner, rates = train(tmp_path, param_scheduler=[warm_up])
    assert rates[15] == pytest.approx(0.1)
    assert 'max_epochs is' not in read_log(runner)


def test_a_cosine_schedule_gets_its_period_too(tmp_path):
    cosine = dict(type='CosineAnnealingLR', T_max=2, begin=1, end=4)
    with pytest.raises(SettingsError) as error:
        train(tmp_path, epochs=6, param_scheduler=cosine)
    assert options_of(str(error.value)) == {
        'train_cfg.max_epochs': '6',
        'param_scheduler.end': '6',
        'param_scheduler.T_max': '5',
    }


@pytest.mark.parametrize(('batch', 'counts'), [(8, 1), (2, 4), (1, 8), (2, 8)])
def test_accumulated_gradients_count_for_the_learning_rate(
    tmp_path, batch, counts
):
    rates = train(
        tmp_path,
        batch=batch,
        size=16,
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1), accumulative_counts=counts
        ),
        auto_scale_lr=dict(base_batch_size=8, enable=True),
    )[1]
    assert rates[0] == pytest.approx(0.1 * batch * counts / 8)
    middle = rates[len(rates) // 2] / rates[0]
    assert middle == pytest.approx(0.5, abs=0.1)


def test_another_batch_size_than_that_of_the_learning_rate_is_reported(
    tmp_path,
):
    runner, _ = train(
        tmp_path, batch=2, auto_scale_lr=dict(base_batch_size=16)
    )
    log = read_log(runner)
    assert 'for 16 images per step' in log
    assert 'there are 2. Add --auto-scale-lr' in log


def test_a_training_that_would_write_no_checkpoint_is_refused(tmp_path):
    hook = dict(type='CheckpointHook', interval=10, save_last=False)
    with pytest.raises(SettingsError, match='no checkpoint would be written'):
        train(tmp_path, default_hooks=dict(checkpoint=hook, logger=None))


def test_a_training_that_saves_only_the_best_is_accepted(tmp_path):
    def train_toy(**settings):
        hooks, best = [ScheduleHook()], dict(interval=-1, save_last=False)
        toy_training.train(tmp_path, hooks=hooks, **{**best, **settings})

    train_toy()
    assert [p.name[:9] for p in tmp_path.glob('*.pth')] == ['best_acc_']
    late = dict(by_epoch=True, max_epochs=2, val_begin=3)
    for settings in (
        dict(save_best=None),
        dict(train_cfg=late),
        dict(save_best=None, interval=1, save_begin=6),
    ):
        with pytest.raises(SettingsError, match='no checkpoint would be wr'):
            train_toy(**settings)


@pytest.mark.parametrize('multiple', [None, 2.0])
@pytest.mark.parametrize('optimizer', ['SGD', 'Adam'])
def test_a_momentum_schedule_is_continued(tmp_path, optimizer, multiple):
    momentum = dict(momentum=0.9) if optimizer == 'SGD' else {}
    settings = dict(
        optim_wrapper=dict(
            optimizer=dict(type=optimizer, lr=0.1, **momentum),
            paramwise_cfg=multiple and dict(bias_lr_mult=multiple),
        ),
        param_scheduler=[
            linear(4),
            dict(
                type='LinearMomentum', start_factor=0.5, end=20, by_epoch=False
            ),
        ],
    )
    train(tmp_path / 'first', **settings)
    path = tmp_path / 'first/epoch_2.pth'
    whole, _ = train(tmp_path / 'whole', batch=4, **settings)
    rest, _ = resume(tmp_path / 'rest', path, batch=4, **settings)
    groups = [r.optim_wrapper.param_groups for r in (rest, whole)]
    number = 1 if multiple is None else 3  # weight, bias, base
    assert [len(s.base_values) for s in rest.param_schedulers] == [number] * 2
    assert list(map(len, groups)) == [number] * 2
    for a, b in zip(*groups):
        for key in {'lr', 'initial_lr', 'momentum', 'betas'} & set(b):
            assert a[key] == pytest.approx(b[key]), key


@pytest.mark.parametrize('saved', ['without schedule', 'not saved'])
def test_a_schedule_that_was_added_is_continued(tmp_path, saved):
    hook = dict(type='CheckpointHook', interval=1)
    settings = dict(param_scheduler=None)
    if saved == 'not saved':
        hook['save_param_scheduler'] = False
        settings = {}
    hooks = dict(default_hooks=dict(checkpoint=hook, logger=None))
    train(tmp_path / 'first', **hooks, **settings)
    whole = train(tmp_path / 'whole')[1]
    path = tmp_path / 'first/epoch_2.pth'
    rest = resume(tmp_path / 'rest', path)[1]
    expected = {n: rate for n, rate in whole.items() if n >= 8}
    assert rest == pytest.approx(expected)


@pytest.mark.parametrize('optimizer', ['SGD', 'Adam'])
def test_a_schedule_that_was_removed_leaves_the_rate_of_the_config(
    tmp_path, optimizer
):
    momentum = dict(momentum=0.9) if optimizer == 'SGD' else {}
    wrapper = dict(optimizer=dict(type=optimizer, lr=0.1, **momentum))
    lower = dict(type='LinearMomentum', start_factor=0.5, end=20)
    train(
        tmp_path / 'first',
        optim_wrapper=wrapper,
        param_scheduler=[linear(4), lower],
    )
    runner, rates = resume(
        tmp_path / 'rest',
        tmp_path / 'first/epoch_3.pth',
        optim_wrapper=wrapper,
        param_scheduler=None,
    )
    assert set(rates.values()) == {0.1}
    (group,) = runner.optim_wrapper.param_groups
    assert optimizer == 'Adam' or group['momentum'] == 0.9
    assert group.get('betas', (0.9, 0.999)) == (0.9, 0.999)
    assert 'number of schedulers: 2 -> 0' in read_log(runner)
    assert 'has no schedule' in read_log(runner)


def test_groups_of_the_same_settings_are_scheduled_once():
    """A model may have 900 groups, and a training 100,000 iterations."""
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(900)]
    groups = [
        dict(params=[p], lr=0.1 * (1 + n % 3), weight_decay=n % 2)
        for n, p in enumerate(parameters)
    ]
    wrapper = OptimWrapper(torch.optim.SGD(groups, lr=0.1, momentum=0.9))
    runner = SimpleNamespace(
        optim_wrapper=wrapper,
        cfg=dict(param_scheduler=[linear(10, by_epoch=False)]),
        _build_param_scheduler=lambda config, optimizer: [
            LinearLR(optimizer, 1.0, 0.0, end=10, by_epoch=False)
        ],
    )
    schedulers, optimizer, index = build_dummy_schedule(runner)
    assert len(optimizer.optimizer.param_groups) == 6
    step_schedule(schedulers, Position(0, 5), 100)
    expand_groups(schedulers, optimizer, index)
    rates = [group['lr'] for group in optimizer.optimizer.param_groups]
    assert rates == pytest.approx(
        [0.1 * 4 / 9 * (1 + n % 3) for n in range(900)]
    )
    # The learning rate of the optimizer itself is the last value.
    assert len(schedulers[0].base_values) == 901


def test_a_schedule_that_depends_on_metrics_is_not_guessed(tmp_path, finished):
    plateau = dict(type='ReduceOnPlateauLR', monitor='loss', patience=2)
    with pytest.raises(SettingsError, match='depends on metrics'):
        resume(
            tmp_path / 'again',
            finished / 'epoch_1.pth',
            param_scheduler=[plateau],
        )


def test_the_recorder_sees_every_iteration(tmp_path):
    assert isinstance(make_line_runner(tmp_path)[1], Recorder)
    assert sorted(train(tmp_path)[1]) == list(range(16))


def test_gradients_are_judged_by_the_iteration_of_the_checkpoint(tmp_path):
    hook = dict(type='SafeCheckpointHook', interval=1)
    settings = dict(
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1), accumulative_counts=4
        ),
        default_hooks=dict(checkpoint=hook, logger=None),
    )
    train(tmp_path / 'first', **settings)  # of 4 iterations per epoch
    path = tmp_path / 'first/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    for known in (True, False):  # False: as in a checkpoint of MMEngine
        if not known:
            assert checkpoint.pop('accumulated_gradients')
            torch.save(checkpoint, path)
        folder = tmp_path / f'known_{known}'
        runner, _ = resume(folder, path, batch=4, **settings)
        assert runner.iter == 8
        assert 'gradients of up to' not in read_log(runner)
