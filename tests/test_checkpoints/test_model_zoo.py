"""Published weights under short names, with stand-ins of random weights."""

import hashlib
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.tools import CONFIG, build, data_options
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from PIL import Image

from swahr_mmpose.apis import Inferencer
from swahr_mmpose.checkpoints.convert import convert
from swahr_mmpose.checkpoints.download import DownloadError
from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.checkpoints.layouts import to_mmpose_0x, to_official
from swahr_mmpose.checkpoints.model_zoo import (
    ZooModel,
    compare_with_published,
    fetch,
    find_model,
    get_cached_path,
    is_model_name,
    list_models,
    read_zoo_config,
    resolve_config,
    resolve_model,
)
from swahr_mmpose.commands import (
    evaluate_onnx,
    evaluate_uncertainty,
    infer,
    measure_localization,
    scale_statistics,
    visualize,
)
from swahr_mmpose.commands import fetch as command
from swahr_mmpose.utils import model_index
from swahr_mmpose.utils.config import read_config

TINY = 'synthetic/higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
RENAME = {'MMPose 0.x': to_mmpose_0x, 'official SWAHR': to_official}
MODELS_OF_THE_ZOO = list_models()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('WORLD_SIZE', '1')


def write_stand_in(folder, source='MMPose 0.x', config=TINY, stem='tiny'):
    """Write random weights as a code base publishes them."""
    cfg = read_config(config)
    init_default_scope('mmpose')
    cfg.model.backbone.init_cfg = None
    state = MODELS.build(cfg.model).state_dict()
    buffer = io.BytesIO()
    torch.save(dict(meta={}, state_dict=RENAME[source](state)), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    folder.mkdir(exist_ok=True)
    path = folder / f'{stem}-{digest[:8]}_20200713.pth'
    path.write_bytes(buffer.getvalue())
    return path, state


@pytest.fixture(scope='module')
def stand_in(tmp_path_factory):
    return write_stand_in(tmp_path_factory.mktemp('published'))


def make_model(path, **kwargs):
    settings = dict(
        name='tiny',
        config=TINY,
        source='MMPose 0.x',
        weights=path.as_uri(),
        file='',
        input_size=128,
        dataset='COCO val2017',
        metrics={'AP': 67.7},
        options={'model.head.decoder.decode_keypoint_thr': 0.25},
    )
    return ZooModel(**{**settings, **kwargs})


@pytest.fixture
def tiny(stand_in, monkeypatch):
    """A zoo of one model, on this machine."""
    model = make_model(stand_in[0])
    monkeypatch.setattr(model_index, 'list_models', lambda: {'tiny': model})
    return model


def test_a_model_is_downloaded_verified_converted_and_cached(stand_in, tiny):
    path = fetch(tiny)
    assert path == get_cached_path(tiny)
    assert path.startswith(os.environ['TORCH_HOME'])
    content = read_checkpoint(path)
    assert content['state_dict'].keys() == stand_in[1].keys()
    for key, value in stand_in[1].items():
        assert torch.equal(content['state_dict'][key], value)
    origin = content['meta']['source']
    assert origin['layout'] == 'mmpose-0.x'
    assert origin['file'] == stand_in[0].name
    assert stand_in[0].name.split('-')[1].startswith(origin['sha256'][:8])


def test_a_cached_model_is_not_fetched_again(tiny):
    path = fetch(tiny)
    before = os.stat(path).st_mtime_ns
    gone = tiny._replace(weights='file:///nowhere/' + tiny.file_name)
    assert fetch(gone) == path
    assert os.stat(path).st_mtime_ns == before


def test_a_file_of_the_user_is_converted_and_replaces_the_cached_one(
    stand_in, tiny, tmp_path
):
    gone = tiny._replace(weights='https://host.invalid/' + tiny.file_name)
    mine = tmp_path / 'renamed.pth'
    shutil.copy(stand_in[0], mine)
    path = fetch(gone, str(mine))
    assert read_checkpoint(path)['meta']['source']['file'] == 'renamed.pth'
    assert fetch(gone, str(mine)) == path


def test_the_official_layout_is_recognized(tmp_path):
    config = 'synthetic/swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
    file, state = write_stand_in(tmp_path / 'x', 'official SWAHR', config)
    model = make_model(file, config=config, source='official SWAHR')
    content = read_checkpoint(fetch(model))
    assert content['meta']['source']['layout'] == 'official'
    assert content['state_dict'].keys() == state.keys()


def test_another_file_is_refused_by_its_hash(stand_in, tiny, tmp_path):
    damaged = bytearray(stand_in[0].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / 'x.pth').write_bytes(damaged)
    with pytest.raises(ValueError, match=r'x\.pth is not tiny-') as error:
        fetch(tiny, str(tmp_path / 'x.pth'))
    assert 'its SHA-256 begins with' in str(error.value)
    # It is a file of the user.
    assert 'give the downloaded file as --file' in str(error.value)
    assert 'remove' not in str(error.value)
    assert not os.path.exists(get_cached_path(tiny))


def test_a_damaged_download_is_to_be_removed(stand_in, tiny):
    downloads = Path(torch.hub.get_dir()) / 'checkpoints'
    downloads.mkdir(parents=True)
    (downloads / stand_in[0].name).write_bytes(b'damaged')
    with pytest.raises(ValueError, match='remove it and download it again'):
        fetch(tiny)


def test_a_download_of_another_hash_is_refused(stand_in, tiny, tmp_path):
    wrong = re.sub('-[0-9a-f]{8}_', '-00000000_', stand_in[0].name)
    shutil.copy(stand_in[0], tmp_path / wrong)
    model = tiny._replace(weights=(tmp_path / wrong).as_uri())
    with pytest.raises(DownloadError, match='cannot be fetched.*hash value'):
        fetch(model)
    assert not os.path.exists(get_cached_path(model))


def test_weights_of_another_model_are_refused(stand_in, tiny):
    other = tiny._replace(
        config='coco/higherhrnet-w32_8xb20-300e_coco-512x512.py'
    )
    with pytest.raises(ValueError, match='does not fit the model'):
        fetch(other)
    assert not os.path.exists(get_cached_path(other))


def test_without_a_network_the_message_says_what_to_do(tiny):
    gone = tiny._replace(weights='file:///nowhere/tiny-12345678_20200713.pth')
    with pytest.raises(DownloadError) as error:
        fetch(gone)
    text = str(error.value)
    assert text.startswith('tiny cannot be fetched: /nowhere/tiny-12345678')
    assert text.endswith('to this one and run `swahr fetch tiny --file PATH`')
    assert 'urlopen' not in text
    assert '\n' not in text


@pytest.mark.parametrize(
    'name', ['WORLD_SIZE', 'OMPI_COMM_WORLD_SIZE', 'SLURM_STEP_NUM_TASKS']
)
def test_processes_of_a_job_do_not_fetch_at_the_same_time(
    tiny, monkeypatch, name
):
    monkeypatch.delenv('WORLD_SIZE')
    monkeypatch.setenv(name, '2')
    with pytest.raises(ValueError, match='run `swahr fetch tiny` before'):
        fetch(tiny)
    path = fetch(tiny, in_parallel=True)  # the command itself
    os.remove(path)
    monkeypatch.setenv(name, '1')
    assert fetch(tiny) == path
    monkeypatch.setenv(name, '2')
    assert fetch(tiny) == path


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('higherhrnet-w31', "did you mean 'higherhrnet-w32'"),
        ('SWAHR-W32', "did you mean 'swahr-w32'"),
        ('yolo', 'expected the path of a config, or a name'),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(ValueError, match=hint):
        find_model(name)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('higherhrnet-w32', True),
        ('nothing', True),
        ('a/b', False),
        ('b.py', False),
        (CONFIG, False),
        (TINY, False),
    ],
)
def test_names_are_told_from_paths(text, expected):
    assert is_model_name(text) is expected


