"""The metric and the dataset of a split have the same images."""

import json
import re
import shutil

import pytest
from helpers import ROOT
from helpers.tools import CONFIG, ann
from mmengine.config import Config

from swahr_mmpose.datasets.checks.evaluator_files import compare_evaluators
from swahr_mmpose.datasets.checks.nested import iter_leaves
from swahr_mmpose.datasets.checks.preflight import check_before_run


@pytest.fixture
def cfg(synthetic):
    """A config whose dataset is set, but not the file of its metric."""
    cfg = Config.fromfile(ROOT / CONFIG)
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{synthetic}/'
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = ann(synthetic, 'train')
    return cfg


def compare(cfg, split='val'):
    dataset = cfg[f'{split}_dataloader'].dataset
    leaves = list(iter_leaves(dataset, f'{split}_dataloader.dataset'))
    return list(compare_evaluators(cfg, split, leaves))


def write_changed(synthetic, tmp_path, change):
    """Write a changed copy of the validation file."""
    with open(ann(synthetic), encoding='utf-8') as file:
        content = json.load(file)
    change(content)
    path = tmp_path / 'changed.json'
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize('split', ['val', 'test'])
def test_a_metric_of_other_images_is_refused_before_the_run(cfg, split):
    message = (
        f'{split}_evaluator.ann_file is .*_train.json, which lacks 6 of the 6 '
        f'images of {split}_dataloader .*, e.g. image 9; set '
        f"{split}_evaluator.ann_file = '.*_val.json'"
    )
    with pytest.raises(ValueError, match=message) as caught:
        check_before_run(cfg, (split,))
    assert '\n' not in str(caught.value)


def test_one_file_by_two_paths_is_not_read(cfg, synthetic, monkeypatch):
    monkeypatch.chdir(synthetic / 'images')
    cfg.val_evaluator.ann_file = '../annotations/person_keypoints_val.json'
    monkeypatch.setattr(
        'swahr_mmpose.datasets.checks.evaluator_files.read_annotation_file',
        None,
    )
    assert compare(cfg) == []


def test_a_copy_of_the_file_is_accepted(cfg, synthetic, tmp_path):
    cfg.val_evaluator.ann_file = shutil.copy(ann(synthetic), tmp_path)
    assert compare(cfg) == []


def test_a_dataset_of_some_images_is_accepted(cfg, synthetic, tmp_path):
    cfg.val_evaluator.ann_file = ann(synthetic)
    cfg.val_dataloader.dataset.ann_file = write_changed(
        synthetic, tmp_path, lambda content: content['images'].pop()
    )
    assert compare(cfg) == []


def test_a_metric_of_the_selected_images_is_accepted(cfg, synthetic, tmp_path):
    cfg.val_evaluator.ann_file = write_changed(
        synthetic, tmp_path, lambda content: content['images'].pop()
    )
    with pytest.raises(ValueError, match='lacks 1 of the 6 images'):
        compare(cfg)
    cfg.val_dataloader.dataset.indices = 5
    assert compare(cfg) == []


def test_a_metric_of_all_combined_datasets_is_accepted(
    cfg, synthetic, tmp_path
):
    with open(ann(synthetic, 'train'), encoding='utf-8') as file:
        train = json.load(file)
    leaf = cfg.val_dataloader.dataset
    cfg.val_dataloader.dataset = dict(
        type='ConcatDataset',
        datasets=[leaf, dict(leaf, ann_file=ann(synthetic, 'train'))],
    )
    with pytest.raises(ValueError, match='set val_.* to a file of all their'):
        compare(cfg)
    cfg.val_evaluator.ann_file = write_changed(
        synthetic,
        tmp_path,
        lambda c: [c[k].extend(train[k]) for k in ('images', 'annotations')],
    )
    assert compare(cfg) == []


@pytest.mark.parametrize(
    'evaluator',
    [
        dict(type='BottomupCocoMetric'),
        dict(type='CocoMetric', ann_file='a.json', format_only=True),
        dict(type='PCKAccuracy', ann_file='nowhere.json'),
        dict(type='DumpResults', out_file_path='a.pkl'),
        dict(type='BottomupCocoMetric', ann_file='s3://bucket/a.json'),
        dict(
            type='MultiDatasetEvaluator',
            metrics=[dict(type='CocoMetric', ann_file='nowhere.json')],
            datasets=[],
        ),
    ],
)
def test_metrics_that_compare_no_ids_are_not_checked(cfg, evaluator):
    cfg.val_evaluator = [evaluator]
    assert compare(cfg) == []


@pytest.mark.parametrize('name', ['BottomupCocoMetric', 'CrowdPoseMetric'])
def test_each_metric_of_a_list_is_checked(cfg, synthetic, name):
    right = dict(type='CocoMetric', ann_file=ann(synthetic))
    cfg.val_evaluator = [right, dict(type=name, ann_file='nowhere.json')]
    message = r'nowhere.json does not exist; set val_evaluator\[1\].ann_file'
    with pytest.raises(FileNotFoundError, match=message):
        compare(cfg)


def rename(content):
    for image in content['images']:
        image['file_name'] = 'other' + image['file_name']


def resize(content):
    for image in content['images']:
        image['width'] += 1


def move(content):
    for person in content['annotations']:
        person['keypoints'] = [v + 1 for v in person['keypoints']]


def keep(content):
    for image in content['images']:
        image['file_name'] = 'folder/' + image['file_name']
    content['annotations'].reverse()


@pytest.mark.parametrize(
    ('change', 'what'),
    [(rename, 'names'), (resize, 'sizes'), (move, 'keypoints'), (keep, '')],
)
def test_equal_ids_of_other_images_are_reported(
    cfg, synthetic, tmp_path, change, what
):
    path = write_changed(synthetic, tmp_path, change)
    cfg.val_evaluator.ann_file = path
    text = ' '.join(compare(cfg))
    expected = f'6 of 6 images have other {what} in it, e.g. image 9'
    assert (expected in text) == bool(what)
    assert text.startswith('warning: val_evaluator.ann_file') == bool(what)


def test_the_config_of_the_tutorial_sets_all_files(synthetic, tmp_path):
    text = (ROOT / 'docs/tutorial.md').read_text(encoding='utf-8')
    blocks = re.findall('```python\n(.*?)```', text, re.DOTALL)
    (block,) = [b for b in blocks if 'val_evaluator' in b]
    changes = {
        './swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py': ROOT / CONFIG,
        'data/people/': f'{synthetic}/',
        'annotations/': 'annotations/person_keypoints_',
    }
    for old, new in changes.items():
        assert old in block
        block = block.replace(old, str(new))
    (tmp_path / 'people.py').write_text(block)
    cfg = Config.fromfile(tmp_path / 'people.py')
    assert check_before_run(cfg, ('train', 'val', 'test')) is None
    assert str(synthetic) in cfg.test_evaluator.ann_file


def test_a_dataset_without_images_lacks_none(cfg, synthetic, tmp_path):
    def clear(content):
        content['images'], content['annotations'] = [], []

    dataset = cfg.val_dataloader.dataset
    dataset.ann_file = write_changed(synthetic, tmp_path, clear)
    assert compare(cfg) == []
