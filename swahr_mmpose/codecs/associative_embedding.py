# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Codec: encode keypoints to targets, decode heatmaps and tags to people.

B images, N people, K keypoints, L tag dimensions.  Keypoints are ``(x, y)`` in
pixels of the network input, which has the size ``input_size = (w, h)``.
Targets are maps of ``heatmap_sizes``, coarse to fine.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from swahr_mmpose.utils.flip_marker import read_flips

from . import assignment, decoding, gaussian_targets, grouping

__all__ = ['ScaleAwareAssociativeEmbedding']

Size = Tuple[int, int]
Decoded = Tuple[List[np.ndarray], List[np.ndarray], List[np.ndarray]]


@KEYPOINT_CODECS.register_module()
class ScaleAwareAssociativeEmbedding(BaseKeypointCodec):
    """Multi-resolution heatmaps with associative embedding.

    Defines all sizes: head, transforms and tools take them from the codec.

    Encoded:

        - heatmaps (list[np.ndarray]): float32 (K, h, w), one per level; with
          ``sparse_heatmaps=True`` a :class:`SparseHeatmap` each
        - keypoint_indices (np.ndarray): int64 (N, K, 2), ``[y * w + x,
          valid]`` on the first, coarsest level
        - keypoints_visible_weights (np.ndarray): (N, K), 0 where a keypoint
          is not annotated; only if the pipeline has it

    As in the official implementation, crowd annotations without labelled
    keypoints are not encoded: their keypoints are those of no person.

    ``unbiased=False`` is the convention of the official implementation: input
    coordinates are divided by the stride and truncated, a horizontal flip is
    applied on each level separately, and decoding adds half a cell.
    ``unbiased=True`` is exact: cell centres keep their image coordinates in
    both directions, and ``decode(encode(keypoints))`` returns separate
    keypoints to within a hundredth of a cell.

    Args:
        input_size (tuple): Input size ``(w, h)`` in pixels.
        heatmap_sizes (Sequence[tuple]): Heatmap sizes ``(w, h)`` in cells,
            coarse to fine.
        sigma (float): Standard deviation of the Gaussians in cells of each
            level, sigma_0 of the paper. Defaults to 2.
        person_scale (dict, optional): Enables SHR, the naive baseline of
            Table 4: sigma of a person is multiplied by ``max(width /
            base_width, min_scale)``, with the keys ``base_width`` (default
            256) and ``min_scale`` (default 1/16). The width is that of the
            bounding box in input pixels, before the augmentation rotates it.
            Defaults to ``None``: the same sigma for all people.
        unbiased (bool): Whether to use the exact coordinate convention.
            Defaults to ``False``.
        decode_keypoint_order (Sequence[int]): Order in which keypoints are
            grouped, torso first; a permutation of 0 to K - 1.
        decode_nms_kernel (int): Window size of non-maximum suppression in
            cells; odd. Defaults to 5.
        decode_keypoint_thr (float): Score that a candidate must exceed.
            Defaults to 0.1.
        decode_tag_thr (float): Tag distance from which a candidate belongs to
            another person. Defaults to 1.
        decode_topk (int): Maximum number of candidates per keypoint, and of
            people that take part in the matching. Defaults to 30.
        decode_max_instances (int, optional): Maximum number of people per
            image, by instance score. Defaults to ``None``, all.
        decode_assignment (str): Choice among assignments of equal cost:
            ``'nearest'``, the one with the smallest tag distances, or
            ``'official'``, that of the official implementation. Defaults to
            ``'nearest'``.
        decode_fill_missing (bool): Whether a keypoint without a peak is
            placed at the cell that fits its person best. Defaults to
            ``True``.
        sparse_heatmaps (bool): Whether to encode heatmaps as their non-zero
            cells, which is faster. ``BottomupPackInputs`` accepts both,
            MMPose's ``PackPoseInputs`` arrays alone. Defaults to ``False``;
            the configs of this package have ``True``.

    Raises:
        ValueError: If sizes or decoding options are invalid.
    """

    auxiliary_encode_keys = {
        'flip',
        'flip_direction',
        'img_mask',
        'input_size',
        'iscrowd',
        'keypoints_visible_weights',
        'num_keypoints',
        'person_width',
    }
    field_mapping_table = dict(
        heatmaps='heatmaps', heatmap_mask='heatmap_mask'
    )
    label_mapping_table = dict(
        keypoint_indices='keypoint_indices',
        keypoints_visible_weights='keypoints_visible_weights',
    )

    def __init__(
        self,
        input_size: Size,
        heatmap_sizes: Sequence[Size],
        sigma: float = 2.0,
        person_scale: Optional[dict] = None,
        unbiased: bool = False,
        decode_keypoint_order: Sequence[int] = (),
        decode_nms_kernel: int = 5,
        decode_keypoint_thr: float = 0.1,
        decode_tag_thr: float = 1.0,
        decode_topk: int = 30,
        decode_max_instances: Optional[int] = None,
        decode_assignment: str = 'nearest',
        decode_fill_missing: bool = True,
        sparse_heatmaps: bool = False,
    ) -> None:
        super().__init__()
        self.input_size: Size = (int(input_size[0]), int(input_size[1]))
        self.heatmap_sizes: list[Size] = [
            (int(w), int(h)) for w, h in heatmap_sizes
        ]
        self.sigma = sigma
        self.person_scale = person_scale
        self.unbiased = unbiased
        self.decode_keypoint_order = list(decode_keypoint_order)
        self.decode_nms_kernel = decode_nms_kernel
        self.decode_keypoint_thr = decode_keypoint_thr
        self.decode_tag_thr = decode_tag_thr
        self.decode_topk = decode_topk
        self.decode_max_instances = decode_max_instances
        self.decode_assignment = decode_assignment
        self.decode_fill_missing = decode_fill_missing
        self.sparse_heatmaps = sparse_heatmaps
        _check_options(self)

    def to_cells(
        self, keypoints: np.ndarray, size: Size, flip: bool
    ) -> np.ndarray:
        """Convert keypoints from input pixels to cells of a level.

        Args:
            keypoints (np.ndarray): Input pixels, shape (N, K, 2).
            size (tuple): Heatmap size ``(w, h)`` in cells.
            flip (bool): Whether the image was flipped horizontally.

        Returns:
            np.ndarray: float64 cells, shape (N, K, 2).
        """
        stride = self.input_size[0] / size[0]
        points = np.asarray(keypoints, dtype=np.float64)
        if self.unbiased:
            return (points + 0.5) / stride - 0.5
        # The official implementation flips x to w - 1 - x on each level, which
        # is this much to the left of the flipped input coordinate.
        shift = (1 - 1 / stride) if flip else 0.0
        return points / stride - np.array([shift, 0.0])

    def encode(
        self,
        keypoints: np.ndarray,
        keypoints_visible: Optional[np.ndarray] = None,
        flip: Optional[bool] = None,
        input_size: Optional[Size] = None,
        person_width: Optional[np.ndarray] = None,
        iscrowd: Optional[Sequence[int]] = None,
        num_keypoints: Optional[Sequence[int]] = None,
        keypoints_visible_weights: Optional[np.ndarray] = None,
        img_mask: Optional[np.ndarray] = None,
        flip_direction: Optional[str] = None,
    ) -> dict:
        """Encode the people of one image.

        Args:
            keypoints (np.ndarray): Input pixels, shape (N, K, 2).
            keypoints_visible (np.ndarray, optional): Visibility, larger than
                0 where labelled, shape (N, K). Defaults to ``None``: all
                keypoints are labelled.
            flip (bool, optional): Whether the image was flipped, see
                ``flip_direction``.
            input_size (tuple, optional): Size ``(w, h)`` of the image that
                the pipeline made; must be that of the codec.
            person_width (np.ndarray, optional): Bounding box widths in input
                pixels, shape (N,); required with ``person_scale``.
            iscrowd (Sequence[int], optional): COCO's ``iscrowd``, N values.
                Defaults to ``None``: no crowds.
            num_keypoints (Sequence[int], optional): COCO's
                ``num_keypoints``, N values. Defaults to ``None``: as in
                ``keypoints_visible``.
            keypoints_visible_weights (np.ndarray, optional): Weights of
                MMPose's ``KeypointConverter``, 0 for keypoints that the
                dataset does not annotate, shape (N, K).
            img_mask (np.ndarray, optional): Flip marker of
                ``BottomupRandomSquareAffine``, which replaces ``flip``.
            flip_direction (str, optional): Direction of ``flip``. Defaults to
                ``None``, horizontal.

        Returns:
            dict: ``heatmaps``, ``keypoint_indices`` and, if given,
            ``keypoints_visible_weights``, see the class.

        Raises:
            ValueError: If ``input_size`` is not that of the codec,
                ``person_width`` is missing, or the crowd annotations cannot
                be found among the people.
        """
        if input_size is not None and tuple(input_size) != self.input_size:
            raise ValueError(
                f'the pipeline makes images of {tuple(input_size)}, but the '
                f'codec is for {self.input_size}; give both the same '
                'input_size (a child config must set the pipeline again when '
                'it changes the codec)'
            )
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2])
        people = select_people(keypoints_visible, iscrowd, num_keypoints)
        encoded = self._draw(
            np.asarray(keypoints)[people],
            np.asarray(keypoints_visible)[people],
            None if person_width is None else np.asarray(person_width)[people],
            read_flips(img_mask, flip, flip_direction).horizontal,
        )
        if keypoints_visible_weights is not None:
            weights = np.asarray(keypoints_visible_weights)[people]
            encoded['keypoints_visible_weights'] = weights
        return encoded

    def _draw(
        self,
        keypoints: np.ndarray,
        keypoints_visible: np.ndarray,
        person_width: Optional[np.ndarray],
        flip: bool,
    ) -> dict:
        """Draw the targets of all people, see :meth:`encode`."""
        sizes, unbiased = self.heatmap_sizes, self.unbiased
        cells = [self.to_cells(keypoints, s, flip) for s in sizes]
        draw: Any = gaussian_targets.draw_gaussians
        sigma: Any = self.sigma
        if self.person_scale is not None:
            draw = gaussian_targets.draw_scaled_gaussians
            sigma = self.sigma * gaussian_targets.compute_person_scales(
                person_width, **self.person_scale
            )
        maps = [
            draw(
                c,
                keypoints_visible,
                s,
                sigma,
                unbiased=unbiased,
                sparse=self.sparse_heatmaps,
            )
            for c, s in zip(cells, sizes)
        ]
        indices = gaussian_targets.keypoint_indices(
            cells[0], keypoints_visible, sizes[0], unbiased=unbiased
        )
        return dict(heatmaps=maps, keypoint_indices=indices)

    def decode(self, encoded: Tuple[Tensor, Tensor]) -> Tuple[Any, Any]:
        """Decode the maps of one image.

        Args:
            encoded (tuple[Tensor, Tensor]): Heatmaps (K, H, W) and tags
                (L*K, H, W) at input resolution.

        Returns:
            tuple[np.ndarray, np.ndarray]: float32 keypoints (N, K, 2) in
            input pixels and scores (N, K), see :meth:`batch_decode`.
        """
        heatmaps, tags = encoded
        keypoints, scores, _ = self.batch_decode(heatmaps[None], tags[None])
        return keypoints[0], scores[0]

    def batch_decode(
        self,
        batch_heatmaps: Tensor,
        batch_tags: Tensor,
        scale_factor: float = 1.0,
    ) -> Decoded:
        """Decode heatmaps and tags into people.

        Args:
            batch_heatmaps (Tensor): Shape (B, K, H, W).
            batch_tags (Tensor): L groups of K channels, shape (B, L*K, h, w);
                where smaller than the heatmaps, interpolated bilinearly.
            scale_factor (float): Input pixels per cell. Defaults to 1, maps
                at input resolution.

        Returns:
            tuple[list, list, list]: Keypoints, keypoint scores and instance
            scores of each image, see :meth:`decode_people`.

        Raises:
            ValueError: See :meth:`decode_people`.
        """
        people = self.decode_people(batch_heatmaps, batch_tags, scale_factor)
        return people.keypoints, people.scores, people.instance_scores

    @torch.no_grad()
    def decode_people(
        self,
        batch_heatmaps: Tensor,
        batch_tags: Tensor,
        scale_factor: float = 1.0,
    ) -> decoding.DecodedPeople:
        """Decode heatmaps and tags into people, with what was filled.

        NaN and infinity in heatmaps count as 0. A tag that is not finite
        belongs to no person. On a CPU the search for missing keypoints is
        bounded: where it would read more than 67 million cells of an image,
        some are placed at a good cell instead of the best one, with a
        warning.

        Args:
            batch_heatmaps (Tensor): Shape (B, K, H, W).
            batch_tags (Tensor): L groups of K channels, shape (B, L*K, h, w);
                where smaller than the heatmaps, interpolated bilinearly.
            scale_factor (float): Input pixels per cell. Defaults to 1, maps
                at input resolution.

        Returns:
            DecodedPeople: For each image float32 keypoints (N, K, 2) in input
            pixels, keypoint scores (N, K), instance scores (N,), the mean
            over all K keypoint scores before missing ones are filled, and the
            bool mask ``filled`` (N, K). A missing keypoint is (0, 0) with
            score 0.

        Raises:
            ValueError: If the shapes of heatmaps, tags and
                ``decode_keypoint_order`` do not match.
        """
        heatmaps = batch_heatmaps.float()
        tags = decoding.split_tags(
            heatmaps, batch_tags.float(), self.decode_keypoint_order
        )
        images = decoding.decode_maps(
            heatmaps, tags, self._get_options(scale_factor)
        )
        return decoding.DecodedPeople(
            [
                decoding.to_pixels(image, scale_factor, self.unbiased)
                for image in images
            ],
            [image.people.scores for image in images],
            [image.instance_scores for image in images],
            [image.filled for image in images],
        )

    def _get_options(self, scale_factor: float) -> grouping.DecodeOptions:
        """Collect the options of decoding."""
        step = None
        if self.unbiased:
            # Neighbours at the distance of one cell of the finest level:
            # between these the enlarged map has no further information.
            stride = self.input_size[0] / self.heatmap_sizes[-1][0]
            step = max(round(stride / scale_factor), 1)
        return grouping.DecodeOptions(
            keypoint_order=self.decode_keypoint_order,
            keypoint_threshold=self.decode_keypoint_thr,
            tag_threshold=self.decode_tag_thr,
            nms_kernel=self.decode_nms_kernel,
            topk=self.decode_topk,
            max_people=self.decode_max_instances,
            fill_missing=self.decode_fill_missing,
            assign=assignment.ASSIGNMENTS[self.decode_assignment],
            parabola_step=step,
        )


