# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Assignment of candidates to people: solvers of the matching problem.

A solver takes the matching cost and the tag distance, (candidates, people)
each, and returns the candidates and people of the pairs.  The official cost,
``100 * round(distance) - score``, has many equal optima; the solvers differ in
which one they choose.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

import numpy as np
from scipy.optimize import linear_sum_assignment

__all__ = ['ASSIGNMENTS', 'Assign', 'assign_nearest', 'assign_official']

Assign = Callable[[np.ndarray, np.ndarray], 'tuple[np.ndarray, np.ndarray]']

# Cost of the columns that the official implementation adds where there are
# more candidates than people.
_PADDING = 1e10


def assign_nearest(
    cost: np.ndarray, distance: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Find the assignment of least cost and, among those, least distance.

    A term far below the float32 resolution of a score decides between equal
    costs: the distance plus a hundredth of its square.  The square matters for
    one-dimensional tags: for two tags on the same side of two people the total
    distance is equal in either pairing, and rounding would decide.

    Args:
        cost (np.ndarray): Matching cost, shape (candidates, people).
        distance (np.ndarray): Tag distance, clipped to the tag threshold,
            shape (candidates, people).

    Returns:
        tuple[np.ndarray, np.ndarray]: Candidates, increasing, and the person
        of each.
    """
    preference = 1e-8 * (distance + distance**2 / 100)
    candidates, people = linear_sum_assignment(cost + preference)
    return candidates, people


def assign_official(
    cost: np.ndarray, distance: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Find the assignment of least cost that the official code finds.

    It calls the package munkres, the Hungarian algorithm on a matrix
    ("Algorithms for the Assignment and Transportation Problems", Munkres,
    1957).  Which one of several optima that finds depends on the order in
    which it visits the zeros, and on rounding; both are the same here.

    Args:
        cost (np.ndarray): Matching cost, finite, shape (candidates, people).
        distance (np.ndarray): Not used.

    Returns:
        tuple[np.ndarray, np.ndarray]: Candidates, increasing, and the person
        of each.
    """
    num_candidates, num_people = cost.shape
    size = max(num_candidates, num_people)
    square = np.zeros((size, size))
    square[:num_candidates, num_people:] = _PADDING
    square[:num_candidates, :num_people] = cost
    people = np.array(_Hungarian(square).solve()[:num_candidates])
    candidates = np.flatnonzero(people < num_people)
    return candidates, people[candidates]


class _Hungarian:
    """The Hungarian algorithm in the order of the package munkres.

    Zeros of the reduced cost are kept as one integer per row, bit j for
    column j; a starred zero is a pair of the assignment.

    Args:
        cost (np.ndarray): float64 cost of S rows and columns, shape (S, S).
    """

    def __init__(self, cost: np.ndarray) -> None:
        self.cost = cost - cost.min(axis=1, keepdims=True)
        self.zeros = _pack_rows(self.cost == 0)
        self.star_of_row = [-1] * len(cost)
        self.star_of_column = [-1] * len(cost)

    def solve(self) -> List[int]:
        """Find the column of each row, S integers."""
        free = (1 << len(self.zeros)) - 1  # columns without a star
        for row, zeros in enumerate(self.zeros):
            if zeros & free:
                column = _find_lowest_bit(zeros & free)
                self.star_of_row[row] = column
                self.star_of_column[column] = row
                free &= ~(1 << column)
        while free:
            free &= ~(1 << self._add_star(free))
        return self.star_of_row

    def _add_star(self, open_columns: int) -> int:
        """Add a star; return its column, of those without one."""
        primes: Dict[int, int] = {}  # column of the prime of a covered row
        row = column = 0
        while True:
            row, column = self._find_zero(row, column, open_columns, primes)
            if row < 0:
                self._reduce(open_columns, list(primes))
                row = column = 0
                continue
            star = self.star_of_row[row]
            if star < 0:
                return self._move_stars(row, column, primes)
            primes[row] = column
            open_columns |= 1 << star
            column = star

    def _find_zero(
        self,
        first_row: int,
        first_column: int,
        open_columns: int,
        primes: Dict[int, int],
    ) -> Tuple[int, int]:
        """Find an uncovered zero: its row and column, or -1 and -1.

        In the first row with one, from ``first_row`` on and around; in this
        row the last one, from ``first_column`` on and around.
        """
        size = len(self.zeros)
        before = (1 << first_column) - 1
        for i in range(first_row, first_row + size):
            row = i if i < size else i - size
            zeros = self.zeros[row] & open_columns
            if zeros and row not in primes:
                return row, (zeros & before or zeros).bit_length() - 1
        return -1, -1

    def _reduce(self, open_columns: int, covered: List[int]) -> None:
        """Make the least uncovered cost 0, keeping the cost of stars at 0."""
        columns = [j for j in range(len(self.cost)) if open_columns >> j & 1]
        uncovered = np.ones(len(self.cost), bool)
        uncovered[covered] = False
        least = self.cost[uncovered][:, columns].min()
        # In this order, as rounding decides which costs become equal.
        self.cost[covered] += least
        self.cost[:, columns] -= least
        self.zeros = _pack_rows(self.cost == 0)

    def _move_stars(
        self, row: int, column: int, primes: Dict[int, int]
    ) -> int:
        """Star a zero and move the stars in its way to the primes.

        Returns:
            int: Column that had no star before.
        """
        while True:
            displaced = self.star_of_column[column]
            self.star_of_row[row] = column
            self.star_of_column[column] = row
            if displaced < 0:
                return column
            row, column = displaced, primes[displaced]


def _pack_rows(flags: np.ndarray) -> List[int]:
    """Pack the rows of a bool matrix into integers, bit j for column j."""
    packed = np.packbits(flags, axis=1, bitorder='little')
    return [int.from_bytes(row.tobytes(), 'little') for row in packed]


def _find_lowest_bit(bits: int) -> int:
    """Find the index of the lowest set bit."""
    return (bits & -bits).bit_length() - 1


# Solvers by the value of the codec's argument `decode_assignment`.
ASSIGNMENTS: Dict[str, Assign] = dict(
    nearest=assign_nearest, official=assign_official
)
