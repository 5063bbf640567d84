# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Geometric transforms of the bottom-up pipeline.

Pipeline steps around the functions of :mod:`.geometry` and :mod:`.loss_mask`.
N people, K keypoints; sizes are ``(w, h)``, points ``(x, y)`` in pixels.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from swahr_mmpose.datasets.seeding import get_rng
from swahr_mmpose.utils.flip_marker import make_flip_marker

from . import geometry
from .loss_mask import valid_region, warp_loss_mask
from .placement import (
    AffineRecord,
    find_placement,
    get_image_size,
    is_stored_image,
    prepend_flips,
)

__all__ = [
    'BottomupGetLossMask',
    'BottomupPyramidResize',
    'BottomupRandomSquareAffine',
]


@TRANSFORMS.register_module()
class BottomupRandomSquareAffine(BaseTransform):
    """Crop a random, rotated square of the image and flip it at random.

    The augmentation of the official implementation.  The side of the square
    is the short side of the image times a uniform random factor.  Its centre
    is shifted from the image centre by whole pixels, by up to ``translation /
    200`` of the side in x and y.  Pixels outside the image are black.

    Required Keys: ``img``, ``flip_indices``; optional ``keypoints``,
    ``keypoints_visible``, ``bbox``.
    Modified Keys: the same, except ``flip_indices``.  ``bbox`` becomes the
    axis-aligned box around its transformed corners.
    Added Keys: ``input_size``, ``warp_mat`` (2, 3) from the stored image,
    before the flip, ``flip``, ``flip_direction``, ``img_mask`` (a marker that
    later flips of MMPose flip too), ``square_affine``; with ``bbox`` also
    ``person_width`` (N,), the widths of the boxes before rotation, in output
    pixels.

    Args:
        input_size (tuple): Output size ``(w, h)`` in pixels, a square.
        rotation (float): Maximum rotation in degrees, in both directions.
            Defaults to 30.
        scale (tuple): Range ``(low, high)`` of the factor.  The paper gives
            (0.75, 1.25), the released configs (0.75, 1.5).  Defaults to
            (0.75, 1.5).
        translation (float): Maximum shift in 1/200 of the square's side.
            Defaults to 40, a fifth of the side.
        flip_prob (float): Probability of a horizontal flip.  Defaults to 0.5.
        scale_type (str): Side of the image that the factor multiplies,
            ``'short'`` or ``'long'``.  Defaults to ``'short'``.

    Raises:
        ValueError: If ``input_size`` is not square, ``scale`` is not an
            ascending range of positive numbers, or ``scale_type`` is unknown.
    """

    def __init__(
        self,
        input_size: Tuple[int, int],
        rotation: float = 30,
        scale: Tuple[float, float] = (0.75, 1.5),
        translation: float = 40,
        flip_prob: float = 0.5,
        scale_type: str = 'short',
    ) -> None:
        if input_size[0] != input_size[1]:
            raise ValueError(f'input_size must be square, got {input_size}')
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(
                f'scale must be (low, high) with 0 < low <= high, got {scale}'
            )
        if scale_type not in ('short', 'long'):
            raise ValueError(
                f"scale_type must be 'short' or 'long', got {scale_type!r}"
            )
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.rotation = rotation
        self.scale = scale
        self.translation = translation
        self.flip_prob = flip_prob
        self.select_side = min if scale_type == 'short' else max

    def draw(
        self, height: int, width: int, rng: Any
    ) -> Tuple[np.ndarray, bool]:
        """Draw a random transformation.

        Args:
            height (int): Height of the image in pixels.
            width (int): Width of the image in pixels.
            rng (np.random.RandomState | module): Random number generator, or
                the module ``np.random``.

        Returns:
            tuple[np.ndarray, bool]: Matrix (2, 3) from the image to the
            output before the flip, and whether to flip.
        """
        side = self.select_side(height, width) * rng.uniform(*self.scale)
        rotation = rng.uniform(-self.rotation, self.rotation)
        # As in the official implementation, the bound is truncated and the
        # upper end excluded: integers in [-bound, bound - 1].
        bound = int(self.translation * side / 200)
        shift = rng.randint(-bound, bound, 2) if bound else np.zeros(2)
        center = [width / 2 + float(shift[0]), height / 2 + float(shift[1])]
        matrix = geometry.square_affine_matrix(
            center, side, rotation, self.input_size[0]
        )
        return matrix, bool(rng.random() < self.flip_prob)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Draw a transformation and apply it to ``results``."""
        height, width = results['img'].shape[:2]
        matrix, flip = self.draw(height, width, get_rng(results))
        return self.apply(results, matrix, flip)

    def apply(
        self, results: Dict[str, Any], matrix: np.ndarray, flip: bool
    ) -> Dict[str, Any]:
        """Apply a transformation to image, keypoints and boxes.

        Args:
            results (dict): Results dict of the pipeline, modified in place.
            matrix (np.ndarray): Matrix (2, 3) from the image to the output.
            flip (bool): Whether to flip horizontally afterwards.

        Returns:
            dict: ``results`` with the keys listed for the class.
        """
        record = AffineRecord(
            prepend_flips(matrix, results),
            self.input_size,
            is_stored_image(results),
        )
        results['img'] = cv2.warpAffine(
            results['img'], matrix, self.input_size
        )
        if 'keypoints' in results:
            results['keypoints'] = geometry.apply_affine(
                results['keypoints'], matrix
            )
        if 'bbox' in results:
            boxes, scale = results['bbox'], geometry.scale_factor(matrix)
            results['bbox'] = _warp_boxes(boxes, matrix)
            results['person_width'] = (boxes[:, 2] - boxes[:, 0]) * scale
        if flip:
            self._flip(results)
        results.update(
            flip=flip,
            flip_direction='horizontal' if flip else None,
            img_mask=make_flip_marker(flip),
            input_size=self.input_size,
            warp_mat=record.matrix,
            square_affine=record,
        )
        return results

    def _flip(self, results: Dict[str, Any]) -> None:
        """Flip image, keypoints and boxes horizontally, in place."""
        last = self.input_size[0] - 1
        results['img'] = cv2.flip(results['img'], 1)
        if 'keypoints' in results:
            order = _get_flip_order(results)
            keypoints = results['keypoints'][:, order]
            keypoints[..., 0] = last - keypoints[..., 0]
            results['keypoints'] = keypoints
            visible = results['keypoints_visible']
            results['keypoints_visible'] = visible[:, order]
        if 'bbox' in results:
            boxes = results['bbox'].copy()
            boxes[:, [0, 2]] = last - boxes[:, [2, 0]]
            results['bbox'] = boxes


def _get_flip_order(results: Dict[str, Any]) -> List[int]:
    """Return ``flip_indices``; raise ValueError if they do not fit."""
    order, number = (
        list(results['flip_indices']),
        results['keypoints'].shape[1],
    )
    if len(order) != number:
        raise ValueError(
            f'got {len(order)} flip_indices for {number} keypoints (image '
            f'{results.get("img_path")}); after KeypointConverter, flip in '
            "the pipeline of CombinedDataset, which has the target's metainfo"
        )
    return order


def _warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Enclose the transformed corners of boxes (N, 4) in xyxy format."""
    if boxes.shape[1:] != (4,):
        raise ValueError(
            f'got boxes of shape {boxes.shape}, expected (N, 4), xyxy; '
            'BottomupRandomAffine makes corners: use it or '
            'BottomupRandomSquareAffine, not both'
        )
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    warped = geometry.apply_affine(corners, matrix)
    return np.concatenate(
        [warped.min(axis=1), warped.max(axis=1)], axis=1
    ).astype(np.float32)


