import numpy as np
import pytest
import torch
from helpers.datasets import encode, sample
from mmpose.datasets.transforms import PackPoseInputs, formatting

from swahr_mmpose import BottomupPackInputs, BottomupRandomSquareAffine
from swahr_mmpose.datasets.transforms.formatting import image_to_tensor
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


def test_heatmaps_that_are_arrays_give_the_same_fields():
    results = encode(BottomupRandomSquareAffine((64, 64))(sample((64, 64), 3)))
    arrays = [np.asarray(level) for level in results['heatmaps']]
    expected, got = (
        BottomupPackInputs()(r)['data_samples'].gt_fields
        for r in (results, dict(results, heatmaps=arrays))
    )
    assert isinstance(got, SparseFields)
    assert got.counts == expected.counts
    for name in ('cells', 'cell_values', 'bits'):
        assert torch.equal(getattr(got, name), getattr(expected, name))


def test_masks_of_another_key_stay_dense():
    results = encode(BottomupRandomSquareAffine((64, 64))(sample((64, 64), 1)))
    results['field_mapping_table'] = dict(heatmaps='heatmaps', extra='extra')
    results['extra'] = [np.ones((n, n), np.float32) for n in (16, 32)]
    fields = BottomupPackInputs()(results)['data_samples'].gt_fields
    assert not isinstance(fields, SparseFields)
    for got, expected in zip(fields.heatmaps, results['heatmaps']):
        np.testing.assert_array_equal(got, expected)


def test_a_sample_is_that_of_mmpose_apart_from_its_fields():
    results = encode(BottomupRandomSquareAffine((64, 64))(sample((64, 64), 2)))
    results['raw_ann_info'] = [dict(id=3, segmentation=[[1.0, 2.0]])]
    ours = BottomupPackInputs()(results)
    results['heatmaps'] = [np.asarray(m) for m in results['heatmaps']]
    keys = BottomupPackInputs().meta_keys
    theirs = PackPoseInputs(keys)(results)
    assert torch.equal(ours['inputs'], theirs['inputs'])
    a, b = (r['data_samples'] for r in (ours, theirs))
    assert set(a.metainfo_keys()) == set(b.metainfo_keys())
    assert a.raw_ann_info == b.raw_ann_info
    assert np.array_equal(a.gt_instances.keypoints, b.gt_instances.keypoints)
    a, b = (s.gt_instance_labels.keypoint_indices for s in (a, b))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    'shape', [(5, 7, 3), (5, 7, 1), (5, 7, 4), (2, 3, 3), (5, 7)]
)
@pytest.mark.parametrize('dtype', [np.uint8, np.float32, np.int64])
def test_tensors_of_images_are_those_of_mmpose(shape, dtype):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    for view in (image, image[:, ::-1], np.asfortranarray(image)):
        got, expected = (
            f(view) for f in (image_to_tensor, formatting.image_to_tensor)
        )
        assert got.dtype == expected.dtype
        assert got.is_contiguous()
        assert torch.equal(got, expected)
