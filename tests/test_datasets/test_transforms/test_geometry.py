import numpy as np
import pytest

from swahr_mmpose.datasets.transforms import geometry


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


def test_points_in_the_image_equal_the_official_ones(golden):
    """Formula of MMPose's add_pred_to_datasample with our metainfo."""
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
