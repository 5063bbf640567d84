# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Sparse target heatmaps, from the codec to the packing of a sample."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np

__all__ = ['SparseHeatmap']


class SparseHeatmap:
    """Target heatmaps of one level, stored as their non-zero cells.

    ``numpy.asarray`` makes the dense maps.

    Args:
        cells (np.ndarray): Flat indices into (K, h, w), in ascending order
            and without repetition, int32 (M,).
        values (np.ndarray): Values of these cells, float32 (M,).
        shape (tuple): Shape ``(K, h, w)`` of the dense maps.

    Raises:
        ValueError: If there is not one value for each cell.
    """

    def __init__(
        self, cells: np.ndarray, values: np.ndarray, shape: Sequence[int]
    ) -> None:
        if cells.shape != values.shape or cells.ndim != 1:
            raise ValueError(
                f'got cells of shape {cells.shape} and values of shape '
                f'{values.shape}, expected one value for each cell, (M,)'
            )
        self.cells = cells.astype(np.int32, copy=False)
        self.values = values.astype(np.float32, copy=False)
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))

    @classmethod
    def from_dense(cls, heatmaps: Any) -> SparseHeatmap:
        """Find the non-zero cells of dense heatmaps.

        Args:
            heatmaps (np.ndarray | Tensor): Shape (K, h, w).

        Returns:
            SparseHeatmap: The same maps.
        """
        dense = np.asarray(heatmaps)
        cells = np.flatnonzero(dense)
        return cls(cells, dense.reshape(-1)[cells], dense.shape)

    def __array__(
        self, dtype: Any = None, copy: Optional[bool] = None
    ) -> np.ndarray:
        """Make the dense heatmaps, shape (K, h, w), float32 by default."""
        if copy is False:
            raise ValueError('dense maps of SparseHeatmap are always a copy')
        dense = np.zeros(self.shape, np.float32)
        dense.reshape(-1)[self.cells] = self.values
        return dense if dtype is None else dense.astype(dtype, copy=False)

    def __repr__(self) -> str:
        """Return the shape and the number of non-zero cells."""
        return f'SparseHeatmap(shape={self.shape}, cells={len(self.cells)})'
