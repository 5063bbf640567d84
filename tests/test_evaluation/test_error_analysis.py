"""Keypoint errors are classified as Ronchi and Perona define them."""

import numpy as np
import pytest

from swahr_mmpose.evaluation.error_analysis import (
    ERROR_KINDS,
    People,
    classify_keypoints,
    count_errors,
    keypoint_similarity,
)

SIGMAS = np.full(4, 0.05)
FLIP = [0, 2, 1, 3]  # keypoints 1 and 2 are left and right
# two people, far apart, area 100 x 100
POINTS = np.array(
    [
        [[50, 50], [20, 80], [80, 80], [50, 95]],
        [[350, 50], [320, 80], [380, 80], [350, 95]],
    ],
    float,
)


def people(labelled=None):
    """Two people with all keypoints labelled, or as given."""
    if labelled is None:
        labelled = np.ones((2, 4), bool)
    return People(POINTS, labelled, np.full(2, 1e4))


def offset(similarity):
    """Distance in pixels at which a keypoint has this similarity."""
    return np.sqrt(-2 * np.log(similarity) * 1e4) * 2 * 0.05


def classify(detection, labelled=None):
    """Names of the kinds of errors of a detection of the first person."""
    kinds = classify_keypoints(detection, people(labelled), 0, SIGMAS, FLIP)
    return [ERROR_KINDS[k] if k >= 0 else None for k in kinds]


def test_similarity_is_the_summand_of_oks():
    assert keypoint_similarity(np.zeros(4), 1e4, SIGMAS).tolist() == [1] * 4
    distance = np.full(4, offset(0.5) ** 2)
    assert keypoint_similarity(distance, 1e4, SIGMAS) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ('similarity', 'kind'),
    [(1, 'good'), (0.86, 'good'), (0.84, 'jitter'), (0.51, 'jitter')],
)
def test_good_and_jitter_are_separated_by_similarity(similarity, kind):
    detection = POINTS[0] + [offset(similarity), 0]
    assert classify(detection) == [kind] * 4


def test_an_exchange_of_left_and_right_is_an_inversion():
    assert classify(POINTS[0][FLIP]) == [
        'good', 'inversion', 'inversion', 'good'
    ]  # fmt: skip


def test_a_keypoint_of_another_person_is_a_swap_on_either_side():
    assert classify(POINTS[1]) == ['swap'] * 4
    assert classify(POINTS[1][FLIP]) == ['swap'] * 4


def test_a_keypoint_near_nothing_is_a_miss():
    assert classify(POINTS[0] + [0, 400]) == ['miss'] * 4


def test_keypoints_without_label_are_left_out_and_attract_nothing():
    labelled = np.array([[1, 0, 1, 1], [0, 1, 1, 1]], bool)
    detection = POINTS[0].copy()
    detection[0] = POINTS[1, 0]  # not labelled in the second person
    assert classify(detection, labelled) == ['miss', None, 'good', 'good']


def test_each_labelled_keypoint_of_a_match_counts_once():
    labelled = np.array([[1, 0, 1, 1], [1, 1, 1, 1]], bool)
    matches = [
        (POINTS[0], people(labelled), 0),
        (POINTS[0][FLIP], people(labelled), 0),
        (POINTS[1] + 400, people(labelled), 1),
    ]
    counts = count_errors(matches, SIGMAS, FLIP)
    assert counts.sum(axis=1).tolist() == [3, 1, 3, 3]
    assert counts[2].tolist() == [1, 0, 0, 0, 2]


def test_without_matches_all_counts_are_zero():
    assert count_errors([], SIGMAS, FLIP).tolist() == [[0] * 5] * 4


def test_a_lone_person_has_no_swaps():
    lone = People(POINTS[:1], np.ones((1, 4), bool), np.full(1, 1e4))
    kinds = classify_keypoints(POINTS[1], lone, 0, SIGMAS, FLIP)
    assert kinds.tolist() == [ERROR_KINDS.index('miss')] * 4
