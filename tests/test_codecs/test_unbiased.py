"""The exact coordinate convention, from image to people and back."""

import json

import cv2
import numpy as np
import pytest
import torch
from helpers.codecs import COCO_ORDER
from helpers.models import FLIPS, small_hrnet
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.datasets import CocoDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import MODELS

from swahr_mmpose import ScaleAwareAssociativeEmbedding
from swahr_mmpose.datasets.transforms import geometry


def make_codec(size, unbiased=True):
    w, h = size
    return ScaleAwareAssociativeEmbedding(
        input_size=size,
        heatmap_sizes=[(w // 4, h // 4), (w // 2, h // 2)],
        unbiased=unbiased,
        decode_keypoint_order=COCO_ORDER,
        decode_topk=60,
    )


def perfect_output(codec, keypoints, visible):
    """Maps of a perfect network: targets of stride 2, enlarged.

    The tag of a person is three times its index, wherever its keypoint is the
    nearest.  Where there is no keypoint, tags alternate between people, so
    that a missing keypoint is not filled with that of another person.
    """
    encoded = codec.encode(keypoints, visible)
    (w, h), people = codec.input_size, max(len(keypoints), 1)
    heatmaps = torch.nn.functional.interpolate(
        torch.from_numpy(np.asarray(encoded['heatmaps'][1]))[None],
        size=(h, w),
        mode='bilinear',
    )
    y, x = np.mgrid[:h, :w]
    tags = np.zeros((1, 17, h, w), np.float32)
    tags[:] = 3.0 * ((x + y) % people)
    for k in range(17):
        seen = np.flatnonzero(visible[:, k] > 0)
        if len(seen):
            points = keypoints[seen, k, :, None, None]
            distance = (x - points[:, 0]) ** 2 + (y - points[:, 1]) ** 2
            positive = heatmaps[0, k].numpy() > 0
            nearest = seen[distance.argmin(axis=0)]
            tags[0, k][positive] = 3.0 * nearest[positive]
    return heatmaps, torch.from_numpy(tags)


def decode_ground_truth(content, side, unbiased):
    """Encode and decode ground truth; returns samples for COCO's AP."""
    people = {i['id']: [] for i in content['images']}
    for a in content['annotations']:
        if not a['iscrowd'] and a['num_keypoints']:
            people[a['image_id']].append(
                np.array(a['keypoints'], float).reshape(17, 3)
            )
    samples = []
    for image in content['images']:
        placed = geometry.resized_geometry(
            (image['width'], image['height']), side, unbiased=unbiased
        )
        size, center, extent = (np.asarray(part) for part in placed)
        truth = np.array(people[image['id']]).reshape(-1, 17, 3)
        pixels = (truth[..., :2] - center) * size / extent + size / 2
        codec = make_codec(placed.size, unbiased)
        maps = perfect_output(codec, pixels, truth[..., 2])
        keypoints, scores, instance_scores = codec.batch_decode(*maps)
        samples.append(
            dict(
                id=[],
                img_id=image['id'],
                gt_instances={},
                pred_instances=dict(
                    keypoints=(keypoints[0] - size / 2) * extent / size
                    + center,
                    keypoint_scores=scores[0],
                    bbox_scores=instance_scores[0],
                ),
            )
        )
    return samples


def average_precision(path, samples):
    metric = CocoMetric(str(path), score_mode='bbox', nms_mode='none')
    metric.dataset_meta = parse_pose_metainfo(dict(CocoDataset.METAINFO))
    metric.process([], samples)
    return metric.evaluate(len(samples))['coco/AP']


@pytest.mark.slow
@pytest.mark.parametrize('side', [512, 640])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_coco_people_survive_encoding_and_decoding(shared, split, side):
    path = shared / f'data/coco_mini/annotations/person_keypoints_{split}.json'
    content = json.loads(path.read_text())
    ap = average_precision(path, decode_ground_truth(content, side, True))
    assert ap >= 0.98


@pytest.mark.slow
def test_synthetic_people_survive_encoding_and_decoding(synthetic):
    path = synthetic / 'annotations/person_keypoints_train.json'
    content = json.loads(path.read_text())
    ap = average_precision(path, decode_ground_truth(content, 512, True))
    assert ap >= 0.98


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(20, 700),
    height=st.integers(20, 700),
    side=st.sampled_from([64, 128, 256]),
    scale=st.sampled_from([0.5, 1.0, 1.5]),
)
def test_a_flipped_image_gives_the_flipped_input(width, height, side, scale):
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3))
    image = noise.astype(np.uint8)
    placed = geometry.resized_geometry(
        (width, height), side, scale, 0.5, unbiased=True
    )
    expected = geometry.resize_image(image, placed, unbiased=True)
    flipped = np.ascontiguousarray(image[:, ::-1])
    resized = geometry.resize_image(flipped, placed, unbiased=True)
    np.testing.assert_array_equal(resized[:, ::-1], expected)