def test_an_existing_file_is_not_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_model_name('swahr-w32')
    (tmp_path / 'swahr-w32').touch()
    assert not is_model_name('swahr-w32')


def test_a_name_resolves_to_config_and_checkpoint(tiny):
    cfg, checkpoint = resolve_model('tiny')
    assert checkpoint == fetch(tiny)
    assert cfg.model.head.decoder.input_size == (128, 128)
    assert cfg.model.head.decoder.decode_keypoint_thr == 0.25
    assert cfg.test_dataloader.dataset.pipeline[1].input_size == (128, 128)


def test_a_name_with_a_checkpoint_is_its_config(tiny):
    assert resolve_model('tiny', 'mine.pth')[1] == 'mine.pth'
    assert not os.path.exists(get_cached_path(tiny))


def test_a_config_needs_a_checkpoint():
    with pytest.raises(ValueError, match='no checkpoint for .*swahr fetch'):
        resolve_model(CONFIG)
    assert resolve_model(CONFIG, 'x.pth')[1] == 'x.pth'


@pytest.mark.usefixtures('tiny')
def test_the_inferencer_takes_a_name():
    (result,) = Inferencer('tiny', device='cpu')(
        np.zeros((96, 128, 3), np.uint8)
    )
    assert result.keypoints.shape[1:] == (17, 2)


