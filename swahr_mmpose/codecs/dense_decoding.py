# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decoding on an accelerator: fixed shapes, two read-backs for a batch.

The peaks of all images are found and their tags read on the device, and one
copy brings the candidates to the host, which groups them
(:mod:`swahr_mmpose.codecs.grouping`).  The missing keypoints of all images are
searched in one go on the device (:mod:`.dense_search`), where the neighbours
of all keypoints are read as well, and a second copy brings both to the host.
There are further copies only where the heatmaps are not finite or the search
was not conclusive.

Intermediate maps are made for at most ``_MAX_BYTES`` of images at a time; the
number of kernels grows only beyond that.

B images, K keypoints, L tag dimensions, map size H x W, M candidates per
heatmap.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import dense_search
from .dense_maps import BLOCK, DenseMaps, read_taps, split_blocks
from .grouping import DecodedImage, DecodeOptions, People, group_image
from .missing_keypoints import MissingKeypoints, find_missing, place_missing
from .peaks import refine_cells
from .tag_interpolation import interpolate

__all__ = ['decode_dense']

Select = Callable[[Tensor, Tensor, int], Tuple[Tensor, Tensor]]

# Memory of the maximum over all windows, its indices and their comparison.
_MAX_BYTES = 1 << 30
_BYTES_PER_CELL = 16
# Larger than the ratio of a score to its difference from a larger one.
_LARGE = 1e30


class _Candidates(NamedTuple):
    """Peaks of all images on the host, by descending score.

    ``scores`` are float32 (B, K, M), ``cells`` int64 ``(x, y)`` (B, K, M, 2),
    ``tags`` float32 (B, K, M, L).  Unless ``finite``, a heatmap is NaN or
    infinity somewhere, and the candidates may not be valid.
    """

    scores: np.ndarray
    cells: np.ndarray
    tags: np.ndarray
    finite: bool
    ambiguous: bool


def decode_dense(
    heatmaps: Tensor, tags: Tensor, options: DecodeOptions
) -> List[DecodedImage]:
    """Decode the maps of a batch.

    Args:
        heatmaps (Tensor): float32, shape (B, K, H, W), on any device.
        tags (Tensor): float32, shape (B, L, K, h, w), with h <= H and
            w <= W.
        options (DecodeOptions): Options.

    Returns:
        list[DecodedImage]: People of each image, in cells.
    """
    if not len(heatmaps):
        return []
    maps = DenseMaps(heatmaps, tags)
    candidates, block_maxima = _find_candidates(maps, options, _select_largest)
    if not candidates.finite:
        heatmaps = heatmaps.nan_to_num(0.0, 0.0, -torch.inf)
        maps = DenseMaps(heatmaps, tags)
        candidates, block_maxima = _find_candidates(
            maps, options, _select_peaks
        )
    if candidates.ambiguous:  # equal scores are taken by index
        candidates, block_maxima = _find_candidates(maps, options, _sort_all)
    grouped = [
        group_image(*image, options)
        for image in zip(candidates.scores, candidates.cells, candidates.tags)
    ]
    if not any(len(people.scores) for people, _ in grouped):
        return [_make_empty(*image) for image in grouped]
    return _complete(maps, block_maxima, grouped, options)


def _make_empty(people: People, instance_scores: np.ndarray) -> DecodedImage:
    """Make the result of an image without people."""
    filled = np.zeros(people.scores.shape, bool)
    shifts = np.zeros(people.cells.shape, np.float32)
    return DecodedImage(people, instance_scores, filled, shifts)


