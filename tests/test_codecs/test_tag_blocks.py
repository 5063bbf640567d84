"""Blocks of cells that are neighbours in tag space."""

import numpy as np
import pytest

from swahr_mmpose.codecs.tag_blocks import sort_into_blocks, sort_roughly


@pytest.mark.parametrize('tag_dim', [1, 2])
@pytest.mark.parametrize('number', [1, 128, 1000])
def test_each_cell_is_in_one_block_within_its_tag_interval(tag_dim, number):
    rng = np.random.default_rng(0)
    cells = np.flatnonzero(rng.random(3 * number) < 0.5)
    cells = cells if len(cells) else np.zeros(1, np.int64)
    values = rng.random(3 * number, np.float32)
    tags = rng.normal(size=(tag_dim, 3 * number)).astype(np.float32)
    blocks = sort_into_blocks(cells, values, list(tags))
    used = blocks.values > -np.inf
    assert sorted(blocks.cells[used]) == cells.tolist()
    assert (blocks.values[used] == values[blocks.cells[used]]).all()
    assert (blocks.maxima == blocks.values.max(axis=1)).all()
    for tag, sorted_tags, low, high in zip(
        tags, blocks.tags, blocks.low, blocks.high
    ):
        assert (sorted_tags == tag[blocks.cells]).all()
        assert (sorted_tags >= low[:, None]).all()
        assert (sorted_tags <= high[:, None]).all()


@pytest.mark.parametrize('tag_dim', [1, 2])
def test_tag_intervals_are_narrow_on_noise(tag_dim):
    """As wide as those of a square grid of blocks, up to a factor."""
    rng = np.random.default_rng(0)
    number = 1 << 16
    tags = rng.random((tag_dim, number), np.float32)
    blocks = sort_into_blocks(
        np.arange(number), np.zeros(number, np.float32), list(tags)
    )
    expected = (128 / number) ** (1 / tag_dim)
    assert np.median(blocks.high - blocks.low) < 1.5 * expected


@pytest.mark.parametrize(
    'make',
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.normal(size=n) ** 9,
        lambda rng, n: rng.normal(size=n).clip(-3, 3) * 1e38,
        lambda rng, n: 1 + rng.random(n) ** 20 * 1e30,
        lambda rng, n: rng.normal(size=n) * 1e-44,
        lambda rng, n: rng.integers(-2, 3, n),
        lambda rng, n: np.zeros(n),
        lambda rng, n: np.where(np.arange(n) == 5, 3e38, rng.random(n)),
    ],
)
def test_tags_are_sorted_up_to_a_small_share_of_the_cells(make):
    rng, number = np.random.default_rng(0), 1 << 17
    tags = make(rng, number).astype(np.float32)
    order = sort_roughly(tags)
    assert (np.sort(order) == np.arange(number)).all()
    ordered, rank = np.sort(tags), np.arange(number)
    first = np.searchsorted(ordered, tags[order], 'left')
    last = np.searchsorted(ordered, tags[order], 'right') - 1
    assert (first - rank).max() <= number >> 8
    assert (rank - last).max() <= number >> 8
