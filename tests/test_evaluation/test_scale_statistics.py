import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from swahr_mmpose.evaluation.scale_statistics import (
    PersonScales,
    bootstrap_interval,
    person_confidences,
    person_scales,
    person_target_changes,
    rank_correlation,
    summarize_scales,
)
from swahr_mmpose.models.losses.functional import scale_adapted_target

CENTRE = np.array([[[10.0, 10.0]]])
LABELLED = np.ones((1, 1))


def distances(size=21, centre=10):
    """Distance of each cell of a square map to its centre."""
    y, x = np.mgrid[:size, :size] - centre
    return np.hypot(x, y)


def test_a_scale_is_read_around_the_keypoint_and_not_at_it():
    """H ln H is 0 at the keypoint; the loss never reaches the scale there."""
    alpha = np.zeros((1, 21, 21))
    alpha[0, 10, 10] = 5
    assert person_scales(alpha, CENTRE, LABELLED) == pytest.approx([1])
    ring = np.abs(distances() - math.sqrt(2) * 2) < 1
    alpha[0, ring] = 1
    assert 0.5 < person_scales(alpha, CENTRE, LABELLED)[0] < 0.8


def test_scales_have_the_weights_of_the_gradient_of_the_target():
    """dH'/dalpha of Eq. 8 at alpha = 0 is H ln H."""
    rng = np.random.default_rng(0)
    alpha = rng.uniform(-0.3, 0.3, (1, 21, 21))
    for sigma in (1.5, 2.0):
        h = np.exp(-(distances() ** 2) / (2 * sigma**2))
        weights = h * np.abs(np.log(h))
        radius = math.ceil(3 * sigma)
        weights[:, : 10 - radius] = weights[:, 11 + radius :] = 0
        weights[: 10 - radius] = weights[11 + radius :] = 0
        mean = (weights * alpha[0]).sum() / weights.sum()
        s = person_scales(alpha, CENTRE, LABELLED, sigma)
        assert s == pytest.approx([1 / (1 + mean)])


def test_one_over_s_is_averaged_over_labelled_keypoints():
    alpha = np.ones((3, 21, 21)) * np.array([1.0, 3.0, 7.0])[:, None, None]
    keypoints = np.tile(CENTRE, (1, 3, 1))
    s = person_scales(alpha, keypoints, np.array([[1, 2, 0]]))
    assert s == pytest.approx([1 / 3])
    s = person_scales(alpha, keypoints, np.ones((1, 3)))
    assert s == pytest.approx([3 / 14])


def test_people_without_keypoints_on_the_map_have_no_scale():
    alpha = np.zeros((1, 4, 5), np.float32)
    keypoints = np.array([[[9.0, 1]], [[-1, 1]], [[1, 1]], [[4.4, 3.4]]])
    visible = np.array([[1], [1], [0], [1]])
    for function, value in ((person_scales, 1.0), (person_confidences, 0.0)):
        found = function(alpha, keypoints, visible)
        np.testing.assert_array_equal(found, [np.nan] * 3 + [value])
        assert function(alpha, keypoints[:0], visible[:0]).shape == (0,)


def test_a_mean_that_is_not_positive_is_an_infinite_scale():
    alpha = np.full((1, 21, 21), -1.5, np.float32)
    s = person_scales(alpha, CENTRE, LABELLED)
    assert s.tolist() == [math.inf]


def test_confidence_is_the_mean_height_of_the_peaks_nearby():
    heatmaps = np.zeros((2, 21, 21))
    heatmaps[0, 9, 12], heatmaps[1, 10, 10] = 0.5, 0.9
    heatmaps[0, 10, 15] = 1  # too far away
    keypoints = np.tile(CENTRE, (1, 2, 1))
    found = person_confidences(heatmaps, keypoints, np.ones((1, 2)))
    assert found == pytest.approx([0.7])


