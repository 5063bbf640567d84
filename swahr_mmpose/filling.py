# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Keypoints that a person misses, from where its tag fits best.

P people, K keypoints, L tag dimensions, maps of H x W cells, R runs of 32
cells in a map.

No cell is better than its heatmap value, and no run of cells better than the
largest of its values less the distance to the nearest of its tags.  So a run
is looked at only if that bound reaches what the best-looking one gave.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from .grouping import People
from .runs import RUN, Runs, as_runs, cut_into_runs
from .sampling import enlarge

__all__ = ['fill_missing_keypoints']

# Runs looked at in one go.
_MANY = 1 << 14


class _Map(NamedTuple):
    """One heatmap, float32 (R, 32), and its L tag maps, each (R, 32)."""

    values: Tensor
    tags: Sequence[Tensor]

    def part(self, run: Tensor) -> _Map:
        """Some of the runs."""
        tags = [tag.index_select(0, run) for tag in self.tags]
        return _Map(self.values.index_select(0, run), tags)


def fill_missing_keypoints(
    people: People, heatmaps: Tensor, tags: Tensor, runs: Optional[Runs] = None
) -> People:
    """Give each missing keypoint the cell that fits its person best.

    It is the largest ``heatmap - round(tag distance)``, the first one in
    row-major order; where the heatmap is not positive there, the keypoint
    stays missing.  Tags of filled keypoints stay 0.  A tag that is no number
    fits nobody.

    Args:
        people (People): From :func:`swahr_mmpose.grouping.group_by_tags`.
        heatmaps (Tensor): float32, shape (K, H, W).
        tags (Tensor): float32, shape (L, K, h, w); where smaller than the
            heatmaps, enlarged (bilinear).
        runs (Runs, optional): Of these heatmaps, where they are known.

    Returns:
        People: A new one; the argument is left as it was.
    """
    found = people.scores > 0
    lacking = found.any(axis=1)[:, None] & ~found
    cells, scores = people.cells.copy(), people.scores.copy()
    if not lacking.any():
        return People(cells, scores, people.tags)
    runs = runs or cut_into_runs(heatmaps, float(heatmaps.max()) / 4)
    count = np.maximum(found.sum(axis=1), 1).astype(np.float32)[:, None]
    means = people.tags.sum(axis=1, where=found[..., None]) / count
    for k in np.flatnonzero(lacking.any(axis=0)):
        who = np.flatnonzero(lacking[:, k])
        planes = enlarge(tags[:, int(k)], heatmaps.shape[1:])
        flat, values = _best_cells(
            runs.part(int(k), len(heatmaps)),
            [as_runs(plane) for plane in planes],
            torch.from_numpy(means[who]).to(planes),
        )
        filled = who[values > 0]
        y, x = np.divmod(flat[values > 0], runs.width)
        cells[filled, k] = np.stack([x, y], axis=-1)
        scores[filled, k] = values[values > 0]
    return People(cells, scores, people.tags)


def _best_cells(
    runs: Runs, tags: Sequence[Tensor], means: Tensor
) -> Tuple[np.ndarray, np.ndarray]:
    """The best cell for each of some mean tags.

    First among the cells above the threshold: where the best of them is
    better than the threshold, nothing below can win.

    Args:
        runs (Runs): Of one heatmap.
        tags (Sequence[Tensor]): L maps, each (R, 32).
        means (Tensor): Shape (P, L).

    Returns:
        tuple[np.ndarray, np.ndarray]: Flat indices, int64 (P,), and the
        heatmap there, float32 (P,).
    """
    best = np.zeros(len(means), np.int64)
    values = np.full(len(means), -np.inf, np.float32)
    fits = values.copy()
    whole, known = _Map(runs.values, tags), runs.above
    if len(known):
        part = whole.part(known)
        bounds = _bounds(part.tags[0], part.values > runs.threshold)
        limits = _limits(runs.highest.index_select(0, known), bounds, means)
        run, column, values, fits = _search(
            part, limits, means, runs.threshold
        )
        best = known.cpu().numpy()[run] * RUN + column
    below = np.flatnonzero(~(fits > runs.threshold))
    if len(below):
        some = means[torch.from_numpy(below).to(means.device)]
        limits = _limits(runs.highest, _bounds(tags[0]), some)
        run, column, values[below], _ = _search(whole, limits, some)
        best[below] = run * RUN + column
    return best, values


def _bounds(
    tags: Tensor, counts: Optional[Tensor] = None
) -> Tuple[Tensor, Tensor]:
    """Least and largest tag of each run (R, 32), of the cells that count."""
    low = high = tags
    if counts is not None:
        low = tags.where(counts, torch.inf)
        high = tags.where(counts, -torch.inf)
    # Where one is no number, the others may be anything.
    return (
        low.amin(dim=1).nan_to_num_(-torch.inf, torch.inf, -torch.inf),
        high.amax(dim=1).nan_to_num_(torch.inf, torch.inf, -torch.inf),
    )


def _limits(
    highest: Tensor, bounds: Tuple[Tensor, Tensor], means: Tensor
) -> Tensor:
    """What no cell of a run can exceed, for each mean tag, (P, R)."""
    low, high = bounds
    mean = means[:, :1]
    gap = torch.maximum(low - mean, mean - high).clamp_(min=0)
    # A little less, for what rounding does.
    return highest - gap.mul_(0.999).round_()


def _search(
    part: _Map, limits: Tensor, means: Tensor, least: float = -np.inf
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first best cell: its run, column, heatmap value and fit, all (P,).

    Args:
        part (_Map): Of R runs.
        limits (Tensor): Shape (P, R).
        means (Tensor): Shape (P, L).
        least (float): Nobody asks for what fits no better than this.
    """
    who = torch.arange(len(means), device=means.device)
    top = limits.argmax(dim=1)
    reached = _fits(part, top, means, who).amax(dim=1).clamp_(min=least)
    open_ = ~(limits < reached[:, None])
    open_[who, top] = True
    person, run = open_.nonzero().unbind(1)
    fits = torch.cat(
        [
            _fits(part, r, means, p).amax(dim=1)
            for p, r in zip(person.split(_MANY), run.split(_MANY))
        ]
    )
    best, first = _first_best(fits.cpu().numpy(), person.cpu().numpy())
    chosen = run[torch.from_numpy(first).to(run.device)]
    column = _fits(part, chosen, means, who).argmax(dim=1)
    values = part.values[chosen, column]
    found = (t.cpu().numpy() for t in (chosen, column, values))
    return (*found, best)  # type: ignore[return-value]


def _first_best(
    fits: np.ndarray, person: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """The best of each person, and where it comes first.

    Args:
        fits (np.ndarray): Shape (N,).
        person (np.ndarray): Increasing from 0 without a gap, shape (N,).
    """
    starts = np.flatnonzero(np.diff(person, prepend=-1))
    best = np.maximum.reduceat(fits, starts)
    reached = np.flatnonzero(fits == best[person])
    _, first = np.unique(person[reached], return_index=True)
    return best, reached[first]


def _fits(part: _Map, run: Tensor, means: Tensor, person: Tensor) -> Tensor:
    """``heatmap - round(tag distance)`` of some runs (N,), (N, 32)."""
    looked_at = part.part(run)
    means = means.index_select(0, person)[..., None]
    squared, *others = (
        tag.sub_(means[:, i]).square_() for i, tag in enumerate(looked_at.tags)
    )
    for other in others:
        squared += other
    fits = looked_at.values.sub_(squared.sqrt_().round_())
    return fits.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
