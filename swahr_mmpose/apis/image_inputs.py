# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Image inputs that OpenCV does not read: objects, and files for Pillow."""

from __future__ import annotations

import os.path as osp
from typing import Any

import numpy as np

from swahr_mmpose.datasets.checks.text import escape
from swahr_mmpose.datasets.transforms.loading import as_bgr

__all__ = ['PILLOW_TYPES', 'convert_image', 'is_image', 'read_with_pillow']

PILLOW_TYPES = ('.avif', '.heic', '.heif')


def is_image(value: Any) -> bool:
    """Return whether a value is an array, a tensor or a PIL image.

    Args:
        value (Any): Input.

    Returns:
        bool: Whether :func:`convert_image` takes it, or raises an error that
        describes the shape.
    """
    return isinstance(value, np.ndarray) or _is_tensor(value) or _is_pil(value)


def _is_tensor(value: Any) -> bool:
    """Return whether a value is a torch tensor, also of a derived class."""
    return any(
        c.__module__.split('.')[0] == 'torch' and c.__name__ == 'Tensor'
        for c in type(value).__mro__
    )


def _is_pil(value: Any) -> bool:
    """Return whether a value is a PIL image; Pillow may be missing."""
    return any(c.__module__ == 'PIL.Image' for c in type(value).__mro__)


def convert_image(value: Any, ignore_orientation: bool = False) -> np.ndarray:
    """Convert an image object to BGR pixels.

    Args:
        value (np.ndarray | Tensor | PIL.Image.Image): Array as for
            :func:`~swahr_mmpose.datasets.transforms.loading.as_bgr`; tensor as
            torchvision has it, RGB or grey, channels first, uint8 or floating
            point from 0 to 1; or PIL image of any mode but ``'F'``.
        ignore_orientation (bool): Whether to ignore the EXIF orientation of a
            PIL image. Defaults to False.

    Returns:
        np.ndarray: BGR uint8, shape (h, w, 3).

    Raises:
        ValueError: If shape, type or values do not fit.
    """
    if _is_pil(value):
        return _convert_pil(value, ignore_orientation)
    if _is_tensor(value):
        return _convert_tensor(value)
    return as_bgr(value)


def _convert_pil(image: Any, ignore_orientation: bool) -> np.ndarray:
    """Convert a PIL image."""
    from PIL import ImageOps

    if not ignore_orientation:
        image = ImageOps.exif_transpose(image)
    if image.mode == 'F':
        raise ValueError(
            "got a PIL image of mode 'F', whose range is not known, expected "
            "integers; scale its pixels to 0 to 255 and convert it to 'L'"
        )
    if image.mode.startswith('I'):
        return as_bgr(_reduce_to_bytes(np.asarray(image), image.mode))
    rgb = np.asarray(image.convert('RGB'))
    return np.ascontiguousarray(rgb[..., ::-1])


def _reduce_to_bytes(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Reduce integers to 8 bits; those of mode ``'I'`` may have 8 or 16."""
    low, high = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if low < 0 or high > 65535:
        raise ValueError(
            f'got a PIL image of mode {mode!r} with values from {low} to '
            f'{high}, expected up to 16 bits, 0 to 65535; scale its pixels '
            "to 0 to 255 and convert it to 'L'"
        )
    is_short = mode != 'I' or high > 255
    return (pixels >> 8 if is_short else pixels).astype(np.uint8)


def _convert_tensor(tensor: Any) -> np.ndarray:
    """Convert a torch tensor, RGB or grey, channels first."""
    values = tensor.detach().cpu()
    shape = tuple(values.shape)
    if len(shape) != 3 or shape[0] not in (1, 3) or 0 in shape:
        raise ValueError(
            f'got a tensor of shape {shape}, expected an RGB or grey image '
            'with channels first, (3, h, w) or (1, h, w), as in torchvision; '
            'use permute(2, 0, 1) for channels last'
        )
    if values.is_floating_point():
        low, high = float(values.min()), float(values.max())
        if not 0 <= low <= high <= 1:  # False for NaN
            raise ValueError(
                f'got a floating-point tensor with values from {low:.4g} to '
                f'{high:.4g}, expected 0 to 1: undo the normalization, or '
                'convert it to uint8'
            )
        values = (values.float() * 255).round()
    elif str(values.dtype) != 'torch.uint8':
        raise ValueError(
            f'got a tensor of type {values.dtype}, expected torch.uint8 or '
            'floating point from 0 to 1'
        )
    rgb = values.numpy().astype(np.uint8).transpose(1, 2, 0)
    return as_bgr(np.ascontiguousarray(rgb[..., ::-1]))


def read_with_pillow(
    path: str, ignore_orientation: bool = False
) -> np.ndarray:
    """Read an AVIF or HEIC file with Pillow.

    AVIF requires Pillow 11.3 or newer, HEIC the package pillow-heif.

    Args:
        path (str): Image file.
        ignore_orientation (bool): Whether to ignore the EXIF orientation.
            Defaults to False.

    Returns:
        np.ndarray: BGR uint8, shape (h, w, 3).

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If Pillow cannot read it.
    """
    name = escape(path)
    if not osp.isfile(path):
        raise FileNotFoundError(f'image {name} does not exist; check its path')
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError(
            f'image {name} is read with Pillow, which is not installed: pip '
            'install pillow'
        ) from error
    _register_heif()
    try:
        with Image.open(path) as image:
            return _convert_pil(image, ignore_orientation)
    except Exception as error:  # decoders raise errors of any type
        raise ValueError(
            f'image {name} cannot be read by Pillow ({error}); it is not a '
            'complete image file, or its decoder is missing (AVIF: pip '
            'install -U pillow, HEIC: pip install pillow-heif). Or convert it '
            'to JPEG'
        ) from error


def _register_heif() -> None:
    """Register the HEIC decoder of pillow-heif, if it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()
