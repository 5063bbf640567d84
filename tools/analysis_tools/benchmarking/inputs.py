# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Inputs of the benchmark rows."""

import numpy as np
import torch
import torch.nn.functional as F
from mmpose.registry import KEYPOINT_CODECS

import swahr_mmpose
from swahr_mmpose.structures import HeadOutput

ORDER = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
FLIP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
K = 17


def people_maps(people, size, sigma, rng, missing=0.1):
    """Make heatmaps (1, K, H, W) and one tag map per keypoint.

    Gaussians of different height over a little noise, smooth tags; a tenth of
    the keypoints is missing.
    """
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    maps = rng.normal(0, 0.004, (K, height, width)).astype(np.float32)
    tags = rng.normal(0, 0.1, (K, height, width)).astype(np.float32)
    centers = rng.uniform([20, 20], [width - 20, height - 20], (people, 2))
    spread = 0.15 * min(size)
    for n, center in enumerate(centers):
        points = center + rng.uniform(-spread, spread, (K, 2))
        for k, (px, py) in enumerate(points):
            distance = (x - px) ** 2 + (y - py) ** 2
            top = rng.uniform(0.3, 1.0)
            if rng.random() < missing:
                top = rng.uniform(0.01, 0.08)
            bump = top * np.exp(-distance / (2 * sigma**2))
            # A tag is that of the person to whom the heatmap belongs.
            own = (bump > maps[k]) & (distance < (4 * sigma) ** 2)
            maps[k][own] = bump[own]
            tags[k][own] = 2.0 * n + rng.normal(0, 0.05)
    return torch.from_numpy(maps)[None], torch.from_numpy(tags)[None]


def decoders(size=(768, 512)):
    """Build our codec and that of MMPose with the same settings."""
    w, h = size
    ours = swahr_mmpose.ScaleAwareAssociativeEmbedding(
        input_size=size,
        heatmap_sizes=[(w // 4, h // 4), (w // 2, h // 2)],
        decode_keypoint_order=ORDER,
    )
    theirs = KEYPOINT_CODECS.get('AssociativeEmbedding')(
        input_size=size,
        heatmap_size=size,
        decode_keypoint_order=ORDER,
        decode_center_shift=0.5,
    )
    return ours, theirs


def network_output(people, device):
    """Make head outputs of an image and its flipped copy, 512x768."""
    rng = np.random.default_rng(people)
    coarse, tags = people_maps(people, (128, 192), 2, rng)
    fine = F.interpolate(coarse, scale_factor=2, mode='bilinear')
    coarse, fine, tags = (t.to(device) for t in (coarse, fine, tags))
    plain = HeadOutput([coarse, fine], tags, None)
    mirrored = HeadOutput(
        *[[m.flip(-1)[:, FLIP] for m in plain.heatmaps]],
        tags.flip(-1)[:, FLIP],
        None,
    )
    return plain, mirrored