def select_people(
    keypoints_visible: np.ndarray,
    iscrowd: Optional[Sequence[int]],
    num_keypoints: Optional[Sequence[int]],
) -> np.ndarray:
    """Select the people of an image, as the official implementation does.

    Args:
        keypoints_visible (np.ndarray): Visibility, shape (N, K).
        iscrowd (Sequence[int], optional): COCO's ``iscrowd``, N values;
            ``None``: no crowds.
        num_keypoints (Sequence[int], optional): COCO's ``num_keypoints``, N
            values; ``None``: the number of visible keypoints.

    Returns:
        np.ndarray: bool (N,), ``False`` for crowd annotations without
        labelled keypoints.

    Raises:
        ValueError: If there is a crowd annotation, but not one value per
            person.
    """
    number = len(keypoints_visible)
    crowds = np.asarray(() if iscrowd is None else iscrowd, bool).reshape(-1)
    if not crowds.any():
        return np.ones(number, bool)
    if num_keypoints is None:
        num_keypoints = np.count_nonzero(keypoints_visible, axis=1)
    labelled = np.asarray(num_keypoints).reshape(-1) > 0
    if len(crowds) != number or len(labelled) != number:
        raise ValueError(
            f'got {len(crowds)} values of iscrowd and {len(labelled)} of '
            f'num_keypoints for {number} people; a transform before '
            'GenerateTarget has changed the people only: remove it, or the '
            'crowd annotations from the annotation file'
        )
    return ~crowds | labelled


