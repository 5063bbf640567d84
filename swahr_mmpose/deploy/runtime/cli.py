# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Argument parsing and image reading of the commands.

Images are read with Pillow, which is imported on use: :class:`.PoseModel`
takes arrays and does not need it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, BinaryIO, Optional, Sequence, Union

import numpy as np

__all__ = [
    'FORMATS',
    'ImageTooLargeError',
    'import_pillow',
    'make_parser',
    'read_image',
]

# Accepted file formats, by Pillow's names. Others are refused: Pillow would
# run Ghostscript for EPS.
FORMATS = ('BMP', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'TIFF', 'WEBP')


class ImageTooLargeError(ValueError):
    """An image with more pixels than allowed."""


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter,
    argparse.RawDescriptionHelpFormatter,
):
    """Formatter that keeps examples as written and prints set defaults."""

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        if action.default is None:
            return action.help
        return super()._get_help_string(action)


def make_parser(
    description: Optional[str], module: str
) -> argparse.ArgumentParser:
    """Make a parser with the help text of a command.

    Args:
        description (str): Docstring of the command.
        module (str): Module of the command, for ``python -m MODULE``.

    Returns:
        argparse.ArgumentParser: Parser named as the command was typed.
    """
    program = sys.argv[0]
    if os.path.basename(program) in ('__main__.py', 'server.py'):
        program = f'python -m {module}'
    elif program.endswith('.py'):
        program = f'python {os.path.relpath(program)}'
    return argparse.ArgumentParser(
        prog=program, description=description, formatter_class=HelpFormatter
    )


def import_pillow() -> Any:
    """Import ``PIL.Image``.

    Returns:
        module: ``PIL.Image``.

    Raises:
        ImportError: If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'this command reads images with Pillow, which is not installed: '
            'pip install pillow (PoseModel takes arrays and does not need it)'
        ) from error
    return Image


def read_image(
    file: Union[str, BinaryIO],
    name: str,
    max_pixels: Optional[int] = None,
    ignore_orientation: bool = False,
) -> np.ndarray:
    """Read an image, upright by its EXIF orientation.

    Args:
        file (str | BinaryIO): Path or stream of an image file.
        name (str): Name of the image in messages.
        max_pixels (int, optional): Maximum number of pixels. Defaults to
            None, the limit of Pillow.
        ignore_orientation (bool): Whether to ignore the EXIF orientation and
            keep pixels as they are stored, see
            :class:`.metadata.Settings`. Defaults to False.

    Returns:
        np.ndarray: RGB uint8, shape (h, w, 3).

    Raises:
        ImportError: If Pillow is not installed.
        OSError: If the file does not exist or cannot be opened.
        ImageTooLargeError: If the image has more than ``max_pixels`` pixels.
        ValueError: If it is a folder, of another format than ``FORMATS``, or
            not complete.
    """
    if isinstance(file, str):
        _refuse_no_file(file, name)
    pillow = import_pillow()
    from PIL import ImageOps

    pillow.init()  # loads decoders; some are missing in some builds
    formats = [kind for kind in FORMATS if kind in pillow.OPEN]
    try:
        with pillow.open(file, formats=formats) as image:
            pixels = image.width * image.height
            if max_pixels is not None and pixels > max_pixels:
                raise ImageTooLargeError(
                    f'{name} has {pixels} pixels, expected at most '
                    f'{max_pixels}'
                )
            if not ignore_orientation:
                image = ImageOps.exif_transpose(image)
            return np.asarray(image.convert('RGB'))
    except ImageTooLargeError:
        raise
    except (
        pillow.DecompressionBombError,
        pillow.DecompressionBombWarning,
    ) as error:
        raise ImageTooLargeError(f'{name} is too large: {error}') from error
    except Exception as error:  # decoders raise errors of any type
        if getattr(error, 'errno', None) is not None:  # not from decoding
            raise
        if _has_known_beginning(file, pillow, formats):
            problem = 'not a complete image file; send or copy it again'
        else:
            problem = (
                f'of no known format, expected {", ".join(FORMATS)}; convert '
                'it to JPEG or PNG'
            )
        raise ValueError(f'{name} is {problem}') from error


def _refuse_no_file(path: str, name: str) -> None:
    """Raise for a path that is missing, or a folder."""
    if not os.path.exists(path):
        raise FileNotFoundError(f'image {name} does not exist; check its path')
    if os.path.isdir(path):
        raise ValueError(
            f'image {name} is a folder, expected an image file; give one of '
            'its files'
        )


def _has_known_beginning(
    file: Union[str, BinaryIO], pillow: Any, formats: Sequence[str]
) -> bool:
    """Whether a file begins as one of the formats; then it is damaged."""
    if isinstance(file, str):
        with open(file, 'rb') as stream:
            head = stream.read(16)
    else:
        file.seek(0)
        head = file.read(16)
    head = head.ljust(16, b'\0')
    accept = [pillow.OPEN[kind][1] for kind in formats]
    return any(function(head) for function in accept if function)
