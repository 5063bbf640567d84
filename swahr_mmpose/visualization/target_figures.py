# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Figures of plain and scale-adapted targets (paper, Figure 1).

K keypoints; images are RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .drawing import draw_poses, overlay
from .inspection import Inspection
from .scale_maps import (
    add_colour_bar,
    describe_spread,
    draw_scale_map,
    scale_map,
)

__all__ = ['arrange_sheet', 'figure_to_image', 'scale_figure', 'target_figure']

Link = Tuple[int, int]


def target_figure(
    inspection: Inspection,
    links: Sequence[Link],
    keypoint: Optional[int] = None,
    title: str = '',
) -> Figure:
    """Plot the targets of a training sample, one row per level.

    Columns: input and people, red where the mask excludes cells from the
    loss; plain target; scale-adapted target, with a scale branch; predicted
    heatmap, with a model.

    Args:
        inspection (Inspection): Sample.
        links (Sequence[tuple]): Skeleton edges, pairs of keypoint indices.
        keypoint (int, optional): Keypoint of the maps. Defaults to None, the
            maximum over keypoints.
        title (str): Title of the figure. Defaults to ``''``.

    Returns:
        Figure: Matplotlib figure.
    """
    people = _draw_people(inspection, links)
    columns = [
        ('target H', inspection.targets),
        ("target H', adapted by the network", inspection.adapted),
        ('prediction P', inspection.predicted),
    ]
    shown = [(name, maps) for name, maps in columns if maps is not None]
    rows = len(inspection.targets)
    figure, axes = _make_panels(rows, 1 + len(shown), title)
    for level, row in enumerate(axes):
        width = inspection.targets[level].shape[2]
        row[0].imshow(_tint_masked(people, inspection.masks[level]))
        stride = inspection.image.shape[1] // width
        row[0].set_title(f'1/{stride}: input and loss mask')
        for axis, (name, maps) in zip(row[1:], shown):
            values = _reduce_keypoints(maps[level], keypoint)
            axis.imshow(_overlay_cells(inspection.image, values))
            axis.set_title(name)
    return figure


def scale_figure(
    inspection: Inspection,
    links: Sequence[Link],
    keypoint: Optional[int] = None,
    title: str = '',
) -> Figure:
    """Plot the maps 1/s of a sample over its image (paper, Figure 5).

    Maps are faded by the predicted heatmaps, see :mod:`.scale_maps`.

    Args:
        inspection (Inspection): Sample with scale maps.
        links (Sequence[tuple]): Skeleton edges, pairs of keypoint indices.
        keypoint (int, optional): Keypoint of the maps. Defaults to None, the
            mean over keypoints.
        title (str): Title of the figure. Defaults to ``''``.

    Returns:
        Figure: Matplotlib figure: input, the map of each level, and the bar
        of their colours.

    Raises:
        ValueError: If the model has no scale branch.
    """
    if inspection.scale_maps is None or inspection.predicted is None:
        raise ValueError(
            'the model has no scale branch (head.scale_maps is False); use a '
            'SAHR or SWAHR model'
        )
    columns = 1 + len(inspection.scale_maps)
    figure = Figure(figsize=(4.4 * columns + 0.6, 5))
    figure.suptitle(title)
    axes = figure.subplots(1, columns, gridspec_kw={'wspace': 0.03})
    figure.subplots_adjust(0.01, 0.01, 0.91, 0.82)
    axes[0].imshow(_draw_people(inspection, links))
    axes[0].axis('off')
    height, width = inspection.image.shape[:2]
    for axis, alpha, heatmaps in zip(
        axes[1:], inspection.scale_maps, inspection.predicted
    ):
        scales = scale_map(alpha, heatmaps, keypoint)
        inverse, heights = (
            cv2.resize(values, (width, height)) for values in scales
        )
        axis.imshow(draw_scale_map(inspection.image, inverse, heights))
        stride = width // alpha.shape[2]
        axis.set_title(f'1/{stride}: {describe_spread(scales)}', fontsize=8)
        axis.axis('off')
    add_colour_bar(figure, axes[-1])
    return figure


def figure_to_image(figure: Figure, dpi: int) -> np.ndarray:
    """Render a figure.

    Args:
        figure (Figure): Matplotlib figure.
        dpi (int): Resolution in dots per inch.

    Returns:
        np.ndarray: RGB uint8, shape (H, W, 3).
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def arrange_sheet(
    images: Sequence[np.ndarray], columns: int, width: int
) -> np.ndarray:
    """Arrange images on one sheet, row by row.

    Args:
        images (Sequence[np.ndarray]): uint8, shapes (h, w, 3), at least one.
        columns (int): Images per row.
        width (int): Width of the sheet in px.

    Returns:
        np.ndarray: uint8, shape (H, width, 3); white where there is no image.
    """
    height, cell = (max(image.shape[i] for image in images) for i in (0, 1))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * height, columns * cell, 3), 255, np.uint8)
    for n, image in enumerate(images):
        y, x = n // columns * height, n % columns * cell
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    size = width, round(len(sheet) * width / sheet.shape[1])
    return cv2.resize(sheet, size, interpolation=cv2.INTER_AREA)


def _make_panels(
    rows: int, columns: int, title: str
) -> Tuple[Figure, List[List[Any]]]:
    """Make a figure with a grid of axes without ticks."""
    figure = Figure(
        figsize=(4.2 * columns, 4.4 * rows + 0.3), layout='constrained'
    )
    if title:
        figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    return figure, axes.tolist()


def _draw_people(inspection: Inspection, links: Sequence[Link]) -> np.ndarray:
    """Draw the ground truth on the input."""
    return draw_poses(
        inspection.image,
        inspection.keypoints,
        inspection.visible,
        links,
        threshold=0,
    )


def _reduce_keypoints(maps: np.ndarray, keypoint: Optional[int]) -> np.ndarray:
    """Select the map of a keypoint, or the maximum over keypoints."""
    return maps.max(axis=0) if keypoint is None else maps[keypoint]


def _overlay_cells(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Overlay cells, from 0 (blue) to 1 (red), on a grey image."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(
        np.clip(values, 0, 1).astype(np.float32),
        image.shape[1::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    return overlay(np.repeat(grey[..., None], 3, axis=2), cells, 0.7)


def _tint_masked(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tint an image red where the mask is False."""
    counted = cv2.resize(
        mask.astype(np.uint8),
        image.shape[1::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    red = image // 2 + np.array([110, 0, 0], np.uint8)
    return np.where(counted[..., None] > 0, image, red)
