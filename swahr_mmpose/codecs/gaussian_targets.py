# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Gaussian heatmap targets and keypoint indices of one level.

N people, K keypoints, M Gaussians, heatmap size ``(w, h)``.  Coordinates are
``(x, y)`` in heatmap cells.

``unbiased`` selects one of two coordinate conventions:

* ``False``: that of the official implementation.  Coordinates are truncated
  towards zero, so that (-1, 0) falls into cell 0.  A keypoint whose cell lies
  outside the map has no target.  The Gaussian is centred on the integer cell,
  in a window of ``6 * sigma + 3`` cells: 15 x 15 for sigma 2.  (Eq. 1 of the
  paper says 3 sigma to each side; the released code adds one cell.)
* ``True``: the exact one (see UDP, CVPR 2020).  The centre of cell i has the
  coordinate i.  The Gaussian is centred on the keypoint itself, in a window
  around the nearest cell, and that cell is the keypoint's index.
"""

from __future__ import annotations

import functools
import math
from typing import Optional, Tuple, Union

import numpy as np

__all__ = [
    'compute_person_scales',
    'draw_gaussians',
    'draw_scaled_gaussians',
    'keypoint_cells',
    'keypoint_indices',
]

Size = Tuple[int, int]


def keypoint_cells(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    *,
    unbiased: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the cell and the validity of each keypoint.

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Visibility, larger than 0 where labelled, shape
            (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        unbiased (bool): Coordinate convention, see the module docstring.
            Defaults to ``False``.

    Returns:
        tuple[np.ndarray, np.ndarray]: int64 cells (N, K, 2), and bool flags
        (N, K): labelled, finite and inside the map.  The cell of a keypoint
        that is not finite is (0, 0).
    """
    finite = np.isfinite(keypoints).all(axis=-1)
    # Clipped to the integer range; what is outside the map stays outside.
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
    """Compute the index ``[y * w + x, valid]`` at which each tag is read.

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Visibility, larger than 0 where labelled, shape
            (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        unbiased (bool): Coordinate convention, see the module docstring.
            Defaults to ``False``.

    Returns:
        np.ndarray: int64, shape (N, K, 2); ``[0, 0]`` where the keypoint is
        not labelled, not finite or outside the map.
    """
    cells, valid = keypoint_cells(keypoints, visible, size, unbiased=unbiased)
    flat = np.where(valid, cells[..., 1] * size[0] + cells[..., 0], 0)
    return np.stack([flat, valid.astype(np.int64)], axis=-1)


def draw_gaussians(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    sigma: Union[float, np.ndarray],
    *,
    unbiased: bool = False,
) -> np.ndarray:
    """Draw the target heatmaps (paper, Eq. 1 and 2).

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Visibility, larger than 0 where labelled, shape
            (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        sigma (float | np.ndarray): Standard deviation in cells: one value, or
            one per person, shape (N,).
        unbiased (bool): Coordinate convention, see the module docstring.
            Defaults to ``False``.

    Returns:
        np.ndarray: float32 heatmaps, shape (K, h, w); 0 outside the windows
        of the Gaussians.
    """
    num_people, num_keypoints = keypoints.shape[:2]
    heatmaps = np.zeros((num_keypoints, size[1], size[0]), dtype=np.float32)
    sigmas = np.broadcast_to(sigma, (num_people,))
    cells, valid = keypoint_cells(keypoints, visible, size, unbiased=unbiased)
    n, k = np.nonzero(valid)
    if not unbiased and np.ndim(sigma) == 0 and float(3 * sigma).is_integer():
        _draw_official_batch(heatmaps, k, cells[n, k], float(sigma))
        return heatmaps
    kernels: dict[float, np.ndarray] = {}
    for n_, k_ in zip(n.tolist(), k.tolist()):
        s = float(sigmas[n_])
        if unbiased:
            _draw_unbiased(heatmaps[k_], cells[n_, k_], keypoints[n_, k_], s)
            continue
        if s not in kernels:
            kernels[s] = _make_official_kernel(s)
        _draw_official(heatmaps[k_], cells[n_, k_], s, kernels[s])
    return heatmaps


def draw_scaled_gaussians(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    sigmas: np.ndarray,
    *,
    unbiased: bool = False,
) -> np.ndarray:
    """Draw the target heatmaps of SHR, one sigma per person (paper, Table 4).

    Differs from :func:`draw_gaussians` where ``unbiased`` is false: cells are
    truncated as in the official implementation, but each Gaussian is 1 at its
    cell and centred there.  The official kernel is made for integer sigmas;
    for a scale of 0.08 it is e^-9 at the cell, so that small people would
    have no target.

    Args:
        keypoints (np.ndarray): Coordinates in cells, shape (N, K, 2).
        visible (np.ndarray): Visibility, larger than 0 where labelled, shape
            (N, K).
        size (tuple): Heatmap size ``(w, h)``.
        sigmas (np.ndarray): Standard deviations in cells, shape (N,).
        unbiased (bool): Coordinate convention, see the module docstring.
            Defaults to ``False``.

    Returns:
        np.ndarray: float32 heatmaps, shape (K, h, w).
    """
    if not unbiased:
        keypoints, visible = keypoint_cells(keypoints, visible, size)
    return draw_gaussians(keypoints, visible, size, sigmas, unbiased=True)


