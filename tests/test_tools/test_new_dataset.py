"""From annotations with keypoints only to a config that trains."""

import json
import random
import re
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import mmpose
import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.datasets import make_beetles
from helpers.tools import run, tool
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, MODELS

from swahr_mmpose.commands.new_dataset import main
from swahr_mmpose.datasets.checks.preflight import (
    check_before_run,
    check_config,
)
from swahr_mmpose.datasets.custom.config_template import (
    BASES,
    ConfigRecipe,
    choose_epochs,
    format_config,
)
from swahr_mmpose.datasets.custom.prepare import (
    DatasetOptions,
    prepare_dataset,
    read_sample,
)
from swahr_mmpose.datasets.custom.writing import write_dataset
from swahr_mmpose.datasets.synthetic import KINDS

NAMES = KINDS['beetles'].keypoints


@pytest.fixture(scope='module')
def beetles(tmp_path_factory):
    """Beetles with keypoints only; image 7 of each split has none."""
    return make_beetles(tmp_path_factory.mktemp('beetles') / 'beetles', 9, 8)


def new_dataset(monkeypatch, beetles, out, *args, val=True):
    """Run the tool; return the path of the config."""
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
    assert 'checked' in capsys.readouterr().out
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


def test_every_instance_with_a_labelled_keypoint_is_kept(made):
    """MMPose silently drops instances without box."""
    cfg = Config.fromfile(made)
    init_default_scope('mmpose')
    for split in ('train', 'val'):
        dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
        people = json.loads((made.parent / f'{split}.json').read_text())
        wanted = len(people['annotations'])
        infos = [dataset.get_data_info(k) for k in range(len(dataset))]
        assert sum(len(info.get('bbox', ())) for info in infos) == wanted > 0
        assert len(dataset) == 8  # training: without the empty image


def test_the_folder_may_be_moved(made, tmp_path):
    moved = tmp_path / 'elsewhere/moved'
    shutil.copytree(made.parent, moved)
    shutil.rmtree(made.parent)
    check_before_run(Config.fromfile(moved / made.name), ('train', 'val'))


def test_report_and_figure_are_written(made):
    report = (made.parent / 'report.txt').read_text()
    for part in (
        'bbox missing or empty: from labelled keypoints',
        'area missing or 0: 0.53 of the box',
        'left_hind_leg:right_hind_leg (the words left and right)',
        '1 image without annotation',
        'AP depends on them',
        'cells at 1/4 of 128',
    ):
        assert part in report
    figure = cv2.imread(str(made.parent / 'skeleton.png'))
    assert min(figure.shape[:2]) > 300


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


def test_flipping_can_be_disabled(monkeypatch, beetles, tmp_path):
    config = new_dataset(
        monkeypatch, beetles, tmp_path / 'a', '--flip', 'off', val=False
    )
    cfg = Config.fromfile(config)
    assert not cfg.model.test_cfg.flip_test
    assert cfg.train_pipeline[1].flip_prob == 0
    assert 'no horizontal flip' in (config.parent / 'report.txt').read_text()
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
        (['--epochs', '1'], 'expected at least 2 and 1'),
        (['--epochs', '0'], 'got 0 epochs .* expected at least 2 and 1'),
        (['--epochs', '-5'], 'got -5 epochs'),
        (['--batch-size', '0'], 'a batch size of 0, expected at least 2 and'),
        (['--input-size', '0'], 'an input size of 0, expected a multiple'),
        (['--sigmas', '0.1', '0.2'], 'expected one number above 0 or 9'),
        (['--keypoints', 'a', 'b'], '27 values in keypoints, expected 6'),
        (
            ['--category', 'bee'],
            "no category 'bee', expected one of .'beetle'",
        ),
        (['--img-dir', 'nowhere'], 'nowhere does not exist'),
        (['--link-dir', 'nowhere'], 'nowhere, expected an existing folder'),
        (['--val', 'nowhere.json'], 'nowhere.json'),
    ],
)
def test_mistakes_end_in_a_message(
    monkeypatch, beetles, tmp_path, args, message
):
    with pytest.raises(SystemExit, match=message):
        new_dataset(monkeypatch, beetles, tmp_path / 'a', *args)
    assert not (tmp_path / 'a').exists()


def remove_keypoints(content):
    for annotation in content['annotations']:
        del annotation['keypoints']


