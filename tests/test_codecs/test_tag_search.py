"""Search for missing keypoints in the order of the tags."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs import tag_search
from swahr_mmpose.codecs.tag_search import search_by_tags

ALL = 1 << 30


def compute_objectives(values, tags, mean):
    """Compute the objective of every cell, in the order of operations."""
    with np.errstate(all='ignore'):
        squared = (tags[0] - mean[0]) ** 2
        for tag, m in zip(tags[1:], mean[1:]):
            squared = squared + (tag - m) ** 2
        objectives = values - np.rint(np.sqrt(squared))
    return np.where(np.isnan(objectives), -np.inf, objectives)


def make_maps(rng, tag_dim, number, kind, spread, offset, scale):
    values = dict(
        noise=lambda: rng.normal(0, 0.3, number),
        steps=lambda: rng.integers(-1, 4, number) / 4,
        constant=lambda: np.full(number, 0.25),
        close=lambda: 0.5 + rng.integers(0, 4, number) * 2.0**-24,
        # Many values give the objective of the maximum by rounding, later.
        late=lambda: np.where(np.arange(number) < number // 2, -1, 0.5),
    )[kind]()
    tags = spread * rng.normal(size=(tag_dim, number)) + offset
    tags = np.where(rng.random() < 0.5, np.round(tags * 4) / 4, tags)
    return (values * scale).astype(np.float32), tags.astype(np.float32)


@settings(max_examples=800, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tag_dim=st.integers(1, 3),
    number=st.sampled_from([1, 100, 128, 700, 3000]),
    kind=st.sampled_from(['noise', 'steps', 'constant', 'close', 'late']),
    spread=st.sampled_from([0, 0.01, 1, 30, 1e4]),
    offset=st.sampled_from([0, 7, 300, 9e3, 1e6, 1e12, 1e20]),
    scale=st.sampled_from([1, 1e-42, 1e3, 1e30]),
    odd=st.booleans(),
    highest=st.sampled_from([1 << 14, 150, 20, 1]),
    per_round=st.sampled_from([1 << 11, 40, 3]),
)
def test_cells_are_those_of_the_exhaustive_search_ties_included(
    seed, tag_dim, number, kind, spread, offset, scale, odd, highest, per_round
):
    rng = np.random.default_rng(seed)
    values, tags = make_maps(rng, tag_dim, number, kind, spread, offset, scale)
    means = (spread * rng.normal(size=(40, tag_dim))).astype(np.float32)
    if odd:
        tags[rng.random(tags.shape) < 0.2] = np.nan
        tags[rng.random(tags.shape) < 0.1] = np.inf
        values[rng.random(values.shape) < 0.1] = -np.inf
        means[3] = np.inf
    with mock.patch.multiple(
        tag_search, _NUM_HIGHEST=highest, _PAIRS_PER_ROUND=per_round
    ):
        found = search_by_tags(values, tags, means, ALL)
    for cell, value, objective, mean in zip(*found, means):
        expected = compute_objectives(values, tags, mean)
        assert objective == expected.max()
        if objective > -np.inf:
            assert cell == expected.argmax()
            assert value == values[cell]


def test_beyond_the_limit_good_cells_are_found_and_a_warning_is_issued():
    """Objectives that rise with the tags leave many blocks to be read."""
    rng = np.random.default_rng(0)
    tags = rng.uniform(0, 300, (1, 40000)).astype(np.float32)
    values = tags[0] + rng.random(40000, np.float32) / 4
    means = -rng.uniform(0, 30, (50, 1)).astype(np.float32)
    with pytest.warns(UserWarning, match='bounded time') as issued:
        found = search_by_tags(values, tags, means, 10)
    # The commands print warnings of modules of this package only.
    assert issued[0].filename == tag_search.__file__
    exact = search_by_tags(values, tags, means, ALL)
    for cell, objective, best, mean in zip(
        found.cells, found.objectives, exact.objectives, means
    ):
        expected = compute_objectives(values, tags, mean)
        assert objective == expected[cell]
        assert best == expected.max()
        assert objective > best - 1
    assert (found.objectives < exact.objectives).any()


@pytest.mark.parametrize('tag_dim', [1, 2])
@pytest.mark.parametrize('kind', ['constant', 'noise', 'steps', 'huge'])
def test_few_cells_are_read_where_tags_are_scattered(kind, tag_dim):
    """Less than two thousandths of a comparison with all cells."""
    rng = np.random.default_rng(0)
    number, scale = 1 << 18, 1e30 if kind == 'huge' else 1
    values, _ = make_maps(
        rng, 1, number, 'noise' if kind == 'huge' else kind, 1, 0, scale
    )
    tags = rng.uniform(0, 1000, (tag_dim, number)).astype(np.float32)
    means = rng.uniform(0, 1000, (300, tag_dim)).astype(np.float32)
    pairs = []
    read = tag_search._read_pairs

    def count(blocks, means, chosen, found):
        pairs.append(len(chosen[0]))
        read(blocks, means, chosen, found)

    with mock.patch.object(tag_search, '_read_pairs', count):
        search_by_tags(values, tags, means, ALL)
    assert sum(pairs) * 128 < 0.004 * len(means) * number
