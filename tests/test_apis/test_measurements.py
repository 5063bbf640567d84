"""Measurements of models on annotated people."""

import numpy as np
import pytest
import torch
from helpers.models import make_batch, make_model

from swahr_mmpose.apis.measurements import (
    list_strides,
    measure_localization,
    measure_scales,
)

PERSON = dict(
    keypoints=[20, 20, 2] + [0, 0, 0] * 16,
    num_keypoints=1,
    bbox=[10, 10, 20, 20],
    area=200,
)


@pytest.fixture
def sample():
    """A sample of one person, who has one keypoint."""
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    batch = make_batch(image, 64)
    (data,) = batch['data_samples']
    data.set_metainfo(dict(raw_ann_info=[PERSON]))
    return dict(inputs=batch['inputs'][0], data_samples=data)


@pytest.fixture
def model():
    """A model whose heatmaps have peaks."""
    torch.manual_seed(0)
    model = make_model(flip_test=False)
    for layer in model.head.final_layers:
        torch.nn.init.normal_(layer.weight, std=0.5)
    model.test_cfg['output_heatmaps'] = True
    return model


@pytest.mark.parametrize('upsample', [True, False])
def test_localization_is_measured_at_either_resolution(
    model, sample, upsample
):
    model.test_cfg['upsample_heatmaps'] = upsample
    found = measure_localization(model, sample, np.full(17, 0.05), 0.1)
    assert found.num_labelled == 1
    assert len(found.errors) <= 1
    assert len(found.false_peaks) > 0
    assert (found.false_peaks > 0.1).all()


def test_scales_are_measured_by_level(model, sample):
    people = measure_scales(model, [sample])
    assert list_strides(model) == [4, 2]
    np.testing.assert_allclose(people.sizes, [20])
    np.testing.assert_allclose(people.scales, np.ones((2, 1)))  # alpha is 0
    assert people.confidences.shape == (2, 1)


@pytest.mark.parametrize(
    ('unbiased', 'cells'), [(False, [7, 14.5]), (True, [7.125, 14.75])]
)
def test_scales_are_read_at_the_cells_of_the_convention(
    model, sample, monkeypatch, unbiased, cells
):
    person = dict(PERSON, keypoints=[30, 30, 2] + [0, 0, 0] * 16)
    sample['data_samples'].set_metainfo(dict(raw_ann_info=[person]))
    forward = model.head.forward

    def predict_columns(features, with_scale_maps):
        output = forward(features, with_scale_maps)
        maps = [
            torch.arange(m.shape[-1]).expand(m.shape)
            for m in output.scale_maps
        ]
        return output._replace(scale_maps=maps)

    monkeypatch.setattr(model.head.decoder, 'unbiased', unbiased)
    monkeypatch.setattr(model.head, 'forward', predict_columns)
    scales = measure_scales(model, [sample]).scales[:, 0]
    np.testing.assert_allclose(1 / scales - 1, cells, atol=0.06)


def test_positions_of_false_peaks_follow_the_convention(
    model, sample, monkeypatch
):
    seen = []

    def record(points, *args):
        seen.append(points)
        return np.zeros(len(points), bool)

    monkeypatch.setattr(
        'swahr_mmpose.apis.measurements.find_false_peaks', record
    )
    for unbiased in (False, True):
        monkeypatch.setattr(model.head.decoder, 'unbiased', unbiased)
        measure_localization(model, sample, np.full(17, 0.05), 0.1)
    np.testing.assert_allclose(seen[0] - seen[1], 0.5)


def test_without_people_there_are_no_scales(model, sample):
    sample['data_samples'].set_metainfo(dict(raw_ann_info=[]))
    people = measure_scales(model, [sample])
    assert people.sizes.shape == (0,)
    assert people.scales.shape == people.confidences.shape == (2, 0)
