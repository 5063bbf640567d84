# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Gaussian targets and keypoint indices of one heatmap level.

N people, K keypoints, heatmap size ``(w, h)``; coordinates are ``(x, y)`` in
heatmap cells.

Two conventions, one switch, ``unbiased``:

* ``False`` is the official one.  A coordinate is truncated towards zero, so
  that (-1, 0) falls into cell 0; a keypoint whose cell lies outside the map
  has no target at all; the Gaussian is drawn on the integer cell, in a window
  of ``6 * sigma + 3`` cells (15 x 15 for sigma 2; the paper's Eq. 1 says
  3 sigma to each side, the released code one cell more).
* ``True`` is the exact one.  The centre of cell i has the coordinate i, the
  Gaussian is centred on the keypoint itself, in the window of the nearest
  cell, and that cell is the keypoint's index (the lesson of UDP, CVPR 2020).
"""

from __future__ import annotations

import functools
import math
from typing import Optional, Tuple, Union

import numpy as np

__all__ = [
    'draw_gaussians',
    'draw_scaled_gaussians',
    'keypoint_cells',
    'keypoint_indices',
    'scales_of_widths',
]

Size = Tuple[int, int]


def keypoint_cells(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    *,
    unbiased: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The cell each keypoint falls into, and whether it counts.

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Larger than 0 where labelled, shape (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        unbiased (bool): See the module's docstring.

    Returns:
        tuple[np.ndarray, np.ndarray]: int64 cells (N, K, 2), and a bool array
        (N, K): labelled and inside the map.  A keypoint that is not finite
        does not count, and its cell is (0, 0).
    """
    finite = np.isfinite(keypoints).all(axis=-1)
    # Far outside stays outside, and within the range of an integer.
    bounded = np.clip(np.where(finite[..., None], keypoints, 0), -1e6, 1e6)
    if unbiased:
        bounded = np.floor(bounded + 0.5)
    cells = bounded.astype(np.int64)  # truncates towards zero
    inside = ((cells >= 0) & (cells < np.asarray(size))).all(axis=-1)
    return cells, inside & finite & (np.asarray(visible) > 0)


def keypoint_indices(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    *,
    unbiased: bool = False,
) -> np.ndarray:
    """Where the tag of each keypoint is read: ``[y * w + x, counts]``.

    Args and conventions as :func:`keypoint_cells`.

    Returns:
        np.ndarray: int64, shape (N, K, 2); ``[0, 0]`` where the keypoint is
        not labelled or falls outside the map.
    """
    cells, counts = keypoint_cells(keypoints, visible, size, unbiased=unbiased)
    flat = np.where(counts, cells[..., 1] * size[0] + cells[..., 0], 0)
    return np.stack([flat, counts.astype(np.int64)], axis=-1)


def _official_kernel(sigma: float) -> np.ndarray:
    """The kernel that the official code pastes.

    For a sigma whose triple is no integer it is neither centred nor 1 at its
    peak (Table 8, sigma 2.5: a 2 x 2 peak of 0.961).
    """
    offsets = np.arange(6 * sigma + 3) - (3 * sigma + 1)
    squared = offsets[:, None] ** 2 + offsets[None, :] ** 2
    return np.exp(-squared / (2 * sigma**2)).astype(np.float32)


def _paste(
    heatmap: np.ndarray, kernel: np.ndarray, left: int, top: int
) -> None:
    """Combine a kernel with a heatmap by the maximum (Eq. 2), in place.

    At least a cell of the kernel must fall on the heatmap.
    """
    h, w = heatmap.shape
    x0, y0 = max(left, 0), max(top, 0)
    x1 = min(left + kernel.shape[1], w)
    y1 = min(top + kernel.shape[0], h)
    region = heatmap[y0:y1, x0:x1]
    np.maximum(
        region, kernel[y0 - top : y1 - top, x0 - left : x1 - left], out=region
    )


