import numpy as np
import pytest
from helpers import assert_mask_is_official

from swahr_mmpose.datasets.transforms import geometry
from swahr_mmpose.datasets.transforms.loss_mask import loss_mask, valid_region


def test_affine_matrices_equal_the_official_ones(golden):
    z = golden('affine.npz')
    for i, matrix in enumerate(z['matrix/matrix']):
        ours = geometry.square_affine_matrix(
            z['matrix/center'][i],
            200 * z['matrix/scale'][i],
            z['matrix/rot'][i],
            int(z['matrix/output_size'][i]),
        )
        np.testing.assert_allclose(ours, matrix[:2], rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            geometry.apply_affine(z['matrix/joints_in'][i], ours),
            z['matrix/joints_out'][i],
            rtol=0,
            atol=1e-9,
        )


def test_test_sizes_and_matrices_equal_the_official_ones(golden):
    z = golden('preprocess.npz')
    for i, (h, w, side, scale, least, out_w, out_h) in enumerate(z['table']):
        got = geometry.resized_geometry(
            (int(w), int(h)), int(side), scale, least
        )
        assert got.size == (out_w, out_h)
        np.testing.assert_array_equal(got.center, z['table_center'][i])
        np.testing.assert_allclose(
            got.extent, 200 * z['table_scale'][i], rtol=1e-12
        )
        np.testing.assert_allclose(
            geometry.resize_matrix(got), z['table_trans'][i], rtol=0, atol=1e-4
        )


def test_back_to_the_image_as_officially(golden):
    """MMPose's add_pred_to_datasample formula with our metainfo."""
    z = golden('preprocess.npz')
    for i, (h, w, side, scale, least, *_) in enumerate(z['table']):
        got = geometry.resized_geometry(
            (int(w), int(h)), int(side), scale, least
        )
        extent = np.array(got.extent)
        points = z['table_points_in'][i] / got.size * extent
        np.testing.assert_allclose(
            points + got.center - extent / 2,
            z['table_points_out'][i],
            rtol=0,
            atol=1e-3,
        )


@pytest.mark.parametrize(
    ('image', 'side', 'size', 'center'),
    [
        ((640, 480), 512, (704, 512), (320, 240)),
        ((500, 333), 512, (768, 512), (250, 167)),
        ((333, 500), 512, (512, 768), (167, 250)),
        ((640, 425), 512, (832, 512), (320, 213)),
        ((500, 333), 640, (960, 640), (250, 167)),
    ],
)
def test_known_sizes(image, side, size, center):
    got = geometry.resized_geometry(image, side)
    assert (got.size, got.center) == (size, center)


def test_pyramid_sizes_are_multiples_of_each_other():
    sizes = [
        geometry.resized_geometry((640, 480), 512, s, 0.5).size
        for s in (0.5, 1, 1.5)
    ]
    assert sizes == [(384, 256), (768, 512), (1152, 768)]


def annotation(**kwargs):
    return dict(
        dict(id=7, image_id=3, iscrowd=0, keypoints=[0, 0, 0] * 17), **kwargs
    )


def test_crowds_and_people_without_keypoints_do_not_count():
    crowd = annotation(
        iscrowd=1,
        num_keypoints=0,
        segmentation=dict(size=[4, 6], counts=[4, 8, 12]),
    )
    unlabelled = annotation(
        num_keypoints=0, segmentation=[[4, 0, 6, 0, 6, 4, 4, 4]]
    )
    labelled = annotation(
        num_keypoints=3, segmentation=[[0, 0, 6, 0, 6, 4, 0, 4]]
    )
    region = valid_region([crowd, unlabelled, labelled], (6, 4))
    expected = np.ones((4, 6), bool)
    expected[:, [1, 2, 4, 5]] = False
    np.testing.assert_array_equal(region, expected)


def test_compressed_crowd_masks_are_read_too():
    from pycocotools import mask

    packed = mask.encode(np.asfortranarray(np.eye(4, 6, dtype=np.uint8)))
    region = valid_region(
        [annotation(iscrowd=1, num_keypoints=0, segmentation=packed)], (6, 4)
    )
    np.testing.assert_array_equal(region, ~np.eye(4, 6, dtype=bool))


def test_without_segmentation_everything_counts():
    people = [
        annotation(num_keypoints=0),
        annotation(iscrowd=1),
        annotation(segmentation=[]),
    ]
    assert valid_region(people, (6, 4)).all()
    assert valid_region([], (6, 4)).all()


def test_a_mask_of_another_size_is_named():
    crowd = annotation(
        iscrowd=1, segmentation=dict(size=[5, 6], counts=[4, 26])
    )
    with pytest.raises(ValueError, match='annotation 7 of image 3'):
        valid_region([crowd], (6, 4))


def test_the_mask_is_false_outside_the_image():
    matrix = geometry.square_affine_matrix((4, 4), 16, 0, 16)
    mask = loss_mask(np.ones((8, 8), bool), matrix, (16, 16), False)
    expected = np.zeros((16, 16), bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(mask, expected)


def test_masks_equal_the_official_ones(golden):
    z = golden('targets.npz')
    for name in z['real_names']:
        image = '/'.join(str(name).split('/')[:2])
        h, w = z[f'{image}/image_hw']
        bits = np.unpackbits(z[f'{image}/mask_packbits'])[: h * w]
        region = bits.reshape(h, w).astype(bool)
        matrix = z[f'{name}matrix_512'][:2]
        for side in (128, 256):
            mask = loss_mask(
                region,
                geometry.scaled_matrix(matrix, (512, 512), (side, side)),
                (side, side),
                bool(z[f'{name}flip']),
            )
            assert_mask_is_official(mask, z[f'{name}mask_{side}'])


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        (dict(size=[4, 6], counts=[0, 23]), 'counts 23 pixels, .* has 24'),
        (dict(size=[6, 4], counts=[0, 24]), r'is of size \[6, 4\]'),
        ([[0, 0, 3, 0, 3, None]], 'no numbers'),
        ([[0, 0, 3, 0, 3, 1e9]], 'beyond 1e'),
        ([[0, 0, 3, 0, 3, float('nan')]], 'no numbers'),
    ],
)
def test_masks_that_would_crash_or_be_random_are_refused(
    segmentation, message
):
    crowd = dict(
        id=7,
        image_id=3,
        iscrowd=1,
        num_keypoints=0,
        keypoints=[0] * 51,
        segmentation=segmentation,
    )
    with pytest.raises(
        ValueError, match=f'annotation 7 of image 3.*{message}'
    ):
        valid_region([crowd], (6, 4))
