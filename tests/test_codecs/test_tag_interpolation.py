import numpy as np
import pytest
import torch

from swahr_mmpose.codecs.dense_maps import BLOCK, TagMaps, read_taps
from swahr_mmpose.codecs.tag_interpolation import (
    bound_blocks,
    interpolate,
    list_block_taps,
    list_taps,
)
from swahr_mmpose.utils.tensor_ops import enlarge, read_maps

SIZE = (24, 40)
SMALL = pytest.mark.parametrize(
    'small', [(24, 40), (12, 20), (6, 10), (3, 5), (5, 7), (24, 9), (7, 40)]
)


def all_cells(maps):
    """List map, y and x of all cells of maps of SIZE."""
    axes = [torch.arange(n) for n in (len(maps), *SIZE)]
    grid = torch.meshgrid(*axes, indexing='ij')
    return torch.stack(grid, dim=-1).view(-1, 3)


@SMALL
def test_tables_give_the_values_of_the_enlarged_tags(small):
    tags = torch.randn(3, 2, *small)
    maps = TagMaps(tags, SIZE, SIZE)
    row, y, x = all_cells(tags).unbind(-1)
    y_cells, y_weights = read_taps(maps.row_table, y)
    x_cells, x_weights = read_taps(maps.column_table, x)
    taps = tags[
        row[:, None, None], :, y_cells[:, :, None], x_cells[:, None, :]
    ]
    found = interpolate(taps, y_weights, x_weights)
    expected = read_maps(tags, all_cells(tags), SIZE)
    np.testing.assert_array_equal(found, expected)
    halfway = maps.enlarge_halfway()
    assert halfway.taps[0].cells.shape[1] == min(y_cells.shape[1], 2)
    torch.testing.assert_close(
        enlarge(halfway.values, SIZE), enlarge(tags, SIZE)
    )


@SMALL
@pytest.mark.parametrize('offset', [0.0, 1e4])
def test_bounds_hold_for_the_enlarged_tags(small, offset):
    tags = torch.randn(4, *small) + offset
    tables = list_block_taps(list_taps(small, SIZE, SIZE), BLOCK)
    low, high = bound_blocks(tags, *tables)
    enlarged = enlarge(tags, SIZE).unflatten(2, (-1, BLOCK[1]))
    enlarged = enlarged.unflatten(1, (-1, BLOCK[0]))
    smallest, largest = enlarged.amin((2, 4)), enlarged.amax((2, 4))
    assert (low <= smallest).all()
    assert (-high >= largest).all()
    if small == SIZE:  # exact but for the margin
        torch.testing.assert_close(low, smallest, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(-high, largest, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('odd', [np.nan, np.inf, -np.inf])
def test_tags_that_are_not_finite_have_no_bound_below(odd):
    tags = torch.zeros(1, *SIZE)
    tags[0, 5, 9] = odd
    tables = list_block_taps(list_taps(SIZE, SIZE, SIZE), BLOCK)
    low, high = bound_blocks(tags, *tables)
    assert low[0, 1, 1] == -torch.inf or odd == np.inf
    assert high[0, 1, 1] == -torch.inf or odd == -np.inf
    assert torch.isfinite(low).sum() >= low.numel() - 1
    assert not low[0, 0].any()


def test_cells_beyond_the_map_have_the_taps_of_the_last_one():
    y, x = list_taps((6, 9), (12, 18), (16, 24))
    assert (len(y.cells), len(x.cells)) == (16, 24)
    assert (y.cells[12:] == y.cells[11]).all()
    assert (x.weights[18:] == x.weights[17]).all()
