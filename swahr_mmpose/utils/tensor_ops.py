# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Bilinear interpolation of maps, complete or at selected cells."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'enlarge',
    'locate_neighbours',
    'next_size',
    'read_maps',
    'resize',
    'true_indices',
]


def resize(
    maps: Tensor, size: Sequence[int], out: Optional[Tensor] = None
) -> Tensor:
    """Resize maps bilinearly (``align_corners=False``), without gradients.

    float32 on a CPU is resized by OpenCV, several times faster than torch and
    equal up to rounding; anything else, and an ONNX export, by torch.

    Args:
        maps (Tensor): Shape (..., h, w).
        size (Sequence[int]): Target size ``(H, W)``.
        out (Tensor, optional): Contiguous buffer with as many elements as the
            result, which may be used for it.

    Returns:
        Tensor: Shape (..., H, W); ``maps`` itself if it has that size.
    """
    height, width = size
    if tuple(maps.shape[-2:]) == (height, width):
        return maps
    if _is_strided(maps) and not torch.onnx.is_in_onnx_export():
        size = height, width  # a reshape would copy
        return F.interpolate(maps.detach(), size=size, mode='bilinear')
    planes = maps.detach().reshape(-1, *maps.shape[-2:])
    use_opencv = maps.device.type == 'cpu' and maps.dtype == torch.float32
    if use_opencv and not torch.onnx.is_in_onnx_export():
        if out is None:
            out = maps.new_empty(len(planes), height, width)
        resized = out.view(-1, height, width)
        for plane, result in zip(planes.numpy(), resized.numpy()):
            cv2.resize(plane, (width, height), dst=result)
        planes = resized
    else:
        planes = F.interpolate(
            planes[None], size=(height, width), mode='bilinear'
        )[0]
    return planes.reshape(*maps.shape[:-2], height, width)


def _is_strided(maps: Tensor) -> bool:
    """Whether maps (N, C, h, w) on an accelerator have no memory format."""
    formats = torch.contiguous_format, torch.channels_last
    return (
        maps.dim() == 4
        and maps.device.type != 'cpu'
        and not any(maps.is_contiguous(memory_format=f) for f in formats)
    )


def next_size(size: Sequence[int], target: Sequence[int]) -> Tuple[int, int]:
    """Double a size ``(h, w)`` if that is below the target in both axes."""
    h, w = size
    if 2 * h < target[0] and 2 * w < target[1]:
        return 2 * h, 2 * w
    return h, w


def enlarge(
    maps: Tensor, size: Sequence[int], out: Optional[Tensor] = None
) -> Tensor:
    """Enlarge maps in the steps of the official implementation.

    The size is doubled while twice the size is below the target in both axes;
    the last step resizes to the target.

    Args:
        maps (Tensor): Shape (..., h, w).
        size (Sequence[int]): Target size ``(H, W)``.
        out (Tensor, optional): Buffer of the result, see :func:`resize`.

    Returns:
        Tensor: Shape (..., H, W).
    """
    while (larger := next_size(maps.shape[-2:], size)) != maps.shape[-2:]:
        maps = resize(maps, larger)
    return resize(maps, size, out)


def read_maps(maps: Tensor, cells: Tensor, size: Tuple[int, int]) -> Tensor:
    """Read the values of :func:`enlarge` at selected cells only.

    Args:
        maps (Tensor): R maps, shape (R, L, h, w).
        cells (Tensor): int64 ``(map, y, x)`` in the enlarged maps, shape
            (M, 3).
        size (tuple): Size ``(H, W)`` of the enlarged maps.

    Returns:
        Tensor: Values, shape (M, L).
    """
    row, y, x = cells.unbind(-1)
    small = (maps.shape[-2], maps.shape[-1])
    if small == tuple(size):
        return maps[row, :, y, x]
    source = small  # size after the last doubling
    while (larger := next_size(source, size)) != source:
        source = larger
    (y0, y1, fy), (x0, x1, fx) = (
        locate_neighbours(position, n, m, maps.dtype)
        for position, n, m in zip((y, x), source, size)
    )
    upper, lower = (
        torch.lerp(
            read_maps(maps, torch.stack([row, y_, x0], dim=-1), source),
            read_maps(maps, torch.stack([row, y_, x1], dim=-1), source),
            fx,
        )
        for y_ in (y0, y1)
    )
    return torch.lerp(upper, lower, fy)  # exact where both values are equal


def locate_neighbours(
    position: Tensor, small: int, large: int, dtype: torch.dtype
) -> Tuple[Tensor, Tensor, Tensor]:
    """Locate the two source cells of a bilinear read along one axis.

    Args:
        position (Tensor): int64 target cells, shape (M,).
        small (int): Source size in cells.
        large (int): Target size in cells.
        dtype (torch.dtype): Type of the weight.

    Returns:
        tuple[Tensor, Tensor, Tensor]: int64 cell before and cell after, (M,)
        each, and the weight of the latter, (M, 1).
    """
    source = ((position + 0.5) * (small / large) - 0.5).clamp(min=0)
    before = source.long()
    after = (before + 1).clamp(max=small - 1)
    return before, after, (source - before)[:, None].to(dtype)


def true_indices(flags: Tensor) -> Tensor:
    """Find the true elements of a bool tensor.

    Args:
        flags (Tensor): Bool, any shape.

    Returns:
        Tensor: Flat int64 indices, increasing, shape (M,).
    """
    if flags.device.type != 'cpu':
        return flags.reshape(-1).nonzero()[:, 0]
    # NumPy is several times faster than torch where few elements are true.
    return torch.from_numpy(np.flatnonzero(flags.numpy()))
