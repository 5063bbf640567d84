# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Tell complete image files from missing and cut ones, mostly undecoded."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterable, Optional

from PIL import Image

__all__ = [
    'find_broken_images',
    'is_cut_short',
    'is_truncated',
    'what_is_wrong',
]

# How a file of each kind begins and, near its end, ends.
_MARKS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}
_TAIL = 4096


def is_cut_short(content: bytes) -> bool:
    """Whether a JPEG or PNG file seems to lack its end.

    OpenCV decodes such a file all the same, the rest of it grey.

    Args:
        content (bytes): The file, or its beginning and its last 4096 bytes.
    """
    for begin, end in _MARKS.items():
        if content.startswith(begin):
            return end not in content[-_TAIL:]
    return False


def is_truncated(content: bytes) -> bool:
    """Whether an image file is cut short; decodes it where in doubt.

    Cameras may append more to a file than :func:`is_cut_short` looks at.

    Args:
        content (bytes): The whole file.
    """
    if not is_cut_short(content):
        return False
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except OSError:
        return True
    return False


def what_is_wrong(path: str) -> Optional[str]:
    """What is wrong with an image file, or None."""
    try:
        with open(path, 'rb') as file:
            head = file.read(16)
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL, 0))
            tail = file.read()
    except FileNotFoundError:
        return 'does not exist'
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    if not head:
        return 'is empty'
    if not is_cut_short(head + tail):
        return None
    with open(path, 'rb') as file:
        return 'is cut short' if is_truncated(file.read()) else None


def find_broken_images(
    paths: Iterable[str], workers: int = 16
) -> Dict[str, str]:
    """Missing and incomplete files, with what is wrong with them.

    Args:
        paths (Iterable[str]): Local files.
        workers (int): Threads; reading is all waiting.

    Returns:
        dict[str, str]: From path to reason, in the order of ``paths``.
    """
    paths = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(workers) as pool:
        reasons = pool.map(what_is_wrong, paths, chunksize=64)
        return {p: r for p, r in zip(paths, reasons) if r is not None}