@pytest.mark.usefixtures('tiny')
def test_infer_takes_a_name_and_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('sys.excepthook', None)
    monkeypatch.chdir(tmp_path)
    for name in ('a.jpg', 'b.jpg'):
        Image.new('RGB', (128, 96)).save(name)
    infer.main(['tiny', 'a.jpg', 'b.jpg', '--device', 'cpu'])
    assert sorted(os.listdir('poses')) == ['a.jpg', 'b.jpg']
    assert 'poses' in capsys.readouterr().out


def test_infer_without_a_checkpoint_says_what_it_expects(monkeypatch):
    monkeypatch.setattr('sys.excepthook', None)
    with pytest.raises(SystemExit, match=f'no checkpoint for {CONFIG}; give'):
        infer.parse_args([CONFIG, 'a.jpg'])


@pytest.mark.parametrize(
    'module',
    [visualize, scale_statistics, measure_localization, evaluate_uncertainty],
)
def test_commands_that_measure_take_a_name(monkeypatch, module):
    monkeypatch.setattr('sys.excepthook', None)
    args = module.parse_args(['higherhrnet-w32'])
    assert (args.config, args.checkpoint) == ('higherhrnet-w32', None)
    with pytest.raises(SystemExit, match="did you mean 'higherhrnet-w32'"):
        module.parse_args(['higherhrnet-w33'])
    with pytest.raises(SystemExit, match=f'no checkpoint for {CONFIG}; give'):
        module.parse_args([CONFIG])


def test_an_exported_model_is_evaluated_with_the_config_of_a_name(
    tmp_path, monkeypatch
):
    monkeypatch.setattr('sys.excepthook', None)
    path = tmp_path / 'a.onnx'
    path.touch()
    args = evaluate_onnx.parse_args(['higherhrnet-w32-640', str(path)])
    cfg = resolve_config(args.config)
    assert cfg.model.head.decoder.input_size == (640, 640)
    for config, model, message in (
        ('higherhrnet-w33', path, "did you mean 'higherhrnet-w32'"),
        ('absent.py', path, 'config absent.py does not exist'),
        ('higherhrnet-w32', 'a.pth', 'a.pth is a checkpoint, expected an ON'),
    ):
        with pytest.raises(SystemExit, match=message):
            evaluate_onnx.parse_args([config, str(model)])


