"""Targets and losses of samples that MMPose's datasets deliver."""

import json

import cv2
import numpy as np
import pytest
import torch
from helpers.datasets import CODEC
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS

from swahr_mmpose import HigherHRNetHead

OURS = [
    dict(type='BottomupLoadImage'),
    dict(type='BottomupRandomSquareAffine', input_size=(64, 64)),
    dict(type='GenerateTarget', encoder=CODEC),
    dict(type='BottomupGetLossMask'),
    dict(type='BottomupPackInputs'),
]
THEIRS = [
    dict(type='LoadImage'),
    dict(type='BottomupRandomAffine', input_size=(64, 64)),
    dict(type='RandomFlip'),
    dict(type='GenerateTarget', encoder=dict(CODEC, sparse_heatmaps=False)),
    dict(type='BottomupGetHeatmapMask'),
    dict(type='PackPoseInputs'),
]
PIPELINES = dict(
    ours=OURS,
    mixed=THEIRS[:3] + OURS[2:],
    theirs=THEIRS,
    unmasked=[*OURS[:3], OURS[4]],
    dense=[*OURS[:4], dict(type='BottomupPackInputs', sparse=False)],
)
NUMBERS = dict(CocoDataset=17, CrowdPoseDataset=14)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


def annotate(number, **kwargs):
    """Annotate a person with keypoints on a diagonal, all visible."""
    keypoints = [[10 + 2 * k, 8 + 2 * k, 1] for k in range(number)]
    return dict(
        dict(
            image_id=1,
            category_id=1,
            iscrowd=0,
            bbox=[8, 6, 40, 40],
            area=1600,
            keypoints=sum(keypoints, []),
            num_keypoints=number,
        ),
        **kwargs,
    )


def build(folder, kind, annotations, pipeline, name='people'):
    """Build a dataset of one image of 70 x 60 pixels."""
    cv2.imwrite(str(folder / 'a.png'), np.full((60, 70, 3), 99, np.uint8))
    path = folder / f'{name}.json'
    content = dict(
        images=[dict(id=1, file_name='a.png', width=70, height=60)],
        annotations=[dict(a, id=i) for i, a in enumerate(annotations, 1)],
        categories=[dict(id=1, name='person')],
    )
    path.write_text(json.dumps(content))
    return dict(
        type=kind,
        data_mode='bottomup',
        ann_file=str(path),
        data_prefix=dict(img=f'{folder}/'),
        pipeline=pipeline,
    )


def load(config, number=4):
    """Load the same random samples of a dataset."""
    dataset = DATASETS.build(config)
    for seed in range(number):
        np.random.seed(seed)
        yield dataset[0]['data_samples']


@pytest.mark.parametrize('pipeline', PIPELINES)
@pytest.mark.parametrize('kind', NUMBERS)
def test_crowds_without_labelled_keypoints_are_not_people(
    tmp_path, kind, pipeline
):
    people = [annotate(NUMBERS[kind]), annotate(NUMBERS[kind])]
    people[1]['keypoints'][::3] = [n + 9 for n in people[1]['keypoints'][::3]]
    crowd = annotate(NUMBERS[kind], iscrowd=1, num_keypoints=0)
    crowd['keypoints'][1::3] = [n + 5 for n in crowd['keypoints'][1::3]]
    pair = (
        build(tmp_path, kind, annotations, PIPELINES[pipeline], name)
        for name, annotations in (
            ('with', [people[0], crowd, people[1]]),
            ('without', people),
        )
    )
    for got, expected in zip(*map(load, pair)):
        a, b = (s.gt_instance_labels.keypoint_indices for s in (got, expected))
        assert len(a) == 2
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        for level in range(2):
            torch.testing.assert_close(
                got.gt_fields.heatmaps[level],
                expected.gt_fields.heatmaps[level],
                rtol=0,
                atol=0,
            )


def test_crowds_with_labelled_keypoints_and_unlabelled_people_are_kept(
    tmp_path,
):
    annotations = [
        annotate(14, iscrowd=1, num_keypoints=3),
        annotate(14, num_keypoints=0),  # all v = 1: CrowdPose counts v = 2
        annotate(14, iscrowd=1, num_keypoints=0),
    ]
    config = build(tmp_path, 'CrowdPoseDataset', annotations, OURS)
    (sample,) = load(config, 1)
    indices = sample.gt_instance_labels.keypoint_indices
    assert indices.shape == (2, 14, 2)
    assert indices[..., 1].any()