def test_changes_of_targets_are_those_of_the_loss():
    """Eq. 8 of dense targets; two people share the map of a keypoint."""
    rng = np.random.default_rng(0)
    alpha = rng.uniform(-0.3, 0.3, (2, 31, 31))
    heatmaps = rng.uniform(0, 1, (2, 31, 31))
    keypoints = np.array([[[9.0, 12.0], [15, 15]], [[13.4, 12.0], [0, 0]]])
    visible = np.array([[2, 1], [2, 0]])
    y, x = np.mgrid[:31, :31]
    targets, windows = np.zeros((2, 31, 31)), np.zeros((2, 2, 31, 31), bool)
    for n, k in ((0, 0), (0, 1), (1, 0)):
        px, py = keypoints[n, k]
        inside = np.maximum(abs(x - round(px)), abs(y - round(py))) <= 6
        gaussian = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8) * inside
        targets[k] = np.maximum(targets[k], gaussian)
        windows[n, k] = inside
    adapted = scale_adapted_target(*map(torch.as_tensor, (targets, alpha)))
    changes, errors = person_target_changes(
        alpha, heatmaps, keypoints, visible
    )
    for n in range(2):
        for found, maps in ((changes, adapted.numpy()), (errors, heatmaps)):
            expected = ((maps - targets)[windows[n]] ** 2).mean()
            assert found[n] == pytest.approx(expected)


def test_scales_of_one_change_no_target():
    heatmaps = np.zeros((1, 21, 21))
    changes, errors = person_target_changes(
        0 * heatmaps, heatmaps, CENTRE, LABELLED
    )
    assert changes.tolist() == [0]
    assert errors[0] > 0
    changes, errors = person_target_changes(
        heatmaps, heatmaps, CENTRE, 0 * LABELLED
    )
    assert np.isnan([changes, errors]).all()


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.integers(0, 6, (2, rng.integers(3, 30)))
        if len(set(a)) > 1 and len(set(b)) > 1:
            expected = spearmanr(a, b).statistic
            assert rank_correlation(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(('a', 'b'), [([], []), ([1], [2]), ([1, 1], [1, 2])])
@pytest.mark.filterwarnings('error')
def test_without_ranks_the_correlation_is_nan(a, b):
    assert math.isnan(rank_correlation(np.array(a), np.array(b)))
    assert np.isnan(bootstrap_interval(np.array(a), np.array(b))).all()


def test_pairs_are_needed():
    with pytest.raises(ValueError, match='got 1 and 2 values'):
        rank_correlation(np.zeros(1), np.zeros(2))


def test_the_interval_contains_the_correlation_and_narrows_with_more_people():
    rng = np.random.default_rng(0)
    widths = []
    for count in (30, 300):
        a = rng.normal(size=count)
        b = a + rng.normal(size=count)
        low, high = bootstrap_interval(a, b, resamples=200)
        assert low < rank_correlation(a, b) < high
        assert (low, high) == bootstrap_interval(a, b, resamples=200)
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_levels_are_named_by_their_stride_and_unknown_people_left_out():
    sizes = np.arange(1.0, 11)
    scales = np.stack([sizes / 10, -sizes / 10 + 2])
    scales[0, 3], scales[1, 6] = np.nan, np.inf
    falling = np.tile(sizes[::-1], (2, 1))
    people = PersonScales(sizes, scales, falling, scales**2, falling**2)
    result = summarize_scales(people, [4, 2])
    assert (result['people'], result['left_out']) == (8, 2)
    quarter, half = result['1/4'], result['1/2']
    assert quarter['size']['rank_correlation'] == pytest.approx(1)
    assert quarter['confidence']['rank_correlation'] == pytest.approx(-1)
    assert half['size']['rank_correlation'] == pytest.approx(-1)
    assert quarter['scale_of_thirds_by_size'] == sorted(
        quarter['scale_of_thirds_by_size']
    )
    assert 0.5 < quarter['spread'] < 2
    known = [i for i in range(10) if i not in (3, 6)]
    for key, values in (('target_change', sizes / 10), ('error', sizes[::-1])):
        expected = math.sqrt(np.mean(values[known] ** 2))
        assert quarter[key] == pytest.approx(expected)


@pytest.mark.filterwarnings('error')
def test_without_people_nothing_is_known():
    people = PersonScales(np.zeros(0), *np.zeros((4, 1, 0)))
    result = summarize_scales(people, [4])
    assert result['people'] == 0
    assert result['1/4'] == {
        'size': {'rank_correlation': None, 'interval': None},
        'confidence': {'rank_correlation': None, 'interval': None},
        'spread': None,
        'scale_of_thirds_by_size': [None] * 3,
        'target_change': None,
        'error': None,
    }
