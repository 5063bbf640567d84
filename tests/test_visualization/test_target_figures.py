import numpy as np
import pytest

from swahr_mmpose.visualization.inspection import Inspection
from swahr_mmpose.visualization.target_figures import (
    arrange_sheet,
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


def test_scale_maps_have_a_panel_for_each_level_and_one_colour_bar():
    figure = scale_figure(inspection(), LINKS)
    assert len(images(figure)) == 3
    *panels, bar = figure.axes
    assert bar.get_ylim() == pytest.approx((0.9, 1.1))
    titles = [panel.get_title() for panel in panels[1:]]
    assert [title.split(':')[0] for title in titles] == ['1/4', '1/2']
    widths = {round(panel.get_position().width, 6) for panel in panels}
    assert len(widths) == 1


def test_scale_maps_are_coloured_only_where_keypoints_are_predicted():
    shown = images(scale_figure(inspection(), LINKS))[1]
    coloured = (shown != shown[..., :1]).any(axis=2)
    assert coloured[10, 10]
    assert not coloured[20:].any()
    nobody = images(scale_figure(inspection(people=0), LINKS))[1]
    assert (nobody == nobody[..., :1]).all()
    other = images(scale_figure(inspection(), LINKS, keypoint=0))[1]
    assert (other == other[..., :1]).all()


def test_a_model_without_scale_branch_is_refused():
    with pytest.raises(ValueError, match='has no scale branch'):
        scale_figure(inspection(model=False), LINKS)


def test_a_sheet_shows_all_figures_and_is_white_elsewhere():
    images = [np.full((20, 30, 3), value, np.uint8) for value in (0, 50, 90)]
    sheet = arrange_sheet(images, columns=2, width=60)
    assert sheet.shape == (40, 60, 3)
    assert (sheet[:20, :30] == 0).all()
    assert (sheet[:20, 30:] == 50).all()
    assert (sheet[20:, :30] == 90).all()
    assert (sheet[20:, 30:] == 255).all()
    small = arrange_sheet([images[0], images[1][:10, :15]], 1, 15)
    assert small.shape == (20, 15, 3)
