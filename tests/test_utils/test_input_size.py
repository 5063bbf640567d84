"""One input size for codec, pipelines and head."""

import argparse
import re

import pytest
from helpers import ROOT
from helpers.tools import CONFIG, LEAVES
from mmengine.config import Config

from swahr_mmpose.datasets.checks.preflight import check_config
from swahr_mmpose.engine.hooks import ScheduleHook
from swahr_mmpose.engine.schedule import SettingsError
from swahr_mmpose.utils.config import read_config
from swahr_mmpose.utils.input_size import (
    find_input_size_variable,
    parse_input_size,
    set_input_size,
)

BASE = ROOT / 'configs/coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'


def collect(cfg):
    """All input and heatmap sizes of a config, in any of its parts."""
    found = {'input_size': set(), 'heatmap_sizes': set()}

    def visit(value):
        if isinstance(value, dict):
            for key, item in value.items():
                if key == 'input_size':
                    found[key].add(tuple(item))
                elif key == 'heatmap_sizes':
                    found[key].add(tuple(map(tuple, item)))
                visit(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                visit(item)

    visit(cfg.to_dict())
    return found


SIZES_640 = {
    'input_size': {(640, 640)},
    'heatmap_sizes': {((160, 160), (320, 320))},
}


@pytest.mark.parametrize(
    ('text', 'size'),
    [('640', (640, 640)), ('640,512', (640, 512)), ('640x512', (640, 512))],
)
def test_sizes_are_parsed(text, size):
    assert parse_input_size(text) == size


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('600', '600 is not a multiple of 64; the nearest one is 576'),
        ('0', 'the nearest one is 64'),
        ('640,', 'expected a side in pixels such as 640'),
        ('large', "'large' is no input size"),
        ('1,2,3', 'WIDTH,HEIGHT'),
        ('-64', 'is no input size'),
    ],
)
def test_other_sizes_are_refused_with_a_remedy(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        parse_input_size(text)


@pytest.mark.parametrize('path', LEAVES)
def test_every_config_is_read_as_it_is_and_gets_another_size(path):
    cfg = Config.fromfile(ROOT / path)
    assert find_input_size_variable(cfg) is None
    set_input_size(cfg, (640, 640))
    assert collect(cfg) == SIZES_640
    check_config(cfg)


def test_a_config_that_mmengine_has_written_gets_another_size(tmp_path):
    written = tmp_path / 'config.py'
    Config.fromfile(BASE).dump(written)
    cfg = read_config(str(written))
    set_input_size(cfg, (640, 640))
    assert collect(cfg) == SIZES_640


def test_the_same_size_again_changes_nothing():
    cfg = read_config(CONFIG)
    before = cfg.to_dict()
    set_input_size(cfg, tuple(cfg.input_size))
    assert cfg.to_dict() == before


def test_a_square_is_needed_where_a_transform_needs_one():
    cfg = read_config(CONFIG)
    with pytest.raises(ValueError, match=r'Affine needs a square.*-size 640'):
        set_input_size(cfg, (640, 512))


def test_a_width_and_a_height_are_set_where_they_can_be():
    codec = dict(
        type='SPR', input_size=(512, 512), heatmap_size=(128, 128), k=1
    )
    cfg = Config(dict(codec=codec, other=[dict(input_size=(512, 512))]))
    set_input_size(cfg, (640, 384))
    assert cfg.codec.input_size == (640, 384)
    assert cfg.codec.heatmap_size == (160, 96)
    assert cfg.other[0].input_size == (640, 384)


def test_a_config_without_sizes_is_refused():
    with pytest.raises(ValueError, match='has no input_size in codec'):
        set_input_size(Config(dict(model=dict(type='X'))), (640, 640))


def write(folder, name, base, *lines):
    path = folder / name
    path.write_text('\n'.join([f'_base_ = {str(base)!r}', *lines]) + '\n')
    return path


@pytest.mark.parametrize('value', ['(640, 640)', '640'])
def test_one_variable_sets_the_size_of_a_config_and_of_its_heirs(
    tmp_path, value
):
    large = write(tmp_path, 'large.py', BASE, f'input_size = {value}')
    heir = write(tmp_path, 'heir.py', large, "work_dir = 'x'")
    for path in (large, heir):
        cfg = read_config(str(path))
        assert collect(cfg) == SIZES_640
        check_config(cfg)


def test_an_heir_may_set_the_variable_again(tmp_path):
    large = write(tmp_path, 'large.py', BASE, 'input_size = (768, 768)')
    heir = write(tmp_path, 'heir.py', large, 'input_size = (640, 640)')
    assert collect(read_config(str(heir))) == SIZES_640


def test_a_config_that_sets_codec_and_pipelines_itself_is_left_as_it_is(
    tmp_path,
):
    """Its variable, inherited from 512 x 512, is not meant."""
    lines = [
        'codec = dict(_base_.codec, input_size=(768, 768), '
        'heatmap_sizes=[(192, 192), (384, 384)])',
        'model = dict(head=dict(decoder=codec))',
    ]
    cfg = read_config(str(write(tmp_path, 'own.py', BASE, *lines)))
    assert tuple(cfg.input_size) == (512, 512)
    assert tuple(cfg.model.head.decoder.input_size) == (768, 768)
    assert tuple(cfg.val_pipeline[1].input_size) == (512, 512)


def test_a_variable_that_mmengine_leaves_unused_is_refused(tmp_path):
    """MMPose's tools read configs without this package's reader."""
    path = write(tmp_path, 'large.py', BASE, 'input_size = (640, 640)')

    class Runner:
        cfg = Config.fromfile(path)

    with pytest.raises(SettingsError, match=r'input_size = \(640, 640\)'):
        ScheduleHook().before_run(Runner())


@pytest.mark.parametrize('value', ['200', '(200, 200)'])
def test_a_variable_is_refused_as_the_option_is(tmp_path, value):
    path = write(tmp_path, 'odd.py', BASE, f'input_size = {value}')
    with pytest.raises(ValueError, match=r'odd.py: input_size = .*one is 192'):
        read_config(str(path))


def test_a_variable_of_a_complete_config_is_refused_too(tmp_path):
    """That of a copied config, in which the size was changed."""
    path = tmp_path / 'copy.py'
    cfg = Config.fromfile(BASE)
    set_input_size(cfg, (640, 640))
    cfg.dump(path)
    text = path.read_text()
    for old, new in ((640, 600), (320, 300), (160, 150)):
        text = re.sub(rf'\b{old}\b', str(new), text)
    path.write_text(text)
    with pytest.raises(ValueError, match='600 is not a multiple of 64'):
        read_config(str(path))
