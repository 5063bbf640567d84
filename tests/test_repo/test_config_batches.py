"""Each config makes a training step and a test step, small but real.

Its own pipeline, codec, head, losses, evaluator and dataset class; only the
input is 64 px and the backbone has one block where there are four.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers.tools import LEAVES, make_small
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, METRICS, MODELS


def make_shallow(backbone):
    for name, stage in backbone['extra'].items():
        stage['num_modules'] = 1
        stage['num_blocks'] = tuple(1 for _ in stage['num_blocks'])
        assert name.startswith('stage')
    backbone['init_cfg'] = None


@pytest.fixture(scope='module')
def annotations(synthetic, tmp_path_factory):
    """The synthetic data as COCO, as CrowdPose, and without annotations."""
    source = synthetic / 'annotations/person_keypoints_train.json'
    content = json.loads(source.read_text())
    folder = tmp_path_factory.mktemp('annotations')
    for image in content['images']:
        image['crowdIndex'] = 0.1 * (image['id'] % 10)
    people = [a for a in content['annotations'] if not a['iscrowd']]
    people = [dict(a, keypoints=a['keypoints'][: 14 * 3]) for a in people]
    for person in people:
        person['num_keypoints'] = int(
            np.count_nonzero(person['keypoints'][2::3])
        )
        del person['segmentation'], person['area']
    files = dict(
        CocoDataset=content,
        CrowdPoseDataset=dict(content, annotations=people),
        unannotated={k: content[k] for k in ('images', 'categories')},
    )
    for name, text in files.items():
        (folder / f'{name}.json').write_text(json.dumps(text))
    return folder


def load(path, annotations, images, tmp_path):
    cfg = make_small(Config.fromfile(ROOT / path).to_dict())
    make_shallow(cfg['model']['backbone'])
    for split in ('train', 'test'):
        dataset = cfg[f'{split}_dataloader']['dataset']
        name = dataset['type']
        if 'test-dev' in dataset['ann_file']:
            name = 'unannotated'
        ann_file = str(annotations / f'{name}.json')
        dataset.update(
            data_root='', ann_file=ann_file, data_prefix=dict(img=str(images))
        )
    cfg['test_evaluator']['ann_file'] = ann_file
    if cfg['test_evaluator'].get('format_only'):
        cfg['test_evaluator']['outfile_prefix'] = str(tmp_path / 'out')
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('path', LEAVES)
def test_a_config_trains_and_tests(path, annotations, synthetic, tmp_path):
    init_default_scope('mmpose')
    cfg = load(path, annotations, synthetic / 'images/train', tmp_path)
    model = MODELS.build(cfg['model'])
    model.init_weights()

    data = DATASETS.build(cfg['train_dataloader']['dataset'])
    batch = model.data_preprocessor(
        pseudo_collate([data[i] for i in range(2)]), training=True
    )
    losses = model(**batch, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    without = [
        n for n, p in model.named_parameters() if p.grad is None
    ]  # DDP would stop at these
    assert without == []
    assert torch.isfinite(total)
    assert ('loss_scale.0' in losses) == cfg['model']['head']['scale_maps']

    model.eval()
    data = DATASETS.build(cfg['test_dataloader']['dataset'])
    metric = METRICS.build(cfg['test_evaluator'])
    metric.dataset_meta = data.metainfo
    with torch.no_grad():
        for index in range(2):
            batch = pseudo_collate([data[index]])
            found = [s.to_dict() for s in model.test_step(batch)]
            metric.process(batch, found)
    metrics = metric.evaluate(2)
    if cfg['test_evaluator'].get('format_only'):
        assert metrics == {}
        result = Path(f'{tmp_path}/out.keypoints.json')
        assert isinstance(json.loads(result.read_text()), list)
    else:
        prefix = 'crowdpose' if 'crowdpose' in path else 'coco'
        assert 0 <= metrics[f'{prefix}/AP'] <= 1
