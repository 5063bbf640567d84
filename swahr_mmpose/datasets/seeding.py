# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Augmentation that depends only on the seed, the epoch and the sample.

The number of workers and processes and the earlier draws of a worker have no
effect.  A run that is interrupted and resumed sees the same augmented images
as an uninterrupted one.
"""

from __future__ import annotations

from typing import Any, Mapping, Tuple

import numpy as np

__all__ = ['SeededIndex', 'get_rng']


class SeededIndex(int):
    """Index of a sample that carries its augmentation seed to the worker.

    Args:
        value (int): Index of the sample.
        seed (tuple[int, ...]): Seed of the sample's RNG, e.g. ``(seed, epoch,
            index)``.
    """

    seed: Tuple[int, ...]

    def __new__(cls, value: int, seed: Tuple[int, ...]) -> SeededIndex:
        """Create an ``int`` with the attribute ``seed``."""
        index = super().__new__(cls, value)
        index.seed = seed
        return index

    def __mod__(self, other: int) -> SeededIndex:
        """Keep the seed in the index arithmetic of ``RepeatDataset``."""
        return SeededIndex(int(self) % other, self.seed)

    def __sub__(self, other: int) -> SeededIndex:
        """Keep the seed in the index arithmetic of ``ConcatDataset``."""
        return SeededIndex(int(self) - other, self.seed)

    def __reduce__(self) -> Any:
        """Pickle the index with its seed."""
        return SeededIndex, (int(self), self.seed)


def get_rng(results: Mapping[str, Any]) -> Any:
    """Return the random number generator of a sample.

    Args:
        results (Mapping): Results dict of the pipeline.  The dataset stores
            the index under ``sample_idx``.

    Returns:
        np.random.RandomState | module: A generator seeded by the index, or
        the module ``np.random`` if the index has no seed.
    """
    seed = getattr(results.get('sample_idx'), 'seed', None)
    return np.random if seed is None else np.random.RandomState(seed)
