import numpy as np

from swahr_mmpose.visualization.drawing import draw_poses, overlay

IMAGE = np.full((30, 40, 3), 128, np.uint8)


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
