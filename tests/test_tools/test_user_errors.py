"""Errors of users end in one line that names what to do."""

import sys
from types import SimpleNamespace

import pytest
from helpers.tools import CONFIG
from mmengine.config import Config

from swahr_mmpose.commands import evaluate_onnx, export_onnx, infer, train
from swahr_mmpose.commands import test as test_command
from swahr_mmpose.engine.launch import make_runner

COMMANDS = {
    'export_onnx': (export_onnx, ['a.pth']),
    'evaluate_onnx': (evaluate_onnx, ['a.onnx']),
    'infer': (infer, ['a.pth', '.', '--out-dir', 'x']),
    'test': (test_command, ['a.pth']),
    'train': (train, []),
}


@pytest.fixture
def _no_hook(monkeypatch, tmp_path):
    """Commands replace ``sys.excepthook``, and look for their checkpoint."""
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
    monkeypatch.chdir(tmp_path)
    for name in ('a.pth', 'a.onnx'):
        (tmp_path / name).touch()


def run(name, config, *options):
    command, arguments = COMMANDS[name]
    command.main([str(config), *arguments, *options])


@pytest.mark.usefixtures('_no_hook')
@pytest.mark.parametrize('name', COMMANDS)
def test_a_missing_config_is_named(tmp_path, name):
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(package)
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(SystemExit, match='error: .*nowhere/c.py.* not exist'):
        run(name, 'nowhere/c.py')


@pytest.mark.usefixtures('_no_hook')
@pytest.mark.parametrize('name', ['train', 'test'])
def test_a_misspelt_loss_option_is_named(tmp_path, name):
    with pytest.raises(SystemExit, match="SWAHRLoss has no argument 'gama'"):
        run(
            name, CONFIG, '--skip-checks', '--work-dir', str(tmp_path / 'w'),
            '--cfg-options', 'model.head.keypoint_loss.gama=1',
        )  # fmt: skip


@pytest.mark.usefixtures('_no_hook')
@pytest.mark.parametrize('name', ['train', 'test'])
def test_a_window_without_a_screen_is_refused(monkeypatch, name):
    for variable in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr('sys.platform', 'linux')
    with pytest.raises(SystemExit, match='error: no screen for a window'):
        run(name, CONFIG, '--show')


@pytest.mark.usefixtures('_no_hook')
def test_nan_ends_a_training_in_one_line(tmp_path, monkeypatch):
    def fail():
        raise FloatingPointError('loss is nan; use a smaller learning rate')

    stub = SimpleNamespace(train=fail)
    monkeypatch.setattr(
        'swahr_mmpose.engine.launch.make_runner', lambda *_, **__: stub
    )
    with pytest.raises(SystemExit, match='error: loss is nan; use a smaller'):
        run('train', CONFIG, '--skip-checks', '--work-dir', str(tmp_path))


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ('file:///nowhere/hrnet.pth', 'error: cannot download .* manually'),
        ('/nowhere/hrnet.pth', 'error: checkpoint .* does not exist'),
    ],
)
def test_missing_pretrained_weights_are_named(
    tmp_path, monkeypatch, weights, message
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir = str(tmp_path)
    cfg.model.backbone.init_cfg = dict(
        type='PretrainedBackbone', checkpoint=weights
    )
    runner = make_runner(cfg)
    with pytest.raises(SystemExit, match=message):
        runner._init_model_weights()
