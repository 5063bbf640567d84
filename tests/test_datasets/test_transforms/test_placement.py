import numpy as np
import pytest
from helpers.datasets import sample
from mmpose.datasets.transforms import (
    BottomupRandomAffine,
    BottomupResize,
    GenerateTarget,
    RandomFlip,
)
from mmpose.datasets.transforms.bottomup_transforms import (
    BottomupRandomChoiceResize,
    BottomupRandomCrop,
)

from swahr_mmpose import BottomupGetLossMask, BottomupRandomSquareAffine
from swahr_mmpose.datasets.transforms import geometry

CODEC = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=(64, 64),
    heatmap_sizes=[(16, 16), (64, 64)],
)
CROWD = (slice(5, 22), slice(8, 31))  # rows and columns


def white_sample(people=2, size=(60, 40)):
    """White image, black in a crowd region, which the mask excludes."""
    results = sample(size, people)
    results['img'][:] = 255
    results['img'][CROWD] = 0
    polygon = [8, 5, 31, 5, 31, 22, 8, 22]
    results['raw_ann_info'] = [
        dict(id=1, image_id=1, iscrowd=1, segmentation=[polygon])
    ]
    return results


def run(results, *transforms):
    for transform in (*transforms, GenerateTarget(encoder=CODEC)):
        results = transform(results)
    return BottomupGetLossMask()(results)


def affine(**kwargs):
    return BottomupRandomSquareAffine((64, 64), **kwargs)


def assert_mask_is_where_the_image_is(results):
    # The finest level has the resolution of the input.  A cell at an edge may
    # round differently.
    image = results['img'][..., 0] > 127
    assert np.count_nonzero(results['heatmap_mask'][1] != image) < 5
    assert 0.1 < image.mean() < 0.95
    coarse = results['img'][::4, ::4, 0] > 127
    assert (results['heatmap_mask'][0] != coarse).mean() < 0.2


DIRECTIONS = ['horizontal', 'vertical', 'diagonal']
FLIPS_AROUND = {
    'after': ([], [RandomFlip(0.5)]),
    'before': ([RandomFlip(0.5)], []),
    'around': ([RandomFlip(0.5)], [RandomFlip(0.5)]),
    'twice after': ([], [RandomFlip(0.5), RandomFlip(0.5, 'vertical')]),
    'any': (
        [RandomFlip([0.3] * 3, DIRECTIONS)],
        [RandomFlip([0.3] * 3, DIRECTIONS)],
    ),
}


@pytest.mark.parametrize('people', [0, 2])
@pytest.mark.parametrize('name', FLIPS_AROUND)
def test_the_mask_follows_flips_of_mmpose_beside_our_affine(name, people):
    np.random.seed(0)
    before, after = FLIPS_AROUND[name]
    for _ in range(40):
        out = run(white_sample(people), *before, affine(), *after)
        assert_mask_is_where_the_image_is(out)


@pytest.mark.parametrize('direction', DIRECTIONS)
def test_the_mask_follows_the_affine_and_flip_of_mmpose(direction):
    np.random.seed(0)
    for prob in (0.0, 1.0):
        flip = RandomFlip(prob, direction)
        assert_mask_is_where_the_image_is(run(white_sample(), theirs(), flip))


def test_two_flips_give_the_targets_of_none():
    matrix = geometry.square_affine_matrix((30, 20), 40, 10, 64)
    ours, flip = affine(), RandomFlip(1.0)
    plain, twice, once, later = (
        run(ours.apply(white_sample(), matrix, flipped), *flips)
        for flipped, flips in (
            (False, []),
            (True, [flip]),
            (True, []),
            (False, [flip]),
        )
    )
    for expected, got in ((plain, twice), (once, later)):
        for key in ('heatmaps', 'heatmap_mask'):
            for a, b in zip(expected[key], got[key]):
                np.testing.assert_array_equal(a, b)
    a, b = (np.asarray(r['heatmaps'][0]) for r in (plain, once))
    assert (a != b).any()


def theirs(**kwargs):
    return BottomupRandomAffine((64, 64), bbox_keep_corner=False, **kwargs)


