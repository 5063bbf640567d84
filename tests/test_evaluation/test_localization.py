import numpy as np
import pytest

from swahr_mmpose.evaluation.error_analysis import People
from swahr_mmpose.evaluation.localization import (
    ImageLocalization,
    find_false_peaks,
    find_keypoints,
    find_map_peaks,
    match_people,
    summarize_localization,
)

SIGMAS = np.array([0.05, 0.1])
TRUTH = np.array([[[10.0, 10], [20, 10]], [[110, 10], [120, 10]]])
PEOPLE = People(TRUTH, np.ones((2, 2), bool), np.array([400.0, 400.0]))
NOBODY = People(np.zeros((0, 2, 2)), np.zeros((0, 2), bool), np.zeros(0))


def test_the_best_detection_takes_the_nearest_person():
    found = np.stack([TRUTH[0] + 1, TRUTH[0], TRUTH[1]])
    scores = np.array([0.5, 0.9, 0.1])
    assert match_people(found, scores, PEOPLE, SIGMAS) == [(1, 0), (2, 1)]
    assert match_people(found, scores, NOBODY, SIGMAS) == []
    assert match_people(found[:0], scores[:0], PEOPLE, SIGMAS) == []


def test_found_keypoints_have_their_distance_size_and_score():
    found = TRUTH[:1] + np.array([[3.0, 4.0], [0, 0]])
    heights = np.array([[0.7, 0.9]])
    errors, sizes, scores = find_keypoints(
        found, heights, np.ones(1), PEOPLE, SIGMAS * 10
    )
    np.testing.assert_allclose(errors, [5, 0])
    np.testing.assert_allclose(sizes, [20, 20])
    np.testing.assert_allclose(scores, [0.7, 0.9])


def test_a_keypoint_that_is_too_far_away_or_not_labelled_is_not_found():
    found = TRUTH[:1] + np.array([[3.0, 4.0], [0, 0]])
    args = found, np.ones((1, 2)), np.ones(1)
    assert len(find_keypoints(*args, PEOPLE, SIGMAS)[0]) == 1
    unlabelled = PEOPLE._replace(labelled=np.array([[1, 0], [1, 1]], bool))
    assert len(find_keypoints(*args, unlabelled, SIGMAS * 10)[0]) == 1
    assert len(find_keypoints(*args, NOBODY, SIGMAS)[0]) == 0


def test_peaks_are_local_maxima_above_the_threshold():
    heatmaps = np.zeros((2, 20, 30))
    heatmaps[0, 5, 7], heatmaps[0, 6, 8], heatmaps[1, 15, 20] = 0.9, 0.8, 0.2
    cells, heights = find_map_peaks(heatmaps, 0.1)
    assert cells.tolist() == [[0, 7, 5], [1, 20, 15]]
    assert heights.tolist() == [0.9, 0.2]
    assert len(find_map_peaks(heatmaps, 0.3)[0]) == 1
    assert len(find_map_peaks(np.zeros((1, 4, 4)), 0)[0]) == 0


def test_peaks_are_false_far_from_keypoints_of_their_kind_outside_crowds():
    ignored = np.zeros((40, 200), bool)
    ignored[20:, :] = True
    peaks = np.array([[12.0, 10], [10, 10], [60, 10], [60, 30], [-5, 99]])
    kinds = np.array([0, 1, 0, 0, 0])
    expected = [False, True, True, False, False]
    args = ignored, SIGMAS
    found = find_false_peaks(peaks, kinds, PEOPLE, *args, 3.0)
    assert found.tolist() == expected
    # Within reach of the other keypoint of the person.
    assert not find_false_peaks(peaks[1:2], kinds[1:2], PEOPLE, *args, 10)[0]
    assert find_false_peaks(peaks[:1], kinds[:1], NOBODY, *args, 3.0)[0]
    none = find_false_peaks(peaks[:0], kinds[:0], PEOPLE, *args, 3.0)
    assert none.shape == (0,)


def test_a_large_similarity_makes_a_peak_true_beyond_the_reach():
    ignored = np.zeros((40, 200), bool)
    peaks, kinds = np.array([[24.0, 10]]), np.array([1])
    near = find_false_peaks(peaks, kinds, PEOPLE, ignored, SIGMAS, 1.0)
    assert not near[0]
    far = find_false_peaks(peaks, kinds, PEOPLE, ignored, SIGMAS / 5, 1.0)
    assert far[0]


def test_the_summary_separates_medium_and_large_people():
    images = [
        ImageLocalization(
            np.array([1.0, 3.0]),
            np.array([50.0, 100.0]),
            np.array([0.8, 0.8]),
            4,
            np.array([0.1, 0.5]),
        ),
        ImageLocalization(*[np.zeros(0)] * 3, 1, np.zeros(0)),
    ]
    result = summarize_localization(images)
    assert result == {
        'found': pytest.approx(0.4),
        'jitter': 2,
        'jitter (M)': 1,
        'jitter (L)': 3,
        'peak_height': 0.8,
        'false_peaks': 1,
        'strong_false_peaks': 0.5,
    }


@pytest.mark.filterwarnings('error')
def test_a_model_that_finds_nothing_has_no_jitter():
    image = ImageLocalization(*[np.zeros(0)] * 3, 3, np.zeros(0))
    result = summarize_localization([image])
    assert result['found'] == 0
    assert np.isnan(result['jitter'])
