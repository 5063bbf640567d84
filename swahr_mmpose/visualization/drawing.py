# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Drawing of poses, skeletons and scale maps.

N people, K keypoints; images are RGB uint8 (H, W, 3).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

__all__ = [
    'Placement',
    'draw_poses',
    'inverse_scale',
    'overlay',
    'place',
    'pose_and_scale_figure',
    'skeleton_figure',
]

Link = Tuple[int, int]


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


def inverse_scale(
    scale_maps: np.ndarray,
    placement: Placement,
    size: Tuple[int, int],
    keypoint: Optional[int],
) -> Tuple[np.ndarray, Tuple[float, float]]:
    """Compute the map 1/s of the paper's Figure 5, normalized to 0..1.

    Args:
        scale_maps (np.ndarray): ``alpha = 1/s - 1``, shape (K, h, w).
        placement (Placement): Position of the input.
        size (tuple): Size ``(W, H)`` of the image.
        keypoint (int, optional): Index of a keypoint; None for the mean over
            keypoints.

    Returns:
        tuple[np.ndarray, tuple[float, float]]: Map, shape (H, W), and the
        values of 1/s at 0 and 1. A constant map is 0 everywhere.
    """
    chosen = scale_maps if keypoint is None else scale_maps[[keypoint]]
    inverse = place(1 + chosen.mean(axis=0, dtype=np.float64), placement, size)
    low, high = float(inverse.min()), float(inverse.max())
    return (inverse - low) / max(high - low, 1e-12), (low, high)


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
) -> np.ndarray:
    """Draw the skeletons of people, one colour per person.

    Args:
        image (np.ndarray): uint8, shape (H, W, 3).
        keypoints (np.ndarray): Keypoints in pixels, shape (N, K, 2).
        scores (np.ndarray): Keypoint scores, shape (N, K).
        links (Sequence[tuple]): Skeleton edges, pairs of keypoint indices.
        threshold (float): Score above which keypoints are drawn. Defaults to
            0.1.

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
    return canvas


def pose_and_scale_figure(
    poses: np.ndarray,
    scale_maps: Optional[np.ndarray],
    placement: Placement,
    title: str,
    keypoint: Optional[int],
) -> Figure:
    """Plot poses beside the scale map, with a colour bar.

    Args:
        poses (np.ndarray): Image with poses, uint8, shape (H, W, 3).
        scale_maps (np.ndarray, optional): ``alpha``, shape (K, h, w); None
            for a model without scale branch.
        placement (Placement): Position of the input.
        title (str): Title of the poses.
        keypoint (int, optional): Keypoint of the scale map; None for the mean
            over keypoints.

    Returns:
        Figure: Matplotlib figure.
    """
    panels = 1 if scale_maps is None else 2
    height, width = poses.shape[:2]
    figure = Figure(figsize=(5.2 * panels, 5.2 * height / width + 0.6))
    axes = figure.subplots(1, panels, squeeze=False)[0]
    axes[0].imshow(poses)
    axes[0].set_title(title)
    if scale_maps is not None:
        values, (low, high) = inverse_scale(
            scale_maps, placement, (width, height), keypoint
        )
        mappable = axes[1].imshow(
            values * (high - low) + low, cmap='jet', vmin=low, vmax=high
        )
        axes[1].imshow(overlay(poses, values))
        axes[1].set_title('1/s (red: narrower Gaussians)')
        figure.colorbar(mappable, ax=axes[1], fraction=0.04)
    for axis in axes:
        axis.axis('off')
    figure.tight_layout()
    return figure


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
