# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Geometric transforms of the bottom-up pipeline, over :mod:`.geometry`.

N people, K keypoints; sizes are ``(w, h)``, points ``(x, y)`` in pixels.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from swahr_mmpose.datasets.seeding import random_of

from . import geometry
from .loss_mask import loss_mask, valid_region

__all__ = [
    'BottomupGetLossMask',
    'BottomupPyramidResize',
    'BottomupRandomSquareAffine',
]


@TRANSFORMS.register_module()
class BottomupRandomSquareAffine(BaseTransform):
    """Cut a random, rotated square of the image and mirror it at random.

    The official augmentation: the square's side is the image's short side
    times a uniform factor; its centre moves by whole pixels, by up to a fifth
    of the side; black where it leaves the image.

    Required Keys: ``img``, ``flip_indices``; optional ``keypoints``,
    ``keypoints_visible``, ``bbox``.
    Modified Keys: those.  ``bbox`` becomes the box around its corners.
    Added Keys: ``input_size``, ``warp_mat`` (2, 3) before mirroring,
    ``flip``, ``flip_direction``; with ``bbox`` also ``person_width`` (N,),
    in pixels of the output, of the boxes before they are rotated.

    Args:
        input_size (tuple): Square size of the output, ``(w, h)``.
        rotation (float): Largest rotation to either side, degrees.
        scale (tuple): Range of the factor; the paper says (0.75, 1.25), the
            released configs (0.75, 1.5).
        translation (float): Largest shift, where 200 is the square's side.
        flip_prob (float): Probability to mirror.
        scale_type (str): ``'short'`` or ``'long'`` side of the image.
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
        self.side_of = min if scale_type == 'short' else max

    def draw(
        self, height: int, width: int, random: Any = np.random
    ) -> Tuple[np.ndarray, bool]:
        """Draw a matrix and whether to mirror."""
        side = self.side_of(height, width) * random.uniform(*self.scale)
        rotation = random.uniform(-self.rotation, self.rotation)
        # Both ends are truncated, as officially: integers in [-a, a - 1].
        reach = int(self.translation * side / 200)
        shift = random.randint(-reach, reach, 2) if reach else np.zeros(2)
        center = [width / 2 + float(shift[0]), height / 2 + float(shift[1])]
        matrix = geometry.square_affine_matrix(
            center, side, rotation, self.input_size[0]
        )
        return matrix, bool(random.random() < self.flip_prob)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Draw a transformation and apply it."""
        height, width = results['img'].shape[:2]
        matrix, flip = self.draw(height, width, random_of(results))
        return self.apply(results, matrix, flip)

    def apply(
        self, results: Dict[str, Any], matrix: np.ndarray, flip: bool
    ) -> Dict[str, Any]:
        """Apply one transformation to everything in ``results``."""
        results['img'] = cv2.warpAffine(
            results['img'], matrix, self.input_size
        )
        if 'keypoints' in results:
            results['keypoints'] = geometry.apply_affine(
                results['keypoints'], matrix
            )
        if 'bbox' in results:
            boxes, zoom = results['bbox'], geometry.zoom_of(matrix)
            results['person_width'] = (boxes[:, 2] - boxes[:, 0]) * zoom
            results['bbox'] = _warp_boxes(boxes, matrix)
        if flip:
            self._mirror(results)
        results.update(
            flip=flip,
            flip_direction='horizontal' if flip else None,
            input_size=self.input_size,
            warp_mat=matrix,
        )
        return results

    def _mirror(self, results: Dict[str, Any]) -> None:
        last = self.input_size[0] - 1
        results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
        if 'keypoints' in results:
            order = list(results['flip_indices'])
            keypoints = results['keypoints'][:, order]
            keypoints[..., 0] = last - keypoints[..., 0]
            results['keypoints'] = keypoints
            results['keypoints_visible'] = results['keypoints_visible'][
                :, order
            ]
        if 'bbox' in results:
            boxes = results['bbox'].copy()
            boxes[:, [0, 2]] = last - boxes[:, [2, 0]]
            results['bbox'] = boxes