def _check_options(codec: ScaleAwareAssociativeEmbedding) -> None:
    """Raise ValueError for inconsistent sizes or decoding options."""
    input_size, sizes = codec.input_size, codec.heatmap_sizes
    strides = [(input_size[0] / w, input_size[1] / h) for w, h in sizes]
    order, kernel = codec.decode_keypoint_order, codec.decode_nms_kernel
    for holds, message in (
        (
            strides and all(sx == sy for sx, sy in strides),
            f'each of heatmap_sizes {sizes} must be input_size {input_size} '
            'divided by the same stride in x and y; derive them from '
            'input_size, e.g. (w // 4, h // 4)',
        ),
        (
            strides == sorted(strides, reverse=True),
            f'heatmap_sizes must be increasing (coarse to fine), got {sizes}',
        ),
        (
            sorted(order) == list(range(len(order))),
            'decode_keypoint_order must contain each of 0 to '
            f'{len(order) - 1} once, got {order}',
        ),
        (kernel % 2 == 1, f'decode_nms_kernel must be odd, got {kernel}'),
        (
            codec.decode_keypoint_thr >= 0,
            'decode_keypoint_thr must not be negative, got '
            f'{codec.decode_keypoint_thr}',
        ),
        (
            codec.decode_assignment in assignment.ASSIGNMENTS,
            'decode_assignment must be one of '
            f'{list(assignment.ASSIGNMENTS)}, got {codec.decode_assignment!r}',
        ),
    ):
        if not holds:
            raise ValueError(message)
