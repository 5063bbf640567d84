"""Runners of the commands, averaged weights, ends of processes."""

import pytest
import torch
from helpers.training import Line, Numbers
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner

from swahr_mmpose import CheckCheckpointHook, CheckMetricHook, ScheduleHook
from swahr_mmpose.engine.launch import make_runner


class _Order(Hook):
    """Record the order of two events."""

    def __init__(self):
        self.seen = []

    def before_run(self, runner):
        self.seen.append('run')

    def after_load_checkpoint(self, runner, checkpoint):
        self.seen.append('load')


class Tested(Line):
    """Model whose prediction is its weight."""

    def forward(self, *inputs, mode='tensor'):
        if mode == 'predict':
            return [self.layer.weight.item()]
        return super().forward(*inputs, mode=mode)


class WeightMetric(BaseMetric):
    """Metric that returns the weight it saw."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(weight=results[0])


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    for registry, kind in (
        (MODELS, Tested),
        (DATASETS, Numbers),
        (METRICS, WeightMetric),
    ):
        monkeypatch.setitem(registry._module_dict, kind.__name__, kind)


def make_config(folder, path, hooks=()):
    return Config(
        dict(
            model=dict(type='Tested'),
            work_dir=str(folder),
            test_dataloader=dict(
                batch_size=1,
                dataset=dict(type='Numbers', size=2),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            test_cfg=dict(),
            test_evaluator=dict(type='WeightMetric'),
            custom_hooks=[dict(type='CheckCheckpointHook'), *hooks],
            load_from=str(path),
            default_scope='mmpose',
            experiment_name=f'test_{folder.name}_{len(hooks)}',
        )
    )


@pytest.fixture
def averaged(tmp_path):
    """A checkpoint as EMAHook writes it, and the averaged weight."""
    model, average = Tested(), Tested()
    ema = {f'module.{k}': v for k, v in model.state_dict().items()}
    torch.save(
        dict(meta={}, state_dict=average.state_dict(), ema_state_dict=ema),
        tmp_path / 'epoch_1.pth',
    )
    return tmp_path / 'epoch_1.pth', average.layer.weight.item()


@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook')]])
def test_averaged_weights_are_tested_with_and_without_their_hook(
    tmp_path, averaged, hooks
):
    path, weight = averaged
    runner = make_runner(make_config(tmp_path / 'test', path, hooks))
    assert runner.test()['weight'] == pytest.approx(weight)
    log = next((tmp_path / 'test').glob('*/*.log')).read_text()
    assert f'{path}: the averaged weights (EMAHook, state_dict) are' in log


def test_a_checkpoint_is_loaded_after_hooks_are_prepared(tmp_path, averaged):
    runner = make_runner(make_config(tmp_path / 'order', averaged[0]))
    order = _Order()
    runner.register_hook(order)
    runner.test()
    assert order.seen == ['run', 'load']


def test_hooks_that_check_settings_are_added_once(tmp_path, averaged):
    hooks = [dict(type='ScheduleHook')]
    runner = make_runner(make_config(tmp_path / 'once', averaged[0], hooks))
    for kind in (ScheduleHook, CheckMetricHook, CheckCheckpointHook):
        assert sum(isinstance(h, kind) for h in runner.hooks) == 1


def test_errors_of_a_checkpoint_exit_with_a_line(tmp_path):
    path = tmp_path / 'other.pth'
    torch.save(dict(meta={}, state_dict=dict(a=torch.ones(2))), path)
    runner = make_runner(make_config(tmp_path / 'bad', path))
    with pytest.raises(SystemExit, match=r'error: .*other\.pth does not fit'):
        runner.test()


def test_averaged_weights_are_not_resumed_without_their_hook(averaged):
    runner = Runner.__new__(Runner)
    runner.model, runner._load_from = Tested(), str(averaged[0])
    runner._train_loop = _train_loop()
    runner._resume, runner._hooks = True, []
    runner.optim_wrapper, runner.param_schedulers = None, None
    content = torch.load(averaged[0], weights_only=False)
    content.update(
        meta=dict(epoch=1, iter=4),
        message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
        optimizer={},
        param_schedulers=[],
    )
    with pytest.raises(ValueError, match='config has no EMAHook'):
        CheckCheckpointHook().after_load_checkpoint(runner, content)
    runner._hooks = [EMAHook()]
    CheckCheckpointHook().after_load_checkpoint(runner, content)


def _train_loop():
    """A training loop that is not run."""
    from mmengine.runner import BaseLoop

    class Loop(BaseLoop):
        def __init__(self):
            pass

        def run(self):
            pass

    return Loop()


LEAVE = """
import os, torch.distributed as dist
from swahr_mmpose.engine.launch import leave_process_group
dist.init_process_group(
    'gloo', init_method='file://{path}', rank=0, world_size=1
)
try:
    with leave_process_group():
        assert dist.is_initialized()
        {body}
except ValueError as error:
    print('raised', error)
print('left', not dist.is_initialized())
"""


@pytest.mark.parametrize('body', ['pass', 'raise ValueError(3)'])
def test_the_process_group_is_left_at_the_end(run_python, tmp_path, body):
    said = run_python(LEAVE.format(path=tmp_path / 'meet', body=body))
    assert 'left True' in said
    assert ('raised 3' in said) == ('raise' in body)