@TRANSFORMS.register_module()
class BottomupGetLossMask(BaseTransform):
    """Make the mask of the heatmap loss for each level.

    Runs after ``GenerateTarget``.  It replaces ``BottomupGetHeatmapMask`` of
    MMPose, which skips COCO's crowd regions (run-length encoded masks) and
    samples on another grid.  Flips of MMPose's ``RandomFlip`` before and
    after ``BottomupRandomSquareAffine`` are followed; other geometric
    transforms beside it are refused.

    Required Keys: ``ori_shape``; optional ``heatmaps``, ``raw_ann_info`` (or
    MMPose's ``invalid_segs``), ``warp_mat`` and ``input_size``, ``flip`` and
    ``flip_direction``.
    Added Keys: ``heatmap_mask``, a list of bool arrays (h, w) for a list of
    heatmaps, else one array; ``False`` in crowd regions, on people without
    labelled keypoints and outside the image.  Without ``heatmaps`` it has the
    size of the image.

    Args:
        unbiased (bool): Whether to use the exact coordinate convention; must
            be the same as for the codec.  Defaults to ``False``.
    """

    def __init__(self, unbiased: bool = False) -> None:
        self.unbiased = unbiased

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Add ``results['heatmap_mask']``.

        Raises:
            ValueError: If a segmentation cannot be decoded, or the image was
                moved by transforms that cannot be followed.
        """
        region = _decode_valid_region(results)
        matrix, input_size, flips = find_placement(results)
        heatmaps = results.get('heatmaps')
        if heatmaps is None:
            sizes = [input_size]
        else:
            levels = heatmaps if isinstance(heatmaps, list) else [heatmaps]
            sizes = [(level.shape[2], level.shape[1]) for level in levels]
        masks = [
            warp_loss_mask(
                region,
                geometry.scale_matrix(matrix, input_size, size, self.unbiased),
                size,
                *flips,
            )
            for size in sizes
        ]
        several = isinstance(heatmaps, list)
        results['heatmap_mask'] = masks if several else masks[0]
        return results


def _decode_valid_region(results: Dict[str, Any]) -> np.ndarray:
    """Return the valid region of the image; name the file in errors."""
    size = get_image_size(results)
    try:
        return valid_region(_list_annotations(results), size)
    except Exception as error:  # pycocotools raises errors of many kinds
        raise ValueError(
            f'image {results.get("img_path")}: a segmentation cannot be '
            f'decoded ({type(error).__name__}: {error}); find it with '
            'tools/dataset_tools/check_dataset.py and correct it'
        ) from error


def _list_annotations(results: Dict[str, Any]) -> List[dict]:
    """List the annotations of an image, from MMPose's keys."""
    annotations = results.get('raw_ann_info')
    if isinstance(annotations, dict):
        return [annotations]
    if annotations is None:
        return [
            dict(iscrowd=1, segmentation=segmentation)
            for segmentation in results.get('invalid_segs') or ()
        ]
    return [a for a in annotations if a]