RESIZE = BottomupRandomChoiceResize([(80, 80)])
CROP = BottomupRandomCrop((50, 50), allow_negative_crop=True)


def crop_image(results):
    return dict(results, img=results['img'][:50, :50])


WARPED = r'warp_mat of shape \(3, 3\), expected \(2, 3\)'


@pytest.mark.parametrize(
    ('transforms', 'message'),
    [
        ([affine(), theirs()], 'warped again after'),
        ([affine(), BottomupResize((64, 64))], 'warped again after'),
        ([affine(), RESIZE], 'warped again after'),
        (
            [affine(), crop_image],
            r'it has size \(50, 50\), expected \(64, 64\)',
        ),
        ([theirs(), affine()], 'before BottomupRandomSquareAffine'),
        ([RESIZE, affine()], 'before BottomupRandomSquareAffine'),
        ([CROP, affine()], 'before BottomupRandomSquareAffine'),
        ([RESIZE], r'it has size \(80, 80\), expected \(60, 60\)'),
    ],
)
def test_other_geometry_beside_our_affine_is_refused(transforms, message):
    np.random.seed(0)
    results = dict(white_sample(size=(60, 60)), img_path='a.jpg', heatmaps=[])
    del results['raw_ann_info']
    for transform in transforms:
        results = transform(results)
    with pytest.raises(ValueError, match=f'image a.jpg: .*{message}'):
        BottomupGetLossMask()(results)


def test_the_mask_follows_a_crop_of_mmpose():
    np.random.seed(0)
    results = dict(white_sample(size=(60, 60)), id=[1, 2], iscrowd=[0, 0])
    del results['raw_ann_info']
    out = CROP(results)
    out['raw_ann_info'] = white_sample()['raw_ann_info']
    mask = BottomupGetLossMask()(out)['heatmap_mask']
    np.testing.assert_array_equal(mask, out['img'][..., 0] > 127)


def test_boxes_as_corners_are_named():
    results = BottomupRandomAffine((64, 64))(white_sample())
    with pytest.raises(ValueError, match=r'boxes of shape \(2, 4, 2\)'):
        affine()(results)


def test_perspective_is_refused_and_an_affine_of_three_rows_followed():
    np.random.seed(0)
    results = run(white_sample(), theirs(transform_mode='perspective'))
    assert results['warp_mat'].shape == (3, 3)
    assert_mask_is_where_the_image_is(results)
    results['warp_mat'][2, 0] = 0.01
    with pytest.raises(ValueError, match=WARPED):
        BottomupGetLossMask()(results)


def test_an_unknown_flip_direction_is_named():
    results = dict(white_sample(), flip=True, flip_direction='sideways')
    with pytest.raises(ValueError, match="got flip_direction 'sideways'"):
        BottomupGetLossMask()(results)


def test_a_single_heatmap_has_a_single_mask():
    out = affine()(white_sample())
    levels = [np.zeros((17, n, n), np.float32) for n in (16, 64)]
    several = BottomupGetLossMask()(dict(out, heatmaps=levels))
    single = BottomupGetLossMask()(dict(out, heatmaps=levels[1]))
    np.testing.assert_array_equal(
        single['heatmap_mask'], several['heatmap_mask'][1]
    )
    without = BottomupGetLossMask()(out)
    np.testing.assert_array_equal(
        without['heatmap_mask'], single['heatmap_mask']
    )


def test_annotations_in_the_keys_of_mmpose_make_the_same_mask():
    results = white_sample()
    expected = BottomupGetLossMask()(dict(results))['heatmap_mask']
    annotation = results['raw_ann_info'][0]
    assert not expected[CROWD].any()
    assert expected.sum() == 60 * 40 - 17 * 23
    del annotation['iscrowd']  # a person without the key 'keypoints'
    for keys in (
        dict(raw_ann_info=results['raw_ann_info']),
        dict(raw_ann_info=annotation),
        dict(raw_ann_info=None, invalid_segs=[annotation['segmentation']]),
    ):
        mask = BottomupGetLossMask()({**results, **keys})['heatmap_mask']
        np.testing.assert_array_equal(mask, expected)
