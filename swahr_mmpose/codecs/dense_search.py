# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Exact search for missing keypoints on an accelerator, without read-backs.

The objective is that of :mod:`.missing_keypoints`.  Maps are split into blocks
of 4 x 8 cells.  For each missing keypoint, the largest heatmap value of a
block minus the rounded distance of the mean tag to the block's tag interval
bounds the objective from above.  A few blocks with the largest bounds give an
objective that is reached; then the pairs of missing keypoint and block with
the largest excess of the bound over it are read, a number fixed in advance.
Only where further pairs could still win, all cells are read, in a second pass:
the host learns that from the result.

B images, P people of an image, K keypoints, R = B * K maps of padded size
H x W, L tag dimensions, T taps, G missing keypoints (queries), F keypoints of
people, N pairs.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from swahr_mmpose.utils.transfer import upload

from . import pair_search
from .dense_maps import DenseMaps
from .missing_keypoints import MissingKeypoints
from .pair_search import Best, BlockTables, Queries
from .peaks import read_neighbours

__all__ = ['Found', 'search']

# Pairs of a query and a block that are read, on average of the queries of an
# image: so many, and more for each person, whose keypoints have blocks with
# loose bounds.
_PAIRS = 40
_PAIRS_PER_PERSON = 5
_MAX_PAIRS = 220
# Cells of a map for each pair, its inverse, from which on all are read.
_TOO_MANY = 256


class Found(NamedTuple):
    """What was found of one image with G missing keypoints and P people.

    ``cells`` are the int64 best cells ``(x, y)`` (G, 2), ``usable`` is bool
    (G,), ``False`` where no cell has a finite distance.  ``values`` (5, G) are
    the heatmap there and at the neighbours, see
    :func:`.peaks.read_neighbours`, ``people_values`` (5, P, K) those of the
    keypoints of people.
    """

    cells: np.ndarray
    usable: np.ndarray
    values: np.ndarray
    people_values: np.ndarray


class _Result(NamedTuple):
    """The arrays of :class:`Best`, and values (5, F + G), on the host.

    ``needed`` are the pairs of each query on average, 0 where all were read.
    """

    best_cell: np.ndarray
    objectives: np.ndarray
    needed: np.ndarray
    values: np.ndarray

    def replace(self, chosen: np.ndarray, other: _Result) -> None:
        """Replace the chosen queries by all of another result."""
        for array, values in zip(self[:3], other[:3]):
            array[chosen] = values
        first = self.values.shape[1] - len(self.best_cell)
        self.values[:, first + chosen] = other.values


def search(
    maps: DenseMaps,
    block_maxima: Tensor,
    missing: Sequence[MissingKeypoints],
    cells: Sequence[np.ndarray],
    step: int,
) -> List[Found]:
    """Find the best cells of missing keypoints, and read all neighbours.

    Args:
        maps (DenseMaps): Maps of B images.
        block_maxima (Tensor): Upper bounds of the heatmaps in each block,
            float32 (R, H / 4, W / 8).
        missing (Sequence[MissingKeypoints]): Missing keypoints of each image.
        cells (Sequence[np.ndarray]): Cells ``(x, y)`` of the people of each
            image, int64 (P, K, 2).
        step (int): Distance of the neighbours in cells.

    Returns:
        list[Found]: What was found of each image.
    """
    queries, finite = _make_queries(missing, cells, maps)
    halfway = maps.tags.enlarge_halfway() if len(finite) else maps.tags
    in_pairs = partial(pair_search.search_pairs, maps, halfway, block_maxima)
    in_all_cells = partial(pair_search.search_all_cells, maps)
    found_cells = _list_cells(cells, maps.width)
    result = _search_and_read(maps, queries, found_cells, step, in_pairs)
    for search_part in (in_pairs, in_all_cells):
        unsure = np.flatnonzero(finite & (result.needed > 0))
        if not len(unsure):
            break
        queries.pairs[:] = result.needed  # known now
        if queries.pairs.max() * _TOO_MANY > maps.planes[0].numel():
            search_part = in_all_cells
        part, nothing = queries.select(unsure), found_cells[0][:0]
        result.replace(
            unsure,
            _search_and_read(
                maps, part, (nothing, nothing), step, search_part
            ),
        )
    usable = finite & (result.objectives > pair_search.LOWEST)
    return _split_by_image(result, usable, missing, cells, maps.width)


