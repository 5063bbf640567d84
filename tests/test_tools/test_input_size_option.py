"""``--input-size`` of train, test, infer and ONNX export."""

import pytest
from helpers.tools import CONFIG
from PIL import Image

from swahr_mmpose.commands import export_onnx, infer, train
from swahr_mmpose.commands import test as test_command
from swahr_mmpose.deploy import onnx_export
from swahr_mmpose.utils.config import read_config

SIZE = (192, 192)


class Stop(Exception):
    """The end of a command, with what it was about to use."""


def stop(*args, **kwargs):
    raise Stop(*args)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    """Commands replace ``sys.excepthook`` and write into the folder."""
    monkeypatch.setattr('sys.excepthook', None)
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (64, 64)).save('a.jpg')
    (tmp_path / 'x.pth').touch()


def assert_sizes(cfg, split):
    assert cfg.input_size == SIZE
    assert cfg.model.head.decoder.input_size == SIZE
    assert cfg.model.head.decoder.heatmap_sizes == [(48, 48), (96, 96)]
    pipeline = cfg[f'{split}_dataloader'].dataset.pipeline
    assert pipeline[1].input_size == SIZE
    if split == 'train':
        assert pipeline[2].encoder.input_size == SIZE


@pytest.fixture(params=['config', 'dumped'])
def config(request, tmp_path):
    """A shipped config, and one as MMEngine writes it into a work dir."""
    if request.param == 'config':
        return CONFIG
    path = tmp_path / 'dumped.py'
    read_config(CONFIG).dump(path)
    return str(path)


@pytest.mark.parametrize('size', ['192', '192,192', '192x192'])
def test_train_sets_everything(monkeypatch, config, size):
    monkeypatch.setattr('swahr_mmpose.engine.launch.make_runner', stop)
    words = [config, '--skip-checks', '--work-dir', 'run']
    with pytest.raises(Stop) as stopped:
        train.main([*words, '--input-size', size])
    assert_sizes(stopped.value.args[0], 'train')


def test_test_sets_everything(monkeypatch, config):
    monkeypatch.setattr('swahr_mmpose.engine.launch.make_runner', stop)
    words = [config, 'x.pth', '--skip-checks', '--work-dir', 'run']
    with pytest.raises(Stop) as stopped:
        test_command.main([*words, '--input-size', '192'])
    assert_sizes(stopped.value.args[0], 'test')


def test_infer_sets_everything(monkeypatch, config):
    monkeypatch.setattr('swahr_mmpose.apis.inferencer.load_model', stop)
    with pytest.raises(Stop) as stopped:
        infer.main([config, 'x.pth', 'a.jpg', '--input-size', '192'])
    assert_sizes(stopped.value.args[0], 'test')


def test_export_sets_everything_and_the_metadata(monkeypatch, config):
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(package)
    built = {}

    def load(cfg, checkpoint):
        built['cfg'] = cfg
        from mmengine.registry import init_default_scope
        from mmpose.registry import MODELS

        init_default_scope('mmpose')
        model = MODELS.build(cfg.model)
        model.dataset_meta = dict(
            keypoint_id2name={0: 'nose'}, flip_indices=[0], skeleton_links=[]
        )
        return model

    monkeypatch.setattr('swahr_mmpose.apis.loading.load_model', load)
    monkeypatch.setattr(onnx_export, 'export_model', stop)
    with pytest.raises(Stop) as stopped:
        export_onnx.main([config, 'x.pth', '--input-size', '192'])
    assert_sizes(built['cfg'], 'test')
    assert stopped.value.args[1].input_size == 192


@pytest.mark.parametrize(
    ('size', 'message'),
    [
        ('200', 'not a multiple of 64; the nearest one is 192'),
        ('big', "'big' is no input size"),
    ],
)
def test_a_wrong_size_is_a_usage_error(capsys, size, message):
    with pytest.raises(SystemExit, match='2'):
        train.main([CONFIG, '--input-size', size])
    assert message in capsys.readouterr().err


def test_a_size_that_is_not_square_is_refused_in_one_line():
    with pytest.raises(SystemExit, match=r'^error: [^\n]*needs a square'):
        train.main([CONFIG, '--work-dir', 'run', '--input-size', '192,128'])
