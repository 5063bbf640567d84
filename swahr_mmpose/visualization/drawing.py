# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Poses and scale maps as pictures.

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
    """Where the network's input lies in the image, as its metainfo says.

    ``input_size`` is ``(w, h)``; its middle is at ``center`` of the image, of
    which it covers ``extent`` pixels.
    """

    input_size: Tuple[int, int]
    center: np.ndarray
    extent: np.ndarray


def place(
    values: np.ndarray, placement: Placement, size: Tuple[int, int]
) -> np.ndarray:
    """A map over the network's input as a map over the image.

    Args:
        values (np.ndarray): Shape (h, w), any stride of the input.
        placement (Placement): Of the input.
        size (tuple): Size ``(W, H)`` of the image.

    Returns:
        np.ndarray: Shape (H, W).
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
    keypoint: Optional[int] = None,
) -> Tuple[np.ndarray, Tuple[float, float]]:
    """The map of Figure 5: 1/s, mean over keypoints, between 0 and 1.

    Args:
        scale_maps (np.ndarray): alpha = 1/s - 1, shape (K, h, w).
        placement (Placement): Of the input.
        size (tuple): Size ``(W, H)`` of the image.
        keypoint (int, optional): Of which; ``None``: the mean over all.

    Returns:
        tuple[np.ndarray, tuple[float, float]]: Shape (H, W), and the values
        of 1/s that 0 and 1 stand for.  A constant map is 0 everywhere.
    """
    chosen = scale_maps if keypoint is None else scale_maps[[keypoint]]
    inverse = place(1 + chosen.mean(axis=0, dtype=np.float64), placement, size)
    low, high = float(inverse.min()), float(inverse.max())
    return (inverse - low) / max(high - low, 1e-12), (low, high)


def overlay(
    image: np.ndarray, values: np.ndarray, opacity: float = 0.6
) -> np.ndarray:
    """Colour values between 0 (blue) and 1 (red) over an image.

    Args:
        image (np.ndarray): uint8 (H, W, 3).
        values (np.ndarray): Shape (H, W).
        opacity (float): Of the colours.

    Returns:
        np.ndarray: uint8 (H, W, 3).
    """
    colours = colormaps['jet'](values)[..., :3] * 255
    mixed = opacity * colours + (1 - opacity) * image
    return mixed.round().astype(np.uint8)


def draw_poses(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    links: Sequence[Link],
    threshold: float = 0.1,
) -> np.ndarray:
    """Draw skeletons, each person in a colour of its own.

    Args:
        image (np.ndarray): uint8 (H, W, 3).
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        scores (np.ndarray): Shape (N, K); only what scores more than the
            threshold is drawn.
        links (Sequence[tuple]): Pairs of keypoints.
        threshold (float): See ``scores``.

    Returns:
        np.ndarray: A new image, uint8 (H, W, 3).
    """
    canvas = image.copy()
    width = max(1, round(min(image.shape[:2]) / 200))
    for n, (person, score) in enumerate(zip(keypoints, scores)):
        colour = tuple(255 * c for c in colormaps['tab10'](n % 10)[:3])
        points = person.round().astype(int)
        seen = score > threshold
        for a, b in links:
            if seen[a] and seen[b]:
                ends = points[a].tolist(), points[b].tolist()
                cv2.line(canvas, *ends, colour, width, cv2.LINE_AA)
        for point in points[seen].tolist():
            cv2.circle(canvas, point, width + 1, colour, -1, cv2.LINE_AA)
    return canvas


def pose_and_scale_figure(
    poses: np.ndarray,
    scale_maps: Optional[np.ndarray],
    placement: Placement,
    title: str = '',
    keypoint: Optional[int] = None,
) -> Figure:
    """Poses beside the scale map, with a colour bar.

    Args:
        poses (np.ndarray): Picture of the poses, uint8 (H, W, 3).
        scale_maps (np.ndarray, optional): alpha, shape (K, h, w); ``None``
            for a model without scale branch.
        placement (Placement): Of the input.
        title (str): Above the picture.
        keypoint (int, optional): Whose scale map; ``None``: the mean.

    Returns:
        Figure: Of matplotlib, without a window.
    """
    panels = 1 if scale_maps is None else 2
    height, width = poses.shape[:2]
    figure = Figure(figsize=(5.2 * panels, 5.2 * height / width + 0.6))
    axes = figure.subplots(1, panels, squeeze=False)[0]
    axes[0].imshow(poses)
    axes[0].set_title(title or 'poses')
    if scale_maps is not None:
        values, (low, high) = inverse_scale(
            scale_maps, placement, (width, height), keypoint
        )
        shown = axes[1].imshow(
            values * (high - low) + low, cmap='jet', vmin=low, vmax=high
        )
        axes[1].imshow(overlay(poses, values))
        axes[1].set_title('1/s: red asks for narrower Gaussians')
        figure.colorbar(shown, ax=axes[1], fraction=0.04)
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
    """A skeleton on a sample and as the mean pose, each keypoint named.

    Args:
        image (np.ndarray): uint8 (H, W, 3).
        keypoints (np.ndarray): ``(x, y, v)`` of an instance, shape (K, 3).
        mean_pose (np.ndarray): Shape (K, 2), any unit.
        labels (Sequence[str]): Of the keypoints.
        links (Sequence[tuple]): Pairs of keypoints.
        colours (Sequence): RGB of the keypoints, 0 to 255.

    Returns:
        Figure: Of matplotlib, without a window.
    """
    figure = Figure(figsize=(12, 6))
    sample, mean = figure.subplots(1, 2)
    sample.imshow(image)
    seen = keypoints[:, 2] > 0
    everywhere = np.ones(len(mean_pose), bool)
    for axis, points, shown, title in (
        (sample, keypoints[:, :2], seen, 'an instance'),
        (mean, mean_pose, everywhere, 'mean pose, numbers: order of grouping'),
    ):
        _draw_named(axis, points, shown, labels, links, colours)
        axis.set_title(title)
        axis.axis('off')
    low, high = _frame(keypoints[seen, :2], image)
    sample.set_xlim(low[0], high[0])
    sample.set_ylim(high[1], low[1])
    mean.set_aspect('equal')
    mean.margins(0.2)
    mean.invert_yaxis()
    figure.tight_layout()
    return figure


def _frame(
    points: np.ndarray, image: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Corners of a square around points (M, 2), inside the image."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(0.7 * float((high - low).max()), 16.0)
    centre, last = (low + high) / 2, np.array(image.shape[1::-1]) - 0.5
    return np.maximum(centre - half, -0.5), np.minimum(centre + half, last)


def _draw_named(
    axis: Any,
    points: np.ndarray,
    shown: np.ndarray,
    labels: Sequence[str],
    links: Sequence[Link],
    colours: Sequence[Sequence[int]],
) -> None:
    for a, b in links:
        if shown[a] and shown[b]:
            axis.plot(*points[[a, b]].T, color='0.6', linewidth=2, zorder=1)
    shades = np.array(colours, float)[shown] / 255
    axis.scatter(*points[shown].T, c=shades, edgecolors='k', s=40, zorder=2)
    for k in np.flatnonzero(shown):
        axis.annotate(
            labels[k],
            points[k],
            xytext=(5, 5),
            textcoords='offset points',
            fontsize=9,
            bbox=dict(facecolor='white', alpha=0.7, linewidth=0, pad=1),
        )
