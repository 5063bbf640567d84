import numpy as np
import pytest
from helpers.codecs import assign_munkres
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs.assignment import (
    ASSIGNMENTS,
    assign_nearest,
    assign_official,
)


@given(st.integers(0, 2**31))
@example(401)
@settings(max_examples=60, deadline=None)
def test_our_solver_has_the_least_cost_and_then_the_least_distance(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 6, 2)
    distance = rng.uniform(0, 3, (n, m))
    score = rng.uniform(0, 1, n).astype(np.float32)
    cost = np.round(distance) * 100 - score[:, None]
    ours = assign_nearest(cost, distance)
    reference = assign_munkres(cost, distance)
    assert cost[ours].sum() == pytest.approx(cost[reference].sum(), abs=1e-9)
    preference = distance + distance**2 / 100
    assert preference[ours].sum() <= preference[reference].sum() + 1e-5


def test_among_equal_costs_the_nearer_person_is_preferred():
    distance = np.array([[0.4, 0.1], [0.1, 0.4]])
    cost = np.round(distance) * 100
    rows, columns = assign_nearest(cost, distance)
    assert columns.tolist() == [1, 0]


@pytest.mark.parametrize('noise', [-1e-7, 0, 1e-7])
def test_two_tags_beside_two_people_keep_their_order(noise):
    """The total distance of both pairings is equal, up to rounding."""
    people, tags = np.array([0.1, 0.2]), np.array([0.3 + noise, 0.45])
    distance = np.abs(tags[:, None] - people)
    rows, columns = assign_nearest(np.round(distance) * 100, distance)
    assert columns.tolist() == [0, 1]


COSTS = dict(
    official=lambda rng, shape: (
        100 * np.round(rng.uniform(0, rng.choice([1, 3, 20]), shape))
        - rng.random((shape[0], 1), np.float32).astype(np.float64)
    ),
    ties=lambda rng, shape: 100.0 * rng.integers(0, 3, shape),
    clipped=lambda rng, shape: 1e8 * rng.integers(0, 2, shape) - 0.3,
    real=lambda rng, shape: rng.uniform(-1, 3, shape),
)


@given(
    seed=st.integers(0, 2**31),
    kind=st.sampled_from(list(COSTS)),
    largest=st.sampled_from([3, 8, 20]),
)
@settings(max_examples=300, deadline=None)
def test_the_official_choice_is_that_of_the_package_munkres(
    seed, kind, largest
):
    """The same pairs, also where many assignments are optimal."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, largest + 1, 2))
    cost = COSTS[kind](rng, shape)
    expected = assign_munkres(cost, cost)
    found = assign_official(cost, cost)
    for one, other in zip(found, expected):
        assert one.tolist() == other.tolist()


def test_both_choices_differ_where_costs_are_equal():
    distance = np.array([[0.4, 0.1], [0.1, 0.4]])
    cost = np.round(distance) * 100
    pairs = {k: solve(cost, distance)[1] for k, solve in ASSIGNMENTS.items()}
    assert pairs['nearest'].tolist() == [1, 0]
    assert pairs['official'].tolist() == [0, 1]
