"""Upper bounds of what a GPU is asked to do outside the network.

A read-back empties the queue of a GPU, each kernel takes some microseconds,
and bytes count from about a hundred MiB. What is put on the device before is
not counted.
"""

import copy

import numpy as np
import pytest
import torch
from helpers.device_cases import (
    METHODS,
    build_model,
    decoding_codec,
    image_batch,
    training_batch,
)

from swahr_mmpose import PullPushLoss, SWAHRLoss
from swahr_mmpose.commands.device_report.cases import (
    build_estimator,
    draw_maps,
    load_network_config,
    make_image_batch,
)
from swahr_mmpose.commands.device_report.plan import MODES
from swahr_mmpose.structures import SparseFields, stack_levels


@pytest.fixture(scope='module')
def targets():
    """Sparse targets and keypoint indices of a batch of W32-512."""
    codec = decoding_codec((512, 512))
    rng = np.random.default_rng(0)
    encoded = [
        codec.encode(rng.uniform(0, 512, (4, 17, 2))) for _ in range(20)
    ]
    masks = [np.ones((h, h), bool) for h in (128, 256)]
    masks[1][:20] = False
    fields = [SparseFields.pack(e['heatmaps'], masks) for e in encoded]
    indices = [torch.from_numpy(e['keypoint_indices']) for e in encoded]
    return fields, indices


# Kernels: 41 of the heatmap loss, 40 or 21 of the tag loss, 5 of the sum.
@pytest.mark.parametrize(
    ('on_host', 'kernels'), [(False, 86), (True, 67)], ids=['device', 'host']
)
def test_losses_of_a_batch_of_w32(device, targets, on_host, kernels):
    fields = [field.to(device.name) for field in targets[0]]
    indices = targets[1] if on_host else device.put(targets[1])
    pred, alpha = (
        torch.full((20, 17, 256, 256), 0.1, device=device.name)
        for _ in range(2)
    )
    tags = torch.zeros(20, 17, 128, 128, device=device.name)
    leaves = [t.requires_grad_() for t in (pred, alpha, tags)]
    goal, mask = stack_levels(fields)[1]
    with device.counting() as counts:
        losses = SWAHRLoss()(pred, alpha, goal, mask)
        losses += PullPushLoss()(tags, indices)
        torch.autograd.grad(sum(losses), leaves)
    # 60 kernels and 900 MiB are the goal.
    counts.assert_within(read_backs=0, kernels=kernels, mebibytes=1700)


def test_tag_losses_of_a_batch_of_w32(device, targets):
    tags = torch.zeros(20, 17, 128, 128, device=device.name).requires_grad_()
    for indices, kernels in ((targets[1], 21), (device.put(targets[1]), 40)):
        with device.counting() as counts:
            losses = PullPushLoss()(tags, indices)
            torch.autograd.grad(sum(losses), [tags])
        # The sum takes two kernels, and its gradient one.
        counts.assert_within(read_backs=0, kernels=kernels + 3)


@pytest.mark.parametrize('people', [(0, 1, 3, 6), (0, 0, 0, 0)], ids=str)
@pytest.mark.parametrize('method', METHODS)
def test_losses_of_the_head(device, method, people):
    model = build_model(method).train().to(device.name)
    batch = training_batch(people, method)
    data = model.data_preprocessor(batch, True)
    feats = model.extract_feat(data['inputs'])
    feats = [f.detach().requires_grad_() for f in feats]
    with device.counting() as counts:
        losses = model.head.loss(feats, data['data_samples'])
        sum(losses.values()).backward()
    counts.assert_within(read_backs=0, kernels=160)


# People and images: read-backs, kernels and MiB.
DECODING = {
    (0, 1): (1, 20, 220),
    (3, 1): (2, 115, 460),
    (10, 1): (2, 115, 500),
    (3, 4): (2, 115, 4 * 460),
    (30, 1): (2, 115, 920),
}


@pytest.mark.parametrize('case', DECODING, ids=str)
def test_decoding_of_a_flip_test(device, case):
    people, images = case
    codec = decoding_codec((512, 768), decode_max_instances=30)
    drawn = [
        draw_maps(people, (512, 768), seed=seed) for seed in range(images)
    ]
    maps = device.put(tuple(torch.cat(m) for m in zip(*drawn)))
    with device.counting() as counts, torch.no_grad():
        codec.batch_decode(*maps)
    counts.assert_within(*DECODING[case])


TESTS = {
    'flip': (dict(), 150),
    'batch': (dict(images=4), 150),
    'multi-scale': (dict(scales=(0.5, 1.0, 2.0)), 190),
}
NETWORK = {'convolution', 'native_batch_norm', 'relu_', 'upsample_nearest2d'}


@pytest.mark.parametrize('nobody', [False, True], ids=['people', 'nobody'])
@pytest.mark.parametrize('case', TESTS)
def test_a_test_step_outside_the_network(device, case, nobody):
    model = build_model(flip_test=True).eval().to(device.name)
    if nobody:
        for layer in model.head.final_layers:
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    options, kernels = TESTS[case]
    batch = image_batch(**options)
    with device.counting() as counts, torch.no_grad():
        model.test_step(copy.deepcopy(batch))
    for name in NETWORK | {'add_', 'add'}:
        del counts.kernels[name]
    counts.assert_within(read_backs=2, kernels=kernels)


def test_a_test_step_of_the_tiny_network(device):
    cfg = load_network_config('tiny')
    model = build_estimator(cfg, device.name, MODES[0]).eval()
    batch = make_image_batch(cfg)
    with device.counting() as counts, torch.no_grad():
        model.test_step(batch)
    counts.assert_within(read_backs=2, kernels=300)
