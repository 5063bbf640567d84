import os
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.codecs import index_and_find_candidates
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs import peaks
from swahr_mmpose.codecs.block_max import BLOCK_SIZE, index_blocks
from swahr_mmpose.codecs.peaks import (
    _mark_block_peaks,
    find_candidates,
    find_peaks,
    log_parabola_shift,
    quarter_shift,
)

# The form is chosen by the number of peaks: on small maps, always one of them.
DENSE = pytest.mark.parametrize('share', [1, 10**9], ids=['sparse', 'dense'])
EXAMPLES = int(os.environ.get('SWAHR_FUZZ_EXAMPLES', 1000))


def search_exhaustively(heatmap, threshold, kernel, topk):
    """Compare every cell with its window, then sort."""
    h, w = heatmap.shape
    r = kernel // 2
    found = []
    for y in range(h):
        for x in range(w):
            window = heatmap[
                max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1
            ]
            if heatmap[y, x] > threshold and heatmap[y, x] == window.max():
                found.append((-heatmap[y, x], y * w + x))
    return [(i, -v) for v, i in sorted(found)[:topk]]


@given(
    st.integers(0, 2**31),
    st.sampled_from([2, 5, 30]),
    st.sampled_from([3, 5]),
    st.sampled_from([0, 4]),
)
@settings(max_examples=min(EXAMPLES, 300), deadline=None)
def test_candidates_agree_with_the_exhaustive_search_ties_included(
    seed, topk, kernel, many
):
    rng = np.random.default_rng(seed)
    # Few distinct values give plateaus and ties.
    maps = (rng.integers(-2, 6, (2, 3, 9, 11)) / 5).astype(np.float32)
    tags = rng.normal(size=(2, 2, 3, 9, 11)).astype(np.float32)
    with mock.patch.object(peaks, '_MANY_PEAKS', many):
        found = index_and_find_candidates(
            torch.from_numpy(maps),
            torch.from_numpy(tags),
            threshold=0.1,
            kernel=kernel,
            topk=topk,
        )
    assert found.scores.shape == (2, 3, topk)
    for b in range(2):
        for k in range(3):
            expected = search_exhaustively(maps[b, k], 0.1, kernel, topk)
            n = len(expected)
            assert found.indices[b, k, :n].tolist() == [i for i, _ in expected]
            assert found.scores[b, k, :n].tolist() == [v for _, v in expected]
            assert not found.scores[b, k, n:].any()
            flat = tags[b, :, k].reshape(2, -1)
            np.testing.assert_array_equal(
                found.tags[b, k, :n].numpy(),
                flat[:, [i for i, _ in expected]].T,
            )


def shift_of(row, x):
    maps = torch.tensor(row).expand(3, -1)[None].contiguous()
    return quarter_shift(maps, torch.tensor([[[x, 1]]]))[0, 0].tolist()


def test_quarter_shift_goes_to_the_higher_neighbour():
    assert shift_of([0.0, 0.2, 1.0, 0.5, 0.0], 2)[0] == 0.25
    assert shift_of([0.0, 0.5, 1.0, 0.2, 0.0], 2)[0] == -0.25


def test_quarter_shift_of_a_tie_is_negative():
    assert shift_of([0.0, 0.5, 1.0, 0.5, 0.0], 2) == [-0.25, -0.25]


def test_quarter_shift_at_the_border_compares_with_the_cell_itself():
    assert shift_of([1.0, 0.5, 0.0, 0.0], 0)[0] == -0.25
    assert shift_of([0.0, 0.0, 0.5, 1.0], 3)[0] == 0.25
    assert shift_of([0.3, 1.0, 0.5, 0.0], 1)[0] == 0.25


def all_cells(maps):
    """Every cell of maps (K, H, W) as that of a person, (H * W, K, 2)."""
    y, x = np.divmod(np.arange(maps[0].numel()), maps.shape[2])
    cells = torch.from_numpy(np.stack([x, y], axis=-1))
    return cells[:, None].expand(-1, len(maps), -1)


