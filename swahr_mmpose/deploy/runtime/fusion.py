# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Fusion of levels and flip test, and bilinear interpolation of maps.

B images, K keypoints, L tag dimensions; map sizes are ``(h, w)``.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

__all__ = [
    'average_views',
    'enlarge_by_doubling',
    'fuse',
    'read_cells',
    'resize',
]


def _locate_neighbours(
    position: np.ndarray, small: int, large: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Locate the two source cells of each target cell along one axis.

    Args:
        position (np.ndarray): int64 target cells, shape (M,).
        small (int): Source size in cells.
        large (int): Target size in cells.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: int64 cell before and cell
        after, and the float32 weight of the latter; (M,) each.
    """
    source = np.maximum((position + 0.5) * (small / large) - 0.5, 0)
    before = source.astype(np.int64)
    after = np.minimum(before + 1, small - 1)
    return before, after, (source - before).astype(np.float32)


def resize(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize maps bilinearly (``align_corners=False``).

    Args:
        maps (np.ndarray): float32, shape (..., h, w).
        size (Sequence[int]): Target size ``(H, W)``.

    Returns:
        np.ndarray: float32, shape (..., H, W).
    """
    for axis, length in ((-2, int(size[0])), (-1, int(size[1]))):
        if maps.shape[axis] == length:
            continue
        before, after, weight = _locate_neighbours(
            np.arange(length), maps.shape[axis], length
        )
        weight = weight[:, None] if axis == -2 else weight
        result = maps.take(before, axis)
        step = maps.take(after, axis)
        step -= result
        step *= weight
        result += step
        maps = result
    return maps


def enlarge_by_doubling(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Double maps while twice their size is below a target in both axes.

    The official implementation enlarges tags in these steps. The last step,
    to the target, is left to :func:`read_cells` or :func:`resize`.

    Args:
        maps (np.ndarray): float32, shape (..., h, w).
        size (Sequence[int]): Target size ``(H, W)``.

    Returns:
        np.ndarray: float32, shape (..., n*h, n*w), n a power of 2.
    """
    h, w = maps.shape[-2:]
    while 2 * h < size[0] and 2 * w < size[1]:
        h, w = 2 * h, 2 * w
        maps = resize(maps, (h, w))
    return maps


def read_cells(
    maps: np.ndarray, y: np.ndarray, x: np.ndarray, size: Sequence[int]
) -> np.ndarray:
    """Read the values of :func:`resize` at selected cells only.

    Args:
        maps (np.ndarray): float32, shape (L, h, w).
        y (np.ndarray): int64 rows of the resized maps, shape (M,).
        x (np.ndarray): int64 columns of the resized maps, shape (M,).
        size (Sequence[int]): Size ``(H, W)`` of the resized maps.

    Returns:
        np.ndarray: float32, shape (L, M).
    """
    h, w = maps.shape[-2:]
    if (h, w) == tuple(size):
        return maps[:, y, x]
    y0, y1, weight_y = _locate_neighbours(y, h, size[0])
    x0, x1, weight_x = _locate_neighbours(x, w, size[1])
    left, right = maps[:, y0, x0], maps[:, y0, x1]
    left += (maps[:, y1, x0] - left) * weight_y
    right += (maps[:, y1, x1] - right) * weight_y
    return left + (right - left) * weight_x


def average_views(maps: np.ndarray, flip_indices: Sequence[int]) -> np.ndarray:
    """Average the maps of images and of horizontally flipped images.

    Args:
        maps (np.ndarray): float32, shape (2*B, K, h, w): B images followed by
            the same images flipped.
        flip_indices (Sequence[int]): Index of the mirrored counterpart of
            each keypoint.

    Returns:
        np.ndarray: float32, shape (B, K, h, w).
    """
    image, flipped = np.split(maps, 2)
    return (image + flipped[:, list(flip_indices), :, ::-1]) / np.float32(2)


def fuse(
    heatmaps: Sequence[np.ndarray],
    tags: np.ndarray,
    size: Sequence[int],
    levels: Sequence[int],
    flip_indices: Optional[Sequence[int]],
) -> Tuple[np.ndarray, np.ndarray]:
    """Average heatmaps over levels and flip test; concatenate tags.

    Args:
        heatmaps (Sequence[np.ndarray]): Heatmaps per level, coarse to fine,
            float32 (B, K, h, w); with flip test B images followed by the same
            images flipped horizontally, (2*B, K, h, w).
        tags (np.ndarray): Tags of the same images, L groups of K maps,
            (B, L*K, h, w) or (2*B, L*K, h, w).
        size (Sequence[int]): Size ``(H, W)`` of the fused heatmaps.
        levels (Sequence[int]): Indices of the levels to average.
        flip_indices (Sequence[int], optional): Index of the mirrored
            counterpart of each keypoint; None without flip test.

    Returns:
        tuple[np.ndarray, np.ndarray]: Heatmaps (B, K, H, W) and tags, not
        resized, (B, L*K, h, w), with flip test (B, 2*L*K, h, w).
    """
    maps = list(heatmaps)
    if flip_indices is not None:
        maps = [average_views(level, flip_indices) for level in maps]
        image, flipped = np.split(tags, 2)
        count = len(flip_indices)
        groups = np.arange(0, flipped.shape[1], count)[:, None]
        order = (groups + np.asarray(flip_indices)).ravel()
        restored = flipped[:, order, :, ::-1]
        tags = np.concatenate([image, restored], axis=1)
    finest = maps[-1].shape[-2:]
    selected = [resize(maps[level], finest) for level in levels]
    mean = sum(selected[1:], selected[0]) / np.float32(len(selected))
    return resize(mean, size), tags
