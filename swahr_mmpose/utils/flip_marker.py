# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Marker that records all flips of a training image.

Each flip of a pipeline overwrites ``results['flip']``, so that only the last
one can be read there.  MMPose's ``RandomFlip`` flips ``results['img_mask']``
together with the image: a marker of 2 x 2 cells under this key has gone
through every flip since it was written.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np

__all__ = ['Flips', 'make_flip_marker', 'read_flips']


class Flips(NamedTuple):
    """Flips of an image relative to the image before them.

    Attributes:
        horizontal (bool): Whether left and right are exchanged.
        vertical (bool): Whether top and bottom are exchanged.
    """

    horizontal: bool = False
    vertical: bool = False


def make_flip_marker(horizontal: bool) -> np.ndarray:
    """Make a marker of an image that may already be flipped horizontally.

    Args:
        horizontal (bool): Whether it is.

    Returns:
        np.ndarray: Marker, uint8 (2, 2).
    """
    marker = np.arange(4, dtype=np.uint8).reshape(2, 2)
    return marker[:, ::-1].copy() if horizontal else marker


def read_flips(
    marker: Any, flip: Any = None, direction: Optional[str] = None
) -> Flips:
    """Read the flips of an image.

    Args:
        marker (np.ndarray, optional): ``results['img_mask']``; another array
            than a marker is not used.
        flip (bool, optional): ``results['flip']``, used without a marker.
            Defaults to ``None``, no flip.
        direction (str, optional): ``results['flip_direction']``; MMPose's
            ``'horizontal'``, ``'vertical'`` or ``'diagonal'``. Defaults to
            ``None``, horizontal.

    Returns:
        Flips: Net flips of the image.

    Raises:
        ValueError: If the direction is unknown.
    """
    if np.shape(marker) == (2, 2):
        first = int(np.asarray(marker)[0, 0])
        return Flips(bool(first & 1), bool(first & 2))
    if not flip:
        return Flips()
    if direction not in (None, 'horizontal', 'vertical', 'diagonal'):
        raise ValueError(
            f"got flip_direction {direction!r}, expected 'horizontal', "
            "'vertical' or 'diagonal'; correct RandomFlip in the pipeline"
        )
    return Flips(
        direction != 'vertical', direction in ('vertical', 'diagonal')
    )
