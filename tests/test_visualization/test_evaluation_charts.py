"""Charts show all values, as SVG with text."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from swahr_mmpose.visualization.evaluation_charts import (
    error_chart,
    figure_to_svg,
    precision_chart,
    scale_chart,
)

KINDS = ('good', 'jitter', 'inversion', 'swap', 'miss')


def test_precision_has_a_curve_per_threshold_with_its_ap():
    precisions = np.linspace(1, 0.1, 3)[:, None].repeat(11, axis=1)
    precisions[2] = -1
    figure = precision_chart(
        np.array([0.5, 0.75, 0.95]), np.linspace(0, 1, 11), precisions
    )
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().texts]
    assert labels == ['0.50: AP 1.000', '0.75: AP 0.550', '0.95: AP 0.000']
    assert [line.get_ydata().min() for line in axes.lines] == [1, 0.55, 0]


def test_error_shares_add_up_to_all_keypoints():
    counts = np.array([[3, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    axes = error_chart(counts, ['a', 'b', 'c'], KINDS).axes[0]
    widths = np.array(
        [[bar.get_width() for bar in bars] for bars in axes.containers]
    )
    assert widths.sum(axis=0) == pytest.approx([100, 0, 100])
    assert widths[:, 0] == pytest.approx([75, 25, 0, 0, 0])


def test_scales_of_both_levels_are_drawn():
    sizes = np.array([10.0, 100.0])
    axes = scale_chart(sizes, np.array([[1, 2], [3, 4]]), ['1/4', '1/2']).axes
    points = [c.get_offsets().data.tolist() for c in axes[0].collections]
    assert points == [[[10, 1], [100, 2]], [[10, 3], [100, 4]]]


def test_svg_is_well_formed_reproducible_and_without_fixed_size():
    chart = error_chart(np.ones((1, 5), int), ['<nose>'], KINDS)
    text = figure_to_svg(chart)
    root = ET.fromstring(text)
    assert root.get('viewBox')
    assert root.get('width') is None
    assert '&lt;nose&gt;' in text
    assert figure_to_svg(chart) == text


def test_any_number_of_levels_is_drawn():
    names = [f'1/{n}' for n in range(6)]
    axes = scale_chart(np.array([10, 100]), np.ones((6, 2)), names).axes[0]
    assert len(axes.collections) == 6
    assert [t.get_text() for t in axes.get_legend().texts] == names
