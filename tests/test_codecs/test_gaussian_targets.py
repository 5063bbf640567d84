import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs.gaussian_targets import (
    compute_person_scales,
    draw_gaussians,
    draw_scaled_gaussians,
    keypoint_cells,
    keypoint_indices,
)


def official_heatmaps(joints, size, sigma):
    """Draw targets as the official generator, one cell at a time."""
    w, h = size
    maps = np.zeros((joints.shape[1], h, w), np.float32)
    for person in joints:
        for k, (px, py, v) in enumerate(person):
            x, y = int(px), int(py)
            if v <= 0 or not (0 <= x < w and 0 <= y < h):
                continue
            for j in range(max(y - 7, 0), min(y + 8, h)):
                for i in range(max(x - 7, 0), min(x + 8, w)):
                    g = np.exp(-((i - x) ** 2 + (j - y) ** 2) / (2 * sigma**2))
                    maps[k, j, i] = max(maps[k, j, i], np.float32(g))
    return maps


def draw_window(cell, point, sigma, unbiased):
    """First cell ``(x, y)`` and kernel of a Gaussian, not yet cut."""
    if unbiased:
        reach = math.ceil(3 * sigma) + 1
        offsets = np.arange(-reach, reach + 1)
        squared = [(offsets + c - p) ** 2 for c, p in zip(cell, point)]
        gx, gy = (np.exp(-d / (2 * sigma**2)) for d in squared)
        return cell - reach, (gy[:, None] * gx).astype(np.float32)
    offsets = np.arange(6 * sigma + 3) - (3 * sigma + 1)
    squared = offsets[:, None] ** 2 + offsets**2
    kernel = np.exp(-squared / (2 * sigma**2)).astype(np.float32)
    first = [round(c - 3 * sigma - 1) for c in cell.tolist()]
    end = [round(c + 3 * sigma + 2) for c in cell.tolist()]
    return first, kernel[: end[1] - first[1], : end[0] - first[0]]


def draw_densely(points, visible, size, sigmas, unbiased):
    """Draw targets one Gaussian at a time, into dense maps with a margin."""
    (w, h), margin = size, 40
    maps = np.zeros(
        (points.shape[1], h + 2 * margin, w + 2 * margin), np.float32
    )
    cells, valid = keypoint_cells(points, visible, size, unbiased=unbiased)
    for n, k in zip(*np.nonzero(valid)):
        (x, y), kernel = draw_window(
            cells[n, k], points[n, k], float(sigmas[n]), unbiased
        )
        rows, columns = kernel.shape
        x, y = x + margin, y + margin
        part = maps[k, y : y + rows, x : x + columns]
        np.maximum(part, kernel, out=part)
    return maps[:, margin:-margin, margin:-margin]


@given(st.integers(0, 2**31), st.integers(0, 5), st.booleans())
@settings(max_examples=60, deadline=None)
def test_sparse_and_dense_targets_equal_plain_ones_bit_for_bit(
    seed, people, unbiased
):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 50, 2).tolist())
    points = rng.uniform(-10, 60, (people, 3, 2))
    points[rng.random((people, 3)) < 0.1] = np.nan
    visible = rng.integers(0, 3, (people, 3))
    mixed = rng.choice([0.02, 0.5, 1, 4 / 3, 2, 2.5, 4.1], people)
    for sigma in (2.0, 1 / 3, 2.5, mixed):
        sigmas = np.broadcast_to(sigma, (people,))
        plain = draw_densely(points, visible, size, sigmas, unbiased)
        sparse, dense = (
            draw_gaussians(
                points, visible, size, sigma, unbiased=unbiased, sparse=sparse
            )
            for sparse in (True, False)
        )
        np.testing.assert_array_equal(dense, plain)
        np.testing.assert_array_equal(sparse, plain)
        np.testing.assert_array_equal(sparse.cells, np.flatnonzero(plain))
    if people:
        scaled = draw_scaled_gaussians(points, visible, size, mixed)
        cells, valid = keypoint_cells(points, visible, size)
        np.testing.assert_array_equal(
            scaled, draw_densely(cells, valid, size, mixed, unbiased=True)
        )


def one(x, y, **kwargs):
    return draw_gaussians(
        np.array([[[x, y]]]), np.ones((1, 1)), (128, 128), 2.0, **kwargs
    )[0]


