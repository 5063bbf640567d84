# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Maps cut into runs of 32 cells of a row, most of which nobody looks at.

The largest value of each run is found in one pass over the maps, at the speed
of memory; only runs that rise above a threshold are read again.

Maps whose width is no multiple of 32 are widened by cells of ``-inf``; flat
indices of cells are those of the widened maps.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import true_indices

__all__ = ['RUN', 'Runs', 'as_runs', 'clean_runs', 'cut_into_runs']

RUN = 32


class Runs(NamedTuple):
    """Maps as runs.

    ``values`` are float32 (R, 32), every run in row-major order, ``highest``
    (R,) their largest values, ``above`` the increasing int64 numbers (M,) of
    those that have a cell above ``threshold``, or one that is no number.
    ``width`` is that of the widened maps.
    """

    threshold: float
    values: Tensor
    highest: Tensor
    above: Tensor
    width: int

    def part(self, index: int, count: int) -> Runs:
        """One of ``count`` parts of equal size: an image, or a map."""
        size = len(self.values) // count
        start, end = index * size, (index + 1) * size
        limits = torch.tensor([start, end], device=self.above.device)
        first, last = torch.searchsorted(self.above, limits).tolist()
        return Runs(
            self.threshold,
            self.values[start:end],
            self.highest[start:end],
            self.above[first:last] - start,
            self.width,
        )

    def above_only(self, threshold: float) -> Tensor:
        """Numbers of the runs above a threshold, no lower than its own."""
        if threshold <= self.threshold:
            return self.above
        higher = ~(self.highest.index_select(0, self.above) <= threshold)
        return self.above[true_indices(higher)]


def as_runs(maps: Tensor, filler: float = 0.0) -> Tensor:
    """Maps (..., H, W) as runs (R, 32); a view where the width allows it."""
    lacking = -maps.shape[-1] % RUN
    if lacking:
        maps = F.pad(maps, (0, lacking), value=filler)
    return maps.contiguous().view(-1, RUN)


def cut_into_runs(heatmaps: Tensor, threshold: float) -> Runs:
    """Cut heatmaps into runs; the one look at whole maps.

    Args:
        heatmaps (Tensor): Shape (..., H, W).
        threshold (float): What a cell of a run must exceed.

    Returns:
        Runs: See there.
    """
    values = as_runs(heatmaps, -float('inf'))
    highest = values.amax(dim=1)
    width = heatmaps.shape[-1] + -heatmaps.shape[-1] % RUN
    above = true_indices(~(highest <= threshold))
    return Runs(threshold, values, highest, above, width)


def clean_runs(heatmaps: Tensor, threshold: float) -> Tuple[Tensor, Runs]:
    """Maps, in which NaN and infinity count as 0, and their runs.

    Args:
        heatmaps (Tensor): Shape (..., H, W).
        threshold (float): As for :func:`cut_into_runs`.
    """
    runs = cut_into_runs(heatmaps, threshold)
    if not (runs.highest < torch.inf).all():
        heatmaps = heatmaps.nan_to_num(0.0, 0.0, -torch.inf)
        runs = cut_into_runs(heatmaps, threshold)
    return heatmaps, runs
