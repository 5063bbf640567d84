import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import MessageHub
from mmpose.datasets import CocoDataset
from mmpose.registry import DATASETS, TRANSFORMS

from swahr_mmpose.datasets.checks.trial import (
    draw_samples,
    make_plain_dataset,
    select_sample,
)


@TRANSFORMS.register_module()
class RefuseAreaOfTest(BaseTransform):
    """Fail for images with a person of area 7."""

    def transform(self, results):
        if 7 in np.ravel(results['area']):
            raise KeyError('seven')
        return results


@pytest.fixture
def small(dataset):
    """Content, and config with a transform that refuses some people."""
    config = make_plain_dataset(
        str(dataset.file), str(dataset.images), 17, None
    )
    config['pipeline'].insert(1, dict(type='RefuseAreaOfTest'))
    return dataset.content, config


def draw(content, config, key='train_dataloader.dataset'):
    return draw_samples(config, key, [select_sample(content)], None)


def test_a_sample_of_each_kind_is_drawn(small):
    content, config = small
    assert draw(content, config) == 12
    assert draw(dict(content, images=content['images'][:3]), config) == 3


def test_images_with_other_keys_are_selected_first(small):
    content, _ = small
    last = content['images'][-1]['id']
    mine = [a for a in content['annotations'] if a['image_id'] == last]
    mine[-1].pop('segmentation')
    ids = [image['id'] for image in select_sample(content, 6)['images']]
    assert last in ids
    assert len(ids) == 6


def test_a_sample_that_cannot_be_drawn_is_named(small):
    content, config = small
    person = content['annotations'][-1]
    person['area'], person['odd'] = 7, 1
    with pytest.raises(ValueError, match='KeyError: .seven') as error:
        draw(content, config)
    assert f'(image {person["image_id"]}, ' in str(error.value)
    assert 'train_dataloader.dataset cannot be built' in str(error.value)


@pytest.mark.parametrize('wrap', [
    lambda c: dict(type='RepeatDataset', dataset=c, times=2),
    lambda c: dict(type='ConcatDataset', datasets=[c]),
    lambda c: dict(
        type='CombinedDataset', datasets=[c], metainfo=c['metainfo']
    ),
])  # fmt: skip
def test_wrapped_datasets_are_drawn(small, wrap):
    content, config = small
    content['annotations'][-1].update(area=7, odd=1)
    with pytest.raises(ValueError, match='seven') as error:
        draw(content, wrap(config))
    image_id = content['annotations'][-1]['image_id']
    assert f'(image {image_id}, ' in str(error.value)
    content['annotations'][-1].update(area=8)
    assert draw(content, wrap(config)) == 12


def test_people_with_and_without_a_segmentation_are_drawn(small):
    content, config = small
    for first in (True, False):
        mixed = copy.deepcopy(content)
        for n, person in enumerate(mixed['annotations']):
            if not person['iscrowd'] and bool(n % 2) == first:
                person.pop('segmentation', None)
        assert draw(mixed, config) == 12


def test_a_trial_leaves_no_trace(small):
    content, config = small
    before = copy.deepcopy(config)
    config['test_mode'] = True
    config['pipeline'] = [dict(type='BottomupLoadImage')]
    hub = MessageHub.get_current_instance()
    hub.update_info('checked_ann_file', 'mine.json')
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    draw(content, config)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert hub.get_info('checked_ann_file') == 'mine.json'
    assert config['ann_file'] == before['ann_file']
    hub.pop_info('checked_ann_file')


@DATASETS.register_module()
class ScoredDataset(CocoDataset):
    """Dataset with a file of scores beside its annotation file."""

    def __init__(self, ann_file, **kwargs):
        path = Path(ann_file)
        self.scores = json.loads(
            path.with_name(f'{path.stem}_scores.json').read_text()
        )
        super().__init__(ann_file=ann_file, **kwargs)


def test_files_named_after_the_annotation_file_are_found(small, dataset):
    content, config = small
    config['type'] = 'ScoredDataset'
    with pytest.raises(ValueError, match='_scores.json'):
        draw(content, config)
    scores = dataset.file.with_name(f'{dataset.file.stem}_scores.json')
    scores.write_text('[1, 2]')
    assert draw(content, config) == 12
    assert scores.read_text() == '[1, 2]'