def hide_keypoints(content):
    for annotation in content['annotations']:
        annotation['keypoints'] = [0] * 27


def add_category(content):
    content['categories'].append(dict(id=2, name='ant', keypoints=NAMES))


CAUSES = [
    (remove_keypoints, [], 'none of its .* annotations has "keypoints"; gi'),
    (hide_keypoints, [], 'v is 0, or iscrowd 1, in all .* annotations with'),
    (
        lambda content: content['annotations'].clear(),
        [],
        'it has no annotations; give the file',
    ),
    (
        add_category,
        ['--category', 'ant'],
        r'its \d+ annotations are of other categories; choose another --cat',
    ),
    (
        lambda content: content.pop('categories'),
        [],
        'the file has no "categories", expected one with the names',
    ),
]


@pytest.mark.parametrize('val', [True, False])
@pytest.mark.parametrize(('change', 'args', 'message'), CAUSES)
def test_the_cause_of_missing_labels_is_named_with_and_without_val(
    beetles, tmp_path, change, args, message, val
):
    path = tmp_path / 'changed.json'
    write_changed(beetles, path, change)
    command = [str(path), '--img-dir', str(beetles / 'images/train'), *args]
    if val:
        command += ['--val', str(path)]
    with pytest.raises(SystemExit, match=message):
        main([*command, '--out-dir', str(tmp_path / 'out')])
    assert not (tmp_path / 'out').exists()


def test_one_labelled_image_needs_a_validation_file(beetles, tmp_path):
    path = tmp_path / 'one.json'

    def keep_one(content):
        content['images'] = content['images'][:1]
        number = content['images'][0]['id']
        content['annotations'] = [
            a for a in content['annotations'] if a['image_id'] == number
        ]

    write_changed(beetles, path, keep_one)
    with pytest.raises(
        SystemExit, match='got 1 image with lab.* a validation'
    ):
        main([str(path), '--img-dir', str(beetles / 'images/train')])


def test_exchanged_arguments_are_recognized(beetles):
    file = str(beetles / 'annotations/beetle_keypoints_train.json')
    folder = str(beetles / 'images/train')
    message = f'may be exchanged: give {file} --img-dir {folder}'
    with pytest.raises(SystemExit, match=message):
        main([folder, '--img-dir', file])
    with pytest.raises(SystemExit, match='is a file, expected a folder; corr'):
        main([file, '--img-dir', file])


def test_links_to_images_are_followed_into_a_named_folder(
    monkeypatch, beetles, tmp_path
):
    linked = tmp_path / 'linked'
    shutil.copytree(beetles / 'annotations', linked / 'annotations')
    for split in ('train', 'val'):
        folder = linked / 'images' / split
        folder.mkdir(parents=True)
        for image in (beetles / 'images' / split).iterdir():
            (folder / image.name).symlink_to(image)
    with pytest.raises(SystemExit, match='--link-dir of swahr dataset new'):
        new_dataset(monkeypatch, linked, tmp_path / 'made')
    config = new_dataset(
        monkeypatch, linked, tmp_path / 'made', '--link-dir', beetles
    )
    for part in ('train_dataloader', 'val_dataloader'):
        prefix = Config.fromfile(config)[part].dataset.data_prefix
        assert Path(prefix.links) == beetles.resolve()


