# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Gaussian heatmap targets and keypoint indices of one level.

N people, K keypoints, M Gaussians, heatmap size ``(w, h)``.  Coordinates are
``(x, y)`` in heatmap cells.

Each Gaussian has a window. Heatmaps are drawn on a canvas that stores either
all cells or those of the windows alone (:mod:`.canvas`).

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
from typing import Optional, Tuple, Type, Union

import numpy as np

from swahr_mmpose.utils.sparse_heatmap import SparseHeatmap

from .canvas import Canvas, DenseCanvas, Shape, SparseCanvas

__all__ = [
    'compute_person_scales',
    'draw_gaussians',
    'draw_scaled_gaussians',
    'keypoint_cells',
    'keypoint_indices',
]

Size = Tuple[int, int]
Heatmaps = Union[np.ndarray, SparseHeatmap]
_CanvasType = Type[Union[DenseCanvas, SparseCanvas]]


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
    sparse: bool = False,
) -> Heatmaps:
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
        sparse (bool): Whether to return sparse heatmaps. Defaults to
            ``False``.

    Returns:
        np.ndarray | SparseHeatmap: float32 heatmaps, shape (K, h, w); 0
        outside the windows of the Gaussians.
    """
    num_people, num_keypoints = keypoints.shape[:2]
    shape = (num_keypoints, size[1], size[0])
    sigmas = np.broadcast_to(sigma, (num_people,))
    cells, valid = keypoint_cells(keypoints, visible, size, unbiased=unbiased)
    n, k = np.nonzero(valid)
    canvas: _CanvasType = SparseCanvas if sparse else DenseCanvas
    if unbiased:
        return _draw_unbiased(
            canvas, shape, k, cells[n, k], keypoints[n, k], sigmas[n]
        )
    if np.ndim(sigma) == 0 and float(3 * sigma).is_integer():
        return _draw_official(canvas, shape, k, cells[n, k], float(sigma))
    return _draw_truncated(canvas, shape, k, cells[n, k], sigmas[n])


def draw_scaled_gaussians(
    keypoints: np.ndarray,
    visible: np.ndarray,
    size: Size,
    sigmas: np.ndarray,
    *,
    unbiased: bool = False,
    sparse: bool = False,
) -> Heatmaps:
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
        sparse (bool): Whether to return sparse heatmaps. Defaults to
            ``False``.

    Returns:
        np.ndarray | SparseHeatmap: float32 heatmaps, shape (K, h, w).
    """
    if not unbiased:
        keypoints, visible = keypoint_cells(keypoints, visible, size)
    return draw_gaussians(
        keypoints, visible, size, sigmas, unbiased=True, sparse=sparse
    )


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


@functools.lru_cache(maxsize=32)
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
        tuple[np.ndarray, np.ndarray, np.ndarray]: Rows and columns (C,), and
        values, shape (C, 1).
    """
    kernel = _make_official_kernel(sigma)
    order = np.argsort(kernel, axis=None)
    y, x = np.indices(kernel.shape).reshape(2, -1)[:, order]
    return y, x, kernel.ravel()[order][:, None]


def _draw_official(
    canvas_type: _CanvasType,
    shape: Shape,
    k: np.ndarray,
    cells: np.ndarray,
    sigma: float,
) -> Heatmaps:
    """Draw official Gaussians at once; ``3 * sigma`` must be an integer.

    Args:
        canvas_type (type): Class of the canvas.
        shape (tuple): Shape ``(K, h, w)`` of the heatmaps.
        k (np.ndarray): Heatmap of each Gaussian, shape (M,).
        cells (np.ndarray): Centre cell of each Gaussian, shape (M, 2).
        sigma (float): Standard deviation of all Gaussians in cells.

    Returns:
        np.ndarray | SparseHeatmap: Maximum of the Gaussians.
    """
    dy, dx, values = _sort_official_kernel(sigma)
    reach = int(3 * sigma) + 1
    size = np.full_like(cells, 2 * reach + 1)
    canvas = canvas_type(shape, k, cells - reach, size)
    # For repeated indices NumPy keeps the value that is assigned last.
    canvas.values[canvas.index_windows(np.arange(len(k)), dy, dx)] = values
    return canvas.finish()


def _draw_truncated(
    canvas_type: _CanvasType,
    shape: Shape,
    k: np.ndarray,
    cells: np.ndarray,
    sigmas: np.ndarray,
) -> Heatmaps:
    """Draw official Gaussians whose ``3 * sigma`` may be no integer.

    A window begins at ``round(x - 3 * sigma - 1)``, rounded half to even, and
    may be smaller than the kernel. Arguments: see :func:`_draw_official`;
    sigmas (M,).
    """
    reach = 3 * sigmas[:, None]
    starts = np.rint(cells - reach - 1).astype(np.int64)
    sizes = np.rint(cells + reach + 2).astype(np.int64) - starts
    canvas = canvas_type(shape, k, starts, sizes)
    for m, ((w, h), sigma) in enumerate(zip(sizes, sigmas.tolist())):
        canvas.paste_maximum(m, _make_official_kernel(sigma)[:h, :w])
    return canvas.finish()


def _draw_unbiased(
    canvas_type: _CanvasType,
    shape: Shape,
    k: np.ndarray,
    cells: np.ndarray,
    keypoints: np.ndarray,
    sigmas: np.ndarray,
) -> Heatmaps:
    """Draw Gaussians centred on keypoints (M, 2), in windows around cells.

    Other arguments: see :func:`_draw_official`; sigmas (M,).
    """
    reach = np.ceil(3 * sigmas).astype(np.int64) + 1
    sizes = np.repeat(2 * reach[:, None] + 1, 2, axis=1)
    canvas = canvas_type(shape, k, cells - reach[:, None], sizes)
    for size in np.unique(reach).tolist():
        m = np.flatnonzero(reach == size)
        offsets = np.arange(-size, size + 1)
        distances = offsets + (cells[m] - keypoints[m])[..., None]
        variances = sigmas[m, None, None] ** 2
        gx, gy = np.exp(-(distances**2) / (2 * variances)).transpose(1, 2, 0)
        _paste_maximum(canvas, m, (gy[:, None] * gx).astype(np.float32))
    return canvas.finish()


def _paste_maximum(canvas: Canvas, m: np.ndarray, kernels: np.ndarray) -> None:
    """Paste kernels (h, w, N) into the windows m (N,) by the maximum."""
    dy, dx = np.indices(kernels.shape[:2]).reshape(2, -1)
    index = canvas.index_windows(m, dy, dx)
    np.maximum.at(canvas.values, index.ravel(), kernels.ravel())
