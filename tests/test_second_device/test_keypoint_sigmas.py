"""Standard deviations of keypoints on another device."""

import copy

import numpy as np
import pytest
import torch
from helpers.device_cases import build_model, image_batch


@pytest.mark.parametrize('images', [1, 3])
def test_they_are_those_of_the_cpu_with_one_more_read_back(device, images):
    model = build_model(flip_test=True).eval()
    model.test_cfg['output_scales'] = True
    for branch in model.head.scale_layers:
        torch.nn.init.normal_(branch[-1].weight, std=0.1)
    placed = copy.deepcopy(model).to(device.name)
    batch = image_batch(images=images)
    with torch.no_grad():
        expected = model.test_step(copy.deepcopy(batch))
        with device.counting() as counts:
            found = placed.test_step(copy.deepcopy(batch))
    counts.assert_within(read_backs=3, kernels=2000)
    for ours, theirs in zip(found, expected):
        sigmas = ours.pred_instances.keypoint_sigmas
        assert np.isfinite(sigmas).any()
        np.testing.assert_allclose(
            sigmas, theirs.pred_instances.keypoint_sigmas, rtol=1e-3
        )
