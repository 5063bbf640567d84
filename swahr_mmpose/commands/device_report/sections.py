# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The sections of the report, the most important first."""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict, Iterator, NamedTuple

from . import correctness, loading, ranks, speed
from .plan import Plan, Row

__all__ = ['QUICK', 'SECTIONS', 'Section']


class Section(NamedTuple):
    """A section of the report.

    Attributes:
        title (str): Heading.
        budget (float): Seconds in which rows are started.
        run (Callable): Function of a :class:`.plan.Plan` that yields rows.
    """

    title: str
    budget: float
    run: Callable[[Plan], Iterator[Row]]


SECTIONS: Dict[str, Section] = {
    'correctness': Section(
        'Correctness against the CPU', 60, correctness.check_correctness
    ),
    'decoding': Section(
        'Decoding by people, against MMPose', 40, speed.measure_decoding
    ),
    'train-w32': Section(
        'Training, W32-512, batch 20',
        60,
        partial(speed.measure_training, network='W32-512'),
    ),
    'test-w32': Section(
        'Test, W32-512, flip test',
        30,
        partial(speed.measure_test, network='W32-512'),
    ),
    'train-w48': Section(
        'Training, W48-640, batch 10',
        60,
        partial(speed.measure_training, network='W48-640'),
    ),
    'ranks': Section('Several processes', 40, ranks.check_ranks),
    'loading': Section(
        'Data loading, W32-512 pipeline, by workers',
        35,
        loading.measure_loading,
    ),
    'compiled-correctness': Section(
        'Correctness of compiled networks', 40, correctness.check_compiled
    ),
    'compiled-w32': Section(
        'Compiled networks, W32-512',
        60,
        partial(speed.measure_compiled, network='W32-512'),
    ),
}

# The reduced form, with the tiny network of the synthetic configs.
QUICK: Dict[str, Section] = {
    'correctness': SECTIONS['correctness'],
    'decoding': SECTIONS['decoding'],
    'train-tiny': Section(
        'Training, tiny network, batch 2',
        20,
        partial(speed.measure_training, network='tiny'),
    ),
    'test-tiny': Section(
        'Test, tiny network, flip test',
        20,
        partial(speed.measure_test, network='tiny'),
    ),
    'ranks': SECTIONS['ranks'],
    'loading': SECTIONS['loading'],
}
