import cv2
import numpy as np

from swahr_mmpose.datasets.transforms import geometry
from swahr_mmpose.visualization.drawing import (
    Placement,
    draw_poses,
    inverse_scale,
    overlay,
    place,
    pose_and_scale_figure,
)

IMAGE = np.full((30, 40, 3), 128, np.uint8)


def same_size(width, height):
    """Placement of an input that is the image itself."""
    size = np.array([width, height])
    return Placement((width, height), size / 2, size)


def test_inverse_scale_is_the_normalised_mean_of_one_plus_alpha():
    alpha = np.zeros((2, 3, 4), np.float32)
    alpha[0, 1, 2] = 1
    values, (low, high) = inverse_scale(alpha, same_size(4, 3), (4, 3), None)
    assert (low, high) == (1, 1.5)
    assert values[1, 2] == 1
    assert values.sum() == 1


def test_a_constant_scale_map_is_zero_everywhere():
    values, bounds = inverse_scale(
        np.full((2, 3, 4), 0.5), same_size(40, 30), (40, 30), None
    )
    assert values.shape == (30, 40)
    assert not values.any()
    assert bounds == (1.5, 1.5)


def test_overlay_is_red_where_values_are_high():
    values = np.zeros((30, 40))
    values[:, 20:] = 1
    mixed = overlay(IMAGE, values).astype(int)
    assert (mixed[:, 20:, 0] > mixed[:, 20:, 2]).all()
    assert (mixed[:, :20, 0] < mixed[:, :20, 2]).all()


def test_only_keypoints_above_the_threshold_are_drawn():
    keypoints = np.array([[[5, 5], [5, 25], [35, 25]]], float)
    scores = np.array([[0.9, 0.9, 0.0]])
    drawn = draw_poses(IMAGE, keypoints, scores, [(0, 1), (1, 2)])
    changed = (drawn != IMAGE).any(axis=2)
    assert changed[15, 5]
    assert not changed[:, 15:].any()
    assert (IMAGE == 128).all()


def test_no_instance_leaves_the_image_as_it_is():
    drawn = draw_poses(IMAGE, np.zeros((0, 17, 2)), np.zeros((0, 17)), [])
    np.testing.assert_array_equal(drawn, IMAGE)


def test_figures_are_written_with_and_without_scale_maps(tmp_path):
    for maps in (None, np.random.rand(17, 8, 10)):
        figure = pose_and_scale_figure(
            IMAGE, maps, same_size(40, 30), 'poses', None
        )
        figure.savefig(tmp_path / 'a.png')
        assert (tmp_path / 'a.png').stat().st_size > 1000


def test_a_map_lies_over_its_region_of_the_image():
    """Resize as in the test pipeline, then warp back."""
    image = np.zeros((425, 640), np.float32)
    image[200:210, 500:510] = 1
    level = geometry.resized_geometry((640, 425), 512)
    seen = cv2.warpAffine(image, geometry.resize_matrix(level), level.size)
    placement = Placement(
        level.size, np.array(level.center), np.array(level.extent)
    )
    back = place(cv2.resize(seen, None, fx=0.5, fy=0.5), placement, (640, 425))
    weights = back * (back > 0.5)
    y, x = np.mgrid[:425, :640]
    assert abs((x * weights).sum() / weights.sum() - 504.5) < 0.8
    assert abs((y * weights).sum() / weights.sum() - 204.5) < 0.8