def _sorted_kernel(sigma: float) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets y and x and values of the kernel of a whole ``3 * sigma``.

    By rising value: written in this order, the larger of two Gaussians that
    overlap is written last, and stays.
    """
    kernel = _official_kernel(sigma)
    y, x = np.indices(kernel.shape) - len(kernel) // 2
    order = np.argsort(kernel, axis=None)
    columns = (v.ravel()[order][:, None] for v in (y, x, kernel))
    return tuple(columns)  # type: ignore[return-value]


_stamp = functools.lru_cache(maxsize=32)(_sorted_kernel)


def _stamp_all(
    heatmaps: np.ndarray, k: np.ndarray, cells: np.ndarray, sigma: float
) -> None:
    """Draw Gaussians whose ``3 * sigma`` is a whole number, all at once.

    Args:
        heatmaps (np.ndarray): Empty maps, written to, shape (K, h, w).
        k (np.ndarray): The map of each Gaussian, shape (M,).
        cells (np.ndarray): The cell of each, shape (M, 2).
        sigma (float): Of all.
    """
    _, h, w = heatmaps.shape
    dy, dx, values = _stamp(sigma)
    reach = int(dy.max())
    limits = np.array([w, h]) - reach
    inside = ((cells >= reach) & (cells < limits)).all(axis=1)
    base = (k * h + cells[:, 1]) * w + cells[:, 0]
    flat = heatmaps.ravel()
    # For repeated indices NumPy keeps what is assigned last.
    flat[dy * w + dx + base[inside]] = values
    if inside.all():
        return
    x, y = cells[~inside].T
    there = (x + dx >= 0) & (x + dx < w) & (y + dy >= 0) & (y + dy < h)
    index = (dy * w + dx + base[~inside])[there]
    np.maximum.at(flat, index, np.broadcast_to(values, there.shape)[there])


def _draw_official(
    heatmap: np.ndarray, cell: np.ndarray, sigma: float, kernel: np.ndarray
) -> None:
    """Paste the kernel from round(x - 3 sigma - 1) on, half to even."""
    first = [round(c - 3 * sigma - 1) for c in cell.tolist()]
    # where 3 sigma is no integer, the window may be smaller than the kernel
    w, h = (round(c + 3 * sigma + 2) - f for c, f in zip(cell.tolist(), first))
    _paste(heatmap, kernel[:h, :w], *first)


def _draw_unbiased(
    heatmap: np.ndarray, cell: np.ndarray, keypoint: np.ndarray, sigma: float
) -> None:
    reach = math.ceil(3 * sigma) + 1
    offsets = np.arange(-reach, reach + 1)
    gx, gy = (
        np.exp(-((offsets + cell[d] - keypoint[d]) ** 2) / (2 * sigma**2))
        for d in (0, 1)
    )
    kernel = (gy[:, None] * gx[None, :]).astype(np.float32)
    _paste(heatmap, kernel, int(cell[0]) - reach, int(cell[1]) - reach)


def draw_gaussians(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    sigma: Union[float, np.ndarray],
    *,
    unbiased: bool = False,
) -> np.ndarray:
    """Draw the target heatmaps (paper Eq. 1 and 2).

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Larger than 0 where labelled, shape (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        sigma (float | np.ndarray): Standard deviation in cells; one for all,
            or one per person, shape (N,).
        unbiased (bool): See the module's docstring.

    Returns:
        np.ndarray: float32, shape (K, h, w); 0 far from every keypoint.
    """
    num_people, num_keypoints = keypoints.shape[:2]
    heatmaps = np.zeros((num_keypoints, size[1], size[0]), dtype=np.float32)
    sigmas = np.broadcast_to(sigma, (num_people,))
    cells, counts = keypoint_cells(keypoints, visible, size, unbiased=unbiased)
    n, k = np.nonzero(counts)
    if not unbiased and np.ndim(sigma) == 0 and float(3 * sigma).is_integer():
        _stamp_all(heatmaps, k, cells[n, k], float(sigma))
        return heatmaps
    kernels: dict[float, np.ndarray] = {}
    for n_, k_ in zip(n.tolist(), k.tolist()):
        s = float(sigmas[n_])
        if unbiased:
            _draw_unbiased(heatmaps[k_], cells[n_, k_], keypoints[n_, k_], s)
            continue
        if s not in kernels:
            kernels[s] = _official_kernel(s)
        _draw_official(heatmaps[k_], cells[n_, k_], s, kernels[s])
    return heatmaps


def scales_of_widths(
    widths: Optional[np.ndarray],
    base_width: float = 256,
    min_scale: float = 1 / 16,
) -> np.ndarray:
    """The scale factors of SHR, s = W_box / W_base (Section 4.2, Table 4).

    Args:
        widths (np.ndarray): W_box, widths of the people's boxes, shape (N,).
        base_width (float): W_base, in the same unit.
        min_scale (float): The least s, so that nobody vanishes.

    Returns:
        np.ndarray: s, shape (N,).
    """
    if widths is None:
        raise ValueError(
            'person_scale needs the widths of the people (person_width, from '
            'BottomupRandomSquareAffine), and there are none; do the '
            'annotations have boxes?'
        )
    if base_width <= 0 or min_scale <= 0:
        raise ValueError(
            f'base_width is {base_width} and min_scale {min_scale}; both '
            'must be positive'
        )
    return np.maximum(np.asarray(widths) / base_width, min_scale)


def draw_scaled_gaussians(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    sigmas: np.ndarray,
    *,
    unbiased: bool = False,
) -> np.ndarray:
    """Draw targets with a standard deviation for each person (Table 4).

    As :func:`draw_gaussians`, but of the official convention only the
    truncation to cells is kept: a Gaussian is centred on its cell, where it
    is 1.  The official kernel, made for whole sigmas, is e^-9 there for s =
    0.08, so that small people would have no target.

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Larger than 0 where labelled, shape (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        sigmas (np.ndarray): Standard deviations in cells, shape (N,).
        unbiased (bool): See the module's docstring.

    Returns:
        np.ndarray: float32, shape (K, h, w).
    """
    if not unbiased:
        cells, counts = keypoint_cells(keypoints, visible, size)
        keypoints, visible = cells, counts
    return draw_gaussians(keypoints, visible, size, sigmas, unbiased=True)