def _warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of ``x1, y1, x2, y2`` around their warped corners."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    warped = geometry.apply_affine(corners, matrix)
    return np.concatenate(
        [warped.min(axis=1), warped.max(axis=1)], axis=1
    ).astype(np.float32)


@TRANSFORMS.register_module()
class BottomupGetLossMask(BaseTransform):
    """The mask of the heatmap loss, one per level, after ``GenerateTarget``.

    Own, because MMPose's ``BottomupGetHeatmapMask`` skips COCO's crowd
    regions (their run-length encoding) and samples on another grid.

    Required Keys: ``heatmaps`` (list), ``ori_shape``, ``warp_mat``, ``flip``,
    ``input_size``, ``raw_ann_info``.
    Added Keys: ``heatmap_mask``, a list of bool arrays (h, w), False on crowd
    regions, on people without keypoints and outside the image.

    Args:
        unbiased (bool): As for the codec: the exact convention.
    """

    def __init__(self, unbiased: bool = False) -> None:
        self.unbiased = unbiased

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Make ``results['heatmap_mask']``."""
        height, width = results['ori_shape'][:2]
        annotations = [a for a in results.get('raw_ann_info') or () if a]
        try:
            region = valid_region(annotations, (width, height))
        except Exception as error:  # pycocotools raises errors of many kinds
            raise ValueError(
                f'image {results.get("img_path")}: a segmentation cannot be '
                f'read ({type(error).__name__}: {error}); find and correct '
                'it with tools/dataset_tools/check_dataset.py'
            ) from error
        masks: List[np.ndarray] = []
        for heatmaps in results['heatmaps']:
            size = (heatmaps.shape[2], heatmaps.shape[1])
            matrix = geometry.scaled_matrix(
                results['warp_mat'], results['input_size'], size, self.unbiased
            )
            masks.append(loss_mask(region, matrix, size, results['flip']))
        results['heatmap_mask'] = masks
        return results


@TRANSFORMS.register_module()
class BottomupPyramidResize(BaseTransform):
    """Resize a test image to one or more scales, short side to the input's.

    Required Keys: ``img``.
    Modified Keys: ``img`` becomes a list, largest scale first, where there is
    more than one scale.
    Added Keys: ``input_size`` (of scale 1), ``input_center`` and
    ``input_scale`` (where it lies in the image), ``pyramid_scales``.

    Args:
        input_size (tuple): Input size of training, ``(w, h)``.
        scales (Sequence[float]): Of the pyramid; 1 must be one of them.
        unbiased (bool): As for the codec: the exact convention.
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
                'scales must be positive and hold 1.0, whose tags group the '
                f'people, got {list(scales)}'
            )
        self.side = int(input_size[0])
        self.scales = sorted({float(s) for s in scales}, reverse=True)
        self.unbiased = unbiased

    def _levels(self, image_size: Tuple[int, int]) -> List[geometry.Resized]:
        return [
            geometry.resized_geometry(
                image_size, self.side, scale, self.scales[-1], self.unbiased
            )
            for scale in self.scales
        ]

    def input_size_of(self, image_size: Tuple[int, int]) -> Tuple[int, int]:
        """``input_size`` of an image of size ``(w, h)``."""
        return self._levels(image_size)[self.scales.index(1.0)].size

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Resize ``results['img']``."""
        image = results['img']
        levels = self._levels((image.shape[1], image.shape[0]))
        images = [
            geometry.resize_image(image, level, self.unbiased)
            for level in levels
        ]
        base = levels[self.scales.index(1.0)]
        # Officially centre and extent of the last level count.
        placed = base if self.unbiased else levels[-1]
        results.update(
            img=images[0] if len(images) == 1 else images,
            input_size=base.size,
            input_center=np.array(placed.center, np.float32),
            input_scale=np.array(placed.extent, np.float64),
            pyramid_scales=self.scales,
        )
        return results
