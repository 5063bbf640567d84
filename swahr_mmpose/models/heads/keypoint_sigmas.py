# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Standard deviations of found keypoints from the scale branch.

The scale branch predicts ``alpha = 1 / s - 1``. Eq. 6 of SWAHR raises the
target H to the power 1/s, which turns ``exp(-d^2 / (2 sigma_0^2))`` into
``exp(-d^2 / (2 sigma_0^2 s))``: a Gaussian of standard deviation
``sigma_0 * sqrt(s)``. Eq. 4 of the paper writes ``sigma_0 * s``.

B images, N people, K keypoints, map size h x w.
"""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ['LARGEST_SCALE', 'compute_sigmas', 'read_scales']

# Bound of s. alpha is a linear output: 1/s can come close to 0 or below.
LARGEST_SCALE = 16.0


def compute_sigmas(
    scale_maps: Tensor,
    instances: Sequence[Any],
    metainfos: Sequence[Mapping[str, Any]],
    codec: Any,
    stride: float,
) -> List[np.ndarray]:
    """Compute the standard deviations of keypoints in original pixels.

    ``sigma_0 * sqrt(s)`` cells of the finest level, times the stride of the
    level, times the zoom of the original image. The values are read back from
    the device once per batch.

    Args:
        scale_maps (Tensor): alpha of the finest level, shape (B, K, h, w).
        instances (Sequence[InstanceData]): Decoded people of B images, with
            ``keypoints`` (N, K, 2) in input pixels and ``keypoint_scores``
            (N, K).
        metainfos (Sequence[Mapping]): Metainfo of B samples: ``input_size``
            and ``input_scale``, ``(w, h)`` of the network input and of the
            image region that it covers, in pixels.
        codec (ScaleAwareAssociativeEmbedding): Codec, for ``sigma`` and the
            coordinate convention.
        stride (float): Input pixels per cell of the finest level.

    Returns:
        list[np.ndarray]: Standard deviations, float32 (N, K), for each image;
        NaN for missing keypoints.
    """
    # Decoding puts the centre of the first cell here, in input pixels.
    first = stride / 2 - (0.5 if getattr(codec, 'unbiased', False) else 0)
    cells = [(np.asarray(i.keypoints) - first) / stride for i in instances]
    scales = read_scales(scale_maps, cells, codec.sigma)
    sigmas = []
    for people, s, info in zip(instances, scales, metainfos):
        zoom = np.divide(info['input_scale'], info['input_size']).mean()
        pixels = codec.sigma * np.sqrt(s) * (stride * zoom)
        missing = np.asarray(people.keypoint_scores) <= 0
        sigmas.append(np.where(missing, np.nan, pixels).astype(np.float32))
    return sigmas


@torch.no_grad()
def read_scales(
    scale_maps: Tensor, cells: Sequence[np.ndarray], sigma: float
) -> List[np.ndarray]:
    """Read the scale s of keypoints where it acts on the target.

    The derivative of the adapted target (Eq. 6 and 8) by alpha is
    ``H ln H`` at alpha 0. It is 0 at the keypoint itself, where H is 1, so
    that alpha is not learned there. alpha is averaged over the cells within
    three standard deviations with the weights ``H |ln H|``.

    H is the Gaussian of standard deviation ``sigma`` around the found
    keypoint, which is what the target was in training. The predicted heatmap
    is not used: its peak is below 1 for uncertain keypoints, so that the
    weights would be largest in the cells that training left alone, and it
    contains the peaks of other people and, around keypoints that were filled
    in, nothing.

    Args:
        scale_maps (Tensor): alpha of one level, shape (B, K, h, w).
        cells (Sequence[np.ndarray]): Keypoints ``(x, y)`` in cells of the
            level, shape (N, K, 2), one array per image.
        sigma (float): Standard deviation sigma_0 of the targets in cells.

    Returns:
        list[np.ndarray]: s, float32 (N, K), for each image; at most
        :data:`LARGEST_SCALE`; NaN for keypoints at a distance of more
        than three standard deviations from the map.
    """
    num_keypoints = scale_maps.shape[1]
    counts = [len(people) * num_keypoints for people in cells]
    points = np.concatenate([np.reshape(people, (-1, 2)) for people in cells])
    rows = np.concatenate(
        [
            b * num_keypoints + np.arange(count) % num_keypoints
            for b, count in enumerate(counts)
        ]
    )
    alpha = _average_alpha(
        scale_maps.float().flatten(0, 1),
        torch.from_numpy(rows.astype(np.int64)).to(scale_maps.device),
        torch.from_numpy(points.astype(np.float32)).to(scale_maps.device),
        sigma,
    )
    scales = (1 + alpha).clamp(min=1 / LARGEST_SCALE).reciprocal()
    parts = np.split(scales.cpu().numpy(), np.cumsum(counts)[:-1])
    return [part.reshape(-1, num_keypoints) for part in parts]


def _average_alpha(
    maps: Tensor, rows: Tensor, points: Tensor, sigma: float
) -> Tensor:
    """Average maps around points with the weights ``H |ln H|``.

    Args:
        maps (Tensor): R maps, float32, shape (R, h, w).
        rows (Tensor): Map of each point, int64, shape (M,).
        points (Tensor): Cells ``(x, y)``, float32, shape (M, 2).
        sigma (float): Standard deviation of H in cells.

    Returns:
        Tensor: Averages, shape (M,); NaN where no cell is on the map.
    """
    height, width = maps.shape[-2:]
    radius = math.ceil(3 * sigma)
    steps = torch.arange(-radius, radius + 1, device=maps.device)
    nearest = points.round().long()
    x = nearest[:, 0, None, None] + steps
    y = nearest[:, 1, None, None] + steps[:, None]
    squared = (x - points[:, 0, None, None]) ** 2
    squared = squared + (y - points[:, 1, None, None]) ** 2
    exponent = squared / (2 * sigma**2)  # -ln H
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    weights = exponent * (-exponent).exp() * inside
    values = maps[
        rows[:, None, None], y.clamp(0, height - 1), x.clamp(0, width - 1)
    ]
    return (weights * values).sum((1, 2)) / weights.sum((1, 2))
