import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from swahr_mmpose.evaluation.pose_nms import boxes_of, pose_nms, select_people

K = 17
SIGMAS = np.full(K, 0.05)
POSE = np.random.default_rng(0).uniform(0, 100, (K, 2))


def people(*shifts):
    return np.stack([POSE + shift for shift in shifts])


def ones(n):
    return np.ones((n, K))


def test_an_exact_duplicate_goes_and_the_better_one_stays():
    kept = pose_nms(
        people(0, 0, 300), ones(3), np.array([0.3, 0.8, 0.5]), SIGMAS, 0.9
    )
    assert kept.tolist() == [1, 2]


def test_of_equal_scores_the_first_stays():
    kept = pose_nms(people(0, 0, 0), ones(3), np.full(3, 0.5), SIGMAS, 0.9)
    assert kept.tolist() == [0]


def test_people_apart_stay():
    scores = np.array([0.3, 0.8])
    kept = pose_nms(people(0, 60), ones(2), scores, SIGMAS, 0.1)
    assert kept.tolist() == [1, 0]


def test_the_nearer_the_threshold_is_to_one_the_more_stay():
    shifted, scores = people(0, 4), np.array([0.8, 0.3])
    counts = [
        len(pose_nms(shifted, ones(2), scores, SIGMAS, threshold))
        for threshold in (0.0, 0.3, 0.6, 0.9, 1.0)
    ]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 2)


def test_similarity_is_that_of_common_keypoints():
    seen = ones(2)
    seen[1, 5:] = 0  # part of the first instance, detected again
    poses = people(0, 0)
    poses[1, 5:] = 0
    scores = np.array([0.8, 0.3])
    assert pose_nms(poses, seen, scores, SIGMAS, 0.9).tolist() == [0]
    seen[0, :5] = 0  # nothing in common
    assert len(pose_nms(poses, seen, scores, SIGMAS, 0.9)) == 2


def test_images_without_instances():
    none = np.zeros((0, K, 2)), np.zeros((0, K)), np.zeros(0)
    assert pose_nms(*none, SIGMAS, 0.5).shape == (0,)
    assert select_people(*none, SIGMAS, 0.2, 0.5, 3).shape == (0,)
    assert boxes_of(*none[:2]).shape == (0, 4)


def test_boxes_leave_out_missing_keypoints():
    scores = ones(2)
    scores[0, 1:] = 0
    scores[1] = 0
    poses = people(0, 0)
    poses[0, 1:] = -50
    boxes = boxes_of(poses, scores)
    np.testing.assert_array_equal(boxes[0], [*POSE[0], *POSE[0]])
    np.testing.assert_array_equal(boxes[1], 0)


@settings(deadline=None, max_examples=100)
@given(
    hnp.arrays(
        float, st.integers(0, 12), elements=st.floats(0, 1), fill=st.nothing()
    ),
    st.floats(0, 1),
    st.none() | st.floats(0, 1),
    st.none() | st.integers(1, 14),
)
def test_who_is_selected_scores_best_and_enough(scores, thr, nms, most):
    n = len(scores)
    poses = people(*range(0, 9 * n, 9)) if n else np.zeros((0, K, 2))
    kept = select_people(poses, ones(n), scores, SIGMAS, thr, nms, most)
    assert len(set(kept.tolist())) == len(kept)
    chosen = scores[kept]
    assert (chosen >= thr).all()
    assert (np.diff(chosen) <= 0).all()
    assert len(kept) <= (most or n)
    if nms is None:
        assert len(kept) == min((scores >= thr).sum(), most or n)
    elif (scores >= thr).any():
        assert chosen[0] == scores.max()


def test_bad_arguments_are_named():
    args = people(0), ones(1), np.ones(1)
    with pytest.raises(ValueError, match='is 7, expected an OKS from'):
        pose_nms(*args, SIGMAS, 7)
    with pytest.raises(ValueError, match=r'got \(14,\) sigmas'):
        pose_nms(*args, SIGMAS[:14], 0.5)
