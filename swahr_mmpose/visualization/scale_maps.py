# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Figures of scale maps (paper, Figure 5).

K keypoints; images are RGB uint8 (H, W, 3); scale maps hold
``alpha = 1 / s - 1``.

A scale has an effect only on the Gaussian of a keypoint, so the maps are
faded by the predicted heatmaps: where no keypoint is predicted the image
remains. The range of the colours is fixed, from :data:`LOW` to :data:`HIGH`,
white at s = 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

__all__ = [
    'HIGH',
    'LOW',
    'Placement',
    'ScaleMap',
    'add_colour_bar',
    'describe_spread',
    'draw_scale_map',
    'place',
    'pose_and_scale_figure',
    'scale_map',
]

LOW, HIGH = 0.9, 1.1  # 1/s at the ends of the colours
SMALL_SPREAD = 0.02  # relative; below it a sentence says that it is small
_OPAQUE = 0.3  # height of the predicted heatmaps at which maps are opaque
_FAINT = 0.05  # height below which they are invisible
_COLOURS = 'coolwarm'


class Placement(NamedTuple):
    """Position of the network input in the image, from the sample's metainfo.

    Attributes:
        input_size: Size ``(w, h)`` of the input in pixels.
        center: Point ``(x, y)`` of the image at the centre of the input.
        extent: Size ``(w, h)`` of the covered region in image pixels.
    """

    input_size: Tuple[int, int]
    center: np.ndarray
    extent: np.ndarray


class ScaleMap(NamedTuple):
    """Map of 1/s and how much is predicted where.

    Attributes:
        inverse (np.ndarray): 1/s, shape (h, w).
        heights (np.ndarray): Maximum of the predicted heatmaps, shape (h, w).
    """

    inverse: np.ndarray
    heights: np.ndarray


def scale_map(
    scale_maps: np.ndarray,
    heatmaps: np.ndarray,
    keypoint: Optional[int] = None,
) -> ScaleMap:
    """Average the maps 1/s of the keypoints where these are predicted.

    Args:
        scale_maps (np.ndarray): ``alpha``, shape (K, h, w).
        heatmaps (np.ndarray): Predicted heatmaps of the same level, shape
            (K, h, w).
        keypoint (int, optional): Index of a keypoint. Defaults to None, the
            mean over keypoints, weighted by the heatmaps.

    Returns:
        ScaleMap: Map of 1/s; 1 where no keypoint is predicted.
    """
    chosen = slice(None) if keypoint is None else [keypoint]
    heights = np.clip(heatmaps[chosen], 0, None).astype(np.float64)
    heights[heights < _FAINT] = 0
    total = heights.sum(axis=0)
    mean = (heights * scale_maps[chosen]).sum(axis=0)
    inverse = 1 + mean / np.where(total > 0, total, 1)
    return ScaleMap(inverse, heights.max(axis=0))


def place(
    values: np.ndarray, placement: Placement, size: Tuple[int, int]
) -> np.ndarray:
    """Warp a map of the network input onto the image.

    Args:
        values (np.ndarray): Map over the input with any stride, shape (h, w).
        placement (Placement): Position of the input.
        size (tuple): Size ``(W, H)`` of the image.

    Returns:
        np.ndarray: Map over the image, shape (H, W); outside of the input the
        values at its border are repeated.
    """
    values = cv2.resize(values, placement.input_size)
    zoom = np.asarray(placement.input_size) / placement.extent
    shift = (placement.extent / 2 - placement.center) * zoom
    matrix = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        values, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )


def draw_scale_map(
    image: np.ndarray, inverse: np.ndarray, heights: np.ndarray
) -> np.ndarray:
    """Draw a map of 1/s over the grey image, faded by the heatmaps.

    Args:
        image (np.ndarray): uint8, shape (H, W, 3).
        inverse (np.ndarray): 1/s, shape (H, W).
        heights (np.ndarray): Maximum of the predicted heatmaps, shape (H, W).

    Returns:
        np.ndarray: uint8, shape (H, W, 3). Red where the Gaussians are
        narrower, blue where they are wider.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / 255
    values = np.clip((inverse - LOW) / (HIGH - LOW), 0, 1)
    colours = colormaps[_COLOURS](values)[..., :3]
    opacity = np.clip((heights - _FAINT) / (_OPAQUE - _FAINT), 0, 1)
    opacity = 0.9 * opacity[..., None]
    # Darkened, so that white (s = 1) differs from a bright background.
    mixed = opacity * colours + (1 - opacity) * 0.7 * grey
    return (255 * mixed).round().astype(np.uint8)


def describe_spread(scales: ScaleMap) -> str:
    """Describe the values of a map where keypoints are predicted.

    Args:
        scales (ScaleMap): Map of 1/s.

    Returns:
        str: Range of 1/s, and a second line if it is below 2 %.
    """
    seen = scales.inverse[scales.heights > _OPAQUE / 2]
    if not seen.size:
        return '1/s: no keypoint is predicted'
    low, high = np.percentile(seen, [5, 95])
    text = f'1/s from {low:.3f} to {high:.3f}'
    if high - low < SMALL_SPREAD:
        text += (
            f'\nThe spread is {100 * (high - low):.1f} %: all Gaussians are '
            'practically equally wide.'
        )
    return text


def add_colour_bar(figure: Figure, axis: Any) -> None:
    """Add the bar of the fixed colours beside an axis, at its height.

    The panel keeps its size.
    """
    box = axis.get_position()
    bar_axis = figure.add_axes((box.x1 + 0.01, box.y0, 0.015, box.height))
    mappable = ScalarMappable(Normalize(LOW, HIGH), _COLOURS)
    bar = figure.colorbar(mappable, cax=bar_axis, extend='both')
    bar.set_ticks(np.linspace(LOW, HIGH, 5).tolist())
    bar.set_label('1/s: narrower Gaussians are red')


def pose_and_scale_figure(
    image: np.ndarray,
    poses: np.ndarray,
    scales: Optional[ScaleMap],
    placement: Placement,
    title: str,
) -> Figure:
    """Plot poses beside the scale map, with a colour bar.

    Both panels have the same size.

    Args:
        image (np.ndarray): Image without poses, uint8, shape (H, W, 3).
        poses (np.ndarray): Image with poses, uint8, shape (H, W, 3).
        scales (ScaleMap, optional): Scale map of the network input; None for
            a model without scale branch.
        placement (Placement): Position of the input.
        title (str): Title of the poses.

    Returns:
        Figure: Matplotlib figure.
    """
    panels = 1 if scales is None else 2
    height, width = image.shape[:2]
    figure = Figure(
        figsize=(5.2 * panels + 0.8 * (panels - 1), 5.2 * height / width + 0.7)
    )
    axes = figure.subplots(
        1, panels, squeeze=False, gridspec_kw={'wspace': 0.03}
    )[0]
    figure.subplots_adjust(0.01, 0.02, 0.99 if panels == 1 else 0.9, 0.86)
    axes[0].imshow(poses)
    axes[0].set_title(title)
    if scales is not None:
        inverse, heights = (
            place(values, placement, (width, height)) for values in scales
        )
        axes[1].imshow(draw_scale_map(image, inverse, heights))
        axes[1].set_title(describe_spread(scales), fontsize=9)
        add_colour_bar(figure, axes[1])
    for axis in axes:
        axis.axis('off')
    return figure