def _find_candidates(
    maps: DenseMaps, options: DecodeOptions, select: Select
) -> Tuple[_Candidates, Tensor]:
    """Find the best local maxima of all maps and copy them to the host.

    Args:
        maps (DenseMaps): Maps of B images.
        options (DecodeOptions): Options.
        select (Callable): :func:`_select_largest`, :func:`_select_peaks` or
            :func:`_sort_all`.

    Returns:
        tuple[_Candidates, Tensor]: Candidates, and upper bounds of the
        heatmaps in each block, float32 (R, H / 4, W / 8), on the device.
    """
    size = _MAX_BYTES // (maps.planes[0].numel() * _BYTES_PER_CELL)
    parts = [
        _find_peaks(planes, options, select)
        for planes in maps.planes.split(max(size, 1))
    ]
    scores, index, block_maxima = (
        part[0] if len(part) == 1 else torch.cat(part) for part in zip(*parts)
    )
    tags = _read_tags(maps, index)
    host = torch.cat(
        [
            scores.reshape(-1).view(torch.int32),
            index.to(torch.int32).flatten(),
            tags.reshape(-1).view(torch.int32),
            block_maxima.amax().view(1).view(torch.int32),
        ]
    )
    candidates = _unpack(host.cpu().numpy(), tags.shape, maps, options)
    return candidates, block_maxima