def test_quarter_shift_of_every_cell_compares_its_neighbours():
    maps = np.random.default_rng(0).random((3, 5, 7))
    framed = np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode='edge')
    right = framed[:, 1:-1, 2:] > framed[:, 1:-1, :-2]
    below = framed[:, 2:, 1:-1] > framed[:, :-2, 1:-1]
    expected = np.stack([right, below], axis=-1) * 0.5 - 0.25
    maps = torch.from_numpy(maps)
    shift = quarter_shift(maps, all_cells(maps))
    assert shift.dtype == torch.float32
    np.testing.assert_array_equal(
        shift.transpose(0, 1).reshape(expected.shape), expected
    )


@pytest.mark.parametrize('step', [1, 2, 4])
def test_log_parabola_finds_the_centre_of_a_sampled_gaussian(step):
    y, x = np.mgrid[:32, :40]
    for centre in ((20.3, 11.8), (34.3, 26.8), (5.3, 4.8)):
        squares = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        maps = np.exp(-squares / 8)[None].astype(np.float32)
        cell = torch.tensor(centre).round().long()
        shift = log_parabola_shift(
            torch.from_numpy(maps), cell[None, None], step
        )
        torch.testing.assert_close(
            shift, torch.tensor([[[0.3, -0.2]]]), atol=1e-3, rtol=0
        )


def test_log_parabola_is_zero_where_a_neighbour_lies_outside():
    y, x = torch.meshgrid(torch.arange(5), torch.arange(7), indexing='ij')
    maps = torch.exp(-((x - 2.8) ** 2 + (y - 2.2) ** 2) / 8)[None]
    for step in (1, 2):
        shift = log_parabola_shift(maps, all_cells(maps), step)
        moved = (shift != 0).reshape(5, 7, 2)
        assert moved[..., 0].equal((x >= step) & (x < 7 - step))
        assert moved[..., 1].equal((y >= step) & (y < 5 - step))


@pytest.mark.parametrize('step', [1, 2])
def test_log_parabola_shifts_by_at_most_half_a_step(step):
    row = torch.tensor([0.1, 0.1, 0.5, 0.6, 0.6])
    row = row if step == 2 else row[1:4]
    maps = row.expand(len(row), -1)[None].contiguous()
    cells = torch.full((1, 1, 2), step)
    shift = log_parabola_shift(maps, cells, step)[0, 0]
    assert shift.tolist() == [step / 2, 0]
    shift = log_parabola_shift(maps.flip(2), cells, step)[0, 0]
    assert shift.tolist() == [-step / 2, 0]


def test_log_parabola_clamps_values_that_are_not_positive():
    row = torch.tensor([0.0, 0.5, -1.0])
    maps = row.expand(3, -1)[None].contiguous()
    cells = torch.ones(1, 1, 2, dtype=torch.long)
    assert not log_parabola_shift(maps, cells, 1).any()
    assert not log_parabola_shift(-maps, cells, 1).any()


def test_the_first_of_many_equal_peaks_are_candidates():
    maps = torch.zeros(1, 2, 40, 50)
    maps[0, :, ::2, ::2] = 0.5
    tags = torch.zeros(1, 1, 2, 40, 50)
    found = index_and_find_candidates(maps, tags, 0.1, kernel=3, topk=30)
    cells = [y * 50 + x for y in (0, 2) for x in range(0, 50, 2)][:30]
    assert found.indices.tolist() == [[cells, cells]]


def test_work_stays_on_the_device_of_the_maps():
    maps = torch.rand(1, 2, 9, 11)
    tags = torch.rand(1, 1, 2, 9, 11)

    def work():
        found = index_and_find_candidates(maps, tags, 0.1, kernel=3, topk=4)
        y, x = found.indices[0] // 11, found.indices[0] % 11
        cells = torch.stack([x, y], dim=-1).transpose(0, 1)
        return [
            *found,
            quarter_shift(maps[0], cells),
            log_parabola_shift(maps[0], cells, 1),
        ]

    expected = work()
    with torch.device('meta'):  # tensors without a device have no values
        torch.testing.assert_close(work(), expected)


