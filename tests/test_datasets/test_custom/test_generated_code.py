"""Names, paths and options are data in generated code, never code."""

import ast
import json
import string

import cv2
import numpy as np
import pytest
from helpers import ROOT
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from swahr_mmpose.commands import new_dataset
from swahr_mmpose.datasets.custom.config_template import (
    BASES,
    ConfigRecipe,
    format_config,
    format_metainfo,
)
from swahr_mmpose.datasets.custom.metainfo import make_dataset_info
from swahr_mmpose.datasets.custom.prepare import (
    DatasetOptions,
    prepare_dataset,
)
from swahr_mmpose.datasets.custom.skeleton import SkeletonOptions
from swahr_mmpose.datasets.custom.writing import write_dataset

CONTROLS = [chr(n) for n in (*range(32), *range(127, 160))]
SEPARATORS = [chr(n) for n in (0x2028, 0x2029, 0x202E, 0xFEFF, 0xD800)]
CHARACTERS = [*CONTROLS, *SEPARATORS, *string.punctuation, ' ', 'é', '図']
ATTACKS = [
    "it's",
    '"""',
    "'''",
    '\\',
    "'); raise SystemExit #",
    '\nraise SystemExit\n',
    '\rraise SystemExit\r',
    '{{ fileDirname }}',
    '{{{ fileDirname }}}',
    '{{$SECRET:}}',
    '{{ $SECRET:default }}',
    '{{_base_.codec}}',
    '\\{{ fileBasename }}',
    '$num_keypoints ${lr}',
    '%(x)s {x}',
    ' {{ fileDirname }} ' * 20,  # pprint splits long text
]
TEXTS = [*(f'a{c}raise SystemExit{c}b' for c in CHARACTERS), *ATTACKS]
# None of these can be part of a file name; nor may it have over 255 bytes.
FORBIDDEN = {'\0', '/', '\ud800'}
FOLDERS = [t for t in TEXTS if not set(t) & FORBIDDEN and len(t) < 200]


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv('SECRET', 'hunter2')


def make_recipe(**changes):
    settings = dict(
        name='it',
        base='tiny',
        num_keypoints=2,
        order=[1, 0],
        flip=False,
        image_dirs=('a/', 'b/'),
        base_folder=str(ROOT / 'configs/_base_'),
        input_side=BASES['tiny'].input_side,
        batch_size=2,
        epochs=2,
    )
    return ConfigRecipe(**{**settings, **changes})


def list_literals(code):
    """All literals, and the code with placeholders in their places."""
    tree = ast.parse(code)
    literals = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            literals.append(node.value)
            node.value = '...'
    return literals, ast.dump(tree)


@pytest.mark.parametrize('text', TEXTS)
def test_paths_change_only_literals_of_the_config(text):
    _, plain = list_literals(format_config(make_recipe()))
    code = format_config(
        make_recipe(image_dirs=(f'{text}/', text), base_folder=text)
    )
    literals, structure = list_literals(code)
    assert structure == plain
    assert f'{text}/' in literals
    assert text in literals
    assert f'{text}/models/higherhrnet-tiny.py' in literals
    assert '{{' not in code
    assert all(c.isprintable() or c == '\n' for c in code)


def test_no_mark_of_mmengine_is_in_a_config():
    for base in BASES:
        assert '{{' not in format_config(make_recipe(base=base))


def test_names_change_only_literals_of_the_metainfo(tmp_path):
    links = [(k, k + 1) for k in range(len(TEXTS) - 1)]
    ones = [1.0] * len(TEXTS)
    info = make_dataset_info('it', TEXTS, links, [(1, 2)], ones, ones)
    code = format_metainfo(info)
    assert '{{' not in code
    (assignment,) = ast.parse(code).body
    assert ast.literal_eval(assignment.value) == info
    path = tmp_path / 'metainfo.py'
    path.write_text(code, encoding='utf-8')
    parsed = parse_pose_metainfo(dict(from_file=str(path)))
    assert list(parsed['keypoint_id2name'].values()) == TEXTS


@pytest.mark.parametrize('text', FOLDERS)
def test_a_folder_with_any_name_is_the_data_root(tmp_path, text):
    folder = tmp_path / text
    folder.mkdir()
    path = folder / 'config.py'
    recipe = make_recipe(image_dirs=(f'{text}/', text))
    path.write_text(format_config(recipe), encoding='utf-8')
    cfg = Config.fromfile(path)
    assert cfg.data_root == str(folder)
    assert cfg.metainfo.from_file == str(folder / 'metainfo.py')
    dataset = cfg.train_dataloader.dataset
    assert dataset.data_prefix.img == f'{text}/'
    assert cfg.val_evaluator.ann_file == str(folder / 'val.json')
    assert 'osp' not in cfg


def write_content(folder, names, title):
    """Two images and the annotation file of a category."""
    (folder / 'images').mkdir()
    for n in (1, 2):
        image = np.full((64, 64, 3), 90, np.uint8)
        cv2.imwrite(str(folder / f'images/{n}.png'), image)
    keypoints = [v for k in range(len(names)) for v in (k % 60, k // 60, 2)]
    return dict(
        images=[
            dict(id=n, file_name=f'{n}.png', width=64, height=64)
            for n in (1, 2)
        ],
        categories=[dict(id=1, name=title, keypoints=names)],
        annotations=[
            dict(id=n, image_id=n, category_id=1, keypoints=keypoints)
            for n in (1, 2)
        ],
    )


def test_names_of_a_file_and_options_stay_data_to_the_end(tmp_path):
    """From the JSON to the written folder, figure and report included."""
    names = sorted(TEXTS)
    title = ' '.join(ATTACKS)
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(write_content(tmp_path, names, title)))
    out = tmp_path / "o'{{ fileDirname }}\nraise SystemExit"
    options = DatasetOptions(
        str(path),
        str(tmp_path / 'images'),
        out_dir=str(out),
        base='tiny',
        epochs=2,
        skeleton_options=SkeletonOptions(
            skeleton=[f'{names[0]}:{names[1]}'],
            keypoint_order=names[::-1],
            flip='off',
        ),
    )
    dataset = prepare_dataset(options)
    figure = new_dataset.draw_skeleton(dataset)
    config = write_dataset(dataset, figure)
    assert config.parent == out.resolve()
    cfg = Config.fromfile(config)
    meta = parse_pose_metainfo(dict(cfg.metainfo))
    assert list(meta['keypoint_id2name'].values()) == names
    assert meta['skeleton_links'] == [(0, 1)]
    assert cfg.keypoint_order == list(range(len(names)))[::-1]
    report = (out / 'report.txt').read_text(encoding='utf-8')
    assert all(c.isprintable() or c == '\n' for c in report)
    assert 'hunter2' not in report + (out / 'metainfo.py').read_text('utf-8')
