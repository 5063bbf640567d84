"""Training and test steps of a complete model on another device."""

import copy

import numpy as np
import pytest
import torch
from helpers.device_cases import (
    METHODS,
    build_model,
    image_batch,
    training_batch,
)


def place(model, device):
    """Copy a model to the device."""
    model = copy.deepcopy(model).to(device.name)
    assert model.data_preprocessor.device.type == 'lazy'
    return model


def train_step(model, batch):
    """Run a training step; return losses and gradients."""
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    named = model.named_parameters()
    gradients = {n: p.grad for n, p in named if p.grad is not None}
    return {**losses, **gradients}


@pytest.mark.parametrize('people', [(0, 2, 4), (0, 0)], ids=str)
@pytest.mark.parametrize('method', METHODS)
def test_a_training_step_is_that_of_the_cpu(device, method, people):
    model = build_model(method).train()
    batch = training_batch(people, method)
    placed = place(model, device)
    expected = train_step(model, batch)
    found = device.fetch(train_step(placed, batch))
    assert list(found) == list(expected)
    for name, value in found.items():
        error = (value - expected[name]).abs().max()
        assert error <= 1e-3 * expected[name].abs().max() + 1e-7, name


def test_dense_targets_are_accepted_on_the_device(device):
    model = build_model().train()
    batch = training_batch((0, 2, 4), sparse=False)
    placed = place(model, device)
    expected = train_step(model, batch)
    found = device.fetch(train_step(placed, batch))
    torch.testing.assert_close(
        found['loss_kpt.1'], expected['loss_kpt.1'], rtol=1e-5, atol=0
    )


def test_an_optimizer_step_is_that_of_the_cpu(device):
    model = build_model().train()
    placed = place(model, device)
    for each in (model, placed):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.01)
        train_step(each, training_batch((1, 3)))
        optimizer.step()
    found = device.fetch(placed.head.final_layers[0].weight)
    torch.testing.assert_close(found, model.head.final_layers[0].weight)


TESTS = {
    'flip': ({}, {}, {}),
    'no flip': ({}, dict(flip_test=False), {}),
    'unbiased': (dict(method='unbiased'), {}, {}),
    'without scale maps': (dict(method='baseline'), {}, {}),
    'multi-scale': ({}, {}, dict(scales=(0.5, 1.0, 2.0))),
    'batch': ({}, {}, dict(images=3)),
    'multi-scale batch': ({}, {}, dict(images=2, scales=(1.0, 2.0))),
    'at half the size': ({}, dict(upsample_heatmaps=False), {}),
    'heatmaps': ({}, dict(output_heatmaps=True), {}),
}


@pytest.mark.parametrize('nobody', [False, True], ids=['people', 'nobody'])
@pytest.mark.parametrize('case', TESTS)
def test_a_test_step_is_that_of_the_cpu(device, case, nobody):
    settings, test_cfg, images = TESTS[case]
    model = build_model(**settings, **dict(dict(flip_test=True), **test_cfg))
    model.eval()
    if nobody:
        for layer in model.head.final_layers:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    batch = image_batch(**images)
    with torch.no_grad():
        expected = model.test_step(copy.deepcopy(batch))
        found = place(model, device).test_step(copy.deepcopy(batch))
    for one, other in zip(found, expected):
        one, other = one.pred_instances, other.pred_instances
        assert (len(other.keypoints) == 0) == nobody
        assert len(one.keypoints) == len(other.keypoints)
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-3)
        np.testing.assert_allclose(
            one.bbox_scores, other.bbox_scores, rtol=1e-5, atol=1e-6
        )
