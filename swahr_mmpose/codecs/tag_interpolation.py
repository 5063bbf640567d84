# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Tables of the bilinear interpolation of tags, for accelerators.

``swahr_mmpose.utils.tensor_ops.enlarge`` enlarges tags in steps, each one a
bilinear interpolation.  Along one axis a cell of the result depends on up to
``2**n`` source cells after n steps (taps).  The tables hold taps and weights
of all cells, so that cells are read in few kernels, whatever their number.

T taps, L tag dimensions, tags of h x w cells, enlarged to H x W.
"""

from __future__ import annotations

import functools
from typing import List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

from swahr_mmpose.utils.tensor_ops import locate_neighbours, next_size

__all__ = [
    'Taps',
    'bound_blocks',
    'interpolate',
    'list_block_taps',
    'list_taps',
]

Size = Tuple[int, int]

# Margin of tag intervals for rounding, relative to the largest tag.
_MARGIN = 1e-6


class Taps(NamedTuple):
    """Taps of the cells along one axis.

    ``cells`` are int64 source cells (P, T) of P cells; ``weights`` are
    float32 (P, T - 1): of the first step (T / 2 of them), of the second one
    (T / 4), and so on.
    """

    cells: Tensor
    weights: Tensor


@functools.lru_cache(maxsize=16)
def list_taps(small: Size, large: Size, padded: Size) -> Tuple[Taps, Taps]:
    """List the taps of an enlargement, along y and x.

    Args:
        small (tuple): Size ``(h, w)`` of the tags.
        large (tuple): Size ``(H, W)`` of the enlarged tags.
        padded (tuple): Number of rows and columns to list; the taps of those
            beyond H and W are those of the last ones.

    Returns:
        tuple[Taps, Taps]: Taps of the rows and columns, on the CPU.
    """
    sizes = [small]
    while sizes[-1] != large:
        doubled = next_size(sizes[-1], large)
        sizes.append(large if doubled == sizes[-1] else doubled)
    y, x = (
        _list_axis_taps([size[axis] for size in sizes], padded[axis])
        for axis in (0, 1)
    )
    return y, x


def _list_axis_taps(sizes: Sequence[int], number: int) -> Taps:
    """List the taps along one axis, with the sizes after each step."""
    cells = torch.arange(number, device='cpu').clamp(max=sizes[-1] - 1)[
        :, None
    ]
    empty = torch.zeros(number, 0, device='cpu')
    weights: List[Tensor] = []
    for small, large in zip(sizes[-2::-1], sizes[:0:-1]):
        flat = cells.flatten()
        before, after, weight = locate_neighbours(
            flat, small, large, torch.float32
        )
        weights.insert(0, weight.view(number, -1))
        cells = torch.stack([before, after], dim=-1).view(number, -1)
    return Taps(cells, torch.cat([*weights, empty], dim=1))


def interpolate(
    values: Tensor, y_weights: Tensor, x_weights: Tensor
) -> Tensor:
    """Interpolate the taps of cells, step by step.

    Exact where all taps are equal; the operations are those of
    ``tensor_ops.read_maps``.

    Args:
        values (Tensor): Tags at the taps, shape (..., T, T, L).
        y_weights (Tensor): Weights of the rows, shape (..., T - 1).
        x_weights (Tensor): Weights of the columns, shape (..., T - 1).

    Returns:
        Tensor: Tags of the cells, shape (..., L).
    """
    start = 0
    while values.shape[-2] > 1:
        half = values.shape[-2] // 2
        part = slice(start, start + half)
        values = values.unflatten(-2, (half, 2))
        x = x_weights[..., None, part, None]
        values = torch.lerp(values[..., 0, :], values[..., 1, :], x)
        values = values.unflatten(-3, (half, 2))
        y = y_weights[..., part, None, None]
        values = torch.lerp(values[..., 0, :, :], values[..., 1, :, :], y)
        start += half
    return values[..., 0, 0, :]


def list_block_taps(
    taps: Sequence[Taps], block: Size
) -> Tuple[Tensor, Tensor]:
    """List the source cells of all blocks of rows, and of columns.

    Args:
        taps (Sequence[Taps]): Taps along y and x.
        block (tuple): Rows and columns of a block; divisors of the number of
            cells that are listed.

    Returns:
        tuple[Tensor, Tensor]: int64 source cells, an equal number for each
        block, shape (blocks, cells) along y and x.
    """
    listed = []
    for axis, size in zip(taps, block):
        cells = axis.cells.view(len(axis.cells) // size, -1)
        first, last = cells.amin(dim=1), cells.amax(dim=1)
        reach = torch.arange(int((last - first).max()) + 1, device='cpu')
        reached = first[:, None] + reach
        listed.append(torch.minimum(reached, last[:, None]))
    return listed[0], listed[1]


def bound_blocks(
    tags: Tensor, row_taps: Tensor, column_taps: Tensor
) -> Tensor:
    """Bound the enlarged tags in blocks of cells, without enlarging them.

    An interpolated tag lies between the smallest and the largest of its taps.

    Args:
        tags (Tensor): float32, shape (..., h, w).
        row_taps (Tensor): Result of :func:`list_block_taps` along y, on the
            device of the tags.
        column_taps (Tensor): The same along x.

    Returns:
        Tensor: Lower limits, and upper limits negated, shape (2, ..., rows,
        columns) of blocks; minus infinity where a tap is NaN.
    """
    window = tags.index_select(-1, column_taps.flatten())
    window = window.unflatten(-1, tuple(column_taps.shape))
    low, high = (
        part.index_select(-2, row_taps.flatten())
        for part in torch.aminmax(window, dim=-1)
    )
    shape = tuple(row_taps.shape)
    low = low.unflatten(-2, shape).amin(dim=-2)
    high = high.unflatten(-2, shape).amax(dim=-2)
    limits = torch.stack([low, high.neg_()])
    # Minus the largest magnitude, as interpolation rounds.
    limits.add_(limits.amin(dim=0), alpha=_MARGIN)
    return limits.nan_to_num_(-torch.inf, torch.inf, -torch.inf)
