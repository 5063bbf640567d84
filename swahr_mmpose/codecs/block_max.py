# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Block-max index of heatmaps.

Rows are split into blocks of 32 cells and the maximum of each is computed in
one pass, at memory speed, so that peak search and keypoint filling only read
blocks above a threshold.

Maps whose width is not a multiple of 32 are padded with ``-inf`` on the right;
flat indices of cells refer to the padded maps.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import true_indices

__all__ = [
    'BLOCK_SIZE',
    'BlockMax',
    'index_blocks',
    'index_finite',
    'split_into_blocks',
]

# Cells per block.
BLOCK_SIZE = 32


class BlockMax(NamedTuple):
    """Heatmaps in R blocks, with the maximum of each block.

    ``values`` are the float32 blocks (R, 32) in row-major order and ``maxima``
    (R,) their maxima.  ``above`` are the increasing int64 indices (M,) of the
    blocks with a cell above ``threshold`` or with a NaN.  ``width`` is that of
    the padded maps, in cells.
    """

    threshold: float
    values: Tensor
    maxima: Tensor
    above: Tensor
    width: int

    def select_part(self, index: int, count: int) -> BlockMax:
        """Select one of ``count`` equal parts: an image, or a map."""
        size = len(self.values) // count
        start, end = index * size, (index + 1) * size
        limits = torch.tensor([start, end], device=self.above.device)
        first, last = torch.searchsorted(self.above, limits).tolist()
        return BlockMax(
            self.threshold,
            self.values[start:end],
            self.maxima[start:end],
            self.above[first:last] - start,
            self.width,
        )

    def find_above(self, threshold: float) -> Tensor:
        """Find the blocks above a threshold not below that of the index.

        Blocks with a NaN count as above.

        Args:
            threshold (float): Value that a cell of the block must exceed.

        Returns:
            Tensor: int64 block indices, increasing.
        """
        if threshold <= self.threshold:
            return self.above
        higher = ~(self.maxima.index_select(0, self.above) <= threshold)
        return self.above[true_indices(higher)]


def split_into_blocks(maps: Tensor, fill_value: float = 0.0) -> Tensor:
    """Split maps (..., H, W) into blocks (R, 32).

    Args:
        maps (Tensor): Shape (..., H, W).
        fill_value (float): Value of the cells that pad the width to a
            multiple of 32. Defaults to 0.

    Returns:
        Tensor: Shape (R, 32), in row-major order; a view where contiguous
        maps need no padding.
    """
    padding = -maps.shape[-1] % BLOCK_SIZE
    if padding:
        maps = F.pad(maps, (0, padding), value=fill_value)
    return maps.contiguous().view(-1, BLOCK_SIZE)


def index_blocks(heatmaps: Tensor, threshold: float) -> BlockMax:
    """Build the block-max index, in the only pass over all cells.

    Args:
        heatmaps (Tensor): Shape (..., H, W).
        threshold (float): Value that a cell of a block must exceed for the
            block to be listed in ``above``.

    Returns:
        BlockMax: Index of the heatmaps.
    """
    values = split_into_blocks(heatmaps, -float('inf'))
    maxima = values.amax(dim=1)
    width = heatmaps.shape[-1] + -heatmaps.shape[-1] % BLOCK_SIZE
    above = true_indices(~(maxima <= threshold))
    return BlockMax(threshold, values, maxima, above, width)


def index_finite(
    heatmaps: Tensor, threshold: float
) -> Tuple[Tensor, BlockMax]:
    """Replace NaN and positive infinity by 0, then build the block-max index.

    Negative infinity is kept; it is below every threshold.

    Args:
        heatmaps (Tensor): Shape (..., H, W); not modified.
        threshold (float): See :func:`index_blocks`.

    Returns:
        tuple[Tensor, BlockMax]: Heatmaps, the same tensor if nothing was
        replaced, and their index.
    """
    blocks = index_blocks(heatmaps, threshold)
    if not (blocks.maxima < torch.inf).all():
        heatmaps = heatmaps.nan_to_num(0.0, 0.0, -torch.inf)
        blocks = index_blocks(heatmaps, threshold)
    return heatmaps, blocks
