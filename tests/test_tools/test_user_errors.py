"""Errors of users end in one line that names what to do."""

import sys
from types import SimpleNamespace

import pytest
from helpers.tools import CONFIG
from mmengine.config import Config

from swahr_mmpose.commands import (
    convert_checkpoint,
    evaluate_onnx,
    export_onnx,
    infer,
    measure_localization,
    report,
    train,
    visualize,
)
from swahr_mmpose.commands import test as test_command
from swahr_mmpose.engine.launch import make_runner

COMMANDS = {
    'export_onnx': (export_onnx, ['a.pth']),
    'evaluate_onnx': (evaluate_onnx, ['a.onnx']),
    'infer': (infer, ['a.pth', '.', '--out-dir', 'x']),
    'measure_localization': (measure_localization, ['a.pth']),
    'report': (report, ['a.pth']),
    'test': (test_command, ['a.pth']),
    'visualize': (visualize, ['a.pth']),
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
@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('infer', '--score-thr 30', '--score-thr must .*for 30 % use 0.3'),
        ('infer', '--kpt-thr -1', '--kpt-thr must be a score from 0 to 1'),
        ('infer', '--pose-nms 7', '--pose-nms must be an OKS from 0 to 1'),
        ('infer', '--out-file a.pth/x.json', 'a.pth is no folder; choose'),
        ('report', '--score-thr 5', '--score-thr must .*for 5 % use 0.05'),
        ('visualize', '--score-thr nan', '--score-thr must .* got nan'),
        ('measure_localization', '--peak-thr 2', '--peak-thr must be a heig'),
        ('evaluate_onnx', '--out-file a.txt', 'a.txt, expected .* .json'),
        ('export_onnx', '--out-file m.pt', 'm.pt, expected .* with .onnx'),
        ('export_onnx', '--check no.jpg', '--check: input no.jpg does not'),
        ('export_onnx', '--int8 no.jpg', '--int8: input no.jpg does not'),
    ],
)
def test_options_are_checked_before_the_work(name, options, message):
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        run(name, CONFIG, *options.split())


@pytest.mark.usefixtures('_no_hook')
def test_images_to_check_an_export_are_checked_before_it(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'no image')
    args = export_onnx.parse_args([str(CONFIG), 'a.pth', '--check', 'a.jpg'])
    with pytest.raises(ValueError, match='--check: image a.jpg is not an ima'):
        export_onnx.refuse_unreadable_images(args)


@pytest.mark.usefixtures('_no_hook')
def test_an_existing_file_is_converted_to_with_an_option_only(tmp_path):
    (tmp_path / 'b.pth').touch()
    with pytest.raises(SystemExit, match='b.pth exists; .* with --overwrite'):
        convert_checkpoint.main(['a.pth', 'b.pth'])


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
