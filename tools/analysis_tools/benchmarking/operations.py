# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decoding, losses and targets, against MMPose or the dense formula.

Each row yields (name, old, new, goal): two functions of no argument.
"""

import numpy as np
import torch
import torch.nn.functional as F
from mmpose.registry import KEYPOINT_CODECS, MODELS

import swahr_mmpose
from swahr_mmpose.models.heads.fusion import fuse_levels, merge_flipped
from swahr_mmpose.models.losses.functional import (
    adaptive_weight,
    scale_adapted_target,
)

from .inputs import FLIP, K, decoders, network_output, people_maps


def rows_decode(device):
    """Decode maps of the input size with two tags per keypoint."""
    for people, goal in ((0, 20), (1, 20), (10, 20), (30, 20)):
        rng = np.random.default_rng(people)
        maps, tags = (
            enlarged(m, (512, 768)).to(device)
            for m in people_maps(people, (128, 192), 2, rng)
        )
        tags = tags.repeat(1, 2, 1, 1)
        ours, theirs = decoders()
        yield (
            f'decode 512x768, two tags, {people} people',
            lambda m=maps, t=tags, c=theirs: c.batch_decode(m, t),
            lambda m=maps, t=tags, c=ours: c.batch_decode(m, t),
            goal,
        )


def enlarged(maps, size):
    """Decode with MMPose."""
    return F.interpolate(maps, size, mode='bilinear', align_corners=False)


def after_network_theirs(output, mirrored, codec):
    """Run the same steps as MMPose does: everything at full size."""
    size = (512, 768)
    views = []
    for view, flip in ((output, False), (mirrored, True)):
        heatmaps = sum(enlarged(m, size) for m in view.heatmaps) / 2
        tags = enlarged(view.tags, size)
        if flip:
            heatmaps, tags = (m.flip(-1)[:, FLIP] for m in (heatmaps, tags))
        views.append((heatmaps, tags))
    heatmaps = (views[0][0] + views[1][0]) / 2
    return codec.batch_decode(
        heatmaps, torch.cat([views[0][1], views[1][1]], dim=1)
    )


def after_network_ours(output, mirrored, codec):
    """Run ``HigherHRNetHead.test_maps`` and ``decode``."""
    merged = merge_flipped(output, mirrored, FLIP)
    return codec.batch_decode(*fuse_levels(merged, (512, 768)))


def rows_after(device):
    """Measure from network output to people, with flip test."""
    for people in (0, 1, 10, 30):
        outputs = network_output(people, device)
        ours, theirs = decoders()
        yield (
            f'after the network, flip test, {people} people',
            lambda o=outputs, c=theirs: after_network_theirs(*o, c),
            lambda o=outputs, c=ours: after_network_ours(*o, c),
            10,
        )


def rows_tags(device):
    """Measure PullPushLoss, forward and backward, batch 8."""
    theirs = MODELS.get('AssociativeEmbeddingLoss')()
    ours = swahr_mmpose.PullPushLoss()
    for people, goal in ((5, 50), (15, 100)):
        generator = torch.Generator().manual_seed(people)
        tags = torch.randn(8, K, 128, 128, generator=generator)
        tags = tags.to(device).requires_grad_()
        indices = [
            torch.stack(
                [
                    torch.randint(0, 128 * 128, (people, K)),
                    (torch.rand(people, K) > 0.3).long(),
                ],
                dim=-1,
            ).to(device)
            for _ in range(8)
        ]
        yield (
            f'tag loss, batch 8, 17x128x128, {people} people',
            lambda t=tags, i=indices: backward([t], sum(theirs(t, i))),
            lambda t=tags, i=indices: backward([t], sum(ours(t, i))),
            goal,
        )


def plain_swahr(pred, alpha, target, mask):
    """Compute Eq. 7, 8, 11 and 13 of the paper on dense maps."""
    valid = mask[:, None].to(pred.dtype)
    alpha = alpha.where(target > 0, 0.0)
    goal = scale_adapted_target(target, alpha)
    error = (pred - goal) ** 2 * adaptive_weight(pred, target, 0.01)
    return (error * valid).mean(), (alpha**2 * valid).mean()


def backward(inputs, total):
    """Run backward and discard the gradients."""
    torch.autograd.grad(total, inputs)


def rows_loss(device):
    """Measure SWAHRLoss, forward and backward, batch 4."""
    codec = swahr_mmpose.ScaleAwareAssociativeEmbedding(
        (512, 512), [(128, 128), (256, 256)]
    )
    rng = np.random.default_rng(0)
    target = torch.stack(
        [
            torch.from_numpy(
                np.asarray(
                    codec.encode(rng.uniform(0, 512, (6, K, 2)))['heatmaps'][1]
                )
            )
            for _ in range(4)
        ]
    ).to(device)
    generator = torch.Generator().manual_seed(0)
    pred, alpha = (
        (0.1 * torch.randn(target.shape, generator=generator))
        .to(device)
        .requires_grad_()
        for _ in range(2)
    )
    mask = torch.ones(4, 256, 256, dtype=torch.bool, device=device)
    mask[:, :20] = False
    loss = swahr_mmpose.SWAHRLoss()
    inputs = (pred, alpha, target, mask)
    yield (
        'SWAHR loss, batch 4, 17x256x256, 6 people',
        lambda: backward([pred, alpha], sum(plain_swahr(*inputs))),
        lambda: backward([pred, alpha], sum(loss(*inputs))),
        10,
    )


def rows_encode(device):
    """Measure targets of two levels (NumPy, CPU), dense and sparse."""
    forms = {
        name: swahr_mmpose.ScaleAwareAssociativeEmbedding(
            (512, 512), [(128, 128), (256, 256)], sparse_heatmaps=sparse
        )
        for name, sparse in (('encode', False), ('encode, sparse', True))
    }
    theirs = [
        KEYPOINT_CODECS.get('AssociativeEmbedding')(
            (512, 512), size, sigma=2.0
        )
        for size in ((128, 128), (256, 256))
    ]
    for people, goal in ((3, 3), (10, 5), (30, 10)):
        rng = np.random.default_rng(people)
        points = rng.uniform(0, 512, (people, K, 2)).astype(np.float32)
        visible = np.ones((people, K), np.float32)
        for name, ours in forms.items():
            yield (
                f'{name}, two levels, {people} people',
                lambda p=points, v=visible: [c.encode(p, v) for c in theirs],
                lambda p=points, v=visible, c=ours: c.encode(p, v),
                goal,
            )


ROWS = dict(
    decode=rows_decode,
    after=rows_after,
    tags=rows_tags,
    loss=rows_loss,
    encode=rows_encode,
)
