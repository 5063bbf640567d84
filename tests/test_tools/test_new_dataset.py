"""From keypoints alone to a config that trains, with the tools."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import mmpose
import pytest
import torch
from helpers import ROOT
from helpers.tools import run, tool
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, MODELS

from swahr_mmpose.datasets.checks.preflight import (
    check_before_run,
    check_config,
)
from swahr_mmpose.datasets.custom.config_template import (
    BASES,
    Recipe,
    config_text,
    default_epochs,
)
from swahr_mmpose.datasets.synthetic import KINDS, make_synthetic_dataset

NAMES = KINDS['beetles'].keypoints


@pytest.fixture(scope='module')
def beetles(tmp_path_factory):
    """Beetles with keypoints alone; picture 7 of each split shows none."""
    folder = tmp_path_factory.mktemp('beetles') / 'beetles'
    make_synthetic_dataset(
        folder,
        num_train=9,
        num_val=8,
        image_size=(160, 128),
        max_height=120,
        kind='beetles',
        bare=True,
    )
    return folder


def new_dataset(monkeypatch, beetles, out, *args, val=True):
    """Run the tool; returns the path of the config."""
    ann = beetles / 'annotations'
    command = [ann / 'beetle_keypoints_train.json', '--out-dir', out]
    command += ['--img-dir', beetles / 'images/train']
    if val:
        command += ['--val', ann / 'beetle_keypoints_val.json']
        command += ['--val-img-dir', beetles / 'images/val']
    command += ['--base', 'tiny', '--input-size', 128, '--epochs', 2, *args]
    path = str(ROOT / 'tools/dataset_tools/new_dataset.py')
    monkeypatch.setattr(sys, 'argv', [path, *map(str, command)])
    runpy.run_path(path, run_name='__main__')
    (config,) = Path(out).glob('swahr_*.py')
    return config


@pytest.fixture
def made(monkeypatch, beetles, tmp_path):
    return new_dataset(monkeypatch, beetles, tmp_path / 'made')


def test_all_that_depends_on_the_skeleton_agrees(made, capsys):
    cfg = Config.fromfile(made)
    check_before_run(cfg, ('train', 'val', 'test'))
    said = capsys.readouterr().out
    assert 'checked' in said
    meta = parse_pose_metainfo(cfg.train_dataloader.dataset.metainfo)
    assert list(meta['keypoint_id2name'].values()) == NAMES
    assert cfg.model.head.num_keypoints == len(NAMES) == 9
    order = cfg.model.head.decoder.decode_keypoint_order
    assert sorted(order) == list(range(9))
    assert NAMES[order[0]] == 'thorax'
    assert meta['flip_indices'] == [0, 1, 2, 4, 3, 6, 5, 8, 7]
    assert cfg.model.test_cfg.flip_test
    init_default_scope('mmpose')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    heatmaps = model(torch.zeros(1, 3, 128, 128, device='meta'), None).heatmaps
    assert {h.shape[1] for h in heatmaps} <= {9, 18}


def test_nobody_is_lost_who_has_a_labelled_keypoint(made):
    """MMPose leaves out instances without box, and says nothing."""
    cfg = Config.fromfile(made)
    init_default_scope('mmpose')
    for split in ('train', 'val'):
        dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
        people = json.loads((made.parent / f'{split}.json').read_text())
        wanted = len(people['annotations'])
        infos = [dataset.get_data_info(k) for k in range(len(dataset))]
        assert sum(len(info.get('bbox', ())) for info in infos) == wanted > 0
        assert len(dataset) == 8  # in training without the empty one


def test_the_folder_may_be_moved(made, tmp_path):
    moved = tmp_path / 'elsewhere/moved'
    shutil.copytree(made.parent, moved)
    shutil.rmtree(made.parent)
    check_before_run(Config.fromfile(moved / made.name), ('train', 'val'))


def test_report_and_picture_lie_beside_the_config(made):
    said = (made.parent / 'report.txt').read_text()
    for part in (
        'bbox missing or empty: of the labelled keypoints',
        'area missing or 0: 0.53 of the box',
        'left_hind_leg:right_hind_leg',
        '1 images without annotation',
        'AP depends on them',
        'cells at 1/4 of 128',
    ):
        assert part in said
    picture = cv2.imread(str(made.parent / 'skeleton.png'))
    assert min(picture.shape[:2]) > 300


def test_empty_images_are_kept_on_demand(monkeypatch, beetles, tmp_path):
    config = new_dataset(monkeypatch, beetles, tmp_path / 'a', '--keep-empty')
    init_default_scope('mmpose')
    cfg = Config.fromfile(config)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 9
    (empty,) = (
        k for k in range(9) if not any(dataset.get_data_info(k)['bbox'][0])
    )
    sample = dataset[empty]
    fields = sample['data_samples'].gt_fields
    assert not any(level.any() for level in fields.heatmaps)
    assert all(mask.any() for mask in fields.heatmap_mask)


def test_without_mirroring_nothing_is_mirrored(monkeypatch, beetles, tmp_path):
    config = new_dataset(
        monkeypatch, beetles, tmp_path / 'a', '--flip', 'off', val=False
    )
    cfg = Config.fromfile(config)
    assert not cfg.model.test_cfg.flip_test
    assert cfg.train_pipeline[1].flip_prob == 0
    assert 'nothing is mirrored' in (config.parent / 'report.txt').read_text()
    images = [
        {
            i['id']
            for i in json.loads((config.parent / f).read_text())['images']
        }
        for f in ('train.json', 'val.json')
    ]
    assert len(images[0] | images[1]) == len(images[0]) + len(images[1]) == 9


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--input-size', '100'], 'multiple of 64'),
        (['--epochs', '1'], 'expected 2 and 1 or more'),
        (['--sigmas', '0.1', '0.2'], 'expected one number above 0 or 9'),
        (['--keypoints', 'a', 'b'], '27 values in keypoints, expected 6'),
        (['--category', 'bee'], "no category 'bee', only .'beetle'"),
        (['--img-dir', 'nowhere'], 'nowhere does not exist'),
        (['--val', 'nowhere.json'], 'nowhere.json'),
    ],
)
def test_mistakes_end_in_a_sentence(
    monkeypatch, beetles, tmp_path, args, message
):
    with pytest.raises(SystemExit, match=message):
        new_dataset(monkeypatch, beetles, tmp_path / 'a', *args)
    assert not (tmp_path / 'a').exists()


def test_what_is_there_is_replaced_on_demand_alone(
    monkeypatch, beetles, tmp_path, made
):
    with pytest.raises(SystemExit, match='is not empty'):
        new_dataset(monkeypatch, beetles, made.parent)
    again = new_dataset(
        monkeypatch, beetles, made.parent, '--overwrite', '--epochs', '3'
    )
    assert '-3e_' in again.name
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/notes.txt').write_text('keep')
    with pytest.raises(SystemExit, match='is not empty'):
        new_dataset(monkeypatch, beetles, tmp_path / 'mine', '--overwrite')


@pytest.mark.parametrize(
    ('base', 'count'), [('tiny', 1), ('tiny', 133), ('w32', 133), ('w48', 9)]
)
def test_the_config_of_any_skeleton_is_whole(tmp_path, base, count):
    recipe = Recipe(
        name='it',
        base=base,
        names=[f'k{k}' for k in range(count)],
        order=range(count)[::-1],
        flip=False,
        image_dirs=('a/', 'b/'),
        base_folder=str(ROOT / 'configs/_base_'),
        input_side=BASES[base].input_side,
        batch_size=2,
        epochs=default_epochs(base, 10, 2),
    )
    path = tmp_path / recipe.file_name
    path.write_text(config_text(recipe))
    cfg = Config.fromfile(path)
    check_config(cfg)
    cfg.model.backbone.init_cfg = None
    init_default_scope('mmpose')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    side = recipe.input_side
    out = model(torch.zeros(1, 3, side, side, device='meta'), None)
    assert [h.shape[1] for h in out.heatmaps] == [count, count]
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs


@pytest.mark.slow
def test_keypoints_alone_are_trained_and_tested(made, tmp_path):
    """Without boxes, areas, outlines; an image without beetles included.

    Tested by MMPose's own launcher.
    """
    done = tool(
        'train.py',
        made,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'default_hooks.checkpoint.interval=1',
    )
    assert 'coco/AP' in done.output
    launcher = Path(mmpose.__file__).parent / '.mim/tools/test.py'
    done = run(
        sys.executable,
        launcher,
        made,
        tmp_path / 'run/epoch_1.pth',
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'all.pkl',
    )
    assert 'coco/AP' in done.output
    assert (tmp_path / 'all.pkl').exists()


def test_help_has_examples(monkeypatch, capsys):
    path = str(ROOT / 'tools/dataset_tools/new_dataset.py')
    monkeypatch.setattr(sys, 'argv', [path, '--help'])
    with pytest.raises(SystemExit):
        runpy.run_path(path, run_name='__main__')
    assert (
        'python tools/dataset_tools/new_dataset.py' in capsys.readouterr().out
    )
