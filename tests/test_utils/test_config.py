"""Configs in Python style (classes as ``type``) are read as the others."""

import pytest
from helpers import ROOT
from helpers.tools import CONFIG
from mmengine.config import Config
from mmpose.models.backbones import HRNet
from torch.optim import Adam

from swahr_mmpose.utils.config import find_config, name_types, read_config

PYTHON_STYLE = ROOT / 'tests/python_style/swahr_tiny.py'
SHARED = (
    'model', 'train_dataloader', 'val_dataloader', 'test_dataloader',
    'val_evaluator', 'test_evaluator', 'optim_wrapper', 'param_scheduler',
    'default_hooks', 'train_cfg', 'visualizer', 'log_processor',
)  # fmt: skip


@pytest.mark.parametrize('key', SHARED)
def test_classes_become_the_names_of_the_shipped_config(key):
    python_style, shipped = read_config(PYTHON_STYLE), read_config(CONFIG)
    assert python_style[key] == shipped[key]


def test_a_config_without_scope_gets_the_one_of_mmpose():
    assert Config.fromfile(PYTHON_STYLE).get('default_scope') is None
    assert read_config(PYTHON_STYLE).default_scope == 'mmpose'
    assert name_types(Config(dict(a=1))).default_scope == 'mmpose'


def test_the_text_of_a_python_style_config_can_be_read_again(tmp_path):
    path = tmp_path / 'dumped.py'
    cfg = read_config(PYTHON_STYLE)
    cfg.dump(path)
    again = Config.fromfile(path)
    assert again.model == cfg.model
    assert again.custom_imports.imports == ['swahr_mmpose']


def test_a_shipped_config_is_read_as_it_is():
    assert read_config(CONFIG).to_dict() == Config.fromfile(CONFIG).to_dict()


class Elsewhere:
    """A class that is not registered."""


def test_a_class_that_is_not_registered_becomes_its_path():
    cfg = Config(dict(a=[dict(type=Elsewhere)], b=dict(type=Adam), c=HRNet))
    named = name_types(cfg)
    assert named.a[0].type == f'{__name__}.Elsewhere'
    assert named.b.type == 'Adam'
    assert named.c is HRNet
    assert cfg.a[0].type is Elsewhere


def test_a_shipped_config_is_found_by_its_name():
    name = f'synthetic/{CONFIG.split("/")[-1]}'
    assert find_config(name).endswith(f'configs/{name}')
    assert find_config('no/such.py') == 'no/such.py'