def _find_peaks(
    planes: Tensor, options: DecodeOptions, select: Select
) -> Tuple[Tensor, Tensor, Tensor]:
    """Find the best peaks of maps.

    Args:
        planes (Tensor): Padded heatmaps, shape (R, H, W).
        options (DecodeOptions): Options.
        select (Callable): See :func:`_find_candidates`.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Scores (R, M + 1) and int64 flat
        indices (R, M + 1) of the best peaks and the next one, and the bounds
        of :func:`_bound_heatmaps`.
    """
    kernel = options.nms_kernel
    peaks = F.max_pool2d(planes, kernel, 1, kernel // 2)
    block_maxima = _bound_heatmaps(planes, peaks, kernel // 2)
    number = min(options.topk + 1, planes[0].numel())
    return (*select(planes, peaks, number), block_maxima)


def _select_largest(
    planes: Tensor, largest: Tensor, number: int
) -> Tuple[Tensor, Tensor]:
    """Select the largest peaks of each map, equal ones in any order.

    One pass over the maps: ``P + (largest - P) (1 - 1e30)`` is P in a peak,
    and far below 0 elsewhere; NaN where both are infinite.

    Args:
        planes (Tensor): Heatmaps P, shape (R, H, W).
        largest (Tensor): Maxima of the windows around each cell, overwritten.
        number (int): Number of peaks.

    Returns:
        tuple[Tensor, Tensor]: Scores and int64 flat indices, (R, number).
    """
    values = largest.lerp_(planes, _LARGE)
    scores, index = values.flatten(1).topk(number, dim=1)
    return scores, index


def _select_peaks(
    planes: Tensor, largest: Tensor, number: int
) -> Tuple[Tensor, Tensor]:
    """Select as :func:`_select_largest`, also in maps with infinite values."""
    scores, index = _keep_peaks(planes, largest).topk(number, dim=1)
    return scores, index


def _sort_all(
    planes: Tensor, largest: Tensor, number: int
) -> Tuple[Tensor, Tensor]:
    """Select as :func:`_select_peaks`, equal peaks in their order."""
    peaks = _keep_peaks(planes, largest)
    scores, index = peaks.sort(dim=1, descending=True, stable=True)
    return scores[:, :number], index[:, :number]


def _keep_peaks(planes: Tensor, largest: Tensor) -> Tensor:
    """Set cells that are no peaks to 0, shape (R, H * W)."""
    return largest.masked_fill_(planes != largest, 0).flatten(1)


def _unpack(
    host: np.ndarray,
    shape: Sequence[int],
    maps: DenseMaps,
    options: DecodeOptions,
) -> _Candidates:
    """Unpack candidates from int32 values; ``shape`` is (R, M + 1, L)."""
    scores, index, tags, largest = np.split(
        host,
        np.cumsum(
            [shape[0] * shape[1]] * 2 + [shape[0] * shape[1] * shape[2]]
        ),
    )
    index = index.astype(np.int64).reshape(shape[:2])
    values: np.ndarray = scores.view(np.float32).reshape(shape[:2])
    order = np.lexsort((index, -values))  # equal scores by index
    values = np.take_along_axis(values, order, 1)
    index = np.take_along_axis(index, order, 1)
    sorted_tags = np.take_along_axis(
        tags.view(np.float32).reshape(shape), order[..., None], 1
    )
    count = options.topk
    last, following = values[:, count - 1 : count], values[:, count:]
    tied = (last == following) & (last > options.keypoint_threshold)
    by_image = (-1, maps.num_keypoints, min(count, shape[1]))
    y, x = np.divmod(index[:, :count], maps.width)
    return _Candidates(
        values[:, :count].reshape(by_image),
        np.stack([x, y], axis=-1).reshape(*by_image, 2),
        sorted_tags[:, :count].reshape(*by_image, shape[2]),
        bool(
            largest.view(np.float32)[0] < np.inf and not np.isnan(values).any()
        ),
        bool(tied.any()),
    )


def _bound_heatmaps(planes: Tensor, largest: Tensor, reach: int) -> Tensor:
    """Bound heatmaps in blocks by the maxima of windows that cover them.

    Args:
        planes (Tensor): Padded heatmaps, shape (R, H, W).
        largest (Tensor): Maxima of the windows around each cell, (R, H, W).
        reach (int): Cells from the centre of a window to its border.

    Returns:
        Tensor: Upper bounds, shape (R, H / 4, W / 8).
    """
    rows, columns = BLOCK
    if 2 * reach < rows:
        return split_blocks(planes).amax(dim=(2, 4))
    windows = largest[:, rows // 2 :: rows, rows // 2 :: rows]
    return windows.unflatten(2, (-1, columns // rows)).amax(dim=3)


def _read_tags(maps: DenseMaps, index: Tensor) -> Tensor:
    """Read the tags of cells.

    Args:
        maps (DenseMaps): Maps of B images.
        index (Tensor): int64 flat indices into the padded maps, (R, M).

    Returns:
        Tensor: float32 tags, shape (R, M, L).
    """
    y = torch.div(index, maps.width, rounding_mode='floor')
    x = index.remainder(maps.width)
    y_cells, y_weights = read_taps(maps.tags.row_table, y)
    x_cells, x_weights = read_taps(maps.tags.column_table, x)
    row = torch.arange(len(index), device=index.device)
    tags = maps.tags.values[
        row.view(-1, 1, 1, 1), :, y_cells[..., :, None], x_cells[..., None, :]
    ]
    return interpolate(tags, y_weights, x_weights)


def _complete(
    maps: DenseMaps,
    block_maxima: Tensor,
    grouped: Sequence[Tuple[People, np.ndarray]],
    options: DecodeOptions,
) -> List[DecodedImage]:
    """Fill missing keypoints and refine all keypoints.

    Args:
        maps (DenseMaps): Maps of B images.
        block_maxima (Tensor): See :func:`_find_candidates`.
        grouped (Sequence[tuple]): People and instance scores of each image.
        options (DecodeOptions): Options.

    Returns:
        list[DecodedImage]: People of each image, in cells.
    """
    missing = [find_missing(people) for people, _ in grouped]
    if not options.fill_missing:
        missing = [MissingKeypoints(*(a[:0] for a in m)) for m in missing]
    cells = [people.cells for people, _ in grouped]
    found = dense_search.search(
        maps, block_maxima, missing, cells, options.parabola_step or 1
    )
    size = maps.size
    return [
        _complete_image(*image, options.parabola_step, size)
        for image in zip(grouped, missing, found)
    ]


def _complete_image(
    grouped: Tuple[People, np.ndarray],
    missing: MissingKeypoints,
    found: dense_search.Found,
    parabola_step: Optional[int],
    size: Sequence[int],
) -> DecodedImage:
    """Place and refine the keypoints of one image, see :func:`_complete`."""
    people, instance_scores = grouped
    filled = (found.values[0] > 0) & found.usable
    people = place_missing(
        people, missing, found.cells, found.values[0], filled
    )
    mask = np.zeros(people.scores.shape, bool)
    mask[missing.person, missing.keypoint] = filled
    values = found.people_values
    person, keypoint = missing.person[filled], missing.keypoint[filled]
    values[:, person, keypoint] = found.values[:, filled]
    shifts = refine_cells(
        torch.from_numpy(values),
        torch.from_numpy(people.cells),
        size,
        parabola_step,
    )
    return DecodedImage(people, instance_scores, mask, shifts.numpy())
