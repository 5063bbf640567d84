# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Search for the cell of a heatmap that fits the mean tag of a person best.

M cells, L tag dimensions. On noise there may be 500 people with missing
keypoints, and a comparison of each with all cells takes seconds.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

__all__ = ['CellIndex']

# Number of cells up to which all are compared.
_FEW = 4096
# Numbers of cells of the highest values that are compared first.
_HIGHEST = (1024, 16384)
# Failures of a search among these after which it is not tried again.
_TRIALS = 8
# Bound of relative errors of distances in float32.
_ERROR = 4e-6
# Distance whose square is infinite in float32.
_OVERFLOW = 2e19


class CellIndex:
    """Index of cells by heatmap value and by tag, made when it is needed.

    Args:
        values (np.ndarray): Heatmap values, without NaN, float32, shape (M,).
        tags (np.ndarray): Tags, float32, shape (L, M).
    """

    def __init__(self, values: np.ndarray, tags: np.ndarray) -> None:
        self.values = values
        self.tags = tags
        self._by_value: Optional[np.ndarray] = None
        self._by_tag: Optional[np.ndarray] = None
        self._failures = 0  # of the search among the highest values
        self._first = tags[0]  # in the order by tag
        self._highest = 0.0

    def find(self, mean: np.ndarray) -> Tuple[int, float]:
        """Find the first cell that maximises ``value - round(distance)``.

        Args:
            mean (np.ndarray): Mean tag, shape (L,).

        Returns:
            tuple[int, float]: Index of the cell, and the maximum; -inf if
            there is no cell with a finite tag.
        """
        if len(self.values) == 0 or not np.isfinite(mean).all():
            return 0, -np.inf
        if len(self.values) <= _FEW:
            return self._compare(mean, None)
        if self._failures < _TRIALS:
            found = self._find_among_highest(mean)
            if found is not None:
                return found
            self._failures += 1
        return self._find_near(mean)

    def _find_among_highest(
        self, mean: np.ndarray
    ) -> Optional[Tuple[int, float]]:
        """Find the best cell if none of lower value can be as good."""
        if self._by_value is None:
            count = min(_HIGHEST[-1], len(self.values) - 1) + 1
            highest = np.argpartition(-self.values, count - 1)[:count]
            order = np.argsort(-self.values[highest], kind='stable')
            self._by_value = highest[order]
        ordered = self.values[self._by_value]
        for count in _HIGHEST:
            chosen = self._by_value[:count]
            lowest = ordered[len(chosen) - 1]
            if lowest == ordered[0]:
                break  # a plateau
            found = self._compare(mean, chosen)
            if found[1] > lowest:
                return found
        return None

    def _find_near(self, mean: np.ndarray) -> Tuple[int, float]:
        """Find the best cell among those of a similar first tag."""
        if self._by_tag is None:
            self._by_tag = np.argsort(self.tags[0])  # NaN last
            self._first = self.tags[0][self._by_tag]
            self._highest = float(self.values.max())
        center = float(mean[0])
        radius = _measure_gap(self._first, center) + 0.75
        while radius < _OVERFLOW:
            ends = np.array([center - radius, center + radius], np.float32)
            low = np.searchsorted(self._first, ends[0], 'left')
            high = np.searchsorted(self._first, ends[1], 'right')
            if high - low > len(self._first) // 2:
                return self._compare(mean, None)
            found = self._compare(mean, self._by_tag[low:high])
            if found[1] > self._highest - _bound_distance(radius):
                return found
            needed = 0.0
            if found[1] > -np.inf:
                needed = (self._highest - found[1]) * (1 + _ERROR) + 2
            radius = max(2 * radius, needed)
        return 0, -np.inf  # all squared distances are infinite

    def _compare(
        self, mean: np.ndarray, chosen: Optional[np.ndarray]
    ) -> Tuple[int, float]:
        """Find the first best of some or all cells."""
        values, tags = self.values, self.tags
        if chosen is not None:
            if len(chosen) == 0:
                return 0, -np.inf
            values, tags = values[chosen], tags[:, chosen]
        squared = (tags[0] - mean[0]) ** 2
        for tag, component in zip(tags[1:], mean[1:]):
            squared += (tag - component) ** 2
        fits = values - np.rint(np.sqrt(squared))
        fits[np.isnan(fits)] = -np.inf
        index = int(fits.argmax())
        best = float(fits[index])
        if chosen is not None:
            index = int(chosen[fits == fits[index]].min())
        return index, best


def _bound_distance(radius: float) -> float:
    """Bound the rounded distance of cells beyond a radius from below."""
    bound = radius * (1 - _ERROR) - 0.5
    return float(np.ceil(bound)) if radius < 1e4 else bound


def _measure_gap(ordered: np.ndarray, center: float) -> float:
    """Measure the distance to the nearest of sorted numbers, rounded down."""
    at = int(np.searchsorted(ordered, np.float32(center)))
    near = ordered[max(at - 1, 0) : at + 1].astype(np.float64)
    gaps = np.abs(near - center)
    gaps = gaps[np.isfinite(gaps)]
    return float(np.floor(gaps.min())) if len(gaps) else _OVERFLOW
