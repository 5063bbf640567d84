# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Canvas for sparse heatmaps: only cells in given windows are stored.

M windows, R rows of all windows, K keypoints, heatmaps of h x w cells.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import numpy as np

from swahr_mmpose.utils.sparse_heatmap import SparseHeatmap

__all__ = ['SparseCanvas', 'merge_intervals']

Shape = Tuple[int, int, int]


class SparseCanvas:
    """Heatmaps of which only the cells in given windows are stored.

    Windows are cut at the borders of the heatmap. The rows of all windows are
    merged to the sorted cells of the canvas.

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
            all windows in ``cells`` and ``values``.
        cells (np.ndarray): Flat indices into the heatmaps, sorted.
        values (np.ndarray): Values of the cells, float32, initially 0.
    """

    def __init__(
        self,
        shape: Shape,
        k: np.ndarray,
        starts: np.ndarray,
        sizes: np.ndarray,
    ) -> None:
        self.shape, (_, h, w) = shape, shape
        self.low = np.maximum(starts, 0)
        self.high = np.minimum(starts + sizes, (w, h))
        x, y = self.low.T
        widths, heights = (self.high - self.low).T
        ends = np.cumsum(heights)
        self.first_rows = ends - heights
        rows = np.arange(ends[-1] if len(ends) else 0)
        first_cells = (k * h + y - self.first_rows) * w + x
        self.cells, self.row_positions = merge_intervals(
            np.repeat(first_cells, heights) + rows * w,
            np.repeat(widths, heights),
        )
        self.values = np.zeros(len(self.cells), np.float32)

    def paste_maximum(
        self, m: int, start: Sequence[int], kernel: np.ndarray
    ) -> None:
        """Paste the kernel of window m by the maximum (Eq. 2)."""
        (x0, y0), (x1, y1) = self.low[m].tolist(), self.high[m].tolist()
        first = self.first_rows[m]
        rows = self.row_positions[first : first + y1 - y0]
        index = rows[:, None] + np.arange(x1 - x0)
        left, top = start
        part = kernel[y0 - top : y1 - top, x0 - left : x1 - left]
        self.values[index] = np.maximum(self.values[index], part)

    def finish(self) -> SparseHeatmap:
        """Return the heatmaps, without cells whose value is 0."""
        cells, values = self.cells, self.values
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
