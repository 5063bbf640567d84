import cv2
import numpy as np
import pytest
import torch
from helpers import assert_image_is_official, assert_mask_is_official
from helpers.datasets import FLIP, encode, sample
from mmpose.registry import TRANSFORMS

from swahr_mmpose import (
    BottomupPackInputs,
    BottomupPyramidResize,
    BottomupRandomSquareAffine,
    ScaleAwareAssociativeEmbedding,
)
from swahr_mmpose.datasets.transforms import geometry
from swahr_mmpose.datasets.transforms.loss_mask import warp_loss_mask


def test_images_masks_and_keypoints_equal_the_official_ones(golden):
    z = golden('affine.npz')
    for c in range(2):
        p = f'call/case{c}/'
        matrix = z[f'{p}matrix_64'][:2]
        results = dict(sample(), img=z[f'{p}image'])
        results['keypoints'] = z[f'{p}joints'][..., :2]
        out = BottomupRandomSquareAffine((64, 64)).apply(
            results, matrix, flip=False
        )
        assert_image_is_official(out['img'], z[f'{p}image_out'])
        for side in (16, 32):
            np.testing.assert_allclose(
                out['keypoints'] * side / 64,
                z[f'{p}joints_{side}'][..., :2],
                atol=1e-9,
            )
            mask = warp_loss_mask(
                z[f'{p}mask'] > 0,
                geometry.scale_matrix(matrix, (64, 64), (side, side), False),
                (side, side),
                False,
            )
            assert_mask_is_official(mask, z[f'{p}mask_{side}'])


def test_targets_of_real_annotations_equal_the_official_ones(golden):
    z = golden('targets.npz')
    codec = ScaleAwareAssociativeEmbedding(
        (512, 512), [(128, 128), (256, 256)]
    )
    affine = BottomupRandomSquareAffine((512, 512))
    flips = dict(
        coco=FLIP, crowdpose=[1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13]
    )
    for name in z['real_names']:
        image = '/'.join(str(name).split('/')[:2])
        joints = z[f'{image}/joints']
        results = dict(
            img=np.zeros((*z[f'{image}/image_hw'], 3), np.uint8),
            keypoints=joints[..., :2],
            keypoints_visible=joints[..., 2],
            flip_indices=flips[image.split('/')[1].split('_')[0]],
        )
        out = affine.apply(
            results, z[f'{name}matrix_512'][:2], bool(z[f'{name}flip'])
        )
        encoded = codec.encode(
            out['keypoints'], out['keypoints_visible'], out['flip']
        )
        for level, side in enumerate((128, 256)):
            np.testing.assert_array_equal(
                encoded['heatmaps'][level], z[f'{name}heatmaps_{side}']
            )
        official = z[f'{name}joints_index_128']
        for ours, theirs in zip(encoded['keypoint_indices'], official):
            got = {k * 128**2 + int(i) for k, (i, v) in enumerate(ours) if v}
            assert got == {int(i) for i, counts in theirs if counts}


@pytest.mark.parametrize('flip', [False, True])
def test_a_bright_pixel_moves_with_its_keypoint(flip):
    results = sample()
    results['img'][:] = 0
    results['img'][18:23, 28:33] = 255
    results['keypoints'][:] = (30, 20)
    affine = BottomupRandomSquareAffine((64, 64), rotation=20)
    matrix, _ = affine.draw(40, 60, np.random)
    out = affine.apply(results, matrix, flip)
    bright = np.argwhere(out['img'][..., 0] > 200)[:, ::-1].mean(axis=0)
    assert np.abs(bright - out['keypoints'][0, 0]).max() < 0.5


def test_a_flipped_image_is_the_reversed_one_bit_for_bit():
    affine = BottomupRandomSquareAffine((64, 64))
    matrix = geometry.square_affine_matrix((30, 20), 40, 10, 64)
    plain, flipped = (
        affine.apply(sample(), matrix, flip)['img'] for flip in (False, True)
    )
    assert plain.any()
    assert flipped.flags.c_contiguous
    np.testing.assert_array_equal(flipped, plain[:, ::-1])


def test_flipping_twice_is_the_identity():
    matrix = geometry.square_affine_matrix((30, 20), 40, 10, 64)
    affine = BottomupRandomSquareAffine((64, 64))
    once = affine.apply(sample(), matrix, True)
    plain = affine.apply(sample(), matrix, False)
    affine._flip(once)
    for key in ('img', 'keypoints', 'keypoints_visible', 'bbox'):
        np.testing.assert_allclose(once[key], plain[key], atol=1e-4)


@pytest.mark.parametrize('rotation', [0, 25])
def test_the_width_of_a_person_follows_the_scale_not_the_rotation(rotation):
    before = sample()['bbox']
    matrix = geometry.square_affine_matrix((30, 20), 40, rotation, 64)
    out = BottomupRandomSquareAffine((64, 64)).apply(sample(), matrix, True)
    widths = (before[:, 2] - before[:, 0]) * 64 / 40
    np.testing.assert_allclose(out['person_width'], widths, rtol=1e-6)


