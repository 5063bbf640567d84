# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Blocks of cells that are neighbours in tag space.

Cells are sorted by their tags, by radix sorts in linear time, and split into
blocks.

Imports NumPy only: ``codecs`` and ``deploy/runtime`` have the same file.

N cells of a map, L tag dimensions, M blocks of S cells.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Sequence

import numpy as np

__all__ = ['TIES', 'TagBlocks', 'sort_into_blocks', 'sort_roughly']

# Cells per block.
BLOCK_SIZE = 128
# Where distances are below `limit * max(1, |maximum|)` of a block, only values
# down to `maximum - slack * max(1, |maximum|)` can give the objective of the
# maximum by rounding; pairs of slack and limit.  The first one is exact.
TIES = (
    (0.0, 0.5),
    (2.0**-19, 8.0),
    (2.0**-13, 512.0),
    (2.0**-7, 32768.0),
    (np.inf, np.inf),
)

_ALL_BITS, _SIGN_BIT = np.uint32(0xFFFFFFFF), np.uint32(1 << 31)


class TagBlocks(NamedTuple):
    """Cells in M blocks of neighbours in tag space.

    ``values`` and ``cells`` (int32 indices into the map) are (M, S), ``tags``
    (L, M, S), their minima and maxima ``low`` and ``high`` (L, M), ``maxima``
    of the values (M,).  ``first`` are int32 cells (T, M): the smallest cell of
    a block whose value may give the objective of the maximum, for each of
    ``TIES``.
    """

    values: np.ndarray
    cells: np.ndarray
    tags: np.ndarray
    low: np.ndarray
    high: np.ndarray
    maxima: np.ndarray
    first: np.ndarray


def sort_into_blocks(
    cells: np.ndarray, values: np.ndarray, tags: Sequence[np.ndarray]
) -> TagBlocks:
    """Sort cells into blocks of neighbours in tag space.

    Args:
        cells (np.ndarray): int64 flat indices of the cells, increasing, shape
            (N,).
        values (np.ndarray): Heatmap, all cells of the map.
        tags (Sequence[np.ndarray]): Tags, all cells of the map.

    Returns:
        TagBlocks: Blocks, ordered by the first cell near their maximum.
    """
    number = -(-len(cells) // BLOCK_SIZE)
    cells = cells[_order_by_tags([tag[cells] for tag in tags])]
    padding = number * BLOCK_SIZE - len(cells)
    cells = np.pad(cells, (0, padding), mode='edge')
    sorted_values = values[cells]
    sorted_values[len(cells) - padding :] = -np.inf  # never the best
    sorted_values = sorted_values.reshape(number, -1)
    cells = cells.reshape(number, -1).astype(np.int32)
    first = _find_first_cells(sorted_values, cells)
    order = np.argsort(first[1], kind='stable')
    sorted_values, cells = sorted_values[order], cells[order]
    sorted_tags = np.stack([tag[cells] for tag in tags])
    return TagBlocks(
        sorted_values,
        cells,
        sorted_tags,
        sorted_tags.min(axis=2),
        sorted_tags.max(axis=2),
        sorted_values.max(axis=1),
        first[:, order],
    )


def _order_by_tags(tags: Sequence[np.ndarray]) -> np.ndarray:
    """Order cells so that blocks of them have narrow tag intervals.

    By the first component; with more than one, strips of that order are sorted
    by the second component.

    Args:
        tags (Sequence[np.ndarray]): L finite tags, float32, shape (N,) each.

    Returns:
        np.ndarray: int64 order, shape (N,).
    """
    if len(tags) == 1:
        return sort_roughly(tags[0])
    number = max(len(tags[0]) // BLOCK_SIZE, 1)
    strips = _divide_into_strips(tags[0], min(round(number**0.5), 256))
    order = sort_roughly(tags[1])
    return order[np.argsort(strips[order], kind='stable')]


def _divide_into_strips(values: np.ndarray, number: int) -> np.ndarray:
    """Divide cells by their values into strips of similar size, uint8 (N,)."""
    levels = _quantize(values)
    if levels is not None:
        last = np.cumsum(np.bincount(levels, minlength=1 << 16)) - 1
        return (last.clip(0) * number // len(values)).astype(np.uint8)[levels]
    strips = np.empty(len(values), np.uint8)
    sizes = np.full(number, -(-len(values) // number))
    ramp = np.repeat(np.arange(number, dtype=np.uint8), sizes)
    strips[_sort_exactly(values)] = ramp[: len(values)]
    return strips


def sort_roughly(values: np.ndarray) -> np.ndarray:
    """Sort cells by their values, except cells of very similar values.

    Args:
        values (np.ndarray): Finite values, float32, shape (N,).

    Returns:
        np.ndarray: int64 order, shape (N,); the rank of a cell is wrong by
        less than N / 256, or by less than the size of a block.
    """
    levels = _quantize(values)
    if levels is None:
        return _sort_exactly(values)
    return np.argsort(levels, kind='stable')  # a radix sort, of 16 bits


def _quantize(values: np.ndarray) -> Optional[np.ndarray]:
    """Map values to levels of equal width, uint16, in the same order.

    Returns:
        np.ndarray | None: Levels, shape (N,); ``None`` if one of them would
        have many cells.
    """
    low, span = values.min(), float(values.max()) - float(values.min())
    # A quarter, as the difference may be infinite.
    part = np.float32(0.25 if span > 1e38 else 1)
    scale = np.float32(65000 / max(float(span * part), 1e-30))
    levels = ((values * part - low * part) * scale).astype(np.uint16)
    most = np.bincount(levels).max()
    return levels if most <= max(len(values) >> 8, BLOCK_SIZE) else None


def _sort_exactly(values: np.ndarray) -> np.ndarray:
    """Sort cells by their values, in two passes of 16 bits, int64 (N,)."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    # Of negative values all bits are inverted, of others the sign.
    bits = bits ^ np.where(bits >> 31, _ALL_BITS, _SIGN_BIT)
    order = np.argsort(bits.astype(np.uint16), kind='stable')
    high_bits = (bits >> 16).astype(np.uint16)
    return order[np.argsort(high_bits[order], kind='stable')]


def _find_first_cells(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Find ``first`` of :class:`TagBlocks`."""
    maxima = values.max(axis=1, keepdims=True)
    unit = np.maximum(1, np.abs(maxima))
    beyond = np.iinfo(cells.dtype).max
    first = [
        np.where(values >= maxima - slack * unit, cells, beyond).min(axis=1)
        for slack in np.array(TIES, np.float32)[:-1, 0]
    ]
    return np.stack([*first, cells.min(axis=1)])
