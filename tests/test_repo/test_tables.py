import subprocess
import sys

import pytest
import yaml
from helpers import ROOT
from helpers.tools import LEAVES, build
from mmengine.config import Config

INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
MODELS = [
    model
    for path in INDEX['Import']
    for model in yaml.safe_load((ROOT / path).read_text())['Models']
]


def test_documents_are_what_the_metafiles_say():
    result = subprocess.run(
        [sys.executable, 'tools/dev/make_tables.py', '--check'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_every_config_is_listed_once_under_its_own_name():
    assert sorted(m['Config'] for m in MODELS) == LEAVES
    for model in MODELS:
        assert model['Config'].endswith(f'/{model["Name"]}.py')


@pytest.mark.parametrize(
    'model',
    [m for m in MODELS if 'Parameters' in m['Metadata']],
    ids=lambda m: m['Name'],
)
def test_stated_parameters_are_those_of_the_model(model):
    network = build(model['Config'])[1]
    count = sum(p.numel() for p in network.parameters())
    assert count == model['Metadata']['Parameters']


def test_methods_are_what_the_configs_switch_on():
    switches = {
        (True, True): 'SWAHR',
        (True, False): 'SAHR',
        (False, True): 'WAHR',
        (False, False): 'HigherHRNet',
    }
    for model in MODELS:
        loss = Config.fromfile(ROOT / model['Config']).model.head.keypoint_loss
        name = switches[loss.scale_adaptive, loss.weight_adaptive]
        if model['Config'].startswith('configs/ablations/shr_'):
            name = 'SHR'
        assert model['Metadata']['Architecture'] == name


@pytest.mark.parametrize('model', MODELS, ids=lambda m: m['Name'])
def test_published_numbers_name_their_source(model):
    published = model.get('Published')
    if published is not None:
        assert published['Source']
        assert all(20 < v < 100 for v in published['Metrics'].values())
    # Own results only with what they were measured on.
    for result in model.get('Results', ()):
        assert result['Metrics']['AP'] > 0
        assert result['Hardware']
        assert result['Command']
