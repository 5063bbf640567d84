# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Values of small maps as if they had been enlarged, where they are needed."""

from __future__ import annotations

from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['between_cells', 'enlarge_to_half', 'read_maps']


def read_maps(maps: Tensor, cells: Tensor, size: Tuple[int, int]) -> Tensor:
    """Values of maps as if they had been enlarged, at some cells alone.

    Bilinear, ``align_corners=False``, to twice the size as often as that is
    too small, and at last to the size itself, as officially.

    Args:
        maps (Tensor): R maps, shape (R, L, h, w).
        cells (Tensor): int64 ``(map, y, x)`` in the enlarged maps, (M, 3).
        size (tuple): ``(H, W)`` of the enlarged maps.

    Returns:
        Tensor: Shape (M, L).
    """
    row, y, x = cells.unbind(-1)
    h, w = maps.shape[-2:]
    if (h, w) == tuple(size):
        return maps[row, :, y, x]
    coarse = (2 * h, 2 * w) if h * 2 < size[0] and w * 2 < size[1] else (h, w)
    if coarse != (h, w):
        corners = between_cells(y, x, coarse, size)
        values = [
            read_maps(maps, torch.stack([row, a, b], dim=-1), coarse)
            for a, b, _ in corners
        ]
    else:
        corners = between_cells(y, x, (h, w), size)
        values = [maps[row, :, a, b] for a, b, _ in corners]
    weights = [c[2][:, None].to(maps.dtype) for c in corners]
    return sum(
        (v * weight for v, weight in zip(values[1:], weights[1:])),
        values[0] * weights[0],
    )


def enlarge_to_half(maps: Tensor, size: Tuple[int, int]) -> Tensor:
    """Maps after the doublings that :func:`read_maps` goes through.

    Args:
        maps (Tensor): Shape (L, h, w).
        size (tuple): ``(H, W)`` of the enlarged maps.

    Returns:
        Tensor: Of at least half that size on one side.
    """
    while 2 * maps.shape[1] < size[0] and 2 * maps.shape[2] < size[1]:
        maps = F.interpolate(maps[None], scale_factor=2, mode='bilinear')[0]
    return maps


def between_cells(
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
