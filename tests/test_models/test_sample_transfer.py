"""Data samples on the device of the model."""

import copy

import pytest
import torch
from helpers.device_cases import build_model, training_batch
from helpers.second_device import SecondDevice
from mmengine.registry import init_default_scope

from swahr_mmpose.models.sample_transfer import move_samples
from swahr_mmpose.structures import stack_heatmaps, stack_masks

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpose')


@pytest.mark.parametrize('people', [(0, 2), (0, 0)], ids=str)
@pytest.mark.parametrize('sparse', [True, False], ids=['sparse', 'dense'])
def test_fields_are_moved_and_labels_stay_on_the_host(people, sparse):
    samples = training_batch(people, sparse=sparse)['data_samples']
    with SecondDevice(float64=False) as device:
        target = torch.device(device.name)
        moved = move_samples(samples, target)
        fields = [sample.gt_fields for sample in moved]
        found = [
            device.fetch((stack_heatmaps(fields, n), stack_masks(fields, n)))
            for n in range(2)
        ]
        assert fields[0].heatmaps[0].device.type == 'lazy'
    given = [sample.gt_fields for sample in samples]
    for level, (heatmaps, masks) in enumerate(found):
        assert torch.equal(heatmaps, stack_heatmaps(given, level))
        assert torch.equal(masks, stack_masks(given, level))
    for one, other in zip(moved, samples):
        assert given[0].heatmaps[0].device == CPU
        assert one.gt_instance_labels.keypoint_indices.device == CPU
        assert set(one.keys()) == set(other.keys())
        assert len(one.gt_instances) == len(other.gt_instances)


def test_sparse_fields_of_a_batch_are_one_copy():
    samples = training_batch((1, 2, 3))['data_samples']
    with SecondDevice() as device:
        with device.counting() as counts:
            move_samples(samples, torch.device(device.name))
    lines = [n for line, n in counts.uploads.items() if 'transfer.py' in line]
    assert sum(counts.uploads.values()) == sum(lines)
    assert [n for k, n in counts.uploads.items() if 'utils/' in k] == [1]


def test_metainfo_is_not_copied_and_not_shared():
    sample = training_batch((2,))['data_samples'][0]
    annotations = [dict(segmentation=[[1.0, 2.0]])]
    sample.set_field(annotations, 'raw_ann_info', field_type='metainfo')
    (moved,) = move_samples([sample], CPU)
    assert moved.raw_ann_info is annotations
    moved.set_metainfo(dict(pad_shape=(1, 2)))
    assert 'pad_shape' not in sample.metainfo
    moved.gt_fields = None
    assert sample.gt_fields is not None


def test_the_preprocessor_moves_samples_so():
    model = build_model()
    batch = training_batch((1, 2))
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    for one, other in zip(data['data_samples'], batch['data_samples']):
        assert one.metainfo.keys() >= other.metainfo.keys()
        assert 'batch_input_shape' in one.metainfo
        assert torch.equal(one.gt_fields.cells, other.gt_fields.cells)