@pytest.mark.usefixtures('tiny')
def test_a_name_is_measured_and_drawn(
    synthetic, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr('sys.excepthook', None)
    options = ['--max-images', '1', '--device', 'cpu']
    data = ['--cfg-options', *data_options(synthetic)]
    measure_localization.main(['tiny', *options, *data])
    result = json.loads(capsys.readouterr().out)  # and nothing else
    assert 'jitter' in result
    figures = tmp_path / 'figures'
    options += ['--out-dir', str(figures)]
    visualize.main(['tiny', *options, *data])
    assert len(list(figures.iterdir())) == 1
    assert capsys.readouterr().out == f'figures are in {figures}\n'
    for command_of_scales in (scale_statistics, evaluate_uncertainty):
        with pytest.raises(SystemExit, match='has no scale branch .*such'):
            command_of_scales.main(['tiny', *data])


def run(*words):
    command.main(list(words))


@pytest.mark.usefixtures('tiny')
def test_the_command_lists_and_fetches(monkeypatch, capsys):
    monkeypatch.setattr('sys.excepthook', None)
    run()
    assert capsys.readouterr().out == (
        'tiny  128  MMPose 0.x  AP 67.7 on COCO val2017\n'
    )
    run('tiny')
    out = capsys.readouterr().out
    assert f'fit {TINY}' in out
    assert 'AP 67.7 ± 0.5 on COCO val2017 with flip test' in out
    assert 'not verified by this package' in out
    count = sum(p.numel() for p in build(f'configs/{TINY}')[1].parameters())
    assert f'parameters  {count} in' in out
    run()
    assert capsys.readouterr().out.endswith(' fetched\n')


@pytest.mark.parametrize('name', ['tini', 'tiny'])
def test_the_command_fails_in_one_line(tiny, monkeypatch, name):
    monkeypatch.setattr('sys.excepthook', None)
    gone = tiny._replace(weights='file:///nowhere/x.pth')
    monkeypatch.setattr(model_index, 'list_models', lambda: {'tiny': gone})
    with pytest.raises(SystemExit, match=r'^error: [^\n]+$'):
        run(name)


@pytest.mark.parametrize('name', MODELS_OF_THE_ZOO)
def test_published_layouts_fit_the_configs_of_the_zoo(name):
    """The way from the published names, for weights without memory."""
    model = MODELS_OF_THE_ZOO[name]
    assert (ROOT / 'configs' / model.config).is_file()
    cfg = read_zoo_config(model)
    init_default_scope('mmpose')
    with torch.device('meta'):
        state = MODELS.build(cfg.model).state_dict()
    rename = to_mmpose_0x if model.source == 'MMPose 0.x' else to_official
    published = rename(state)
    assert published.keys() != state.keys()
    again = convert(dict(state_dict=published))
    assert again.state_dict.keys() == state.keys()
    assert again.model.scale_maps == (model.source == 'official SWAHR')
    size = (model.input_size, model.input_size)
    assert tuple(cfg.model.head.decoder.input_size) == size


@pytest.mark.parametrize(
    ('value', 'words'),
    [
        (0.6749, 'AP 67.5 here, 67.7 published by MMPose 0.x: they agree'),
        (0.66, 'AP 66.0 here, 67.7 published by MMPose 0.x: more than 0.5'),
        (0.69, 'more than 0.5 apart'),
        (-1, None),
        ('not defined', None),
    ],
)
def test_a_measured_ap_is_compared_with_the_published_one(tiny, value, words):
    got = compare_with_published(tiny, {'coco/AR': 0.1, 'coco/AP': value})
    assert words in got if words else got is None


def test_names_hashes_and_addresses_of_the_zoo():
    for name, model in MODELS_OF_THE_ZOO.items():
        assert model.name == name
        assert is_model_name(name)
        assert 60 < model.metrics['AP'] < 75
        if model.file:
            assert model.weights.startswith('https://drive.google.com/drive')
        else:
            assert re.search(r'-[0-9a-f]{8}_\d{8}\.pth$', model.weights)
