import numpy as np
import pytest

from swahr_mmpose.visualization.inspection import Inspection
from swahr_mmpose.visualization.target_figures import (
    figure_to_image,
    scale_figure,
    target_figure,
)

LINKS = [(0, 1)]


def inspection(people=1, model=True):
    """Make a white image with a target in one cell of keypoint 1 only."""
    targets = [np.zeros((2, side, side), np.float32) for side in (8, 16)]
    for target in targets:
        target[1, 2, 2] = people > 0
    masks = [np.ones(t.shape[1:], bool) for t in targets]
    for mask in masks:
        mask[-2:] = False
    found = Inspection(
        np.full((32, 32, 3), 255, np.uint8),
        np.full((people, 2, 2), 12.0),
        np.ones((people, 2)),
        targets,
        masks,
    )
    if not model:
        return found
    alphas = [np.linspace(0, 1, t.size).reshape(t.shape) for t in targets]
    return found._replace(
        predicted=targets, scale_maps=alphas, adapted=targets
    )


def images(figure):
    """Last image of each panel."""
    axes = [a for a in figure.axes if a.images]
    return [np.asarray(a.images[-1].get_array()) for a in axes]


@pytest.mark.parametrize('people', [0, 2])
@pytest.mark.parametrize('model', [True, False])
def test_a_row_for_each_level_and_a_column_for_each_map(people, model):
    figure = target_figure(inspection(people, model), LINKS, title='x')
    assert len(images(figure)) == 2 * (4 if model else 2)
    drawn = figure_to_image(figure, dpi=100)
    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 3


def test_targets_are_red_where_they_are_high():
    shown = images(target_figure(inspection(model=False), LINKS))[1]
    cell, outside = shown[10, 10].astype(int), shown[30, 30].astype(int)
    assert cell[0] > cell[2]
    assert outside[0] < outside[2]


def test_a_keypoint_can_be_chosen():
    found = inspection(model=False)
    nothing = images(target_figure(found, LINKS, keypoint=0))[1]
    assert (nothing == nothing[0, 0]).all()
    chosen = images(target_figure(found, LINKS, keypoint=1))[1]
    assert (chosen != chosen[0, 0]).any()


def test_what_the_mask_takes_out_is_red():
    shown = images(target_figure(inspection(0, model=False), LINKS))[0]
    assert (shown[:24] == 255).all()
    assert (shown[24:, :, 0] > shown[24:, :, 1]).all()


def test_scale_maps_have_a_panel_for_each_level_and_colour_bars():
    figure = scale_figure(inspection(), LINKS)
    bars = [a for a in figure.axes if a.get_label() == '<colorbar>']
    assert len(bars) == 2
    low, high = bars[0].get_ylim()
    # Mean over two keypoints; alpha is 0 to 1.
    assert 1.2 < low < 1.3
    assert 1.7 < high < 1.8
    one = scale_figure(inspection(), LINKS, keypoint=0)
    low, high = next(
        a for a in one.axes if a.get_label() == '<colorbar>'
    ).get_ylim()
    assert low == pytest.approx(1)
    assert high < 1.51


def test_a_model_without_scale_branch_is_refused():
    with pytest.raises(ValueError, match='has no scale branch'):
        scale_figure(inspection(model=False), LINKS)
