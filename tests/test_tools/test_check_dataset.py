"""The command checks an annotation file, or all datasets of a config."""

import sys

import pytest
from helpers import ROOT
from helpers.tools import CONFIG, ann, data_options

from swahr_mmpose.commands import browse_dataset
from swahr_mmpose.commands.check_dataset import main

BASE = ROOT / 'configs/_base_'


@pytest.fixture(autouse=True)
def _no_hook(monkeypatch):
    """Commands replace ``sys.excepthook``."""
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)


def test_a_config_is_checked_as_before_a_training(synthetic, capsys):
    main([CONFIG, '--cfg-options', *data_options(synthetic)])
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f'checked {ann(synthetic, "train")}: 8 images, ')
    assert second.startswith(f'checked {ann(synthetic)}: 6 images, ')
    assert last == f'{CONFIG}: no error found in train, val, test'


def test_problems_of_a_config_end_the_command(synthetic):
    options = data_options(synthetic)
    wrong = 'train_dataloader.dataset.data_prefix.img=images/nowhere/'
    with pytest.raises(
        SystemExit, match='(?s)^error.*8 image files: .*/nowhere'
    ):
        main([CONFIG, '--cfg-options', *options, wrong])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([CONFIG, '--crowdpose'], 'error: --crowdpose is for annotation file'),
        ([CONFIG, '--img-dir', 'x'], '--img-dir is for .* with --cfg-options'),
        ([f'{BASE}/models/higherhrnet-tiny.py'], 'has no train_, val_ or tes'),
        ([f'{BASE}/datasets/synthetic.py'], 'has no model, expected a compl'),
        (['a.pth', '--img-dir', 'x'], 'a.pth is a checkpoint, expected a CO'),
        (['b.json', '--img-dir', 'x'], 'b.json does not exist; give the pat'),
        (['a.json'], 'no folder of the images of a.json; give it with --img'),
        (
            ['a.json', '--img-dir', 'x', '--cfg-options', 'a=1'],
            '--cfg-options is for configs, got the annotation file a.json',
        ),
    ],
)
def test_the_message_says_what_is_expected(
    tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.json').touch()
    with pytest.raises(SystemExit, match=message):
        main(arguments)


def test_an_annotation_file_is_checked_as_before(synthetic, capsys):
    main([ann(synthetic), '--img-dir', f'{synthetic}/images/val'])
    assert 'no problem found' in capsys.readouterr().out


def test_browse_prints_where_the_figures_are_and_nothing_else(
    synthetic, tmp_path, capsys
):
    options = ['--max-images', '1', '--out-dir', str(tmp_path)]
    data = ['--cfg-options', *data_options(synthetic)]
    browse_dataset.main([CONFIG, *options, *data])
    assert capsys.readouterr().out == f'figures are in {tmp_path}\n'


def test_browse_names_an_annotation_file_that_does_not_exist():
    wrong = 'train_dataloader.dataset.data_root=nowhere/'
    with pytest.raises(SystemExit, match='error: annotation file nowhere/.* '):
        browse_dataset.main([CONFIG, '--cfg-options', wrong])
