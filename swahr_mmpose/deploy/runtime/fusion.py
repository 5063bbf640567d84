# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Maps of the network: views and levels made one, and read between cells.

B images, K keypoints, L tag dimensions; sizes of maps are ``(h, w)``.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

__all__ = ['doubled', 'fuse', 'read', 'resize']


def _between(
    position: np.ndarray, small: int, large: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cells before and after each position, and how far it is on."""
    source = np.maximum((position + 0.5) * (small / large) - 0.5, 0)
    before = source.astype(np.int64)
    after = np.minimum(before + 1, small - 1)
    return before, after, (source - before).astype(np.float32)


def resize(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear, pixel centres aligned (``align_corners=False``).

    Args:
        maps (np.ndarray): float32 (..., h, w).
        size (Sequence[int]): ``(H, W)``.

    Returns:
        np.ndarray: float32 (..., H, W).
    """
    for axis, length in ((-2, int(size[0])), (-1, int(size[1]))):
        if maps.shape[axis] == length:
            continue
        before, after, share = _between(
            np.arange(length), maps.shape[axis], length
        )
        share = share[:, None] if axis == -2 else share
        low = maps.take(before, axis)
        step = maps.take(after, axis)
        step -= low
        step *= share
        low += step
        maps = low
    return maps


def doubled(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Maps at twice their size as often as that is smaller than ``size``.

    Tags are officially enlarged in such steps; the last one is left to
    :func:`read` or :func:`resize`.
    """
    h, w = maps.shape[-2:]
    while 2 * h < size[0] and 2 * w < size[1]:
        h, w = 2 * h, 2 * w
        maps = resize(maps, (h, w))
    return maps


def read(
    maps: np.ndarray, y: np.ndarray, x: np.ndarray, size: Sequence[int]
) -> np.ndarray:
    """Values that :func:`resize` would give, at some cells alone.

    Args:
        maps (np.ndarray): float32 (L, h, w).
        y (np.ndarray): Rows of the resized maps, int64 (M,).
        x (np.ndarray): Columns, likewise.
        size (Sequence[int]): ``(H, W)`` of the resized maps.

    Returns:
        np.ndarray: float32 (L, M).
    """
    h, w = maps.shape[-2:]
    if (h, w) == tuple(size):
        return maps[:, y, x]
    y0, y1, down = _between(y, h, size[0])
    x0, x1, right = _between(x, w, size[1])
    left, here = maps[:, y0, x0], maps[:, y0, x1]
    left += (maps[:, y1, x0] - left) * down
    here += (maps[:, y1, x1] - here) * down
    return left + (here - left) * right


def fuse(
    heatmaps: Sequence[np.ndarray],
    tags: np.ndarray,
    size: Sequence[int],
    levels: Sequence[int],
    flip_indices: Optional[Sequence[int]] = None,
) -> Tuple[np.ndarray, np.ndarray]:
    """Mean heatmaps of levels and views, and the tags of both views.

    Args:
        heatmaps (Sequence[np.ndarray]): By level, coarse to fine, float32
            (B, K, h, w); with ``flip_indices`` B images and then the same,
            mirrored: (2 * B, K, h, w).
        tags (np.ndarray): (B, K, h, w), or (2 * B, K, h, w).
        size (Sequence[int]): ``(H, W)`` of the heatmaps that are returned.
        levels (Sequence[int]): Whose heatmaps count.
        flip_indices (Sequence[int], optional): The mirror partner of each
            keypoint.

    Returns:
        tuple[np.ndarray, np.ndarray]: Heatmaps (B, K, H, W) and tags
        (B, L*K, h, w) at the size that they have; L = 2 with mirror images.
    """
    maps = list(heatmaps)
    if flip_indices is not None:
        order = list(flip_indices)
        images, mirrors = zip(*(np.split(m, 2) for m in [*maps, tags]))
        mirrors = [m[:, order, :, ::-1] for m in mirrors]
        maps = [(a + b) / np.float32(2) for a, b in zip(images[:-1], mirrors)]
        tags = np.concatenate([images[-1], mirrors[-1]], axis=1)
    finest = maps[-1].shape[-2:]
    chosen = [resize(maps[level], finest) for level in levels]
    mean = sum(chosen[1:], chosen[0]) / np.float32(len(chosen))
    return resize(mean, size), tags
