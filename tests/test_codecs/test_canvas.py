import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs.canvas import (
    DenseCanvas,
    SparseCanvas,
    merge_intervals,
)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 15))))
@settings(max_examples=200, deadline=None)
def test_merged_intervals_are_the_sorted_union(intervals):
    starts, lengths = np.array(intervals, np.int64).reshape(-1, 2).T
    merged, positions = merge_intervals(starts, lengths)
    union = {
        n for start, length in intervals for n in range(start, start + length)
    }
    assert merged.tolist() == sorted(union)
    for start, length, position in zip(starts, lengths, positions):
        stored = merged[position : position + length]
        assert stored.tolist() == list(range(start, start + length))


@given(st.integers(0, 2**31), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_windows_are_pasted_by_the_maximum(seed, number):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3).tolist())
    dense = np.zeros(shape, np.float32)
    k = rng.integers(0, shape[0], number)
    inside = rng.integers(0, shape[:0:-1], (number, 2))
    before, after = rng.integers(0, 6, (2, number, 2))
    starts, sizes = inside - before, before + after + 1
    canvas = SparseCanvas(shape, k, starts, sizes)
    for m, ((x, y), (w, h)) in enumerate(zip(starts, sizes)):
        kernel = rng.integers(0, 3, (h, w)).astype(np.float32)
        canvas.paste_maximum(m, kernel)
        for row, column in np.ndindex(h, w):
            cell = (k[m], y + row, x + column)
            if 0 <= cell[1] < shape[1] and 0 <= cell[2] < shape[2]:
                dense[cell] = max(dense[cell], kernel[row, column])
    drawn = canvas.finish()
    np.testing.assert_array_equal(drawn, dense)
    np.testing.assert_array_equal(drawn.cells, np.flatnonzero(dense))


@given(st.integers(0, 2**31), st.integers(0, 8), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cells_of_equal_windows_are_indexed(seed, number, sparse):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3).tolist())
    size = rng.integers(1, 8, 2)
    k = rng.integers(0, shape[0], number)
    starts = rng.integers(1 - size, shape[:0:-1], (number, 2))
    canvas = (SparseCanvas if sparse else DenseCanvas)(
        shape, k, starts, np.broadcast_to(size, (number, 2))
    )
    dy, dx = rng.permutation(np.indices(size[::-1]).reshape(2, -1), axis=1)
    chosen = rng.permutation(number)[: number // 2 + 1]
    canvas.values[canvas.index_windows(chosen, dy, dx)] = 1
    dense = np.zeros(shape, np.float32)
    for m in chosen:
        (x, y), (w, h) = starts[m], size
        dense[k[m], max(y, 0) : y + h, max(x, 0) : x + w] = 1
    np.testing.assert_array_equal(canvas.finish(), dense)