def test_a_folder_is_replaced_on_demand_only(
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


def make_recipe(base, count, **changes):
    settings = dict(
        name='it',
        base=base,
        num_keypoints=count,
        order=range(count)[::-1],
        flip=False,
        image_dirs=('a/', 'b/'),
        base_folder=str(ROOT / 'configs/_base_'),
        input_side=BASES[base].input_side,
        batch_size=2,
        epochs=BASES[base].epochs,
    )
    return ConfigRecipe(**{**settings, **changes})


def load(recipe, folder):
    """Write a config as it is written beside a dataset, and read it."""
    folder.mkdir(exist_ok=True)
    path = folder / recipe.file_name
    path.write_text(format_config(recipe))
    return Config.fromfile(path)


@pytest.mark.parametrize(
    ('base', 'shipped'),
    [
        ('w32', 'coco/swahr_higherhrnet-w32_unbiased_8xb20-300e_coco-512x512'),
        ('w48', 'coco/swahr_higherhrnet-w48_unbiased_8xb10-300e_coco-640x640'),
        (
            'tiny',
            'synthetic/swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256',
        ),
    ],
)
def test_default_settings_are_those_of_the_shipped_config(
    tmp_path, base, shipped
):
    shipped = Config.fromfile(ROOT / f'configs/{shipped}.py')
    order = shipped.keypoint_order
    batch_size = shipped.train_dataloader.batch_size
    recipe = make_recipe(
        base,
        17,
        order=order,
        batch_size=batch_size,
        flip=shipped.model.test_cfg.flip_test,
    )
    cfg = load(recipe, tmp_path)
    for key in ('param_scheduler', 'default_hooks'):
        assert cfg[key] == shipped[key]
    # For one GPU; the shipped learning rate is for eight (tiny: one).
    assert not cfg.auto_scale_lr.enable
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    share = batch_size / shipped.auto_scale_lr.base_batch_size
    lr = cfg.optim_wrapper.optimizer.pop('lr')
    assert lr == share * shipped.optim_wrapper.optimizer.pop('lr')
    assert cfg.optim_wrapper == shipped.optim_wrapper
    assert cfg.val_pipeline == shipped.val_pipeline
    flip_prob = 0.5 if recipe.flip else 0.0
    affine = dict(shipped.train_pipeline[1], flip_prob=flip_prob)
    assert cfg.train_pipeline[1] == affine
    codec = dict(cfg.codec)
    assert codec.pop('decode_topk') == 30
    thresholds = codec, dict(shipped.codec)
    for settings in thresholds:
        settings.pop('decode_keypoint_thr', None)
    assert thresholds[0] == thresholds[1]
    for part in (cfg, shipped):
        del part.model.head.decoder
    assert cfg.model == shipped.model


@pytest.mark.parametrize('base', sorted(BASES))
@pytest.mark.parametrize('flip', [False, True])
def test_the_input_size_is_changed_everywhere(tmp_path, base, flip):
    recipe = make_recipe(base, 3, input_side=192, epochs=200, flip=flip)
    cfg = load(recipe, tmp_path)
    check_config(cfg)
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert cfg.val_dataloader.dataset.pipeline == cfg.val_pipeline
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.train_pipeline[1].input_size == (192, 192)
    assert cfg.val_pipeline[1].input_size == (192, 192)
    assert cfg.train_pipeline[2].encoder == cfg.model.head.decoder == cfg.codec
    assert cfg.codec.heatmap_sizes == [(48, 48), (96, 96)]
    assert cfg.train_pipeline[1].flip_prob == (0.5 if flip else 0.0)
    assert cfg.model.test_cfg.flip_test == flip
    warmup, decay = cfg.param_scheduler
    assert (warmup.end, decay.begin, decay.end) == (2, 2, 200)
    assert cfg.train_cfg.max_epochs == 200


def write_changed(beetles, path, change):
    """The training file with a change of its content."""
    ann = beetles / 'annotations/beetle_keypoints_train.json'
    content = json.loads(ann.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def set_text(content):
    content['annotations'][3]['keypoints'][0] = '5'


def point_outside(content):
    content['images'][0]['file_name'] = '../a.jpg'


def use_fractions(content):
    for a in content['annotations']:
        k = a['keypoints']
        k[0::3] = [x / 160 for x in k[0::3]]
        k[1::3] = [y / 128 for y in k[1::3]]


@pytest.mark.parametrize('change', [set_text, point_outside, use_fractions])
def test_a_failed_try_writes_nothing_and_blocks_nothing(
    monkeypatch, beetles, tmp_path, change
):
    path = write_changed(beetles, tmp_path / 'given.json', change)
    out = tmp_path / 'deep/made'
    command = [path, '--img-dir', beetles / 'images/train', '--out-dir', out]
    command += ['--base', 'tiny', '--input-size', 128, '--epochs', 2]
    with pytest.raises(SystemExit, match='given.json: 1 problem') as error:
        main([*map(str, command)])
    assert 'othing was written' in str(error.value)
    assert '.new_dataset' not in str(error.value)
    assert list(tmp_path.iterdir()) == [path]
    ann = beetles / 'annotations/beetle_keypoints_train.json'
    main([*map(str, [ann, *command[1:]])])
    assert len(list(out.iterdir())) == 6
    assert [p.name for p in out.parent.iterdir()] == ['made']


def draw_all(dataset):
    """Masks and targets of all samples, with the same augmentations."""
    drawn = []
    for k in range(len(dataset)):
        random.seed(k)
        np.random.seed(k)
        torch.manual_seed(k)
        fields = dataset[k]['data_samples'].gt_fields
        drawn += [*fields.heatmap_mask, *fields.heatmaps]
    return [torch.as_tensor(level) for level in drawn]


def test_some_instances_may_have_a_segmentation(beetles, tmp_path, capsys):
    """The same samples as without any."""
    square = [[1, 1, 30, 1, 30, 30, 1, 30]]
    samples = {}
    for name, has in (('first', 0), ('later', 1), ('none', 2)):

        def change(content, has=has):
            for n, a in enumerate(content['annotations']):
                a.update(bbox=[0, 0, 90, 90], area=900)
                if n % 2 == has:
                    a['segmentation'] = square

        path = write_changed(beetles, tmp_path / f'{name}.json', change)
        out = tmp_path / name
        command = [path, '--img-dir', beetles / 'images/train', '--out-dir']
        command += [out, '--base', 'tiny', '--input-size', 128]
        main([*map(str, command)])
        (config,) = out.glob('swahr_*.py')
        cfg = Config.fromfile(config)
        init_default_scope('mmpose')
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        training = DATASETS.build(cfg.train_dataloader.dataset)
        assert len(dataset) == 1
        samples[name] = draw_all(training)
    for name in ('first', 'later'):
        assert len(samples[name]) == len(samples['none']) > 8
        for a, b in zip(samples[name], samples['none']):
            assert torch.equal(a, b)
    assert f'checked {tmp_path}/none/train.json' in capsys.readouterr().out


def test_paths_are_shortened_only_below_the_working_directory(
    beetles, tmp_path, monkeypatch, capsys
):
    ann = beetles / 'annotations/beetle_keypoints_train.json'
    command = ['--img-dir', beetles / 'images/train', '--base', 'tiny']
    for here, prefix in ((tmp_path, "'o b'/"), (beetles, f"'{tmp_path}/o b")):
        monkeypatch.chdir(here)
        main(
            [*map(str, [ann, *command, '--out-dir', tmp_path / 'o b'])]
            + ['--overwrite']
        )
        line = capsys.readouterr().out.splitlines()[-1]
        assert prefix.rstrip("'/") in line


def test_preparing_writes_nothing(beetles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = DatasetOptions(
        ann_file=str(beetles / 'annotations/beetle_keypoints_train.json'),
        img_dir=str(beetles / 'images/train'),
    )
    dataset = prepare_dataset(options)
    sample = read_sample(dataset)
    assert sample.image.shape == (128, 160, 3)
    assert (sample.keypoints[:, 2] > 0).sum() > 5
    assert not list(tmp_path.iterdir())
    config = write_dataset(dataset, b'figure')
    assert config == tmp_path / 'my_datasets/beetle' / config.name
    assert (config.parent / 'skeleton.png').read_bytes() == b'figure'
    check_config(Config.fromfile(config))


def test_annotations_of_unknown_images_are_not_shown(beetles, tmp_path):
    path = beetles / 'annotations/beetle_keypoints_train.json'
    content = json.loads(path.read_text())
    content['annotations'].append(
        dict(id=999, image_id=999, category_id=1, keypoints=[9, 9, 2] * 9)
    )
    path = tmp_path / 'stray.json'
    path.write_text(json.dumps(content))
    options = DatasetOptions(str(path), str(beetles / 'images/train'))
    assert read_sample(prepare_dataset(options)).image.shape == (128, 160, 3)


@pytest.mark.parametrize(
    ('base', 'count'), [('tiny', 1), ('tiny', 133), ('w32', 133), ('w48', 9)]
)
def test_the_config_of_any_skeleton_is_valid(tmp_path, base, count):
    recipe = make_recipe(base, count, epochs=choose_epochs(base, 10, 2))
    cfg = load(recipe, tmp_path)
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
def test_keypoints_only_are_trained_and_tested(made, tmp_path):
    """Without boxes, areas, segmentations; one image without beetles.

    MMPose's own launcher tests.
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
    assert re.search(r'^coco( +(-|[01]\.\d{3})){10}$', done.stdout, re.M)
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