def _make_queries(
    missing: Sequence[MissingKeypoints],
    cells: Sequence[np.ndarray],
    maps: DenseMaps,
) -> Tuple[Queries, np.ndarray]:
    """Make the queries of all images, on the host.

    Returns:
        tuple[Queries, np.ndarray]: G queries, and whether their mean tag is
        finite, bool (G,).
    """
    rows = [m.keypoint + b * maps.num_keypoints for b, m in enumerate(missing)]
    pairs = [
        np.full(len(m.keypoint), _count_pairs(len(c)))
        for m, c in zip(missing, cells)
    ]
    means = np.concatenate([m.means for m in missing])
    finite = np.isfinite(means).all(axis=1)
    means = np.where(finite[:, None], means, np.float32(0))
    first = torch.from_numpy(means[:, :1])
    margin = first.abs() * pair_search.MARGIN
    queries = Queries(
        torch.from_numpy(np.concatenate(rows)),
        torch.from_numpy(means),
        torch.stack([-first - margin, first - margin]),
        np.concatenate(pairs),
    )
    return queries, finite


def _count_pairs(num_people: int) -> int:
    """Count the pairs that are read of a query in an image, on average."""
    return min(_PAIRS + _PAIRS_PER_PERSON * num_people, _MAX_PAIRS)


def _list_cells(
    cells: Sequence[np.ndarray], width: int
) -> Tuple[Tensor, Tensor]:
    """List the maps and flat indices of cells (P, K, 2), int64 (F,) each."""
    rows = [
        np.broadcast_to(np.arange(c.shape[1]) + b * c.shape[1], c.shape[:2])
        for b, c in enumerate(cells)
    ]
    index = [c[..., 1] * width + c[..., 0] for c in cells]
    return (
        torch.from_numpy(np.concatenate([r.reshape(-1) for r in rows])),
        torch.from_numpy(np.concatenate([i.reshape(-1) for i in index])),
    )


def _search_and_read(
    maps: DenseMaps,
    queries: Queries,
    cells: Tuple[Tensor, Tensor],
    step: int,
    search_part: Callable[[Queries, BlockTables], Best],
) -> _Result:
    """Search cells on the device, read neighbours, copy both to the host.

    Args:
        maps (DenseMaps): Maps of B images.
        queries (Queries): G queries, on the host.
        cells (tuple[Tensor, Tensor]): Maps and flat indices of F other cells
            whose neighbours are read, on the host.
        step (int): Distance of the neighbours in cells.
        search_part (Callable): Search of some queries.

    Returns:
        _Result: Result on the host.
    """
    number = len(queries.rows)
    rows, means, signed, cell_rows, index, *tables = upload(
        [*queries[:3], *cells, *pair_search.list_blocks(maps)], maps.device
    )
    on_device = Queries(rows, means, signed, queries.pairs)
    split = list(pair_search.split_queries(maps, queries))
    found = [
        search_part(on_device.select(part), BlockTables(*tables))
        for part in split
    ]
    parts = [_join(part) for part in zip(*found)]
    if found:
        cell_rows = torch.cat([cell_rows, rows])
        index = torch.cat([index, parts[0]])
        parts[0] = parts[0].to(torch.int32)
    y = torch.div(index, maps.width, rounding_mode='floor')
    xy = torch.stack([index.remainder(maps.width), y], dim=-1)
    planes = maps.planes[:, : maps.size[0], : maps.size[1]]
    values = read_neighbours(planes, cell_rows, xy, step)
    packed = [part.view(torch.int32) for part in [values.flatten(), *parts]]
    result = _unpack(_join(packed).cpu().numpy(), number, values.shape[1])
    for part in split:
        needed = result.needed[part]
        enough = needed[0] <= queries.pairs[part].sum()
        needed[:] = 0 if enough else -(-needed // len(needed))
    return result


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors, a single one without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _unpack(host: np.ndarray, num_queries: int, num_cells: int) -> _Result:
    """Unpack the int32 values of :func:`_search_and_read`."""
    values, queries = np.split(host, [5 * num_cells])
    index, objectives, needed = queries.reshape(3, num_queries)
    return _Result(
        index.astype(np.int64),
        objectives.view(np.float32).copy(),
        needed.copy(),
        values.view(np.float32).reshape(5, num_cells).copy(),
    )


def _split_by_image(
    result: _Result,
    usable: np.ndarray,
    missing: Sequence[MissingKeypoints],
    cells: Sequence[np.ndarray],
    width: int,
) -> List[Found]:
    """Split the result by image."""
    counts = [len(m.keypoint) for m in missing]
    sizes = [c[..., 0].size for c in cells]
    of_people, of_queries = np.split(result.values, [sum(sizes)], axis=1)
    y, x = np.divmod(result.best_cell, width)
    ends = np.cumsum(counts)[:-1]
    return [
        Found(xy, flags, values, people.reshape(5, *c.shape[:2]))
        for c, xy, flags, values, people in zip(
            cells,
            np.split(np.stack([x, y], axis=-1), ends),
            np.split(usable, ends),
            np.split(of_queries, ends, axis=1),
            np.split(of_people, np.cumsum(sizes)[:-1], axis=1),
        )
    ]