@pytest.mark.parametrize('group', ['random_names', 'scale_aware_names'])
def test_heatmaps_equal_the_official_ones_exactly(golden, group):
    z = golden('targets.npz')
    for name in z[group]:
        joints, side = z[f'{name}joints'], int(z[f'{name}output_res'])
        sigma = (
            joints[:, 0, 3]
            if group == 'scale_aware_names'
            else float(z[f'{name}sigma'])
        )
        maps = draw_gaussians(
            joints[..., :2], joints[..., 2], (side, side), sigma
        )
        np.testing.assert_array_equal(maps, z[f'{name}heatmaps'])


def test_indices_equal_the_official_ones(golden):
    z = golden('targets.npz')
    for name in z['random_names']:
        joints, side = z[f'{name}joints'], int(z[f'{name}output_res'])
        ours = keypoint_indices(joints[..., :2], joints[..., 2], (side, side))
        for person, official in zip(ours, z[f'{name}joints_index_shared_tag']):
            got = [int(i) for i, counts in person if counts]
            assert got == [int(i) for i, counts in official if counts]


@pytest.mark.parametrize(
    ('point', 'cell', 'count'),
    [
        ((64.9, 32.2), (64, 32), 225),
        ((-0.9, 5.3), (0, 5), 104),
        ((127.99, 5), (127, 5), 104),
        ((-1, 5.3), None, 0),
        ((128, 5), None, 0),
        ((np.nan, 5), None, 0),
        ((np.inf, 5), None, 0),
        ((-1e300, 5), None, 0),
        ((1e300, 5), None, 0),
    ],
)
def test_coordinates_are_truncated_and_those_outside_have_no_target(
    point, cell, count
):
    heatmap = one(*point)
    assert np.count_nonzero(heatmap) == count
    if cell:
        assert heatmap[cell[1], cell[0]] == 1
        assert heatmap.max() == 1
        index = keypoint_indices(
            np.array([[point]]), np.ones((1, 1)), (128, 128)
        )[0, 0]
        assert index.tolist() == [cell[1] * 128 + cell[0], 1]


def test_window_of_sigma_two_is_fifteen_cells_wide():
    heatmap = one(64, 32)
    assert heatmap[32, 71] == pytest.approx(2.187491e-3)
    assert heatmap[39, 71] == pytest.approx(4.785117e-6)
    assert heatmap[32, 72] == 0


@given(st.integers(0, 2**31), st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_targets_agree_with_the_official_generator(seed, people):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 40, 2).tolist())
    joints = rng.uniform(-10, 50, (people, 3, 3))
    joints[..., 2] = rng.integers(0, 3, (people, 3))
    ours = draw_gaussians(joints[..., :2], joints[..., 2], size, 2.0)
    np.testing.assert_allclose(
        ours, official_heatmaps(joints, size, 2.0), rtol=1e-6
    )


def test_no_people_and_no_labels_give_empty_maps():
    assert not draw_gaussians(
        np.zeros((0, 17, 2)), np.zeros((0, 17)), (8, 6), 2.0
    ).any()
    assert not draw_gaussians(
        np.ones((2, 17, 2)), np.zeros((2, 17)), (8, 6), 2.0
    ).any()
    assert one(4, 4).dtype == one(4, 4, unbiased=True).dtype == np.float32
    empty = keypoint_indices(np.zeros((0, 17, 2)), np.zeros((0, 17)), (8, 6))
    assert empty.shape == (0, 17, 2)
    nothing = keypoint_indices(np.ones((2, 17, 2)), np.zeros((2, 17)), (8, 6))
    assert not nothing.any()
    assert nothing.dtype == empty.dtype == np.int64


def test_unbiased_gaussian_is_centred_on_the_keypoint():
    heatmap = one(60.3, 41.7, unbiased=True)
    y, x = np.mgrid[:128, :128]
    inside = heatmap > 1e-4
    expected = np.exp(-((x - 60.3) ** 2 + (y - 41.7) ** 2) / 8)
    np.testing.assert_allclose(heatmap[inside], expected[inside], rtol=1e-5)


def test_unbiased_gaussian_flips_exactly():
    np.testing.assert_allclose(
        one(60.3, 41.7, unbiased=True)[:, ::-1],
        one(127 - 60.3, 41.7, unbiased=True),
        rtol=1e-5,
    )


