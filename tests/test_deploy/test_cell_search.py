"""The pruned search finds the cell that a search of all cells finds."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.deploy.runtime import cell_search
from swahr_mmpose.deploy.runtime.cell_search import CellIndex


def search_all(values, tags, mean):
    """Compare the mean tag with all cells."""
    squared = ((tags - mean[:, None]) ** 2).sum(axis=0)
    fits = values - np.rint(np.sqrt(squared))
    fits[np.isnan(fits)] = -np.inf
    return int(fits.argmax()), float(fits.max())


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tag_dim=st.integers(1, 2),
    count=st.sampled_from([1, 5, 300]),
    height=st.sampled_from([0.1, 1, 40]),
    levels=st.sampled_from([0, 1, 5, 1000]),
    spread=st.sampled_from([0, 0.5, 3, 500, 1e5, 1e30]),
    odd=st.booleans(),
)
def test_the_first_best_cell_is_found(
    seed, tag_dim, count, height, levels, spread, odd
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
    with np.errstate(all='ignore'), mock.patch.multiple(
        cell_search, _FEW=2, _HIGHEST=(4, 16)
    ):
        cells = CellIndex(values, tags)
        for mean in np.float32(means):
            expected = search_all(values, tags, mean)
            found = cells.find(mean)
            assert found[1] == expected[1]
            assert found[1] == -np.inf or found == expected


def test_without_cells_none_is_found():
    cells = CellIndex(np.zeros(0, np.float32), np.zeros((2, 0), np.float32))
    assert cells.find(np.zeros(2, np.float32)) == (0, -np.inf)


@pytest.mark.parametrize('flat', [True, False])
def test_few_cells_are_compared_on_noise(flat, monkeypatch):
    rng = np.random.default_rng(0)
    values = np.ones(1 << 18) if flat else rng.random(1 << 18)
    tags = rng.uniform(0, 1000, (2, 1 << 18)).astype(np.float32)
    cells = CellIndex(values.astype(np.float32), tags)
    compared = []
    compare = CellIndex._compare

    def count(self, mean, chosen):
        compared.append(len(self.values if chosen is None else chosen))
        return compare(self, mean, chosen)

    monkeypatch.setattr(CellIndex, '_compare', count)
    for mean in tags.T[:50]:
        assert cells.find(mean) == search_all(cells.values, tags, mean)
    assert max(compared) < 1 << 16
