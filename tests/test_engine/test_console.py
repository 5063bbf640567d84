"""The quiet console: a line per epoch, a table per evaluation."""

import logging
import re
import sys

import pytest
import torch
from helpers.training import Numbers, make_line_runner, read_log
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import DATASETS, METRICS
from mmengine.runner import Runner
from rich.console import Console

from swahr_mmpose.engine import console
from swahr_mmpose.engine.console import make_quiet
from swahr_mmpose.engine.hooks import console_hook
from swahr_mmpose.engine.hooks.console_hook import (
    ConsoleHook,
    format_duration,
    format_metrics,
    sum_losses,
)


class NoisyMetric(BaseMetric):
    """A metric that prints, as xtcocotools does, and is not defined once."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results.append(1)

    def compute_metrics(self, results):
        print('Accumulating evaluation results...')
        return {'AP': 0.25, 'AP (L)': -1.0, 'kind': 'none'}


class NoisyNumbers(Numbers):
    """A dataset that prints, as xtcocotools does."""

    def __init__(self, size):
        super().__init__(size)
        print('loading annotations into memory...')


@pytest.fixture(autouse=True)
def _prepared(monkeypatch):
    """Registered classes, and no terminal, whatever the tests run in."""
    for registry, kind in ((DATASETS, NoisyNumbers), (METRICS, NoisyMetric)):
        monkeypatch.setitem(registry._module_dict, kind.__name__, kind)
    for name in ('FORCE_COLOR', 'TTY_COMPATIBLE', 'TTY_INTERACTIVE'):
        monkeypatch.delenv(name, raising=False)


def make_runner(folder, validate=False, **kwargs):
    loader = dict(
        batch_size=2,
        dataset=dict(type='NoisyNumbers', size=8),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    if validate:
        kwargs.update(
            val_dataloader=loader,
            val_evaluator=dict(type='NoisyMetric'),
            val_cfg=dict(),
        )
    runner, _ = make_line_runner(
        folder, epochs=2, runner_class=make_quiet(Runner), **kwargs
    )
    runner.model.val_step = lambda data: [0]
    return runner


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.4, '0:00'), (59.6, '1:00'), (3661, '1:01:01'), (90061, '1 d 1:01:01')],
)
def test_durations_are_formatted(seconds, text):
    assert format_duration(seconds) == text


def test_losses_of_the_levels_are_summed():
    losses = {'loss': 6.0, 'loss_kpt.0': 1.0, 'loss_kpt.1': 2.0, 'loss_a.b': 3}
    assert sum_losses(losses) == {'loss': 6.0, 'kpt': 3.0, 'a.b': 3}


def test_metrics_are_a_table_with_a_row_per_prefix():
    metrics = {'coco/AP': 0.5, 'coco/AP (L)': -1, 'other/AP': 1, 'x/kind': 'a'}
    assert [line.split() for line in format_metrics(metrics)] == [
        ['AP', 'AP', '(L)', 'kind'],
        ['coco', '0.500', '-'],
        ['other', '1.000'],
        ['x', 'a'],
    ]
    assert len(set(map(len, format_metrics(metrics)))) == 1


def test_a_run_prints_a_line_per_epoch_and_the_rest_is_in_the_log(
    tmp_path, capsys
):
    runner = make_runner(tmp_path)
    runner.train()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(
            rf'epoch {number}/2  loss \S+ +lr \d\.\d\de\S\d\d  0:00'
            r'(  left 0:00)?',
            line,
        )
    log = read_log(runner)
    for part in ('System environment', 'Hooks will be executed', 'Config:'):
        assert part in log


def test_the_line_has_the_mean_loss_of_the_epoch(tmp_path, capsys):
    runner = make_runner(tmp_path)
    runner.train()
    history = runner.message_hub.get_scalar('train/loss').data[0]
    line = capsys.readouterr().out.splitlines()[0]
    mean = float(re.search(r'loss (\S+)', line)[1])
    assert mean == pytest.approx(float(history[:4].mean()), rel=5e-3)


def test_what_other_packages_print_is_in_the_log_alone(tmp_path, capsys):
    runner = make_runner(tmp_path, validate=True)
    runner.train()
    out = capsys.readouterr().out
    assert 'Accumulating' not in out
    assert 'loading annotations' not in out
    assert 'loading annotations into memory...' in read_log(runner)
    assert out.count('toy  0.250       -  none\n') == 2
    assert read_log(runner).count('Accumulating evaluation results...') == 2


def test_a_training_without_epochs_prints_a_line_before_each_validation(
    tmp_path, capsys
):
    runner = make_runner(
        tmp_path,
        validate=True,
        train_cfg=dict(by_epoch=False, max_iters=5, val_interval=2),
        param_scheduler=None,
        log_processor=dict(by_epoch=False),
    )
    runner.train()
    lines = capsys.readouterr().out.splitlines()
    words = [line.split('  ')[0].strip() for line in lines]
    assert [w for w in words if w.startswith('iter')] == [
        'iter 2/5',
        'iter 4/5',
        'iter 5/5',
    ]


def log_all(logger):
    """Messages of this file, of print_log, and of MMEngine and torch."""
    logger.info('own info')
    print_log('own print_log', 'current')
    scope = dict(__name__='mmengine.runner.x', log=print_log)
    call = 'log({!r}, "current", {})'
    exec(call.format('other info', logging.INFO), scope)
    exec(call.format('other warning', logging.WARNING), scope)
    exec(call.format('"FileClient" will be deprecated', 30), scope)
    exec(call.format('other error', logging.ERROR), scope)


def test_messages_that_a_user_can_act_upon_are_printed(tmp_path, capsys):
    runner = make_runner(tmp_path)
    capsys.readouterr()
    log_all(runner.logger)
    assert capsys.readouterr().out.splitlines() == [
        'own info',
        'own print_log',
        'warning: other warning',
        'error: other error',
    ]
    log = read_log(runner)
    assert 'other info' in log
    assert '"FileClient" will be deprecated' in log


def test_messages_within_the_work_of_other_packages_are_printed(
    tmp_path, capsys
):
    runner = make_runner(tmp_path)
    capsys.readouterr()
    with runner._print_to_log():
        print('theirs')
        runner.logger.warning('ours')
    assert capsys.readouterr().out == 'warning: ours\n'
    assert 'theirs' in read_log(runner)


def test_other_processes_print_no_lines(tmp_path, capsys, monkeypatch):
    runner = make_runner(tmp_path)
    monkeypatch.setattr(runner, '_rank', 1)
    runner.train()
    assert 'epoch' not in capsys.readouterr().out


class Terminal:
    """A console that is a terminal and records what is shown."""

    def __init__(self, monkeypatch, stream):
        def make(**kwargs):
            return Console(
                file=stream, force_terminal=True, width=120, **kwargs
            )

        monkeypatch.setattr('rich.console.Console', make)
        monkeypatch.setenv('TERM', 'xterm')
        monkeypatch.setattr(console_hook, '_REFRESH', 0)


def test_a_terminal_shows_progress_and_the_same_lines(
    tmp_path, monkeypatch, capsys
):
    with open(tmp_path / 'screen.txt', 'w+') as stream:
        Terminal(monkeypatch, stream)
        make_runner(tmp_path, validate=True).train()
        stream.seek(0)
        shown = stream.read()
    assert 'epoch 2/2  loss' in shown
    assert re.search(r'4/4.* loss \S+ left', shown)
    assert 'validation' in shown
    assert shown.count('\x1b[?25l') == shown.count('\x1b[?25h')  # the cursor


def test_a_terminal_is_left_in_order_by_an_error(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError('out of luck')

    with open(tmp_path / 'screen.txt', 'w+') as stream:
        Terminal(monkeypatch, stream)
        runner = make_runner(tmp_path)
        monkeypatch.setattr(runner.model, 'train_step', fail)
        with pytest.raises(RuntimeError, match='out of luck'):
            runner.train()
        stream.seek(0)
        shown = stream.read()
    assert shown.count('\x1b[?25l') == shown.count('\x1b[?25h') > 0
    assert sys.stdout.isatty() is False


def test_a_registered_runner_class_keeps_its_methods(tmp_path):
    class Own(Runner):
        def get_name(self):
            return 'own'

    quiet = make_quiet(Own)
    assert issubclass(quiet, Own)
    assert quiet.__name__ == 'Own'
    runner, _ = make_line_runner(tmp_path, runner_class=quiet)
    assert runner.get_name() == 'own'
    assert sum(isinstance(h, ConsoleHook) for h in runner.hooks) == 1


def test_the_filter_finds_the_caller_through_nested_loggers():
    assert console._find_caller() == __name__
    assert torch.is_tensor(torch.zeros(1))