def test_shr_scales_are_widths_over_the_base():
    scales = compute_person_scales(np.array([512.0, 64.0, 1.0, 0.0]))
    assert scales.tolist() == [2.0, 0.25, 1 / 16, 1 / 16]
    assert compute_person_scales(np.array([50.0]), 100, 0.75).tolist() == [
        0.75
    ]
    assert compute_person_scales(np.zeros(0)).shape == (0,)
    assert compute_person_scales(np.array([50.0]), 0.5).tolist() == [100]
    expected = (
        'person_scale requires person_width, the box widths from '
        'BottomupRandomSquareAffine, but got None; check that the annotations '
        'have boxes'
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        compute_person_scales(None)
    for bad in ((0, 1), (1, 0), (-1, 1), (1, -1)):
        expected = 'must be positive, got base_width={} and min_scale={}'
        with pytest.raises(ValueError, match=expected.format(*bad)):
            compute_person_scales(np.ones(1), *bad)


@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('sigma', [0.125, 0.5, 1.3, 2.0, 4.0])
def test_shr_gaussians_are_centred_and_have_their_sigma(sigma, unbiased):
    keypoints = np.array([[[30.4, 25.7]]])
    heatmap = draw_scaled_gaussians(
        keypoints, np.ones((1, 1)), (60, 50), np.array([sigma]),
        unbiased=unbiased,
    )[0]  # fmt: skip
    x, y = (30.4, 25.7) if unbiased else (30, 25)
    gy, gx = np.mgrid[:50, :60]
    expected = np.exp(-((gx - x) ** 2 + (gy - y) ** 2) / (2 * sigma**2))
    near = np.maximum(abs(gx - x), abs(gy - y)) <= 3 * sigma
    np.testing.assert_allclose(heatmap[near], expected[near], rtol=1e-5)
    assert heatmap[~near].max() < 0.02


def test_shr_draws_each_person_with_its_own_sigma():
    keypoints = np.array([[[15.0, 20]], [[45, 20]]])
    heatmap = draw_scaled_gaussians(
        keypoints, np.ones((2, 1)), (60, 40), np.array([1.0, 4.0])
    )[0]
    assert heatmap[20, 15] == heatmap[20, 45] == 1
    assert heatmap[20, 17] == pytest.approx(np.exp(-2), rel=1e-5)
    assert heatmap[20, 47] == pytest.approx(np.exp(-1 / 8), rel=1e-5)
    official = draw_gaussians(
        keypoints, np.ones((2, 1)), (60, 40), np.array([1.0, 4.0])
    )[0]  # integer sigmas: the official kernel
    np.testing.assert_allclose(heatmap, official, rtol=1e-6)


@pytest.mark.parametrize('sigma', [0.5, 0.75, 1.0, 4 / 3, 1.5, 2.0, 2.5])
def test_one_sigma_equals_that_sigma_for_each_person(sigma):
    rng = np.random.default_rng(0)
    keypoints, visible = rng.uniform(0, 20, (6, 2, 2)), np.ones((6, 2))
    np.testing.assert_array_equal(
        draw_gaussians(keypoints, visible, (20, 20), sigma),
        draw_gaussians(keypoints, visible, (20, 20), np.full(6, sigma)),
    )


def test_a_keypoint_that_is_not_finite_affects_no_other():
    points = np.array([[[np.nan, 3], [6, 5]], [[2, np.inf], [7, 4]]])
    cells, counts = keypoint_cells(points, np.ones((2, 2)), (10, 10))
    assert cells.tolist() == [[[0, 0], [6, 5]], [[0, 0], [7, 4]]]
    assert counts.tolist() == [[False, True]] * 2


def test_the_official_convention_is_the_default():
    points, size = np.array([[[10.7, 5.2]]]), (24, 16)
    one = np.ones((1, 1))
    assert keypoint_cells(points, one, size)[0].tolist() == [[[10, 5]]]
    assert keypoint_indices(points, one, size).tolist() == [[[130, 1]]]
    unbiased = keypoint_indices(points, one, size, unbiased=True)
    assert unbiased.tolist() == [[[131, 1]]]
    for sigma in (2.0, np.array([2.0])):
        for draw in (draw_gaussians, draw_scaled_gaussians):
            assert draw(points, one, size, sigma)[0, 5, 10] == 1
