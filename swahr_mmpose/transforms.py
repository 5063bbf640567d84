# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The bottom-up pipeline: thin classes over :mod:`swahr_mmpose.geometry`.

N people, K keypoints; sizes are ``(w, h)``, points ``(x, y)`` in pixels.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpose.datasets.transforms.formatting import (PackPoseInputs,
                                                   image_to_tensor)
from mmpose.registry import TRANSFORMS

from . import geometry
from .imagefiles import is_cut_short

__all__ = [
    'BottomupGetLossMask', 'BottomupLoadImage', 'BottomupPackInputs',
    'BottomupPyramidResize', 'BottomupRandomSquareAffine'
]

@TRANSFORMS.register_module()
class BottomupLoadImage(BaseTransform):
    """Read the image as annotators saw it, or say which file is broken.

    EXIF orientation is ignored, as in COCO's annotations.  A file that is
    missing, unreadable or cut short ends in an error that names it.

    Required Keys: ``img_path``, or ``img`` to use an array.
    Added Keys: ``img``, ``img_shape``, ``ori_shape``.

    Args:
        backend_args (dict, optional): File backend of MMEngine.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Read the image into ``results['img']``, BGR uint8 (h, w, 3)."""
        if results.get('img') is None:
            results['img'] = self._read(results['img_path'])
        results.setdefault('img_path', None)
        results['img_shape'] = results['img'].shape[:2]
        results['ori_shape'] = results['img'].shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'image {path} does not exist; check data_root, data_prefix '
                'and the file names in the annotation file') from error
        image = None
        if content:
            image = mmcv.imfrombytes(content, flag='color_ignore_orientation')
        if image is None or is_cut_short(content):
            raise ValueError(
                f'image {path} ({len(content)} bytes) is not a complete image '
                'file; fetch it again or take it out of the annotation file')
        return image


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
    ``flip``, ``flip_direction``.

    Args:
        input_size (tuple): Square size of the output, ``(w, h)``.
        rotation (float): Largest rotation to either side, degrees.
        scale (tuple): Range of the factor; the paper says (0.75, 1.25), the
            released configs (0.75, 1.5).
        translation (float): Largest shift, where 200 is the square's side.
        flip_prob (float): Probability to mirror.
        scale_type (str): ``'short'`` or ``'long'`` side of the image.
    """

    def __init__(self,
                 input_size: Tuple[int, int],
                 rotation: float = 30,
                 scale: Tuple[float, float] = (0.75, 1.5),
                 translation: float = 40,
                 flip_prob: float = 0.5,
                 scale_type: str = 'short') -> None:
        if input_size[0] != input_size[1]:
            raise ValueError(f'input_size must be square, got {input_size}')
        if not 0 < scale[0] <= scale[1]:
            raise ValueError('scale must be (low, high) with 0 < low <= high, '
                             f'got {scale}')
        if scale_type not in ('short', 'long'):
            raise ValueError("scale_type must be 'short' or 'long', got "
                             f'{scale_type!r}')
        self.input_size = (int(input_size[0]), int(input_size[1]))
        self.rotation = rotation
        self.scale = scale
        self.translation = translation
        self.flip_prob = flip_prob
        self.side_of = min if scale_type == 'short' else max

    def draw(self, height: int, width: int) -> Tuple[np.ndarray, bool]:
        """Draw a matrix and whether to mirror."""
        side = self.side_of(height, width) * np.random.uniform(*self.scale)
        rotation = np.random.uniform(-self.rotation, self.rotation)
        # Both ends are truncated, as officially: integers in [-a, a - 1].
        reach = int(self.translation * side / 200)
        shift = np.random.randint(-reach, reach, 2) if reach else np.zeros(2)
        center = np.array([width / 2, height / 2]) + shift
        matrix = geometry.square_affine_matrix(center, side, rotation,
                                               self.input_size[0])
        return matrix, bool(np.random.random() < self.flip_prob)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Draw a transformation and apply it."""
        matrix, flip = self.draw(*results['img'].shape[:2])
        return self.apply(results, matrix, flip)

    def apply(self, results: Dict[str, Any], matrix: np.ndarray,
              flip: bool) -> Dict[str, Any]:
        """Apply one transformation to everything in ``results``."""
        results['img'] = cv2.warpAffine(results['img'], matrix,
                                        self.input_size)
        if 'keypoints' in results:
            results['keypoints'] = geometry.apply_affine(
                results['keypoints'], matrix)
        if 'bbox' in results:
            results['bbox'] = _warp_boxes(results['bbox'], matrix)
        if flip:
            self._mirror(results)
        results.update(
            flip=flip,
            flip_direction='horizontal' if flip else None,
            input_size=self.input_size,
            warp_mat=matrix)
        return results

    def _mirror(self, results: Dict[str, Any]) -> None:
        last = self.input_size[0] - 1
        results['img'] = np.ascontiguousarray(results['img'][:, ::-1])
        if 'keypoints' in results:
            order = list(results['flip_indices'])
            keypoints = results['keypoints'][:, order]
            keypoints[..., 0] = last - keypoints[..., 0]
            results['keypoints'] = keypoints
            results['keypoints_visible'] = results['keypoints_visible'][:,
                                                                        order]
        if 'bbox' in results:
            boxes = results['bbox'].copy()
            boxes[:, [0, 2]] = last - boxes[:, [2, 0]]
            results['bbox'] = boxes