SEGMENTATION = [[8, 6, 48, 6, 48, 46, 8, 46]]
RLE = dict(size=[60, 70], counts=[0, 10, 4190])
MISSING = object()


@pytest.mark.parametrize('pipeline', ['ours', 'theirs'])
@pytest.mark.parametrize(
    'segmentations',
    [
        [SEGMENTATION, MISSING, SEGMENTATION],
        [SEGMENTATION, None],
        [SEGMENTATION, []],
        [None, SEGMENTATION],
        [[], SEGMENTATION, None],
        [RLE, MISSING, SEGMENTATION],
        [SEGMENTATION, RLE, None],
    ],
)
def test_some_people_of_an_image_may_have_no_segmentation(
    tmp_path, segmentations, pipeline
):
    people = []
    for segmentation in segmentations:
        people.append(annotate(17))
        if segmentation is not MISSING:
            people[-1]['segmentation'] = segmentation
    # Without labelled keypoints: masked where there is a segmentation.
    people.append(annotate(17, num_keypoints=0, keypoints=[0] * 51))
    plain = [
        {k: v for k, v in person.items() if k != 'segmentation'}
        for person in people
    ]
    pair = (
        build(tmp_path, 'CocoDataset', annotations, PIPELINES[pipeline], name)
        for name, annotations in (('some', people), ('none', plain))
    )
    for got, expected in zip(*map(load, pair)):
        for key in ('heatmaps', 'heatmap_mask'):
            for a, b in zip(
                got.gt_fields.get(key), expected.gt_fields.get(key)
            ):
                assert torch.equal(a, b)


# CrowdPose: shoulders, elbows, wrists, hips, knees, ankles; top head, neck.
TO_COCO = [(k, k + 5) for k in range(12)]


def mix(folder, pipeline):
    """Combine CrowdPose, without COCO's first five keypoints, and COCO."""
    steps = [dict(step) for step in PIPELINES[pipeline]]
    converter = dict(
        type='KeypointConverter', num_keypoints=17, mapping=TO_COCO
    )
    return dict(
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[
            build(
                folder, 'CrowdPoseDataset', [annotate(14)], [converter], 'a'
            ),
            build(folder, 'CocoDataset', [annotate(17)], [], 'b'),
        ],
        pipeline=steps,
    )


@pytest.mark.parametrize('pipeline', PIPELINES)
def test_keypoints_that_a_dataset_does_not_annotate_are_not_trained(
    tmp_path, pipeline
):
    dataset = DATASETS.build(mix(tmp_path, pipeline))
    head = HigherHRNetHead(in_channels=4, num_keypoints=17)
    np.random.seed(1)
    torch.manual_seed(0)
    converted, complete = ([dataset[i]['data_samples']] * 4 for i in (0, 1))
    for samples, trained in (
        (converted, [False] * 5 + [True] * 12),
        (complete, [True] * 17),
        (converted[:2] + complete[:2], [True] * 17),
    ):
        head.zero_grad()
        losses = head.loss((torch.randn(4, 4, 16, 16),), samples)
        sum(v for k, v in losses.items() if 'kpt' in k).backward()
        # Maps of the finest level are used by the loss alone.
        grads = head.final_layers[1].weight.grad
        assert grads.flatten(1).any(dim=1).tolist() == trained


def test_the_mask_by_keypoint_is_flipped_with_the_keypoints(tmp_path):
    config = mix(tmp_path, 'ours')
    # Without the left shoulder.
    config['datasets'][0]['pipeline'][0]['mapping'] = TO_COCO[1:]
    config['pipeline'][1]['flip_prob'] = 1.0
    sample = DATASETS.build(config)[0]['data_samples']
    weights = sample.gt_instance_labels.keypoints_visible_weights[0]
    assert torch.nonzero(weights == 0).flatten().tolist() == [0, 1, 2, 3, 4, 6]


def test_flip_indices_of_another_skeleton_are_named(tmp_path):
    config = mix(tmp_path, 'ours')['datasets'][0]
    config['pipeline'] += OURS
    config['pipeline'][2] = dict(OURS[1], flip_prob=1.0)
    with pytest.raises(ValueError, match='14 flip_indices for 17 keypoints'):
        DATASETS.build(config)[0]
