# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Image loading: files and arrays to BGR images of the pipeline."""

from __future__ import annotations

import os.path as osp
from typing import Any, Dict, Optional

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpose.registry import TRANSFORMS

from swahr_mmpose.datasets.checks.image_files import (
    find_irregular_file,
    is_truncated,
)
from swahr_mmpose.datasets.checks.image_formats import find_format_problem
from swahr_mmpose.datasets.checks.text import escape

__all__ = ['BottomupLoadImage', 'as_bgr', 'read_image']


@TRANSFORMS.register_module()
class BottomupLoadImage(BaseTransform):
    """Load an image upright, or as its pixels are stored.

    A file that is missing, unreadable or truncated raises an error with its
    path.

    Required Keys: ``img_path``, or ``img`` (an array that is used instead).
    Added Keys: ``img``, ``img_shape``, ``ori_shape``.

    Annotations refer to one of two frames where a file has an EXIF
    orientation: phones store pixels as the sensor reads them, annotation
    tools and browsers show them upright, and MMPose's ``LoadImage`` reads
    them upright.  Upright is therefore the default.  Images of COCO have no
    orientation, so that both settings give the same numbers there; the
    official implementation ignores it.  The check before a run compares the
    sizes in the annotation file with this setting.

    Args:
        backend_args (dict, optional): Arguments of MMEngine's file backend.
            Defaults to ``None``, local files.
        ignore_orientation (bool, optional): Whether to ignore the EXIF
            orientation and keep pixels as they are stored.  ``None`` reads
            the image upright, as ``False`` does, but the check warns if sizes
            cannot show which frame the annotations refer to.  Set it equally
            in all pipelines of a dataset.  Defaults to ``None``.
    """

    def __init__(
        self,
        backend_args: Optional[dict] = None,
        ignore_orientation: Optional[bool] = None,
    ) -> None:
        self.backend_args = backend_args
        self.ignore_orientation = ignore_orientation

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Load the image into ``results['img']``, BGR uint8 (h, w, 3).

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file or array is not a complete image.
        """
        if results.get('img') is None:
            results['img'] = read_image(
                results['img_path'],
                bool(self.ignore_orientation),
                self.backend_args,
            )
        results['img'] = as_bgr(results['img'])
        results.setdefault('img_path', None)
        results['img_shape'] = results['img'].shape[:2]
        results['ori_shape'] = results['img'].shape[:2]
        return results


def read_image(
    path: str,
    ignore_orientation: bool,
    backend_args: Optional[dict] = None,
    annotated: bool = True,
) -> np.ndarray:
    """Read an image file; grey is converted to BGR, alpha is dropped.

    Args:
        path (str): Path or URI of the file.
        ignore_orientation (bool): Whether to ignore the EXIF orientation.
        backend_args (dict, optional): Arguments of MMEngine's file backend.
            Defaults to ``None``, local files.
        annotated (bool): Whether the path is from an annotation file, which
            messages then mention.  Defaults to ``True``.

    Returns:
        np.ndarray: BGR, uint8 (h, w, 3).

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not an image, or truncated.
    """
    name = escape(path)
    try:
        _refuse_irregular_file(path, annotated)
        content = fileio.get(path, backend_args=backend_args)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'image {name} does not exist; '
            + (
                'check data_root, data_prefix and the file names in the '
                'annotation file'
                if annotated
                else 'check its path'
            )
        ) from error
    image = cause = None
    try:
        if content:
            flag = (
                'color_ignore_orientation' if ignore_orientation else 'color'
            )
            image = mmcv.imfrombytes(content, flag=flag)
    except cv2.error as error:  # e.g. more pixels than OpenCV's limit
        cause = error
    if image is None or is_truncated(content):
        raise ValueError(
            f'image {name} ({len(content)} bytes) '
            f'{_describe_problem(content, annotated)}'
        ) from cause
    return image


def _describe_problem(content: bytes, annotated: bool) -> str:
    """Describe a file that is not read, and what to do."""
    problem = find_format_problem(content)
    first = 'convert it to one of them' if problem else 'download it again'
    last = 'leave it out'
    if annotated:
        last = 'remove it from the annotation file'
    return f'{problem or "is not a complete image file"}; {first} or {last}'


def _refuse_irregular_file(path: str, annotated: bool) -> None:
    """Raise if a local path is a pipe or device, which may block forever."""
    if osp.exists(path):
        problem = find_irregular_file(path)
        if problem:
            raise ValueError(
                f'image {escape(path)} {problem}; '
                + (
                    'remove it, or its record from the annotation file'
                    if annotated
                    else 'leave it out'
                )
            )


def as_bgr(image: Any) -> np.ndarray:
    """Convert an array to three channels of uint8.

    Args:
        image (np.ndarray): uint8; grey (h, w) or (h, w, 1), BGR (h, w, 3), or
            BGRA (h, w, 4), whose alpha channel is dropped.

    Returns:
        np.ndarray: BGR, uint8 (h, w, 3).

    Raises:
        ValueError: If the array has another shape or dtype, or is empty.
    """
    shape, dtype = np.shape(image), getattr(image, 'dtype', type(image))
    channels = shape[2] if len(shape) == 3 else 1 if len(shape) == 2 else 0
    if channels not in (1, 3, 4) or 0 in shape or dtype != np.uint8:
        raise ValueError(
            f'got an image of shape {shape} and type {dtype}, expected uint8 '
            '(h, w), (h, w, 1), (h, w, 3) or (h, w, 4); put channels last, '
            'scale values to 0 to 255, convert with astype(np.uint8)'
        )
    if channels == 1:
        return np.repeat(image.reshape(*shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(image[..., :3])