def _warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of ``x1, y1, x2, y2`` around their warped corners."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    warped = geometry.apply_affine(corners, matrix)
    return np.concatenate([warped.min(axis=1), warped.max(axis=1)],
                          axis=1).astype(np.float32)


@TRANSFORMS.register_module()
class BottomupGetLossMask(BaseTransform):
    """The mask of the heatmap loss, one per level, after ``GenerateTarget``.

    Own, because MMPose's ``BottomupGetHeatmapMask`` skips COCO's crowd
    regions (their run-length encoding) and samples on another grid.

    Required Keys: ``heatmaps`` (list), ``ori_shape``, ``warp_mat``, ``flip``,
    ``input_size``, ``raw_ann_info``.
    Added Keys: ``heatmap_mask``, a list of bool arrays (h, w), False on crowd
    regions, on people without keypoints and outside the image.
    """

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Make ``results['heatmap_mask']``."""
        height, width = results['ori_shape'][:2]
        annotations = [a for a in results.get('raw_ann_info') or () if a]
        region = geometry.valid_region(annotations, (width, height))
        masks: List[np.ndarray] = []
        for heatmaps in results['heatmaps']:
            size = (heatmaps.shape[2], heatmaps.shape[1])
            matrix = geometry.scaled_matrix(results['warp_mat'],
                                            results['input_size'], size)
            masks.append(
                geometry.loss_mask(region, matrix, size, results['flip']))
        results['heatmap_mask'] = masks
        return results


@TRANSFORMS.register_module()
class BottomupPyramidResize(BaseTransform):
    """Resize a test image to one or more scales, short side to the input's.

    Required Keys: ``img``.
    Modified Keys: ``img`` becomes a list, largest scale first, where there is
    more than one scale.
    Added Keys: ``input_size`` (of scale 1), ``input_center`` and
    ``input_scale`` (of the smallest scale), ``pyramid_scales``.

    Args:
        input_size (tuple): Input size of training, ``(w, h)``.
        scales (Sequence[float]): Of the pyramid; 1 must be one of them.
    """

    def __init__(self,
                 input_size: Tuple[int, int],
                 scales: Sequence[float] = (1.0, )) -> None:
        if input_size[0] != input_size[1]:
            raise ValueError(f'input_size must be square, got {input_size}')
        if 1 not in scales or min(scales) <= 0:
            raise ValueError(
                'scales must be positive and hold 1.0, whose tags group the '
                f'people, got {list(scales)}')
        self.side = int(input_size[0])
        self.scales = sorted({float(s) for s in scales}, reverse=True)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Resize ``results['img']``."""
        image = results['img']
        levels = [
            geometry.resized_geometry((image.shape[1], image.shape[0]),
                                      self.side, scale, self.scales[-1])
            for scale in self.scales
        ]
        images = [
            cv2.warpAffine(image, geometry.resize_matrix(level), level.size)
            for level in levels
        ]
        results.update(
            img=images[0] if len(images) == 1 else images,
            input_size=levels[self.scales.index(1.0)].size,
            input_center=np.array(levels[-1].center, np.float32),
            input_scale=np.array(levels[-1].extent, np.float64),
            pyramid_scales=self.scales)
        return results


@TRANSFORMS.register_module()
class BottomupPackInputs(PackPoseInputs):
    """Pack a sample, also one whose image is a pyramid.

    MMPose's packer stacks the images of a pyramid, which have different
    sizes, and by default passes on ``category_id``, an array per image that
    its CocoMetric cannot take.

    Args:
        meta_keys (Sequence[str]): What goes into the sample's metainfo.
    """

    def __init__(self,
                 meta_keys: Sequence[str] = ('id', 'img_id', 'img_path',
                                             'crowd_index', 'ori_shape',
                                             'img_shape', 'input_size',
                                             'input_center', 'input_scale',
                                             'pyramid_scales', 'flip',
                                             'flip_direction', 'flip_indices',
                                             'raw_ann_info', 'dataset_name'),
                 **kwargs: Any) -> None:
        super().__init__(meta_keys=meta_keys, **kwargs)

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Pack; ``inputs`` is a tensor (3, h, w), or a list of them."""
        images = results['img']
        if not isinstance(images, list):
            return super().transform(results)
        packed = super().transform(dict(results, img=images[0]))
        packed['inputs'] = [image_to_tensor(image) for image in images]
        return packed
