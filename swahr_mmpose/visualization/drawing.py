# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Drawing of poses and skeletons.

N people, K keypoints; images are RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

__all__ = ['draw_poses', 'overlay', 'skeleton_figure']

Link = Tuple[int, int]


def overlay(
    image: np.ndarray, values: np.ndarray, opacity: float = 0.6
) -> np.ndarray:
    """Overlay a map on an image, from 0 (blue) to 1 (red).

    Args:
        image (np.ndarray): uint8, shape (H, W, 3).
        values (np.ndarray): Map, shape (H, W).
        opacity (float): Opacity of the map, 0 to 1. Defaults to 0.6.

    Returns:
        np.ndarray: uint8, shape (H, W, 3).
    """
    colours = colormaps['jet'](values)[..., :3] * 255
    blended = opacity * colours + (1 - opacity) * image
    return blended.round().astype(np.uint8)


def draw_poses(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    links: Sequence[Link],
    threshold: float = 0.1,
    sigmas: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Draw the skeletons of people, one colour per person.

    Args:
        image (np.ndarray): uint8, shape (H, W, 3).
        keypoints (np.ndarray): Keypoints in pixels, shape (N, K, 2).
        scores (np.ndarray): Keypoint scores, shape (N, K).
        links (Sequence[tuple]): Skeleton edges, pairs of keypoint indices.
        threshold (float): Score above which keypoints are drawn. Defaults to
            0.1.
        sigmas (np.ndarray, optional): Standard deviations in pixels, shape
            (N, K), radii of circles around the keypoints that are drawn.
            Defaults to None, no circles.

    Returns:
        np.ndarray: New image, uint8, shape (H, W, 3).
    """
    canvas = image.copy()
    width = max(1, round(min(image.shape[:2]) / 200))
    for n, (person, score) in enumerate(zip(keypoints, scores)):
        colour = tuple(255 * c for c in colormaps['tab10'](n % 10)[:3])
        points = person.round().astype(int)
        visible = score > threshold
        for a, b in links:
            if visible[a] and visible[b]:
                ends = points[a].tolist(), points[b].tolist()
                cv2.line(canvas, *ends, colour, width, cv2.LINE_AA)
        for point in points[visible].tolist():
            cv2.circle(canvas, point, width + 1, colour, -1, cv2.LINE_AA)
        if sigmas is not None:
            _draw_circles(canvas, person[visible], sigmas[n][visible], colour)
    return canvas


def _draw_circles(
    canvas: np.ndarray, points: np.ndarray, radii: np.ndarray, colour: Any
) -> None:
    """Draw circles of sub-pixel radius; NaN radii are left out."""
    shift = 4  # fractional bits of OpenCV's coordinates
    for point, radius in zip(points, radii):
        if np.isfinite(radius):
            *centre, size = np.rint(np.array([*point, radius]) * 2**shift)
            cv2.circle(
                canvas,
                (int(centre[0]), int(centre[1])),
                int(size),
                colour,
                1,
                cv2.LINE_AA,
                shift,
            )


def skeleton_figure(
    image: np.ndarray,
    keypoints: np.ndarray,
    mean_pose: np.ndarray,
    labels: Sequence[str],
    links: Sequence[Link],
    colours: Sequence[Sequence[int]],
) -> Figure:
    """Plot a skeleton with keypoint labels, on an instance and as mean pose.

    Args:
        image (np.ndarray): uint8, shape (H, W, 3).
        keypoints (np.ndarray): ``(x, y, v)`` of an instance, v > 0 if
            labelled, shape (K, 3).
        mean_pose (np.ndarray): Mean pose in any unit, shape (K, 2).
        labels (Sequence[str]): Label of each keypoint.
        links (Sequence[tuple]): Skeleton edges, pairs of keypoint indices.
        colours (Sequence): RGB colour of each keypoint, 0 to 255.

    Returns:
        Figure: Matplotlib figure.
    """
    figure = Figure(figsize=(12, 6))
    sample, mean = figure.subplots(1, 2)
    sample.imshow(image)
    labelled = keypoints[:, 2] > 0
    all_keypoints = np.ones(len(mean_pose), bool)
    for axis, points, visible, title in (
        (sample, keypoints[:, :2], labelled, 'an instance'),
        (mean, mean_pose, all_keypoints, 'mean pose with grouping order'),
    ):
        _draw_skeleton(axis, points, visible, labels, links, colours)
        axis.set_title(title)
        axis.axis('off')
    low, high = _crop_square(keypoints[labelled, :2], image)
    sample.set_xlim(low[0], high[0])
    sample.set_ylim(high[1], low[1])
    mean.set_aspect('equal')
    mean.margins(0.2)
    mean.invert_yaxis()
    figure.tight_layout()
    return figure


def _crop_square(
    points: np.ndarray, image: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Compute the corners of a square around points (M, 2), in the image."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(0.7 * float((high - low).max()), 16.0)
    centre, last = (low + high) / 2, np.array(image.shape[1::-1]) - 0.5
    return np.maximum(centre - half, -0.5), np.minimum(centre + half, last)


def _draw_skeleton(
    axis: Any,
    points: np.ndarray,
    visible: np.ndarray,
    labels: Sequence[str],
    links: Sequence[Link],
    colours: Sequence[Sequence[int]],
) -> None:
    """Draw visible keypoints with labels, and the edges between them."""
    for a, b in links:
        if visible[a] and visible[b]:
            axis.plot(*points[[a, b]].T, color='0.6', linewidth=2, zorder=1)
    shades = np.array(colours, float)[visible] / 255
    axis.scatter(*points[visible].T, c=shades, edgecolors='k', s=40, zorder=2)
    for k in np.flatnonzero(visible):
        axis.annotate(
            labels[k],
            points[k],
            xytext=(5, 5),
            textcoords='offset points',
            fontsize=9,
            bbox=dict(facecolor='white', alpha=0.7, linewidth=0, pad=1),
        )
