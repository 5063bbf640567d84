# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Recognition of image formats by the first bytes of a file."""

from __future__ import annotations

import io
from typing import Optional

from PIL import Image

__all__ = ['SUPPORTED', 'find_format_problem', 'has_supported_format']

# Formats that every supported OpenCV reads, for messages.
SUPPORTED = 'BMP, JPEG, JPEG 2000, PNG, PPM, TIFF or WebP'
_BEGINNINGS = (
    b'\xff\xd8',  # JPEG
    b'\x89PNG',
    b'BM',
    b'II*\0',  # TIFF
    b'MM\0*',
    b'II+\0',  # TIFF of more than 4 GiB
    b'MM\0+',
    b'\0\0\0\x0cjP',  # JPEG 2000
    b'\xff\x4f\xff\x51',
)
_PPM_TYPES = b'1234567'
_HEIF_BRANDS = (b'heic', b'heix', b'hevc', b'mif1', b'msf1')


def has_supported_format(head: bytes) -> bool:
    """Return whether a file begins as one that OpenCV reads.

    Args:
        head (bytes): First 16 bytes or more.

    Returns:
        bool: Whether they are those of one of ``SUPPORTED``. The file may
        still be truncated or damaged.
    """
    if head[:4] == b'RIFF':
        return head[8:12] == b'WEBP'
    if head[:1] == b'P' and head[1:2] in _PPM_TYPES:
        return head[2:3].isspace()
    return head.startswith(_BEGINNINGS)


def find_format_problem(content: bytes) -> Optional[str]:
    """Find out whether a file that OpenCV does not read is of another format.

    Args:
        content (bytes): The complete file.

    Returns:
        str, optional: Predicate and what is expected, such as ``'is a GIF
        file, expected ...'``; None if the format is supported, so that the
        file is damaged, or if the file is empty.
    """
    if not content or has_supported_format(content[:16]):
        return None
    name = _name_format(content)
    if name:
        article = 'an' if name[0] in 'AEIO' else 'a'
        return f'is {article} {name} file, expected {SUPPORTED}'
    return (
        'is not an image file: its first bytes are of no supported format '
        f'({SUPPORTED})'
    )


def _name_format(content: bytes) -> str:
    """Name another format, if its header is complete; else return ''."""
    if content[4:8] == b'ftyp' and content[8:12] in _HEIF_BRANDS:
        return 'HEIC'
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.format or ''
    except Exception:  # Pillow raises errors of many kinds
        return ''
