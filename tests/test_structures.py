import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from mmpose.structures import MultilevelPixelData, PoseDataSample

from swahr_mmpose.structures import (
    SparseFields,
    SparseHeatmap,
    SparseTargets,
    mask_keypoints,
    stack_annotated,
    stack_heatmaps,
    stack_levels,
    stack_masks,
    stack_targets,
)

SIZES = [(5, 7), (10, 14)]


def random_fields(seed, share=0.1):
    rng = np.random.default_rng(seed)
    heatmaps = [
        (rng.random((3, *s)) * (rng.random((3, *s)) < share)).astype('f4')
        for s in SIZES
    ]
    return heatmaps, [rng.random(s) < 0.7 for s in SIZES]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.0, 0.1, 1.0]),
    masked=st.booleans(),
    batch=st.integers(1, 3),
)
def test_a_batch_is_the_same_from_sparse_and_from_dense_fields(
    seed, share, masked, batch
):
    samples = [random_fields(seed + b, share) for b in range(batch)]
    sparse, dense = [], []
    for heatmaps, masks in samples:
        masks = masks if masked else None
        sparse.append(SparseFields.pack(heatmaps, masks))
        fields = MultilevelPixelData()
        fields.set_field([torch.from_numpy(h) for h in heatmaps], 'heatmaps')
        if masked:
            masks = [torch.from_numpy(m) for m in masks]
            fields.set_field(masks, 'heatmap_mask')
        dense.append(fields)
    for level in range(2):
        targets, masks = (
            [stack(fields, level) for fields in (sparse, dense)]
            for stack in (stack_heatmaps, stack_masks)
        )
        found = stack_targets(sparse, level)
        assert isinstance(found, SparseTargets)
        assert found.cells.dtype == torch.int64
        assert torch.equal(stack_targets(dense, level), targets[1])
        again = SparseTargets.from_dense(targets[1])
        order = found.cells.argsort()
        assert torch.equal(found.cells[order], again.cells)
        assert torch.equal(found.values[order], again.values)
        assert found[2:] == again[2:]
        assert targets[0].dtype == targets[1].dtype
        assert torch.equal(*targets)
        assert (masks[0] is None) is not masked
        assert masks[0] is None or torch.equal(*masks)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.0, 0.1, 1.0]),
    kind=st.sampled_from(['none', 'full', 'mixed', 'random']),
    batch=st.integers(1, 3),
)
def test_the_levels_of_a_loss_are_those_inside_the_masks(
    seed, share, kind, batch
):
    fields = []
    for b in range(batch):
        heatmaps, masks = random_fields(seed + b, share)
        if kind == 'full' or (kind == 'mixed' and b == 0):
            masks = [np.ones_like(mask) for mask in masks]
        fields.append(
            SparseFields.pack(heatmaps, None if kind == 'none' else masks)
        )
    for level, (targets, mask) in enumerate(stack_levels(fields)):
        expected = stack_heatmaps(fields, level)
        if kind in ('none', 'full'):
            assert mask is None
        elif kind == 'random' or batch > 1:
            assert torch.equal(mask, stack_masks(fields, level))
            expected = expected * mask[:, None]
        assert targets.masked
        assert targets.cells.dtype == torch.int64
        assert (targets.values > 0).all()
        assert torch.equal(targets.dense(), expected)


def test_dense_fields_have_dense_levels():
    heatmaps, masks = random_fields(1)
    fields = MultilevelPixelData()
    fields.set_field([torch.from_numpy(h) for h in heatmaps], 'heatmaps')
    fields.set_field([torch.from_numpy(m) for m in masks], 'heatmap_mask')
    for level, (target, mask) in enumerate(stack_levels([fields] * 2)):
        np.testing.assert_array_equal(target[1], heatmaps[level])
        np.testing.assert_array_equal(mask[0], masks[level])


def test_sparse_heatmaps_are_packed_as_dense_ones():
    heatmaps, masks = random_fields(2)
    levels = [SparseHeatmap.from_dense(h) for h in heatmaps]
    for level, dense in zip(levels, heatmaps):
        np.testing.assert_array_equal(level, dense)
        assert np.asarray(level).dtype == np.float32
        assert np.asarray(level, np.float64).dtype == np.float64
        assert level.cells.dtype == np.int32
        assert repr(level) == (
            f'SparseHeatmap(shape={dense.shape}, cells={len(level.cells)})'
        )
    expected, got = (SparseFields.pack(h, masks) for h in (heatmaps, levels))
    assert (got.shapes, got.counts) == (expected.shapes, expected.counts)
    for name in ('cells', 'cell_values', 'bits'):
        assert torch.equal(getattr(got, name), getattr(expected, name))


def test_a_sample_is_the_same_after_pickling_and_moving():
    """As by the data worker and the data preprocessor."""
    heatmaps, masks = random_fields(0)
    sample = PoseDataSample()
    sample.gt_fields = SparseFields.pack(heatmaps, masks)
    sample = pickle.loads(pickle.dumps(sample)).to('cpu')
    for got, expected in zip(sample.gt_fields.heatmaps, heatmaps):
        np.testing.assert_array_equal(got, expected)
    for got, expected in zip(sample.gt_fields.heatmap_mask, masks):
        np.testing.assert_array_equal(got, expected)


def test_fields_without_masks_have_no_heatmap_mask():
    fields = SparseFields.pack(random_fields(0)[0])
    assert not hasattr(fields, 'heatmap_mask')
    with pytest.raises(AttributeError, match='packed without masks'):
        _ = fields.heatmap_mask


def test_unequal_fields_are_not_stacked():
    heatmaps, masks = random_fields(0)
    with pytest.raises(ValueError, match='masks in all samples .* or in none'):
        stack_heatmaps(
            [SparseFields.pack(heatmaps, masks), SparseFields.pack(heatmaps)],
            0,
        )
    other = [h.transpose(0, 2, 1) for h in heatmaps]
    with pytest.raises(ValueError, match='expected equal target shapes'):
        stack_heatmaps([SparseFields.pack(h) for h in (heatmaps, other)], 0)


def label(weights=None, people=2):
    data = InstanceData(keypoint_indices=torch.zeros(people, 3, 2))
    if weights is not None:
        data.keypoints_visible_weights = torch.tensor(weights).view(-1, 3)
    return data


def test_a_keypoint_counts_if_it_is_annotated_for_all_people_of_the_image():
    labels = [
        label([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]),
        label([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]),
        label(),  # of a dataset that annotates all
        label([], people=0),  # no people: background for all keypoints
    ]
    annotated = stack_annotated(labels, 3)
    expected = [[1, 0, 1], [0, 0, 1], [1, 1, 1], [1, 1, 1]]
    assert annotated.tolist() == [[bool(n) for n in row] for row in expected]
    assert stack_annotated([label(), label()], 3) is None

    mask = torch.rand(4, 5, 7) > 0.5
    both = mask_keypoints(mask, annotated, (5, 7))
    alone = mask_keypoints(None, annotated, (5, 7))
    for image in range(4):
        for k, counts in enumerate(expected[image]):
            assert torch.equal(both[image, k], mask[image] & bool(counts))
            assert torch.equal(
                alone[image, k], torch.full((5, 7), bool(counts))
            )
    assert mask_keypoints(mask, None, (5, 7)) is mask
    assert mask_keypoints(None, None, (5, 7)) is None
