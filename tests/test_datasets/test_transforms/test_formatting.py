import numpy as np
import torch
from helpers.datasets import encode, sample

from swahr_mmpose import BottomupPackInputs, BottomupRandomSquareAffine
from swahr_mmpose.structures import SparseFields


def test_sparse_targets_are_the_dense_ones():
    results = BottomupRandomSquareAffine((64, 64))(sample((64, 64), 3))
    results = encode(results)
    sparse, dense = (
        BottomupPackInputs(sparse=flag)(dict(results))[
            'data_samples'
        ].gt_fields
        for flag in (True, False)
    )
    assert isinstance(sparse, SparseFields)
    assert not isinstance(dense, SparseFields)
    for name in ('heatmaps', 'heatmap_mask'):
        for level in range(2):
            got, expected = (getattr(f, name)[level] for f in (sparse, dense))
            assert torch.equal(got, expected)
            assert expected.any()


def test_masks_that_are_weights_stay_dense():
    results = BottomupRandomSquareAffine((64, 64))(sample((64, 64), 1))
    results = encode(results)
    halves = [np.full((n, n), 0.5, np.float32) for n in (16, 32)]
    results['heatmap_mask'] = halves
    fields = BottomupPackInputs()(results)['data_samples'].gt_fields
    assert not isinstance(fields, SparseFields)
    assert float(fields.heatmap_mask[0].max()) == 0.5
