# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Targets as small as they are, on their way from the worker to the model.

Of a target map about 99 % is zero.  What is not is sent as cells and values,
masks as bits; dense maps are made on the model's device, for a whole batch at
once, and hold the same numbers.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

__all__ = ['HeadOutput', 'SparseFields', 'stack_heatmaps', 'stack_masks']


class SparseFields(BaseDataElement):
    """Heatmaps and masks of some levels, in the place of MMPose's fields.

    Reading ``heatmaps`` or ``heatmap_mask`` gives lists of dense tensors, one
    per level, (K, h, w) and (h, w), as MMPose's ``MultilevelPixelData`` does.
    Made by :meth:`pack`.
    """

    @classmethod
    def pack(
        cls, heatmaps: Sequence[Any], masks: Optional[Sequence[Any]] = None
    ) -> SparseFields:
        """Make one from dense maps.

        Args:
            heatmaps (Sequence[np.ndarray | Tensor]): Float32 (K, h, w).
            masks (Sequence[np.ndarray | Tensor], optional): Bool (h, w).
        """
        dense = [np.asarray(level) for level in heatmaps]
        cells = [np.flatnonzero(level) for level in dense]
        values = [level.reshape(-1)[at] for level, at in zip(dense, cells)]
        packed = cls(
            metainfo=dict(
                shapes=[level.shape for level in dense],
                counts=[len(at) for at in cells],
                masked=masks is not None,
            )
        )
        packed.cells = _joined(cells, np.int32)
        packed.cell_values = _joined(values, np.float32)
        bits = [np.packbits(np.asarray(mask)) for mask in masks or ()]
        packed.bits = _joined(bits, np.uint8)
        return packed

    def level(self, level: int) -> Tuple[Tensor, Tensor]:
        """Cells that are not 0, int64 (M,), and their values."""
        cells = self.cells.split(self.counts)[level]
        return cells.long(), self.cell_values.split(self.counts)[level]

    @property
    def heatmaps(self) -> List[Tensor]:
        """Dense, (K, h, w) each."""
        levels = range(len(self.shapes))
        return [stack_heatmaps([self], level)[0] for level in levels]

    @property
    def heatmap_mask(self) -> List[Tensor]:
        """Dense bool, (h, w) each."""
        if not self.masked:
            raise AttributeError('these fields hold no masks')
        return [self.mask(level) for level in range(len(self.shapes))]

    def mask(self, level: int) -> Tensor:
        """Of one level, bool (h, w)."""
        areas = [h * w for _, h, w in self.shapes]
        bits = self.bits.split([-(-area // 8) for area in areas])[level]
        shifts = torch.arange(7, -1, -1, device=bits.device)
        flags = (bits[:, None] >> shifts) & 1
        flat = flags.flatten()[: areas[level]].bool()
        return flat.view(self.shapes[level][1:])


def _joined(parts: Sequence[np.ndarray], dtype: Any) -> Tensor:
    empty = np.zeros(0, dtype)
    return torch.from_numpy(np.concatenate([empty, *parts]).astype(dtype))


def stack_heatmaps(fields: Sequence[Any], level: int) -> Tensor:
    """The targets of a batch, float32 (B, K, h, w).

    Args:
        fields (Sequence[SparseFields | MultilevelPixelData]): Of B images.
        level (int): Which one.
    """
    if not isinstance(fields[0], SparseFields):
        return torch.stack([f.heatmaps[level] for f in fields])
    kinds = {(tuple(map(tuple, f.shapes)), f.masked) for f in fields}
    if len(kinds) > 1:
        raise ValueError(
            'the samples of a batch have targets of different shapes, or '
            f'masks in part: {sorted(kinds)}; check codec and pipeline'
        )
    shape = fields[0].shapes[level]
    size = int(np.prod(shape))
    dense = fields[0].cell_values.new_zeros(len(fields), *shape)
    parts = [f.level(level) for f in fields]
    cells = torch.cat([at + b * size for b, (at, _) in enumerate(parts)])
    dense.view(-1).index_copy_(0, cells, torch.cat([v for _, v in parts]))
    return dense


def stack_masks(fields: Sequence[Any], level: int) -> Optional[Tensor]:
    """The masks of a batch, bool (B, h, w), or None where there are none."""
    if isinstance(fields[0], SparseFields):
        if not fields[0].masked:
            return None
        return torch.stack([f.mask(level) for f in fields])
    if 'heatmap_mask' not in fields[0]:
        return None
    return torch.stack([f.heatmap_mask[level] for f in fields])


class HeadOutput(NamedTuple):
    """What the network predicts, by level, coarse to fine.

    ``heatmaps`` are two tensors (B, K, h, w); ``tags`` (B, K, h, w) are of
    level 0 alone; ``scale_maps`` are two tensors like the heatmaps, holding
    ``alpha = 1 / s - 1``, or None.
    """

    heatmaps: List[Tensor]
    tags: Tensor
    scale_maps: Optional[List[Tensor]]
