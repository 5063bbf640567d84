# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Small maps as if they had been enlarged: whole, or where it is needed."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['enlarge', 'read_maps', 'resize', 'true_indices']


def resize(
    maps: Tensor, size: Sequence[int], out: Optional[Tensor] = None
) -> Tensor:
    """Bilinear, ``align_corners=False``, to ``size``; no gradients pass.

    On a CPU by OpenCV, several times faster than torch and equal up to
    rounding; in a graph that is exported by torch.

    Args:
        maps (Tensor): Shape (..., h, w).
        size (Sequence[int]): ``(H, W)``.
        out (Tensor, optional): Contiguous memory of the result's shape, which
            may be used for it.

    Returns:
        Tensor: Shape (..., H, W).
    """
    height, width = size
    if tuple(maps.shape[-2:]) == (height, width):
        return maps
    planes = maps.detach().reshape(-1, *maps.shape[-2:])
    by_opencv = maps.device.type == 'cpu' and maps.dtype == torch.float32
    if by_opencv and not torch.onnx.is_in_onnx_export():
        if out is None:
            out = maps.new_empty(len(planes), height, width)
        large = out.view(-1, height, width)
        for plane, result in zip(planes.numpy(), large.numpy()):
            cv2.resize(plane, (width, height), dst=result)
        planes = large
    else:
        planes = F.interpolate(
            planes[None], size=(height, width), mode='bilinear'
        )[0]
    return planes.reshape(*maps.shape[:-2], height, width)


def _coarse(small: Sequence[int], size: Sequence[int]) -> Tuple[int, int]:
    """The size to read from first: twice the map's, if that is too small."""
    h, w = small
    return (2 * h, 2 * w) if 2 * h < size[0] and 2 * w < size[1] else (h, w)


def enlarge(
    maps: Tensor, size: Sequence[int], out: Optional[Tensor] = None
) -> Tensor:
    """Enlarge as officially: to twice the size as often as that is too small.

    Args:
        maps (Tensor): Shape (..., h, w).
        size (Sequence[int]): ``(H, W)``, at last.
        out (Tensor, optional): As for :func:`resize`.

    Returns:
        Tensor: Shape (..., H, W).
    """
    while (coarse := _coarse(maps.shape[-2:], size)) != maps.shape[-2:]:
        maps = resize(maps, coarse)
    return resize(maps, size, out)


def read_maps(maps: Tensor, cells: Tensor, size: Tuple[int, int]) -> Tensor:
    """Values of maps as :func:`enlarge` would give, at some cells alone.

    Args:
        maps (Tensor): R maps, shape (R, L, h, w).
        cells (Tensor): int64 ``(map, y, x)`` in the enlarged maps, (M, 3).
        size (tuple): ``(H, W)`` of the enlarged maps.

    Returns:
        Tensor: Shape (M, L).
    """
    row, y, x = cells.unbind(-1)
    small = (maps.shape[-2], maps.shape[-1])
    if small == tuple(size):
        return maps[row, :, y, x]
    source = small  # after the last doubling
    while (coarse := _coarse(source, size)) != source:
        source = coarse
    (y0, y1, fy), (x0, x1, fx) = (
        _between(position, n, m, maps.dtype)
        for position, n, m in zip((y, x), source, size)
    )
    above, below = (
        torch.lerp(
            read_maps(maps, torch.stack([row, at, x0], dim=-1), source),
            read_maps(maps, torch.stack([row, at, x1], dim=-1), source),
            fx,
        )
        for at in (y0, y1)
    )
    return torch.lerp(above, below, fy)  # equal values stay equal


def _between(
    position: Tensor, small: int, large: int, dtype: torch.dtype
) -> Tuple[Tensor, Tensor, Tensor]:
    """The two cells around a position (M,), and how far it is on (M, 1)."""
    source = ((position + 0.5) * (small / large) - 0.5).clamp(min=0)
    before = source.long()
    after = (before + 1).clamp(max=small - 1)
    return before, after, (source - before)[:, None].to(dtype)


def true_indices(flags: Tensor) -> Tensor:
    """Flat indices of what is true, increasing, int64 (M,)."""
    if flags.device.type != 'cpu':
        return flags.reshape(-1).nonzero()[:, 0]
    # Several times faster than torch where little is true.
    return torch.from_numpy(np.flatnonzero(flags.numpy()))
