# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Small maps as if they had been enlarged: whole, or where it is needed."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['enlarge', 'read_maps', 'resize']


def resize(
    maps: Tensor, size: Sequence[int], out: Optional[Tensor] = None
) -> Tensor:
    """Bilinear, ``align_corners=False``, to ``size``; without gradients.

    On a CPU by OpenCV, several times faster than torch and equal up to
    rounding.

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
    if maps.device.type == 'cpu' and maps.dtype == torch.float32:
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
    coarse = _coarse(small, size)
    corners = _between_cells(y, x, coarse, size)
    values = [
        read_maps(maps, torch.stack([row, a, b], dim=-1), coarse)
        for a, b, _ in corners
    ]
    weights = [c[2][:, None].to(maps.dtype) for c in corners]
    return sum(
        (v * weight for v, weight in zip(values[1:], weights[1:])),
        values[0] * weights[0],
    )


def _between_cells(
    y: Tensor, x: Tensor, small: Tuple[int, int], large: Tuple[int, int]
) -> List[Tuple[Tensor, Tensor, Tensor]]:
    """The four cells around each position of a larger map, with weights.

    Args:
        y (Tensor): Rows in the larger map, int64 (M,).
        x (Tensor): Columns in the larger map.
        small (tuple): ``(h, w)`` of the map to read.
        large (tuple): ``(H, W)`` of the larger map.

    Returns:
        list[tuple]: Four times row, column and weight, each (M,).
    """
    (y0, y1, fy), (x0, x1, fx) = (
        _between(position, n, m)
        for position, n, m in zip((y, x), small, large)
    )
    return [
        (y0, x0, (1 - fy) * (1 - fx)),
        (y0, x1, (1 - fy) * fx),
        (y1, x0, fy * (1 - fx)),
        (y1, x1, fy * fx),
    ]


def _between(
    position: Tensor, small: int, large: int
) -> Tuple[Tensor, Tensor, Tensor]:
    """The two cells around a position, and how far it is on."""
    source = ((position + 0.5) * (small / large) - 0.5).clamp(min=0)
    before = source.long()
    return before, (before + 1).clamp(max=small - 1), source - before
