"""The command checks an annotation file, or all datasets of a config."""

import json
import sys

import pytest
from helpers import ROOT
from helpers.datasets import make_beetles
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


@pytest.fixture(scope='module')
def beetles(tmp_path_factory):
    """Keypoints of another kind, without boxes and areas."""
    return make_beetles(tmp_path_factory.mktemp('data') / 'beetles', 4, 1)


@pytest.fixture
def own(beetles, tmp_path):
    """Check a changed copy of the file of the beetles."""
    file = beetles / 'annotations/beetle_keypoints_train.json'
    content = json.loads(file.read_text())
    images = str(beetles / 'images/train')

    def check(*options):
        path = tmp_path / 'own.json'
        path.write_text(json.dumps(content))
        main([str(path), '--img-dir', images, *options])

    check.content = content
    check.people = content['annotations']
    return check


def test_own_keypoints_are_counted_and_need_no_boxes(own, capsys):
    own.people[0]['bbox'] = [10, 10, 50, 50]
    own()
    total = len(own.people)
    first, note = capsys.readouterr().out.splitlines()
    assert f'4 images, {total} annotations, 4 samples drawn, no prob' in first
    assert note.startswith(
        f'note: {total - 1} of {total} annotations have no bbox; `swahr data'
    )


def test_own_keypoints_need_neither_ids_nor_category_1(own, capsys):
    own.content['categories'][0]['id'] = 5
    for person in own.people:
        del person['id']
        person['category_id'] = 5
    own()
    out = capsys.readouterr().out
    assert 'no problem found\n' in out
    assert 'annotations have no id, bbox;' in out


def test_coordinates_of_own_keypoints_are_checked_without_boxes(own):
    for person in own.people:
        keypoints = person['keypoints']
        person['keypoints'] = [
            v / 160 if n % 3 < 2 else v for n, v in enumerate(keypoints)
        ]
    with pytest.raises(SystemExit, match='coordinates are between 0 and 1'):
        own()


def test_a_given_number_of_keypoints_is_used(own):
    message = '(?s)27 numbers in keypoints, expected 51.*`swahr dataset new`'
    with pytest.raises(SystemExit, match=message):
        own('--num-keypoints', '17')


def test_categories_of_several_numbers_are_named(own):
    own.content['categories'].append(dict(id=2, name='b', keypoints=['a']))
    message = 'different numbers of keypoints, 1, 9; give .* --num-keypoints'
    with pytest.raises(SystemExit, match=message):
        own()


def test_a_file_without_labelled_keypoints_is_a_problem(own):
    for person in own.people:
        person['keypoints'] = [0] * 27
    with pytest.raises(SystemExit, match='no instance has a labelled keyp'):
        own()


def test_people_of_coco_need_boxes(synthetic, tmp_path):
    with open(ann(synthetic), encoding='utf-8') as file:
        content = json.load(file)
    del content['annotations'][0]['bbox']
    path = tmp_path / 'people.json'
    path.write_text(json.dumps(content))
    message = '(?s)has no bbox.*filled in by `swahr dataset new`'
    with pytest.raises(SystemExit, match=message):
        main([str(path), '--img-dir', f'{synthetic}/images/val'])


def test_a_folder_in_place_of_a_file_is_named(synthetic):
    images, file = f'{synthetic}/images/val', ann(synthetic)
    with pytest.raises(SystemExit, match=f'is a folder, .* such as {file}'):
        main([images])
    with pytest.raises(SystemExit, match=f'exchanged: give {file} --img-dir'):
        main([images, '--img-dir', file])
    with pytest.raises(SystemExit, match='image folder x does not exist; cor'):
        main([file, '--img-dir', 'x'])


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
