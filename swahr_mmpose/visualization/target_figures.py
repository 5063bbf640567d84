# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Targets as pictures: plain and adapted Gaussians side by side (Figure 1).

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

__all__ = ['figure_to_image', 'scale_figure', 'target_figure']

Link = Tuple[int, int]


def target_figure(
    found: Inspection,
    links: Sequence[Link],
    keypoint: Optional[int] = None,
    title: str = '',
) -> Figure:
    """Targets of a training sample, a row for each level.

    Columns: the input with its people, red where the mask takes it out of
    the loss; the plain target; with a scale branch the target that the
    network adapted; with a model the heatmap that it predicts.

    Args:
        found (Inspection): The sample.
        links (Sequence[tuple]): Pairs of keypoints.
        keypoint (int, optional): Show the map of this one; ``None``: the
            largest value over all keypoints.
        title (str): Above the picture.

    Returns:
        Figure: Of matplotlib, without a window.
    """
    people = draw_poses(
        found.image, found.keypoints, found.visible, links, threshold=0
    )
    columns = [
        ('target H', found.targets),
        ("target H', adapted by the network", found.adapted),
        ('prediction P', found.predicted),
    ]
    shown = [(name, maps) for name, maps in columns if maps is not None]
    rows = len(found.targets)
    figure, axes = _panels(rows, 1 + len(shown), title)
    for level, row in enumerate(axes):
        height, width = found.targets[level].shape[1:]
        row[0].imshow(_tinted(people, found.masks[level]))
        row[0].set_title(f'{width} x {height} cells: input and loss mask')
        for axis, (name, maps) in zip(row[1:], shown):
            axis.imshow(_over(found.image, _one(maps[level], keypoint)))
            axis.set_title(name)
    return figure


def scale_figure(
    found: Inspection,
    links: Sequence[Link],
    keypoint: Optional[int] = None,
    title: str = '',
) -> Figure:
    """The maps 1/s of a sample over its image, as in Figure 5.

    Args:
        found (Inspection): With scale maps.
        links (Sequence[tuple]): Pairs of keypoints.
        keypoint (int, optional): Of which; ``None``: the mean over all.
        title (str): Above the picture.

    Returns:
        Figure: Input, and the map of each level with its colour bar.

    Raises:
        ValueError: If the model has no scale branch.
    """
    if found.scale_maps is None:
        raise ValueError(
            'the model has no scale branch (head.scale_maps is False); take '
            'a SAHR or SWAHR model'
        )
    figure, axes = _panels(1, 1 + len(found.scale_maps), title)
    people = draw_poses(
        found.image, found.keypoints, found.visible, links, threshold=0
    )
    axes[0][0].imshow(people)
    size = found.image.shape[1::-1]
    for axis, alpha in zip(axes[0][1:], found.scale_maps):
        chosen = alpha.mean(0) if keypoint is None else alpha[keypoint]
        inverse = cv2.resize(1 + chosen.astype(np.float64), size)
        low, high = float(inverse.min()), float(inverse.max())
        bar = axis.imshow(inverse, cmap='jet', vmin=low, vmax=high)
        share = (inverse - low) / max(high - low, 1e-12)
        axis.imshow(overlay(found.image, share))
        axis.set_title(f'1/s, {alpha.shape[2]} x {alpha.shape[1]} cells')
        figure.colorbar(bar, ax=axis, fraction=0.046)
    return figure


def figure_to_image(figure: Figure, dpi: int = 100) -> np.ndarray:
    """A figure as RGB uint8 (H, W, 3)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panels(
    rows: int, columns: int, title: str
) -> Tuple[Figure, List[List[Any]]]:
    figure = Figure(
        figsize=(4.2 * columns, 4.4 * rows + 0.3), layout='constrained'
    )
    if title:
        figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    return figure, axes.tolist()


def _one(maps: np.ndarray, keypoint: Optional[int]) -> np.ndarray:
    return maps.max(axis=0) if keypoint is None else maps[keypoint]


def _over(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Cells from 0 (blue) to 1 (red) over an image in grey."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(
        np.clip(values, 0, 1).astype(np.float32),
        image.shape[1::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    return overlay(np.repeat(grey[..., None], 3, axis=2), cells, 0.7)


def _tinted(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Red where the mask is False."""
    counts = cv2.resize(
        mask.astype(np.uint8),
        image.shape[1::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    red = image // 2 + np.array([110, 0, 0], np.uint8)
    return np.where(counts[..., None] > 0, image, red)
