# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Augmentation that depends on seed, epoch and sample, and on nothing else.

Not on the number of workers or processes, nor on what a worker drew before:
a run that was interrupted and resumed sees the pictures that it would have
seen.
"""

from __future__ import annotations

from typing import Any, Mapping, Tuple

import numpy as np

__all__ = ['SeededIndex', 'random_of']


class SeededIndex(int):
    """The index of a sample, which takes its seed along to the worker."""

    seed: Tuple[int, ...]

    def __new__(cls, value: int, seed: Tuple[int, ...]) -> SeededIndex:
        """As ``int``, with a seed."""
        index = super().__new__(cls, value)
        index.seed = seed
        return index

    def __mod__(self, other: int) -> SeededIndex:
        """As data sets that repeat one compute with indices."""
        return SeededIndex(int(self) % other, self.seed)

    def __sub__(self, other: int) -> SeededIndex:
        """As data sets that join some compute with indices."""
        return SeededIndex(int(self) - other, self.seed)

    def __reduce__(self) -> Any:
        """Pickled with its seed."""
        return SeededIndex, (int(self), self.seed)


def random_of(results: Mapping[str, Any]) -> Any:
    """Where a transform draws from, with the methods of ``np.random``.

    Args:
        results (Mapping): Of the pipeline; the data set has put the index
            into ``sample_idx``.

    Returns:
        np.random.RandomState | module: A generator of the sample's own, or
        ``np.random`` where its index has no seed.
    """
    seed = getattr(results.get('sample_idx'), 'seed', None)
    return np.random if seed is None else np.random.RandomState(seed)
