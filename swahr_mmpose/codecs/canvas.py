# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Canvases: heatmaps into which windows are drawn, dense or sparse.

M windows, R rows of all windows, K keypoints, heatmaps of h x w cells.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np

from swahr_mmpose.utils.sparse_heatmap import SparseHeatmap

__all__ = ['Canvas', 'DenseCanvas', 'SparseCanvas', 'merge_intervals']

Shape = Tuple[int, int, int]


class Canvas:
    """Heatmaps into which windows are drawn by the maximum (Eq. 2).

    Windows are cut at the borders of the heatmap.

    Args:
        shape (tuple): Shape ``(K, h, w)`` of the heatmaps.
        k (np.ndarray): Heatmap of each window, shape (M,).
        starts (np.ndarray): First cells ``(x, y)`` of the windows, (M, 2).
        sizes (np.ndarray): Sizes ``(w, h)`` of the windows, (M, 2). At least
            one cell of a window must lie inside the heatmap.

    Attributes:
        low (np.ndarray): First cells inside the heatmap, (M, 2).
        high (np.ndarray): Ends, exclusive, (M, 2).
        first_rows (np.ndarray): Index of the first row of each window, (M,).
        row_positions (np.ndarray): Position of the first cell of each row of
            all windows in ``values``, (R,).
        values (np.ndarray): Values of the cells, float32, initially 0; in
            addition, as the last one, a place for cells that are cut off.
    """

    def __init__(
        self,
        shape: Shape,
        k: np.ndarray,
        starts: np.ndarray,
        sizes: np.ndarray,
    ) -> None:
        self.shape, (_, h, w) = shape, shape
        self.starts, self.sizes = starts, sizes
        self.low = np.maximum(starts, 0)
        self.high = np.minimum(starts + sizes, (w, h))
        x, y = self.low.T
        widths, heights = (self.high - self.low).T
        ends = np.cumsum(heights)
        self.first_rows = ends - heights
        rows = np.arange(ends[-1] if len(ends) else 0)
        first_cells = (k * h + y - self.first_rows) * w + x
        self.row_positions, number = self._place_rows(
            np.repeat(first_cells, heights) + rows * w,
            np.repeat(widths, heights),
        )
        self.values = np.zeros(number + 1, np.float32)

    def _place_rows(
        self, cells: np.ndarray, lengths: np.ndarray
    ) -> Tuple[np.ndarray, int]:
        """Choose the position of the first cell of each row.

        Args:
            cells (np.ndarray): First cells as flat indices, shape (R,).
            lengths (np.ndarray): Numbers of cells, shape (R,).

        Returns:
            tuple[np.ndarray, int]: Positions (R,), and the number of cells of
            the canvas.
        """
        raise NotImplementedError

    def index_windows(
        self, m: np.ndarray, dy: np.ndarray, dx: np.ndarray
    ) -> np.ndarray:
        """Compute the positions in ``values`` of cells of windows.

        Args:
            m (np.ndarray): Windows, all of the same size, shape (N,).
            dy (np.ndarray): Rows of the cells in a window, shape (C,).
            dx (np.ndarray): Columns of the cells in a window, shape (C,).

        Returns:
            np.ndarray: Positions, shape (C, N).
        """
        (x, y), (low_x, low_y) = self.starts[m].T, self.low[m].T
        heights = self.high[m, 1] - low_y
        rows = np.arange(dy.max(initial=0) + 1)[:, None] + (y - low_y)
        rows = rows.clip(0, heights - 1) + self.first_rows[m]
        index = (self.row_positions[rows] + (x - low_x))[dy] + dx[:, None]
        whole = self.high[m] - self.low[m] == self.sizes[m]
        cut = np.flatnonzero(~whole.all(axis=1))
        if len(cut):
            column, row = x[cut] + dx[:, None], y[cut] + dy[:, None]
            inside = (column >= 0) & (column < self.shape[2])
            inside &= (row >= 0) & (row < self.shape[1])
            index[:, cut] = np.where(
                inside, index[:, cut], len(self.values) - 1
            )
        return index

    def paste_maximum(self, m: int, kernel: np.ndarray) -> None:
        """Paste the kernel of window m by the maximum."""
        (x0, y0), (x1, y1) = self.low[m].tolist(), self.high[m].tolist()
        first = self.first_rows[m]
        rows = self.row_positions[first : first + y1 - y0]
        index = rows[:, None] + np.arange(x1 - x0)
        left, top = self.starts[m].tolist()
        part = kernel[y0 - top : y1 - top, x0 - left : x1 - left]
        self.values[index] = np.maximum(self.values[index], part)


class DenseCanvas(Canvas):
    """Canvas that stores all cells."""

    def _place_rows(
        self, cells: np.ndarray, lengths: np.ndarray
    ) -> Tuple[np.ndarray, int]:
        """See the base class."""
        return cells, math.prod(self.shape)

    def finish(self) -> np.ndarray:
        """Return the heatmaps, shape (K, h, w)."""
        return self.values[:-1].reshape(self.shape)


class SparseCanvas(Canvas):
    """Canvas that stores the cells of the windows alone.

    The rows of all windows are merged to the sorted cells of the canvas.

    Attributes:
        cells (np.ndarray): Flat indices into the heatmaps, sorted.
    """

    def _place_rows(
        self, cells: np.ndarray, lengths: np.ndarray
    ) -> Tuple[np.ndarray, int]:
        """See the base class."""
        self.cells, positions = merge_intervals(cells, lengths)
        return positions, len(self.cells)

    def finish(self) -> SparseHeatmap:
        """Return the heatmaps, without cells whose value is 0."""
        cells, values = self.cells, self.values[:-1]
        if not values.all():  # tails below the smallest float32
            cells, values = cells[values != 0], values[values != 0]
        return SparseHeatmap(cells, values, self.shape)


def merge_intervals(
    starts: np.ndarray, lengths: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Merge intervals of integers.

    Args:
        starts (np.ndarray): First integers, at least 0, shape (R,).
        lengths (np.ndarray): Lengths, at least 1, shape (R,).

    Returns:
        tuple[np.ndarray, np.ndarray]: Integers in any interval, sorted and
        unique, shape (M,), and the position of each start among them, (R,).
    """
    order = np.argsort(starts)
    sorted_starts = starts[order]
    ends = sorted_starts + lengths[order]
    # End of what earlier intervals cover; without a gap to what begins before.
    covered = np.zeros_like(ends)
    np.maximum.accumulate(ends[:-1], out=covered[1:])
    fresh = np.maximum(sorted_starts, covered)
    counts = np.maximum(ends - fresh, 0)
    totals = np.cumsum(counts)
    before = totals - counts
    merged = np.arange(totals[-1] if len(totals) else 0)
    merged += np.repeat(fresh - before, counts)
    positions = np.empty_like(starts)
    positions[order] = before - (fresh - sorted_starts)
    return merged, positions
