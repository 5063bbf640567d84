# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The cell that fits a tag best, without looking at most cells.

R runs of 32 cells, L tag dimensions, G tags to find a place for.

No cell is better than its heatmap value, and no run of cells better than the
largest of its values less the distance to the nearest of its tags.  So a run
is looked at only if that bound reaches what the most promising one gave.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

__all__ = ['Found', 'Part', 'best_fits']

# Runs looked at in one go: they stay in the cache.
_MANY = 1 << 13


class Part(NamedTuple):
    """Some runs of one or more maps, one map after the other.

    ``values`` (R, 32) are heatmaps and ``highest`` (R,) their largest values,
    of which run i of M is ``numbers[i]``; of the L tag maps ``tags`` (T, 32)
    it is ``tag_numbers[i]``.  Map j has the runs from ``ends[j - 1]`` to
    ``ends[j]``.
    """

    values: Tensor
    highest: Tensor
    numbers: Tensor
    tags: Sequence[Tensor]
    tag_numbers: Tensor
    ends: Sequence[int]


class Found(NamedTuple):
    """For each of G tags its best run and cell in that; all of shape (G,).

    ``values`` are of the heatmap there, ``fits`` that less the distance.
    """

    runs: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    fits: np.ndarray


@np.errstate(over='ignore', invalid='ignore')  # of infinite bounds and tags
def best_fits(
    part: Part,
    means: np.ndarray,
    counts: Sequence[int],
    threshold: Optional[float] = None,
) -> Found:
    """The first of the cells with the largest ``heatmap - round(distance)``.

    A distance that is no number counts as infinite, such a fit as none.

    Args:
        part (Part): Every map with at least one run.
        means (np.ndarray): Tags float32 (G, L), those of the first map first.
        counts (Sequence[int]): How many of them are of which map.
        threshold (float, optional): Nobody asks for what fits no better.
            ``None``: for any cell; the part then holds all runs of its maps.

    Returns:
        Found: Where the best fit does not exceed the threshold, of any cell.
    """
    all_means = torch.from_numpy(means).to(part.values)
    least = -np.inf if threshold is None else threshold
    limits, tops = _limits(part, means[:, 0], counts, threshold)
    groups = torch.arange(len(means), device=all_means.device)
    top = torch.from_numpy(tops).to(all_means.device)
    reached = _best_of_runs(part, top, all_means, groups)
    group, run = _within_reach(part, limits, np.maximum(reached, least), tops)
    pairs = [
        torch.from_numpy(index).to(all_means.device) for index in (run, group)
    ]
    fits = np.concatenate(
        [
            _best_of_runs(part, r, all_means, g)
            for r, g in zip(*(index.split(_MANY) for index in pairs))
        ]
    )
    best, first = _first_best(fits, group)
    chosen = pairs[0][torch.from_numpy(first).to(all_means.device)]
    columns = _fits(part, chosen, all_means, groups).argmax(dim=1)
    values = part.values[part.numbers[chosen], columns].cpu().numpy()
    return Found(run[first], columns.cpu().numpy(), values, best)


def _limits(
    part: Part,
    means: np.ndarray,
    counts: Sequence[int],
    threshold: Optional[float],
) -> Tuple[List[np.ndarray], np.ndarray]:
    """What no cell of a run can exceed, and the most promising runs.

    These are runs whose cells all have much the same tag; of others the bound
    says little.

    Returns:
        tuple: A matrix (tags, runs) for each map, and the run of each tag.
    """
    low, high = _bounds(part, threshold)
    highest = part.highest.index_select(0, part.numbers).cpu().numpy()
    mixed = np.where(high - low > 0.9, np.float32(10), np.float32(0))
    limits, tops = [], []
    tag_end = start = 0
    for count, end in zip(counts, part.ends):
        of_map, tag_end = slice(start, end), tag_end + count
        mean = means[tag_end - count : tag_end, None]
        gap = np.maximum(low[of_map] - mean, mean - high[of_map])
        np.maximum(gap, 0, out=gap)
        gap *= np.float32(0.999)  # a little less, for what rounding does
        limit = np.subtract(highest[of_map], np.rint(gap, out=gap), out=gap)
        limits.append(limit)
        tops.append((limit - mixed[of_map]).argmax(axis=1) + start)
        start = end
    return limits, np.concatenate(tops)


def _bounds(
    part: Part, threshold: Optional[float]
) -> Tuple[np.ndarray, np.ndarray]:
    """Least and largest first tag of each run, of cells above a threshold."""
    if threshold is None:
        low, high = (part.tags[0].amin(dim=1), part.tags[0].amax(dim=1))
    else:
        pairs = zip(part.numbers.split(_MANY), part.tag_numbers.split(_MANY))
        bounds = [_bounds_above(part, *pair, threshold) for pair in pairs]
        low, high = (torch.cat(values) for values in zip(*bounds))
    # Where one is no number, the others may be anything.
    low = low.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
    high = high.nan_to_num_(torch.inf, torch.inf, -torch.inf)
    return low.cpu().numpy(), high.cpu().numpy()


def _bounds_above(
    part: Part, number: Tensor, of_tag: Tensor, threshold: float
) -> Tuple[Tensor, Tensor]:
    """The same for some runs, of the cells above a threshold."""
    tags = part.tags[0].index_select(0, of_tag)
    # Far below 0 where a cell is not above the threshold.
    away = part.values.index_select(0, number).sub_(threshold)
    away = away.clamp_(max=0).mul_(1e30)
    return (tags - away).amin(dim=1), away.add_(tags).amax(dim=1)


def _within_reach(
    part: Part,
    limits: Sequence[np.ndarray],
    reached: np.ndarray,
    tops: np.ndarray,
) -> Tuple[np.ndarray, np.ndarray]:
    """Tags and runs whose bound is not below what is reached, (N,) each.

    The most promising run is always among them.
    """
    groups, runs = [], []
    group = start = 0
    for limit, end in zip(limits, part.ends):
        rows = np.arange(group, group + len(limit))
        within = ~(limit < reached[rows, None])
        within[rows - group, tops[rows] - start] = True
        row, run = np.divmod(np.flatnonzero(within), limit.shape[1])
        groups.append(row + group)
        runs.append(run + start)
        group, start = group + len(limit), end
    return np.concatenate(groups), np.concatenate(runs)


def _fits(part: Part, run: Tensor, means: Tensor, group: Tensor) -> Tensor:
    """``heatmap - round(tag distance)`` of some runs (N,), (N, 32)."""
    means = means.index_select(0, group)[..., None]
    row = part.tag_numbers.index_select(0, run)
    squared, *others = (
        tag.index_select(0, row).sub_(means[:, i]).square_()
        for i, tag in enumerate(part.tags)
    )
    for other in others:
        squared += other
    values = part.values.index_select(0, part.numbers.index_select(0, run))
    fits = values.sub_(squared.sqrt_().round_())
    return fits.nan_to_num_(-torch.inf, torch.inf, -torch.inf)


def _best_of_runs(
    part: Part, run: Tensor, means: Tensor, group: Tensor
) -> np.ndarray:
    """The best fit in some runs, (N,)."""
    return _fits(part, run, means, group).amax(dim=1).cpu().numpy()


def _first_best(
    fits: np.ndarray, group: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """The best of each group, and where it comes first.

    Args:
        fits (np.ndarray): Shape (N,).
        group (np.ndarray): Increasing from 0 without a gap, shape (N,).
    """
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    best = np.maximum.reduceat(fits, starts)
    reached = np.flatnonzero(fits == best[group])
    _, first = np.unique(group[reached], return_index=True)
    return best, reached[first]
