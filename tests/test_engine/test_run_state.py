"""A training that is killed anywhere ends as if it had not been killed."""

import os
import random
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import toy_training
from helpers.toy_training import METRICS, early_stopping, train
from helpers.training import read_log
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch.utils.data import DataLoader

from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.engine.hooks.run_state import (
    collect_gradients,
    collect_sampler_seed,
    restore_gradients,
    restore_sampler_seed,
)
from swahr_mmpose.engine.schedule import SettingsError

# All kill points: SWAHR_KILLS=1000 pytest tests/test_engine/test_run_state.py
KILLS = int(os.environ.get('SWAHR_KILLS', '12'))
MODES = dict(
    epochs=lambda: dict(
        wrapper=dict(accumulative_counts=3), hooks=[early_stopping()]
    ),
    interval=lambda: dict(
        interval=2,
        max_keep_ckpts=1,
        train_cfg=dict(by_epoch=True, max_epochs=5, val_interval=2),
    ),
    iterations=lambda: dict(
        by_epoch=False,
        interval=3,
        wrapper=dict(accumulative_counts=2),
        train_cfg=dict(by_epoch=False, max_iters=13, val_interval=4),
    ),
    within_epochs=lambda: dict(by_epoch=False, interval=3),
    stopped=lambda: dict(hooks=[early_stopping(patience=1)]),
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """Silence MMEngine; no pause where its iterator starts again."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def describe(folder, runner):
    """Describe what a training leaves: files, weights, run state."""
    names = sorted(p.name for p in folder.glob('*.pth'))
    content = {name: read_checkpoint(folder / name) for name in names}
    last = content[Path((folder / 'last_checkpoint').read_text()).name]
    state = {
        key: value
        for key, value in last['message_hub']['runtime_info'].items()
        if key.startswith('best_') or key in ('validated_at', 'keep_ckpt_ids')
    }
    weights = {
        name: c['state_dict']['layer.weight'].tolist()
        for name, c in content.items()
    }
    optimizer = str(last['optimizer']['state'])
    stopping = str(last.get('early_stopping'))
    return names, weights, optimizer, state, stopping, runner.epoch


@pytest.mark.parametrize('mode', MODES)
def test_a_training_killed_anywhere_ends_in_the_same_state(mode, tmp_path):
    METRICS.clear()
    runner, kill = train(tmp_path / 'uninterrupted', **MODES[mode]())
    expected = describe(tmp_path / 'uninterrupted', runner)
    metrics = list(METRICS)
    assert len(set(metrics)) >= 2
    places = random.Random(0).sample(range(kill.count), min(KILLS, kill.count))
    for place in places:
        folder = tmp_path / f'killed{place}'
        METRICS.clear()
        _, killed = train(folder, place, **MODES[mode]())
        assert killed.log == kill.log[: place + 1]
        first = list(METRICS)
        METRICS.clear()
        runner, _ = train(folder, **MODES[mode]())
        where = (place, killed.log[-1])
        assert describe(folder, runner) == expected, where
        # Every validation took place, with the same result.
        assert first == metrics[: len(first)], where
        assert METRICS == metrics[len(metrics) - len(METRICS) :], where
        assert len(first) + len(METRICS) >= len(metrics), where
        assert not list(folder.glob('*.part')), where


def test_a_validation_that_was_killed_is_made_up_first(tmp_path):
    runner, kill = train(tmp_path / 'a')
    place = kill.log.index('after_val_iter HIGHEST')
    METRICS.clear()
    train(tmp_path / 'b', place)
    assert METRICS == []
    resumed, events = train(tmp_path / 'b')
    started = events.log.index('before_train_epoch HIGHEST')
    assert 'after_val_epoch HIGHEST' in events.log[:started]
    # A validation that has ended is not repeated.
    place = kill.log.index('after_train_iter HIGHEST', 60)
    train(tmp_path / 'c', place)
    _, events = train(tmp_path / 'c')
    started = events.log.index('before_train_epoch HIGHEST')
    assert 'before_val HIGHEST' not in events.log[:started]


def test_the_old_best_is_removed_after_the_new_one_is_written(tmp_path):
    _, kill = train(tmp_path)
    present, numbers = set(), []
    for event in kill.log:
        time, action, name = [*event.split(), ''][:3]
        if name.startswith('best_') and time == 'after':
            present.add(name) if action == 'replace' else present.remove(name)
            numbers.append(len(present))
    assert max(numbers) == 2
    assert min(numbers) == 1


def test_a_full_disk_leaves_the_old_best(tmp_path, monkeypatch):
    put = toy_training.SafeCheckpointHook.before_save_checkpoint

    def fill(self, runner, checkpoint):
        put(self, runner, checkpoint)
        if self._old_best or any('best' in str(p) for p in tmp_path.iterdir()):
            if 'optimizer' not in checkpoint:  # the second best checkpoint
                raise OSError('No space left on device')

    monkeypatch.setattr(
        toy_training.SafeCheckpointHook, 'before_save_checkpoint', fill
    )
    with pytest.raises(OSError, match='No space'):
        train(tmp_path)
    assert len(list(tmp_path.glob('best_*.pth'))) == 1


def test_a_stopped_training_stays_stopped_unless_its_limits_change(tmp_path):
    first, _ = train(tmp_path, hooks=[early_stopping(patience=1)])
    assert first.epoch < 5
    again, events = train(tmp_path, hooks=[early_stopping(patience=1)])
    assert again.epoch == first.epoch
    assert 'after_train_iter HIGHEST' not in events.log
    longer, _ = train(tmp_path, hooks=[early_stopping(patience=9)])
    assert longer.epoch == 5


def test_lost_gradients_are_reported(tmp_path, monkeypatch):
    wrapper = dict(accumulative_counts=3)
    _, kill = train(tmp_path / 'a', wrapper=wrapper)
    place = kill.log.index('before_train_epoch HIGHEST', 40)
    train(tmp_path / 'a2', place, wrapper=wrapper)
    with pytest.raises(SettingsError, match='accumulated with.*=3, got 2'):
        train(tmp_path / 'a2', wrapper=dict(accumulative_counts=2))
    path = tmp_path / 'a2' / (tmp_path / 'a2/last_checkpoint').read_text()
    content = torch.load(path, weights_only=False)
    assert content.pop('accumulated_gradients')['gradients']
    torch.save(content, path)
    resumed, _ = train(tmp_path / 'a2', wrapper=wrapper)
    assert resumed.epoch == 5
    assert 'gradients of up to' in read_log(resumed)


def test_lost_gradients_of_several_optimizers_are_reported():
    """Each has a count of its own; none of them is saved."""
    parameter = torch.nn.Parameter(torch.ones(1))
    wrappers = {
        name: OptimWrapper(
            torch.optim.SGD([parameter], 0.1), accumulative_counts=counts
        )
        for name, counts in dict(a=3, b=1, c=2).items()
    }
    messages = []
    runner = SimpleNamespace(
        optim_wrapper=OptimWrapperDict(**wrappers),
        logger=SimpleNamespace(warning=messages.append),
    )
    assert collect_gradients(runner) is None
    restore_gradients(runner, None, 4)
    (message,) = messages
    assert 'optim_wrapper.a.accumulative_counts is 3' in message
    assert 'up to 1 iterations are lost' in message


def test_a_training_without_pending_gradients_is_resumed(tmp_path):
    wrapper = dict(accumulative_counts=3)
    longer = dict(by_epoch=True, max_epochs=6)
    first, _ = train(tmp_path, wrapper=wrapper)  # flushed at iteration 20
    assert first.iter == 20
    state = read_checkpoint(tmp_path / 'epoch_5.pth')['accumulated_gradients']
    assert state == dict(accumulative_counts=3, gradients={})
    wrapper = dict(accumulative_counts=7)
    resumed, _ = train(tmp_path, wrapper=wrapper, train_cfg=longer)
    assert resumed.iter == 24
    assert 'gradients of up to' not in read_log(resumed)


def edit(path, change):
    """Edit a checkpoint as a stranger would."""
    content = torch.load(path, weights_only=False)
    change(content['message_hub'])
    torch.save(content, path)


@pytest.mark.parametrize('place', ['outside', 'inside', 'beside'])
def test_resuming_removes_nothing_that_a_stranger_names(place, tmp_path):
    folder, outside = tmp_path / 'run', tmp_path / 'outside'
    _, kill = train(folder, 70)
    victims = [
        outside / 'best_acc_epoch_1.pth',
        folder / 'best_folder_epoch_1.pth/thesis.tex',
        folder / 'thesis.pth',
        outside / 'epoch_7.pth',
    ]
    for victim in victims:
        victim.parent.mkdir(exist_ok=True)
        victim.write_text('years of work')
    named = {
        'outside': str(victims[0]),
        'inside': str(folder / 'thesis.pth'),
        'beside': str(folder / 'best_folder_epoch_1.pth'),
    }[place]

    def change(hub):
        info = hub['runtime_info']
        info.update(
            best_ckpt=named,
            best_score=-1.0,
            last_ckpt=named,
            keep_ckpt_ids=['../../outside/epoch_7', -1, 10**400, True, None],
            outdated_ckpts=[str(victims[0]), '../x', 'thesis.pth', named, 3],
        )
        hub['resumed_keys'].update(dict.fromkeys(info, True))

    edit(folder / (folder / 'last_checkpoint').read_text(), change)
    resumed, _ = train(folder, max_keep_ckpts=1)
    assert resumed.epoch == 5
    assert all(v.read_text() == 'years of work' for v in victims)
    assert [p for p in folder.glob('best_acc_*.pth') if p.is_file()]


def test_a_copied_work_dir_uses_its_own_files(tmp_path):
    a, b = tmp_path / 'a', tmp_path / 'b'
    _, kill = train(a, 70)
    os.system(f'cp -r {a} {b}')
    finished, _ = train(a)
    before = {p.name: p.read_bytes() for p in a.iterdir() if p.is_file()}
    resumed, events = train(b)
    assert 'after_train_iter HIGHEST' in events.log
    assert describe(a, finished) == describe(b, resumed)
    after = {p.name: p.read_bytes() for p in a.iterdir() if p.is_file()}
    assert before == after
    for path in b.glob('*.pth'):
        info = read_checkpoint(path)['message_hub']['runtime_info']
        assert not any(os.sep in str(info.get(k)) for k in POINTERS)


POINTERS = ('best_ckpt', 'last_ckpt')


def test_pointers_of_mmengine_are_read_as_names(tmp_path, monkeypatch):
    """A work directory of MMEngine's hook, moved: its paths do not exist."""
    monkeypatch.setattr(
        toy_training,
        'SafeCheckpointHook',
        lambda **kwargs: CheckpointHook(**kwargs),
    )
    train(tmp_path / 'a', 90)
    monkeypatch.undo()
    assert os.sep in (tmp_path / 'a/last_checkpoint').read_text()
    os.rename(tmp_path / 'a', tmp_path / 'b')
    resumed, _ = train(tmp_path / 'b')
    assert resumed.epoch == 5
    best = list((tmp_path / 'b').glob('best_*.pth'))
    assert len(best) == 1


def test_the_count_of_early_stopping_is_saved(tmp_path):
    hook = early_stopping()
    train(tmp_path, hooks=[hook])
    assert hook.wait_count > 0
    state = read_checkpoint(tmp_path / 'epoch_5.pth')['early_stopping']['acc']
    assert state['wait_count'] == hook.wait_count
    assert state['best_score'] == hook.best_score


def test_an_interrupted_epoch_is_not_trained_twice(tmp_path):
    options = dict(by_epoch=False, interval=3, save_best=None)
    whole, _ = train(tmp_path / 'whole', **options)
    _, kill = train(tmp_path / 'killed', 50, **options)
    resumed, events = train(tmp_path / 'killed', **options)
    assert resumed.iter == whole.iter == 20
    trained = events.log.count('after_train_iter HIGHEST')
    assert 20 - trained in (3, 6, 9, 12, 15, 18)


@pytest.mark.parametrize(
    ('key', 'value'),
    [('optimizer', None), ('early_stopping', 3), ('param_schedulers', [1])],
)
def test_a_damaged_state_is_refused_with_the_name_of_the_file(
    key, value, tmp_path
):
    hooks = dict(hooks=[early_stopping()])
    train(tmp_path, 90, **hooks)
    path = tmp_path / (tmp_path / 'last_checkpoint').read_text()
    content = torch.load(path, weights_only=False)
    torch.save(dict(content, **{key: value}), path)
    with pytest.raises(ValueError, match=f'{path.name} cannot be .*{key} is'):
        train(tmp_path, **hooks)


def test_the_older_checkpoint_is_found_by_the_name_of_the_hook(tmp_path):
    options = dict(filename_tmpl='model-{:04d}.pth')
    train(tmp_path, 120, **options)
    path = tmp_path / (tmp_path / 'last_checkpoint').read_text()
    assert path.name != 'model-0001.pth'
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    resumed, events = train(tmp_path, **options)
    assert resumed.epoch == 5
    assert events.log.count('before_train_epoch HIGHEST') < 5


def train_with_seeds(folder, monkeypatch, seeds, stops, make_options):
    """Train in parts, each with a new random seed; return the last runner."""
    numbers = iter(seeds)
    monkeypatch.setattr(
        'mmengine.runner.utils.sync_random_seed', lambda: next(numbers)
    )
    for stop in stops:
        runner, _ = train(folder, at=stop, seed=None, **make_options())
    return runner


@pytest.mark.parametrize(
    ('mode', 'kind', 'workers'),
    [
        ('epochs', 'DefaultSampler', 0),
        ('within_epochs', 'DefaultSampler', 0),
        ('iterations', 'DefaultSampler', 0),
        ('iterations', 'InfiniteSampler', 0),
        # A worker draws from the sampler before the checkpoint is read.
        ('iterations', 'InfiniteSampler', 1),
    ],
)
def test_a_training_without_a_seed_keeps_that_of_its_checkpoint(
    tmp_path, monkeypatch, mode, kind, workers
):
    def make_options():
        options = dict(sampler=dict(type=kind), workers=workers)
        return dict(MODES[mode](), **options)

    whole, parts = (
        train_with_seeds(tmp_path / name, monkeypatch, *plan, make_options)
        for name, plan in (
            ('whole', ([11], [None])),
            ('parts', ([11, 22, 33], [40, 30, None])),
        )
    )
    assert parts.seed == 11
    assert parts.model.layer.weight.tolist() == (
        whole.model.layer.weight.tolist()
    )


@pytest.mark.parametrize(('chosen', 'expected'), [(None, 7), (5, 5)])
def test_a_seed_of_the_sampler_in_the_config_is_kept(chosen, expected):
    sampler = DefaultSampler([0, 1], seed=5)
    loader = dict(sampler=dict(type='DefaultSampler', seed=chosen))
    runner = SimpleNamespace(
        cfg=Config(dict(train_dataloader=loader)),
        train_dataloader=DataLoader([0, 1], sampler=sampler),
        train_loop=SimpleNamespace(),
    )
    restore_sampler_seed(runner, 7)
    assert sampler.seed == expected


def test_a_loader_without_a_sampler_has_no_seed():
    runner = SimpleNamespace(
        cfg=Config(), train_dataloader=[[0, 1]], train_loop=None
    )
    assert collect_sampler_seed(runner) is None
    restore_sampler_seed(runner, 7)