def test_log_parabola_is_zero_without_a_maximum():
    flat = torch.ones(1, 5, 5)
    cells = torch.tensor([[[2, 2]], [[0, 0]], [[4, 4]]])
    assert not log_parabola_shift(flat, cells, 1).any()
    assert not log_parabola_shift(-flat, cells, 1).any()


def peaks_of(maps, kernel):
    """Peaks above 0.1, equal for indices of this and of a lower threshold."""
    found = []
    for low in (0.1, 0.02):
        blocks = index_blocks(maps, low)
        y, x = np.divmod(find_peaks(maps, blocks, 0.1, kernel), blocks.width)
        found.append((y * maps.shape[-1] + x).tolist())
    assert found[0] == found[1]
    return found[0]


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 20),
    width=st.integers(1, 20) | st.sampled_from([31, 32, 33, 64, 70]),
    kernel=st.sampled_from([1, 3, 5, 7]),
    steps=st.sampled_from([3, 10, 1000]),
)
@settings(max_examples=EXAMPLES, deadline=None)
@DENSE
def test_peaks_are_the_maxima_of_their_windows(
    share, seed, height, width, kernel, steps
):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(-1, steps, (2, 3, height, width), generator=generator)
    maps = maps / steps
    pooled = F.max_pool2d(maps, kernel, 1, kernel // 2)
    expected = ((maps > 0.1) & (pooled == maps)).flatten().nonzero()[:, 0]
    with mock.patch.object(peaks, '_DENSE_SHARE', share):
        assert peaks_of(maps, kernel) == expected.tolist()


@DENSE
def test_cells_near_nan_are_not_peaks(share, monkeypatch):
    monkeypatch.setattr(peaks, '_DENSE_SHARE', share)
    maps = torch.rand(1, 12, 12) + 0.2
    maps[0, 3, 4] = float('nan')
    pooled = F.max_pool2d(maps, 5, 1, 2)
    expected = (pooled == maps).flatten().nonzero()[:, 0]
    assert peaks_of(maps, 5) == expected.tolist()


def test_leading_dimensions_do_not_matter():
    maps = torch.rand(2, 3, 6, 64)
    expected = find_peaks(maps, index_blocks(maps, 0.1), 0.1, 3)
    assert len(expected)
    for same in (maps, maps.flatten(0, 1), maps[:, :, None].flatten(0, 1)):
        blocks = index_blocks(same, 0.1)
        assert find_peaks(same, blocks, 0.1, 3).equal(expected)


def test_a_lower_threshold_of_the_index_gives_the_same_candidates():
    maps, tags = torch.rand(2, 3, 6, 64), torch.rand(2, 1, 3, 6, 64)
    options = dict(threshold=0.1, kernel=3, topk=4)
    expected, found = (
        find_candidates(maps, tags, index_blocks(maps, low), **options)
        for low in (0.1, 0.02)
    )
    for one, other in zip(expected, found):
        assert one.equal(other)


@pytest.mark.parametrize('compare', [False, True])
def test_block_peaks_of_torch_are_those_of_numpy(compare):
    """Tensors, as on a GPU, against NumPy arrays."""
    values = torch.randint(5, (8 * BLOCK_SIZE,)) / 5
    expected = _mark_block_peaks(values.numpy(), 0.3, compare)
    found = _mark_block_peaks(values, 0.3, compare)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.sum() < len(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('kernel', [1, 5])
def test_a_gpu_finds_the_same_candidates(kernel):
    maps, tags = torch.rand(2, 3, 20, 70), torch.rand(2, 1, 3, 20, 70)
    options = dict(threshold=0.5, kernel=kernel, topk=10)
    expected = index_and_find_candidates(maps, tags, **options)
    found = index_and_find_candidates(maps.cuda(), tags.cuda(), **options)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one.cpu(), other)