@settings(max_examples=100, deadline=None)
@given(width=st.integers(20, 900), height=st.integers(20, 900))
def test_the_image_centre_is_the_input_centre(width, height):
    placed = geometry.resized_geometry((width, height), 512, unbiased=True)
    size, center, extent = (np.asarray(part) for part in placed)
    image_centre = (np.array([width, height]) - 1) / 2
    np.testing.assert_allclose(
        (image_centre - center) * size / extent + size / 2,
        (size - 1) / 2,
        atol=1e-9,
    )


def make_model():
    """Make a model whose random weights are scaled to give peaks."""
    init_default_scope('mmpose')
    codec = dict(
        type='ScaleAwareAssociativeEmbedding',
        input_size=(64, 64),
        heatmap_sizes=[(16, 16), (32, 32)],
        unbiased=True,
        decode_keypoint_order=COCO_ORDER,
    )
    model = MODELS.build(
        dict(
            type='BottomupPyramidPoseEstimator',
            data_preprocessor=dict(
                type='BottomupPyramidDataPreprocessor',
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
            ),
            backbone=dict(type='HRNet', extra=small_hrnet().extra),
            head=dict(
                type='HigherHRNetHead',
                in_channels=8,
                num_keypoints=17,
                num_basic_blocks=1,
                decoder=codec,
            ),
            test_cfg=dict(flip_test=True),
        )
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return model.double().eval()


def find_people(model, image, scales):
    pipeline = Compose(
        [
            dict(
                type='BottomupPyramidResize',
                input_size=(64, 64),
                scales=scales,
                unbiased=True,
            ),
            dict(type='BottomupPackInputs'),
        ]
    )
    sample = pipeline(
        dict(
            img=image,
            img_path='x',
            ori_shape=image.shape[:2],
            flip_indices=FLIPS[17],
        )
    )
    data = model.data_preprocessor(pseudo_collate([sample]))
    inputs = data['inputs']
    inputs = (
        [i.double() for i in inputs]
        if isinstance(inputs, list)
        else inputs.double()
    )
    with torch.no_grad():
        return model.predict(inputs, data['data_samples'])[0].pred_instances


@pytest.mark.parametrize('scales', [(1.0,), (0.5, 1.0, 1.5)])
@pytest.mark.parametrize('size', [(101, 80), (90, 64), (64, 97)])
def test_flipping_the_image_flips_the_people(size, scales):
    noise = np.random.randint(0, 255, (*size[::-1], 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (9, 9), 2)
    model = make_model()
    people = find_people(model, image, scales)
    # Grouping order is not symmetric: swap left and right keypoints.
    model.head.decoder.decode_keypoint_order = [
        FLIPS[17][k] for k in COCO_ORDER
    ]
    flipped = find_people(model, np.ascontiguousarray(image[:, ::-1]), scales)
    assert 3 < len(people.keypoints) == len(flipped.keypoints)
    back = flipped.keypoints[:, FLIPS[17]].copy()
    back[..., 0] = size[0] - 1 - back[..., 0]
    found = people.keypoint_scores > 0
    np.testing.assert_allclose(
        back[found], people.keypoints[found], rtol=0, atol=1e-3
    )
