# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decode heatmaps and tags into people, in input pixels.

Decoding has two forms with the same people: on a CPU
:mod:`.pruned_decoding`, which reads few cells, and on an accelerator
:mod:`.dense_decoding`, which has fixed shapes and few read-backs.

B images, N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

import numpy as np
from torch import Tensor

from . import dense_decoding, pruned_decoding
from .grouping import DecodedImage, DecodeOptions

__all__ = ['DecodedPeople', 'decode_maps', 'split_tags', 'to_pixels']


class DecodedPeople(NamedTuple):
    """People of B images; lists with one entry per image.

    Attributes:
        keypoints (list[np.ndarray]): float32 (N, K, 2) in input pixels;
            (0, 0) where a keypoint is missing.
        scores (list[np.ndarray]): float32 (N, K), 0 where a keypoint is
            missing.
        instance_scores (list[np.ndarray]): float32 (N,), the mean over all K
            keypoint scores before missing ones are filled.
        filled (list[np.ndarray]): bool (N, K), ``True`` for keypoints without
            a peak of their own, placed by the search for missing keypoints.
    """

    keypoints: List[np.ndarray]
    scores: List[np.ndarray]
    instance_scores: List[np.ndarray]
    filled: List[np.ndarray]


def decode_maps(
    heatmaps: Tensor, tags: Tensor, options: DecodeOptions
) -> List[DecodedImage]:
    """Decode maps, in the form for their device.

    Args:
        heatmaps (Tensor): float32, shape (B, K, H, W).
        tags (Tensor): float32, shape (B, L, K, h, w), with h <= H and
            w <= W.
        options (DecodeOptions): Options.

    Returns:
        list[DecodedImage]: People of each image, in cells.
    """
    if heatmaps.device.type == 'cpu':
        return pruned_decoding.decode_pruned(heatmaps, tags, options)
    return dense_decoding.decode_dense(heatmaps, tags, options)


def split_tags(
    heatmaps: Tensor, tags: Tensor, keypoint_order: Sequence[int]
) -> Tensor:
    """Check the shapes of the maps and split the tag channels.

    Args:
        heatmaps (Tensor): Shape (B, K, H, W).
        tags (Tensor): Shape (B, L*K, h, w), L groups of K channels, with
            h <= H and w <= W.
        keypoint_order (Sequence[int]): Grouping order, K keypoints.

    Returns:
        Tensor: View of the tags, shape (B, L, K, h, w).

    Raises:
        ValueError: If the order does not have K entries, or the tags have
            another number of channels or are larger than the heatmaps.
    """
    num_keypoints = heatmaps.shape[1]
    if len(keypoint_order) != num_keypoints:
        raise ValueError(
            f'decode_keypoint_order has {len(keypoint_order)} entries, but '
            f'the heatmaps have {num_keypoints} keypoints; set it in the codec'
        )
    larger = any(a > b for a, b in zip(tags.shape[2:], heatmaps.shape[2:]))
    if tags.shape[1] % num_keypoints or larger:
        raise ValueError(
            f'tags of shape {tuple(tags.shape)} do not match heatmaps of '
            f'shape {tuple(heatmaps.shape)}; expected (B, L*K, h, w) with '
            'h <= H and w <= W'
        )
    return tags.unflatten(1, (-1, num_keypoints))


def to_pixels(
    image: DecodedImage, scale_factor: float, unbiased: bool
) -> np.ndarray:
    """Convert refined cells to input pixels.

    Args:
        image (DecodedImage): People of one image.
        scale_factor (float): Input pixels per cell.
        unbiased (bool): Whether cell centres keep their input coordinates;
            ``False``: half a cell is added, as in the official
            implementation.

    Returns:
        np.ndarray: float32, shape (N, K, 2); (0, 0) for missing keypoints.
    """
    cells = image.people.cells.astype(np.float32) + image.shifts
    pixels = (cells + np.float32(0.5)) * np.float32(scale_factor)
    pixels -= np.float32(0.5 if unbiased else 0.0)
    return pixels * (image.people.scores > 0)[..., None]
