import numpy as np
import pytest
from helpers.codecs import assign_munkres, random_candidates
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs.grouping import group_by_tags


def official_group(scores, cells, tags, order, threshold=0.1, limit=30):
    """Group as the official code, with dictionaries keyed by tag values."""
    people, tag_lists = {}, {}
    for k in order:
        rows = [m for m in range(scores.shape[1]) if scores[k, m] > threshold]
        if not rows:
            continue
        keys = list(people)[:limit]
        match = {}
        if people:
            means = np.array([np.mean(tag_lists[key], axis=0) for key in keys])
            gaps = tags[k, rows][:, None].astype(float) - means[None]
            gaps = np.linalg.norm(gaps, axis=2)
            cost = np.round(gaps) * 100 - scores[k, rows][:, None].astype(
                float
            )
            for r, c in zip(*assign_munkres(cost, gaps)):
                if gaps[r, c] < 1:
                    match[r] = keys[c]
        for r, m in enumerate(rows):
            tag = tags[k, m]
            if r in match:
                people[match[r]][k] = m
                tag_lists[match[r]].append(tag)
            else:
                people.setdefault(tag[0], {})[k] = m
                tag_lists[tag[0]] = [tag]
    return list(people.values())


@given(st.integers(0, 2**31), st.sampled_from([1, 3, 30]))
@settings(max_examples=60, deadline=None)
def test_groups_agree_with_the_official_code_under_its_solver(seed, limit):
    scores, cells, tags = random_candidates(np.random.default_rng(seed))
    order = [2, 0, 1, 4, 3]
    people = group_by_tags(
        scores,
        cells,
        tags,
        keypoint_order=order,
        max_groups=limit,
        assign=assign_munkres,
    )
    expected = official_group(scores, cells, tags, order, limit=limit)
    assert len(people.scores) == len(expected)
    for p, members in enumerate(expected):
        found = {k: scores[k, m] for k, m in members.items()}
        assert {
            k: people.scores[p, k] for k in np.flatnonzero(people.scores[p])
        } == found
        for k, m in members.items():
            assert people.cells[p, k].tolist() == cells[k, m].tolist()
            assert people.tags[p, k].tolist() == tags[k, m].tolist()


def group(scores, tags, **kwargs):
    scores = np.asarray(scores, np.float32)
    tags = np.asarray(tags, np.float32)[..., None]
    cells = np.zeros((*scores.shape, 2), np.int64)
    return group_by_tags(
        scores, cells, tags, keypoint_order=range(len(scores)), **kwargs
    )


def test_no_people_without_candidates_above_the_threshold():
    people = group([[0.1, 0.05]], [[0, 1]])
    assert people.scores.shape == (0, 1)
    assert people.cells.shape == (0, 1, 2)
    assert people.tags.shape == (0, 1, 1)


def test_a_far_tag_starts_another_person():
    people = group([[0.9], [0.8], [0.7]], [[0], [0.3], [5]])
    assert (people.scores > 0).tolist() == [
        [True, True, False],
        [False, False, True],
    ]


def test_an_equal_first_tag_overwrites_as_in_the_official_code():
    people = group([[0.9, 0.8]], [[1, 1]])
    np.testing.assert_allclose(people.scores, [[0.8]])


def test_people_beyond_the_limit_may_start_but_are_not_matched():
    people = group([[0.9, 0.8], [0.7, 0.6]], [[0, 5], [0, 5]], max_groups=1)
    # The second candidate is equal in its first tag to the unmatched person.
    assert len(people.scores) == 2
    people = group([[0.9, 0.8], [0.7, 0.6]], [[0, 5], [0, 5.1]], max_groups=1)
    assert len(people.scores) == 3


@pytest.mark.parametrize('tag', [np.nan, np.inf, -np.inf])
def test_candidates_without_a_finite_tag_are_ignored(tag):
    people = group([[0.9], [0.8]], [[0], [tag]])
    assert people.scores.tolist() == [[np.float32(0.9), 0]]


def test_people_have_the_types_of_the_docstring():
    people = group([[0.9], [0.05]], [[0], [0]])
    assert people.cells.dtype == np.int64
    assert people.scores.dtype == people.tags.dtype == np.float32
    assert people.cells.shape == (1, 2, 2)
    assert people.tags.shape == (1, 2, 1)


@pytest.mark.parametrize(
    ('options', 'most'),
    [({}, 30), (dict(max_groups=None), 33), (dict(max_groups=40), 33)],
)
def test_the_limit_is_the_number_of_matched_people(options, most):
    tags = 5.0 * np.arange(33)
    people = group(np.full((2, 33), 0.9), [tags, tags + 0.5], **options)
    assert len(people.scores) == most + 2 * (33 - most)
    assert (people.scores > 0).all(axis=1).sum() == most


def test_a_candidate_exactly_at_the_threshold_starts_another_person():
    people = group([[0.9], [0.9]], [[0], [0.75]], tag_threshold=0.75)
    assert len(people.scores) == 2
    people = group([[0.9], [0.9]], [[0], [0.75]], tag_threshold=0.8)
    assert len(people.scores) == 1


def test_missing_keypoints_are_zero():
    people = group([[0.9], [0.05]], [[2], [3]])
    assert people.tags.tolist() == [[[2], [0]]]
    assert people.scores.tolist() == [[np.float32(0.9), 0]]
    assert people.cells.tolist() == [[[0, 0], [0, 0]]]


def test_a_mean_tag_that_overflows_matches_no_candidate():
    with np.errstate(over='ignore'):
        people = group([[0.9], [0.8], [0.7]], [[3e38], [3e38], [3.1e38]])
    assert (people.scores > 0).tolist() == [
        [True, True, False],
        [False, False, True],
    ]