def compute_person_scales(
    widths: Optional[np.ndarray],
    base_width: float = 256,
    min_scale: float = 1 / 16,
) -> np.ndarray:
    """Compute the scale factors of SHR, s = W_box / W_base (Section 4.2).

    Args:
        widths (np.ndarray, optional): Widths W_box of the people's bounding
            boxes in input pixels, shape (N,).
        base_width (float): Base width W_base in input pixels. Defaults to
            256.
        min_scale (float): Lower bound of the scale factors, so that the
            Gaussians of small people do not vanish. Defaults to 1/16.

    Returns:
        np.ndarray: Scale factors, shape (N,).

    Raises:
        ValueError: If there are no widths, or ``base_width`` or ``min_scale``
            is not positive.
    """
    if widths is None:
        raise ValueError(
            'person_scale requires person_width, the box widths from '
            'BottomupRandomSquareAffine, but got None; check that the '
            'annotations have boxes'
        )
    if base_width <= 0 or min_scale <= 0:
        raise ValueError(
            'base_width and min_scale of person_scale must be positive, got '
            f'base_width={base_width} and min_scale={min_scale}'
        )
    return np.maximum(np.asarray(widths) / base_width, min_scale)


def _make_official_kernel(sigma: float) -> np.ndarray:
    """Make the Gaussian kernel of the official implementation.

    Where ``3 * sigma`` is not an integer it is neither centred on a cell nor 1
    at its peak (Table 8, sigma 2.5: a peak of 2 x 2 cells with 0.961).
    """
    offsets = np.arange(6 * sigma + 3) - (3 * sigma + 1)
    squared = offsets[:, None] ** 2 + offsets[None, :] ** 2
    return np.exp(-squared / (2 * sigma**2)).astype(np.float32)


@functools.lru_cache(maxsize=32)
def _sort_official_kernel(
    sigma: float,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort the cells of a kernel with an integer ``3 * sigma`` by value.

    In ascending order: if cells are assigned in this order, the larger of two
    overlapping Gaussians is assigned last and remains.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: Offsets y and x, and
        values, shape (cells, 1) each.
    """
    kernel = _make_official_kernel(sigma)
    y, x = np.indices(kernel.shape) - len(kernel) // 2
    order = np.argsort(kernel, axis=None)
    columns = (v.ravel()[order][:, None] for v in (y, x, kernel))
    return tuple(columns)  # type: ignore[return-value]


def _draw_official_batch(
    heatmaps: np.ndarray, k: np.ndarray, cells: np.ndarray, sigma: float
) -> None:
    """Draw all official Gaussians at once; ``3 * sigma`` must be an integer.

    Args:
        heatmaps (np.ndarray): Zeros, modified in place, shape (K, h, w).
        k (np.ndarray): Heatmap of each Gaussian, shape (M,).
        cells (np.ndarray): Centre cell of each Gaussian, shape (M, 2).
        sigma (float): Standard deviation of all Gaussians in cells.
    """
    _, h, w = heatmaps.shape
    dy, dx, values = _sort_official_kernel(sigma)
    reach = int(dy.max())
    limits = np.array([w, h]) - reach
    inside = ((cells >= reach) & (cells < limits)).all(axis=1)
    base = (k * h + cells[:, 1]) * w + cells[:, 0]
    flat = heatmaps.ravel()
    # For repeated indices NumPy keeps the value that is assigned last.
    flat[dy * w + dx + base[inside]] = values
    if inside.all():
        return
    x, y = cells[~inside].T
    valid = (x + dx >= 0) & (x + dx < w) & (y + dy >= 0) & (y + dy < h)
    index = (dy * w + dx + base[~inside])[valid]
    np.maximum.at(flat, index, np.broadcast_to(values, valid.shape)[valid])


def _draw_official(
    heatmap: np.ndarray, cell: np.ndarray, sigma: float, kernel: np.ndarray
) -> None:
    """Draw an official Gaussian whose ``3 * sigma`` may be no integer.

    The window begins at ``round(x - 3 * sigma - 1)``, rounded half to even.
    """
    first = [round(c - 3 * sigma - 1) for c in cell.tolist()]
    # The window may be smaller than the kernel.
    w, h = (round(c + 3 * sigma + 2) - f for c, f in zip(cell.tolist(), first))
    _paste_maximum(heatmap, kernel[:h, :w], *first)


def _draw_unbiased(
    heatmap: np.ndarray, cell: np.ndarray, keypoint: np.ndarray, sigma: float
) -> None:
    """Draw a Gaussian centred on a keypoint, in a window around its cell."""
    reach = math.ceil(3 * sigma) + 1
    offsets = np.arange(-reach, reach + 1)
    gx, gy = (
        np.exp(-((offsets + cell[d] - keypoint[d]) ** 2) / (2 * sigma**2))
        for d in (0, 1)
    )
    kernel = (gy[:, None] * gx[None, :]).astype(np.float32)
    _paste_maximum(heatmap, kernel, int(cell[0]) - reach, int(cell[1]) - reach)


def _paste_maximum(
    heatmap: np.ndarray, kernel: np.ndarray, left: int, top: int
) -> None:
    """Paste a kernel into a heatmap by the maximum (Eq. 2), in place.

    At least one cell of the kernel must lie inside the heatmap.
    """
    h, w = heatmap.shape
    x0, y0 = max(left, 0), max(top, 0)
    x1 = min(left + kernel.shape[1], w)
    y1 = min(top + kernel.shape[0], h)
    region = heatmap[y0:y1, x0:x1]
    np.maximum(
        region, kernel[y0 - top : y1 - top, x0 - left : x1 - left], out=region
    )
