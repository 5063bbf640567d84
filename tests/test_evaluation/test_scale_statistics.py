import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from swahr_mmpose.evaluation.scale_statistics import (
    person_scales,
    rank_correlation,
)


def test_one_over_s_is_averaged_over_labelled_keypoints():
    alpha = np.zeros((3, 4, 5), np.float32)
    alpha[0, 1, 2], alpha[1, 3, 4] = 1.0, 3.0  # s = 1/2 and 1/4
    keypoints = np.array([[[2, 1], [4, 3], [0, 0]]], float)
    s = person_scales(alpha, keypoints, np.array([[1, 2, 0]]))
    assert s == pytest.approx([1 / 3])
    assert person_scales(alpha, keypoints, np.ones((1, 3))) == pytest.approx(
        [3 / 7]
    )


def test_people_without_keypoints_on_the_map_have_no_scale():
    alpha = np.zeros((1, 4, 5), np.float32)
    keypoints = np.array([[[9.0, 1]], [[-1, 1]], [[1, 1]], [[4.4, 3.4]]])
    s = person_scales(alpha, keypoints, np.array([[1], [1], [0], [1]]))
    np.testing.assert_array_equal(s, [np.nan, np.nan, np.nan, 1.0])
    assert person_scales(alpha, keypoints[:0], np.zeros((0, 1))).shape == (0,)


def test_a_mean_that_is_not_positive_is_an_infinite_scale():
    alpha = np.full((1, 4, 5), -1.5, np.float32)
    s = person_scales(alpha, np.ones((1, 1, 2)), np.ones((1, 1)))
    assert s.tolist() == [math.inf]


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


def test_pairs_are_needed():
    with pytest.raises(ValueError, match='got 1 and 2 values'):
        rank_correlation(np.zeros(1), np.zeros(2))
