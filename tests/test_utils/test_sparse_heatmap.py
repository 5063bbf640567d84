import numpy as np
import pytest

from swahr_mmpose.utils.sparse_heatmap import SparseHeatmap


def test_dense_maps_are_restored_exactly():
    rng = np.random.default_rng(0)
    dense = rng.random((3, 5, 7)).astype(np.float32)
    dense[rng.random(dense.shape) < 0.8] = 0
    sparse = SparseHeatmap.from_dense(dense)
    assert len(sparse.cells) == np.count_nonzero(dense) < dense.size
    np.testing.assert_array_equal(np.asarray(sparse), dense)
    empty = SparseHeatmap.from_dense(np.zeros((2, 3, 4)))
    assert empty.cells.shape == (0,)
    assert np.asarray(empty).shape == (2, 3, 4)


def test_a_sparse_heatmap_has_one_value_for_each_cell():
    with pytest.raises(ValueError, match='expected one value for each cell'):
        SparseHeatmap(np.arange(3), np.zeros(2), (1, 2, 3))
    with pytest.raises(ValueError, match='always a copy'):
        SparseHeatmap(np.arange(2), np.ones(2), (1, 2, 3)).__array__(
            copy=False
        )