@TRANSFORMS.register_module()
class BottomupPyramidResize(BaseTransform):
    """Resize a test image to one or more scales.

    At scale 1 the short side becomes ``input_size``, and both sides are
    multiples of 64, see :func:`.geometry.resized_geometry`.

    Required Keys: ``img``.
    Modified Keys: ``img``; with more than one scale it becomes a list,
    largest scale first.
    Added Keys: ``input_size`` (of scale 1), ``input_center`` and
    ``input_scale`` (centre and extent of the input in the image, in pixels),
    ``pyramid_scales``.

    Args:
        input_size (tuple): Input size ``(w, h)`` of training, a square.
        scales (Sequence[float]): Scales of the pyramid; must include 1.
            Defaults to (1.0,).
        unbiased (bool): Whether to use the exact coordinate convention; must
            be the same as for the codec.  Defaults to ``False``.

    Raises:
        ValueError: If ``input_size`` is not square, a scale is not positive,
            or 1 is not among the scales.
    """

    def __init__(
        self,
        input_size: Tuple[int, int],
        scales: Sequence[float] = (1.0,),
        unbiased: bool = False,
    ) -> None:
        if input_size[0] != input_size[1]:
            raise ValueError(f'input_size must be square, got {input_size}')
        if 1 not in scales or min(scales) <= 0:
            raise ValueError(
                'scales must be positive and include 1.0, at which people '
                f'are grouped, got {list(scales)}'
            )
        self.side = int(input_size[0])
        self.scales = sorted({float(s) for s in scales}, reverse=True)
        self.unbiased = unbiased

    def _compute_levels(
        self, image_size: Tuple[int, int]
    ) -> List[geometry.Resized]:
        """Compute the geometry of each scale, largest first."""
        return [
            geometry.resized_geometry(
                image_size, self.side, scale, self.scales[-1], self.unbiased
            )
            for scale in self.scales
        ]

    def get_input_size(self, image_size: Tuple[int, int]) -> Tuple[int, int]:
        """Return ``input_size`` for an image of size ``(w, h)``."""
        return self._compute_levels(image_size)[self.scales.index(1.0)].size

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Resize ``results['img']`` and add its geometry."""
        image = results['img']
        levels = self._compute_levels((image.shape[1], image.shape[0]))
        images = [
            geometry.resize_image(image, level, self.unbiased)
            for level in levels
        ]
        base = levels[self.scales.index(1.0)]
        # The official implementation uses centre and extent of the smallest
        # scale.
        placement = base if self.unbiased else levels[-1]
        results.update(
            img=images[0] if len(images) == 1 else images,
            input_size=base.size,
            input_center=np.array(placement.center, np.float32),
            input_scale=np.array(placement.extent, np.float64),
            pyramid_scales=self.scales,
        )
        return results
