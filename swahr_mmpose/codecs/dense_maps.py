# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Maps of a batch on an accelerator, padded to complete blocks.

B images, K keypoints, R = B * K maps of size H x W, padded, L tag dimensions,
T taps of the interpolation of tags.
"""

from __future__ import annotations

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import enlarge
from swahr_mmpose.utils.transfer import upload

from .tag_interpolation import Taps, list_taps

__all__ = ['BLOCK', 'DenseMaps', 'TagMaps', 'pad', 'read_taps', 'split_blocks']

Size = Tuple[int, int]

# Rows and columns of a block.
BLOCK = (4, 8)


class TagMaps:
    """Tags, and the tables to read them as if they were enlarged.

    Args:
        values (Tensor): float32, shape (R, L, h, w).
        size (tuple): Size of the heatmaps.
        padded (tuple): The same after padding.
    """

    def __init__(self, values: Tensor, size: Size, padded: Size) -> None:
        self.values, self._size, self._padded = values, size, padded
        small = values.shape[2], values.shape[3]
        self.taps = list_taps(small, size, padded)
        tables = upload([_pack_taps(t) for t in self.taps], values.device)
        self.row_table, self.column_table = tables

    def enlarge_halfway(self) -> TagMaps:
        """Enlarge the tags by all steps but the last one."""
        height, width = self.values.shape[2:]
        taps = self.taps[0].cells.shape[1]
        if taps <= 2:
            return self
        halfway = height * taps // 2, width * taps // 2
        values = enlarge(self.values, halfway)
        return TagMaps(values, self._size, self._padded)


class DenseMaps:
    """Heatmaps and tags of a batch on one device.

    Args:
        heatmaps (Tensor): float32, shape (B, K, h', w').
        tags (Tensor): float32, shape (B, L, K, h, w), at most as large.
    """

    def __init__(self, heatmaps: Tensor, tags: Tensor) -> None:
        self.device = heatmaps.device
        self.num_keypoints = heatmaps.shape[1]
        self.size = (heatmaps.shape[2], heatmaps.shape[3])
        # Finite, so that differences are no NaN.
        planes = pad(heatmaps.flatten(0, 1), torch.finfo(torch.float32).min)
        self.planes = planes.contiguous()
        self.height, self.width = self.planes.shape[1:]
        self.tags = TagMaps(
            tags.transpose(1, 2).flatten(0, 1),
            self.size,
            (self.height, self.width),
        )

    @property
    def blocks(self) -> Tensor:
        """View of the heatmaps as blocks, (R, H / 4, 4, W / 8, 8)."""
        return split_blocks(self.planes)


def _pack_taps(taps: Taps) -> Tensor:
    """Pack cells and weights into one int64 table (P, 2 * T - 1)."""
    bits = taps.weights.contiguous().view(torch.int32).long()
    return torch.cat([taps.cells, bits], dim=1).contiguous()


def read_taps(table: Tensor, index: Tensor) -> Tuple[Tensor, Tensor]:
    """Read taps on the device, cells and weights in one kernel.

    Args:
        table (Tensor): A table of :class:`TagMaps`, or a view of it, shape
            (rows, ..., 2 * T - 1).
        index (Tensor): int64 indices of rows.

    Returns:
        tuple[Tensor, Tensor]: int64 source cells (..., T) and float32 weights
        (..., T - 1), see :class:`.tag_interpolation.Taps`.
    """
    entries = table[index]
    taps = (entries.shape[-1] + 1) // 2
    if taps == 1:
        empty = (*entries.shape[:-1], 0)
        return entries, entries.new_empty(empty, dtype=torch.float32)
    # The lower half of an integer holds the bits of a weight.
    weights = entries.view(torch.int32)[..., 2 * taps :: 2]
    return entries[..., :taps], weights.view(torch.float32)


def split_blocks(maps: Tensor) -> Tensor:
    """View padded maps (..., H, W) as blocks (..., H / 4, 4, W / 8, 8)."""
    maps = maps.unflatten(-1, (maps.shape[-1] // BLOCK[1], BLOCK[1]))
    return maps.unflatten(-3, (maps.shape[-3] // BLOCK[0], BLOCK[0]))


def pad(maps: Tensor, value: float) -> Tensor:
    """Pad maps (..., H, W) to complete blocks."""
    below, right = -maps.shape[-2] % BLOCK[0], -maps.shape[-1] % BLOCK[1]
    if below or right:
        return F.pad(maps, (0, right, 0, below), value=value)
    return maps
