import cv2
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from swahr_mmpose.datasets.transforms import geometry
from swahr_mmpose.visualization.scale_maps import (
    HIGH,
    LOW,
    Placement,
    ScaleMap,
    describe_spread,
    draw_scale_map,
    place,
    pose_and_scale_figure,
    scale_map,
)

IMAGE = np.full((30, 40, 3), 128, np.uint8)


def same_size(width, height):
    """Placement of an input that is the image itself."""
    size = np.array([width, height])
    return Placement((width, height), size / 2, size)


def test_keypoints_count_in_proportion_to_their_heatmaps():
    alpha = np.zeros((2, 3, 4))
    alpha[0], alpha[1] = 1, -0.5
    heatmaps = np.zeros((2, 3, 4))
    heatmaps[:, 1, 2] = 0.6, 0.2
    scales = scale_map(alpha, heatmaps)
    assert scales.inverse[1, 2] == pytest.approx(1 + (0.6 - 0.1) / 0.8)
    assert scales.heights[1, 2] == 0.6
    one = scale_map(alpha, heatmaps, keypoint=1)
    assert one.inverse[1, 2] == pytest.approx(0.5)
    assert one.heights[1, 2] == 0.2


def test_where_no_keypoint_is_predicted_a_scale_has_no_effect():
    rng = np.random.default_rng(0)
    alpha = rng.normal(size=(2, 3, 4))
    for height in (0, -0.2, 0.01):
        scales = scale_map(alpha, np.full((2, 3, 4), height))
        assert (scales.inverse == 1).all()
        image = rng.integers(0, 255, (3, 4, 3)).astype(np.uint8)
        drawn = draw_scale_map(image, *scales)
        assert (drawn == drawn[..., :1]).all(), 'the image is grey'


def test_narrow_gaussians_are_red_and_wide_ones_blue_whatever_the_image():
    inverse = np.full((30, 40), HIGH)
    inverse[:, 20:] = LOW
    for spread in (inverse, 1 + (inverse - 1) * 100):
        drawn = draw_scale_map(IMAGE, spread, np.ones((30, 40))).astype(int)
        assert (drawn[:, :20, 0] > drawn[:, :20, 2] + 50).all()
        assert (drawn[:, 20:, 2] > drawn[:, 20:, 0] + 50).all()


def test_the_range_of_the_colours_does_not_depend_on_the_map():
    heights = np.ones((30, 40))
    weak, strong = (
        draw_scale_map(IMAGE, np.full((30, 40), value), heights).astype(int)
        for value in (1.001, 1.08)
    )
    even = np.ptp(weak[0, 0])
    assert even < 20 < np.ptp(strong[0, 0])


def test_a_small_spread_is_said_in_a_sentence():
    inverse = np.ones((3, 4))
    inverse[:, 2:] = 1.004
    text = describe_spread(ScaleMap(inverse, np.ones((3, 4))))
    assert 'from 1.000 to 1.004' in text
    assert 'practically equally wide' in text
    inverse[:, 2:] = 1.1
    text = describe_spread(ScaleMap(inverse, np.ones((3, 4))))
    assert text == '1/s from 1.000 to 1.100'
    nothing = describe_spread(ScaleMap(inverse, np.zeros((3, 4))))
    assert 'no keypoint' in nothing


@pytest.mark.parametrize('people', [0, 1])
def test_both_panels_have_the_same_size(people):
    heatmaps = np.full((17, 8, 10), 0.9 * people)
    scales = scale_map(np.random.default_rng(0).random((17, 8, 10)), heatmaps)
    figure = pose_and_scale_figure(
        IMAGE, IMAGE, scales, same_size(40, 30), 'poses'
    )
    FigureCanvasAgg(figure).draw()
    poses, maps, bar = (axis.get_window_extent() for axis in figure.axes)
    assert poses.width == pytest.approx(maps.width)
    assert poses.height == pytest.approx(maps.height)
    # The triangles at its ends do not count.
    assert 0.9 * maps.height < bar.height < 1.1 * maps.height
    labels = [t.get_text() for t in figure.axes[2].get_yticklabels()]
    assert labels == ['0.90', '0.95', '1.00', '1.05', '1.10']


def test_a_model_without_scale_branch_has_one_panel(tmp_path):
    figure = pose_and_scale_figure(
        IMAGE, IMAGE, None, same_size(40, 30), 'poses'
    )
    assert len(figure.axes) == 1
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
