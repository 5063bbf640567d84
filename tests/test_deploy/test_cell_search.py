"""The bounded search finds the cells that a search of all cells finds."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose import codecs
from swahr_mmpose.deploy import runtime
from swahr_mmpose.deploy.runtime import cell_search, tag_search
from swahr_mmpose.deploy.runtime.cell_search import find_best_cells

ALL = 1 << 30


def search_all(values, tags, mean):
    """Compare the mean tag with all cells."""
    squared = ((tags - mean[:, None]) ** 2).sum(axis=0)
    fits = values - np.rint(np.sqrt(squared))
    fits[np.isnan(fits)] = -np.inf
    return int(fits.argmax()), float(fits.max())


@pytest.mark.parametrize('name', ['tag_blocks.py', 'tag_search.py'])
def test_the_search_by_tags_is_that_of_the_codecs(name):
    """The runtime is copied alone, and so has files of its own."""
    ours, theirs = (
        Path(package.__file__).with_name(name).read_bytes()
        for package in (runtime, codecs)
    )
    assert ours == theirs


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tag_dim=st.integers(1, 2),
    count=st.sampled_from([1, 5, 300]),
    height=st.sampled_from([0.1, 1, 40]),
    levels=st.sampled_from([0, 1, 5, 1000]),
    spread=st.sampled_from([0, 0.5, 3, 500, 1e5, 1e30]),
    odd=st.booleans(),
    limit=st.sampled_from([0, ALL]),
)
def test_the_first_best_cell_is_found(
    seed, tag_dim, count, height, levels, spread, odd, limit
):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels + 1, count) / max(levels, 1) * height
    tags = np.round(rng.uniform(-spread, spread, (tag_dim, count)), 1)
    if odd:
        tags[rng.random(tags.shape) < 0.1] = np.nan
        tags[rng.random(tags.shape) < 0.1] = np.inf
        tags[rng.random(tags.shape) < 0.1] = -np.inf
    values, tags = values.astype(np.float32), tags.astype(np.float32)
    means = [*tags.T[:3], rng.uniform(-spread, spread, tag_dim)]
    with np.errstate(all='ignore'), mock.patch.object(
        cell_search, '_MAX_COMPARISONS', limit
    ), mock.patch.object(tag_search, '_NUM_HIGHEST', 16):
        found = find_best_cells(values, tags, np.float32(means), ALL)
        for *got, mean in zip(*found, np.float32(means)):
            expected = search_all(values, tags, mean)
            assert got[1] == expected[1]
            assert got[1] == -np.inf or tuple(got) == expected


@pytest.mark.parametrize('limit', [-1, 1 << 20])
def test_without_cells_none_is_found(limit):
    values, tags = np.zeros(0, np.float32), np.zeros((2, 0), np.float32)
    means = np.zeros((3, 2), np.float32)
    with mock.patch.object(cell_search, '_MAX_COMPARISONS', limit):
        cells, best = find_best_cells(values, tags, means, ALL)
    assert len(cells) == 3
    assert (best == -np.inf).all()
