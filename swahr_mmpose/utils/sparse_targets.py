# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Target heatmaps of a batch, stored as their non-zero cells.

B images, K keypoints, maps of h x w cells; M non-zero cells.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from torch import Tensor

from .tensor_ops import true_indices

__all__ = ['SparseTargets']


class SparseTargets(NamedTuple):
    """Target heatmaps of a batch at one level, as their non-zero cells.

    The number of cells is known on the host, so that an accelerator is not
    stopped to look for them.

    Attributes:
        cells (Tensor): Flat indices into (B, K, h, w), without repetition,
            int64 (M,).
        values (Tensor): Heatmap values of these cells, more than 0 (or NaN),
            floating point (M,).
        shape (tuple): Shape ``(B, K, h, w)`` of the dense maps.
        masked (bool): Whether the cells that the loss mask of the batch
            excludes are left out: they have no loss. Defaults to ``False``.
    """

    cells: Tensor
    values: Tensor
    shape: Tuple[int, int, int, int]
    masked: bool = False

    @classmethod
    def from_dense(
        cls, heatmaps: Tensor, mask: Optional[Tensor] = None
    ) -> SparseTargets:
        """Find the non-zero cells of dense heatmaps.

        On an accelerator the host waits once, for the number of cells.

        Args:
            heatmaps (Tensor): Heatmaps, not negative, (B, K, h, w).
            mask (Tensor, optional): Loss mask, bool (B, h, w) or
                (B, K, h, w), whose excluded cells are left out. Defaults to
                ``None``, all cells are listed.

        Returns:
            SparseTargets: The same maps.
        """
        flags = heatmaps != 0  # NaN is found, and makes the loss NaN
        if mask is not None:
            flags &= mask if mask.dim() == 4 else mask[:, None]
        cells = true_indices(flags)
        values = heatmaps.reshape(-1).index_select(0, cells)
        batch, num_keypoints, height, width = heatmaps.shape
        shape = (batch, num_keypoints, height, width)
        return cls(cells, values, shape, mask is not None)

    def dense(self) -> Tensor:
        """Make the dense heatmaps, (B, K, h, w)."""
        maps = self.values.new_zeros(self.shape)
        maps.view(-1).index_copy_(0, self.cells, self.values)
        return maps
