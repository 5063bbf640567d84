# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Format of boxes, found by comparing them with the keypoints in them.

N people; edges are (x1, y1, x2, y2) in pixels.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

import numpy as np

__all__ = ['find_box_format']

# Sum of the distances between edges, relative to that of (x, y, w, h), below
# which another format fits better.
_BETTER = 0.5
# Number of people from which on a format is judged.
_ENOUGH = 3


def _from_corners(boxes: np.ndarray) -> np.ndarray:
    """Convert (x1, y1, x2, y2) to edges."""
    return boxes


def _from_corner_and_size(boxes: np.ndarray) -> np.ndarray:
    """Convert (x, y, w, h) to edges."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def _from_centre_and_size(boxes: np.ndarray) -> np.ndarray:
    """Convert (centre x, centre y, w, h) to edges."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _from_rows(boxes: np.ndarray) -> np.ndarray:
    """Convert (y, x, h, w) to edges."""
    return _from_corner_and_size(boxes[:, [1, 0, 3, 2]])


_FORMATS: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'corners (x1, y1, x2, y2)': _from_corners,
    'centres and sizes (cx, cy, w, h)': _from_centre_and_size,
    'rows first (y, x, h, w), or keypoints (y, x, v),': _from_rows,
}


def find_box_format(
    boxes: np.ndarray, extents: np.ndarray
) -> Tuple[np.ndarray, Optional[str]]:
    """Find a format in which most boxes fit better than as (x, y, w, h).

    A box fits if its edges are near those of the labelled keypoints.

    Args:
        boxes (np.ndarray): Boxes as given, shape (N, 4).
        extents (np.ndarray): Edges of the labelled keypoints, shape (N, 4).

    Returns:
        tuple[np.ndarray, str]: Mask of the people whose box fits clearly
        better, bool (N,), and the format; ``None`` if there is none for most.
    """
    usual = _measure_misfit(_from_corner_and_size(boxes), extents)
    best, name = np.zeros(len(boxes), bool), None
    for text, convert in _FORMATS.items():
        misfit = _measure_misfit(convert(boxes), extents)
        mask = misfit < _BETTER * usual
        if mask.sum() > max(best.sum(), len(boxes) / 2, _ENOUGH - 1):
            best, name = mask, text
    return best, name


def _measure_misfit(edges: np.ndarray, extents: np.ndarray) -> np.ndarray:
    """Sum the distances between the edges, shape (N,)."""
    return np.abs(edges - extents).sum(axis=1)