def test_shift_is_at_most_a_fifth_of_the_square_in_whole_pixels():
    affine = BottomupRandomSquareAffine((64, 64), rotation=0, scale=(1, 1))
    corners = []
    for _ in range(500):
        matrix, _ = affine.draw(40, 60, np.random)
        scale = matrix[0, 0]
        corners.append((matrix[:, 2] - 32) / -scale - (30, 20))
    corners = np.array(corners)
    np.testing.assert_allclose(corners, corners.round(), atol=1e-9)
    assert corners.min() == -8
    assert corners.max() == 7


def test_augmentation_stays_in_its_range():
    affine = BottomupRandomSquareAffine((64, 64), scale=(0.75, 1.5))
    scales, angles, flips = [], [], 0
    for _ in range(500):
        matrix, flip = affine.draw(40, 60, np.random)
        scales.append(64 / 40 / np.hypot(*matrix[:, 0]))
        angles.append(np.rad2deg(np.arctan2(matrix[0, 1], matrix[0, 0])))
        flips += flip
    assert 0.75 <= min(scales) < 0.8
    assert 1.45 < max(scales) <= 1.5
    assert -30 <= min(angles) < -28
    assert 28 < max(angles) <= 30
    assert 200 < flips < 300


@pytest.mark.parametrize('size', [(1, 1), (3, 200), (64, 64)])
@pytest.mark.parametrize('people', [0, 1, 3])
def test_any_image_and_number_of_people_makes_a_sample(size, people):
    results = BottomupRandomSquareAffine((64, 64))(sample(size, people))
    results = encode(results)
    packed = BottomupPackInputs()(results)
    fields = packed['data_samples'].gt_fields
    assert packed['inputs'].shape == (3, 64, 64)
    assert [tuple(h.shape) for h in fields.heatmaps] == [
        (17, 16, 16),
        (17, 32, 32),
    ]
    assert [tuple(m.shape) for m in fields.heatmap_mask] == [
        (16, 16),
        (32, 32),
    ]
    indices = packed['data_samples'].gt_instance_labels.keypoint_indices
    assert indices.shape == (people, 17, 2)
    assert indices.dtype == torch.int64


def test_crowd_regions_are_masked_through_the_pipeline():
    results = sample((64, 64))
    results['raw_ann_info'] = [
        dict(
            id=1,
            image_id=1,
            iscrowd=1,
            num_keypoints=0,
            keypoints=[0] * 51,
            segmentation=dict(size=[64, 64], counts=[0, 64 * 32, 64 * 32]),
        )
    ]
    affine = BottomupRandomSquareAffine((64, 64))
    matrix = geometry.square_affine_matrix((32, 32), 64, 0, 64)
    for flip in (False, True):
        out = affine.apply(dict(results), matrix, flip)
        coarse, fine = encode(out)['heatmap_mask']
        assert coarse[:, :8].any() == flip
        assert fine[:, 16:].any() != flip
        assert fine.mean() == 0.5


def test_resizing_equals_the_official_one_on_images(shared):
    z = np.load(shared / 'golden/preprocess.npz')
    for name in z['small_names']:
        which, setting = str(name).split('/')[1:3]
        side, scale, least = (
            float(part.lstrip('inputscalem_')) for part in setting.split('_')
        )
        level = geometry.resized_geometry(
            z[f'small/{which}/image'].shape[1::-1], int(side), scale, least
        )
        resized = cv2.warpAffine(
            z[f'small/{which}/image'],
            geometry.resize_matrix(level),
            level.size,
        )
        assert_image_is_official(resized, z[f'{name}resized'])


def test_one_scale_gives_one_image():
    out = BottomupPyramidResize((64, 64))(sample((100, 70)))
    assert out['img'].shape == (64, 128, 3)
    assert out['input_size'] == (128, 64)
    packed = BottomupPackInputs()(out)
    assert packed['inputs'].shape == (3, 64, 128)
    assert 'category_id' not in packed['data_samples'].metainfo


def test_a_pyramid_is_a_list_largest_first():
    out = BottomupPyramidResize((128, 128), scales=(0.5, 1, 2))(sample())
    packed = BottomupPackInputs()(out)
    assert [tuple(i.shape) for i in packed['inputs']] == [
        (3, 256, 512),
        (3, 128, 256),
        (3, 64, 128),
    ]
    info = packed['data_samples'].metainfo
    assert info['input_size'] == (256, 128)
    assert info['pyramid_scales'] == [2, 1, 0.5]


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: BottomupRandomSquareAffine((64, 32)), 'must be square'),
        (
            lambda: BottomupRandomSquareAffine((64, 64), scale=(2, 1)),
            'low <= high',
        ),
        (
            lambda: BottomupRandomSquareAffine((64, 64), scale_type='x'),
            "'long'",
        ),
        (lambda: BottomupPyramidResize((64, 32)), 'must be square'),
        (
            lambda: BottomupPyramidResize((64, 64), scales=(0.5, 2)),
            'include 1.0',
        ),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    'name',
    [
        'BottomupGetLossMask',
        'BottomupLoadImage',
        'BottomupPackInputs',
        'BottomupPyramidResize',
        'BottomupRandomSquareAffine',
    ],
)
def test_transforms_are_registered(name):
    assert TRANSFORMS.get(name).__name__ == name
