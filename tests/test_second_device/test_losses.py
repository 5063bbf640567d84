"""Losses and their gradients on another device."""

import numpy as np
import pytest
import torch
from helpers.device_cases import decoding_codec

from swahr_mmpose import PullPushLoss, SWAHRLoss

SETTINGS = dict(
    swahr={},
    exact=dict(expansion='exact'),
    hard=dict(gamma=0),
    sahr=dict(weight_adaptive=False),
    wahr=dict(scale_adaptive=False),
    baseline=dict(scale_adaptive=False, weight_adaptive=False),
)
MASKS = dict(
    none=lambda shape: None,
    image=lambda shape: torch.rand(shape[0], *shape[2:]) > 0.2,
    keypoint=lambda shape: torch.rand(shape) > 0.2,
)


def draw_targets(people, side=64):
    """Draw dense targets and keypoint indices of a batch."""
    codec = decoding_codec((side, side))
    rng = np.random.default_rng(0)
    encoded = [codec.encode(rng.uniform(0, side, (n, 17, 2))) for n in people]
    target = torch.stack(
        [torch.from_numpy(np.asarray(e['heatmaps'][1])) for e in encoded]
    )
    indices = [torch.from_numpy(e['keypoint_indices']) for e in encoded]
    return target, indices


def run_with_gradients(function, inputs):
    """Compute scalars and the gradients of their sum by the inputs."""
    leaves = [t.detach().requires_grad_() for t in inputs]
    scalars = function(*leaves)
    grads = torch.autograd.grad(sum(scalars), leaves, allow_unused=True)
    return [*scalars, *grads]


def assert_equal(device, found, expected):
    for one, other in zip(device.fetch(found), expected):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('people', [(2, 0, 5), (0, 0)], ids=str)
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('settings', SETTINGS)
def test_heatmap_losses_are_those_of_the_cpu(device, settings, mask, people):
    loss = SWAHRLoss(**SETTINGS[settings])
    target, _ = draw_targets(people)
    maps = [0.3 * torch.randn(target.shape) for _ in range(2)]
    maps = maps[: 1 + loss.scale_adaptive]
    mask = MASKS[mask](target.shape)

    def run(*inputs):
        return loss(*(*inputs, None)[:2], *goal)

    goal = (target, mask)
    expected = run_with_gradients(run, maps)
    goal = device.put(goal)
    found = run_with_gradients(run, device.put(maps))
    assert_equal(device, found, expected)


@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('settings', SETTINGS)
def test_losses_of_all_levels_are_those_of_the_cpu(device, settings, mask):
    loss = SWAHRLoss(**SETTINGS[settings])
    targets = [draw_targets((2, 0, 5), side)[0] for side in (64, 128)]
    masks = [MASKS[mask](target.shape) for target in targets]
    annotated = torch.rand(3, 17) > 0.2
    maps = [
        0.3 * torch.randn(target.shape)
        for _ in range(1 + loss.scale_adaptive)
        for target in targets
    ]

    def run(*inputs):
        losses = loss.compute_levels(inputs[:2], inputs[2:] or None, *goal)
        return [x for pair in losses for x in pair]

    goal = (list(zip(targets, masks)), annotated)
    expected = run_with_gradients(run, maps)
    goal = device.put(goal)
    found = run_with_gradients(run, device.put(maps))
    assert_equal(device, found, expected)


@pytest.mark.parametrize('on_host', [False, True], ids=['device', 'host'])
@pytest.mark.parametrize('people', [(2, 0, 5), (0, 0), (1,)], ids=str)
def test_tag_losses_are_those_of_the_cpu(device, people, on_host):
    _, indices = draw_targets(people)
    for person in indices:
        person[..., 1] *= torch.rand(person.shape[:2]) > 0.3
    tags = torch.randn(len(people), 17, 16, 16)
    loss = PullPushLoss()
    expected = run_with_gradients(lambda t: loss(t, indices), [tags])
    placed = indices if on_host else device.put(indices)
    found = run_with_gradients(lambda t: loss(t, placed), device.put([tags]))
    assert_equal(device, found, expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_losses_of_half_precision_maps_are_those_of_the_cpu(device, dtype):
    target, indices = draw_targets((2, 0, 5))
    maps = [(0.3 * torch.randn(target.shape)).to(dtype) for _ in range(2)]
    tags = torch.randn(3, 17, 16, 16).to(dtype)
    kpt, tag = SWAHRLoss(), PullPushLoss()

    def run(pred, alpha, tags):
        return [*kpt(pred, alpha, goal), *tag(tags, where)]

    goal, where = target, indices
    expected = run_with_gradients(run, [*maps, tags])
    goal, where = device.put((target, indices))
    found = run_with_gradients(run, device.put([*maps, tags]))
    for one, other in zip(device.fetch(found), expected):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-6)
