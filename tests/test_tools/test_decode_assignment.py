"""The option ``--decode-assignment`` of the test command."""

import pytest
from helpers import ROOT
from mmengine.config import Config

from swahr_mmpose.commands.test import merge_args, parse_args

CONFIG = next((ROOT / 'configs/synthetic').glob('swahr_higherhrnet-tiny_*'))


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'x.pth').touch()


def merge(cfg, *options):
    merge_args(cfg, parse_args([str(CONFIG), 'x.pth', *options]))
    return cfg.model.head.get('decoder')


def test_the_option_sets_the_assignment_of_the_decoder():
    assert 'decode_assignment' not in merge(Config.fromfile(CONFIG))
    options = ('--decode-assignment', 'official')
    decoder = merge(Config.fromfile(CONFIG), *options)
    assert decoder.decode_assignment == 'official'


@pytest.mark.parametrize('decoder', [None, dict(type='AssociativeEmbedding')])
def test_another_decoder_is_an_error(decoder):
    cfg = Config.fromfile(CONFIG)
    cfg.model.head.decoder = decoder
    with pytest.raises(ValueError, match='is for the decoder Scale.*leave'):
        merge(cfg, '--decode-assignment', 'nearest')
