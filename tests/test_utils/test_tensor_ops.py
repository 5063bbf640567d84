import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.utils.tensor_ops import enlarge, read_maps, resize


@given(
    seed=st.integers(0, 2**31),
    small=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    factor=st.sampled_from([1.0, 2.0, 4.0, 1.5]),
)
@settings(max_examples=300, deadline=None)
def test_maps_are_read_as_if_enlarged(seed, small, factor):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn((2, 3, *small), generator=generator)
    size = tuple(round(n * factor) for n in small)
    large = maps
    if factor == 4:  # in two steps, as in the official code
        large = F.interpolate(large, scale_factor=2, mode='bilinear')
    large = F.interpolate(large, size=size, mode='bilinear')
    index = torch.cartesian_prod(*(torch.arange(n) for n in (2, *size)))
    expected = large.permute(0, 2, 3, 1).reshape(-1, 3)
    torch.testing.assert_close(
        read_maps(maps, index, size), expected, rtol=1e-5, atol=1e-5
    )


@given(
    seed=st.integers(0, 2**31),
    small=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
@settings(max_examples=300, deadline=None)
def test_resizing_by_opencv_agrees_with_torch(seed, small, size):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn((2, 3, *small), generator=generator)
    expected = F.interpolate(maps, size=size, mode='bilinear')
    out = torch.empty(2, 3, *size)
    for result in (resize(maps, size), resize(maps, size, out)):
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    other = resize(maps.double(), size)  # resized by torch
    torch.testing.assert_close(other, expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [(16, 24), (13, 20), (4, 6), (7, 30)])
def test_enlarging_is_reading_every_cell(size):
    maps = torch.randn(2, 3, 4, 6)
    cells = torch.cartesian_prod(*(torch.arange(n) for n in (2, *size)))
    read = read_maps(maps, cells, size).view(2, *size, 3)
    torch.testing.assert_close(
        enlarge(maps, size), read.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize('size', [(32, 48), (50, 75), (33, 40)])
def test_enlarging_by_more_than_four_is_reading_every_cell(size):
    maps = torch.randn(1, 2, 4, 6)
    cells = torch.cartesian_prod(*(torch.arange(n) for n in (1, *size)))
    read = read_maps(maps, cells, size).view(1, *size, 2)
    torch.testing.assert_close(
        enlarge(maps, size), read.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5
    )


def test_equal_values_stay_equal():
    """Exact tags distinguish people."""
    cells = torch.cartesian_prod(torch.arange(1), *[torch.arange(37)] * 2)
    read = read_maps(torch.full((1, 1, 9, 11), 0.7), cells, (37, 37))
    assert read.unique().tolist() == [pytest.approx(0.7)]
