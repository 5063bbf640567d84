# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Search for the cells of a heatmap that fit the mean tags of people best.

M cells, L tag dimensions, G mean tags. On noise there may be 500 people with
missing keypoints, and a comparison of each with all cells takes seconds.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from .tag_search import search_by_tags

__all__ = ['find_best_cells']

# Number of pairs of a cell and a mean tag up to which all are compared.
_MAX_COMPARISONS = 1 << 20


def find_best_cells(
    values: np.ndarray, tags: np.ndarray, means: np.ndarray, max_pairs: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Find the first cells that maximise ``value - round(distance)``.

    Args:
        values (np.ndarray): Heatmap values, without NaN, float32, shape (M,).
        tags (np.ndarray): Tags, float32, shape (L, M).
        means (np.ndarray): Mean tags, float32, shape (G, L).
        max_pairs (int): Bound of the search, see
            :func:`.tag_search.search_by_tags`.

    Returns:
        tuple[np.ndarray, np.ndarray]: Index of the cell of each mean tag,
        int64 (G,), and the maximum, float32 (G,); -inf if there is no cell
        with a finite tag.
    """
    if len(values) * len(means) > _MAX_COMPARISONS:
        cells, _, best = search_by_tags(values, list(tags), means, max_pairs)
        return cells, best
    cells = np.zeros(len(means), np.int64)
    best = np.full(len(means), -np.inf, np.float32)
    for i, mean in enumerate(means if len(values) else ()):
        cells[i], best[i] = _compare_all(values, tags, mean)
    return cells, best


def _compare_all(
    values: np.ndarray, tags: np.ndarray, mean: np.ndarray
) -> Tuple[int, np.float32]:
    """Find the first best cell of a mean tag (L,) among all."""
    squared = (tags[0] - mean[0]) ** 2
    for tag, component in zip(tags[1:], mean[1:]):
        squared += (tag - component) ** 2
    fits = values - np.rint(np.sqrt(squared))
    fits[np.isnan(fits)] = -np.inf
    index = int(fits.argmax())
    return index, fits[index]
