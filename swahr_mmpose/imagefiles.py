# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Tell complete image files from missing and cut ones, mostly undecoded."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterable, Mapping, Optional, Tuple

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


def what_is_wrong(
    path: str, size: Optional[Tuple[int, int]] = None
) -> Optional[str]:
    """What is wrong with an image file, or None.

    Args:
        path (str): The file.
        size (tuple, optional): The ``(width, height)`` that it should have,
            before any rotation that its EXIF data ask for.
    """
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
    if is_cut_short(head + tail):
        with open(path, 'rb') as file:
            if is_truncated(file.read()):
                return 'is cut short'
    return None if size is None else _wrong_size(path, size)


def _wrong_size(path: str, size: Tuple[int, int]) -> Optional[str]:
    try:
        with Image.open(path) as image:
            found = image.size
    except OSError:
        return 'is no image file'
    if found == tuple(size):
        return None
    swapped = ': width and height are swapped' if found == size[::-1] else ''
    return (
        f'is {found[0]} x {found[1]}, the annotation file says {size[0]} x '
        f'{size[1]}{swapped}'
    )


def find_broken_images(
    paths: Iterable[str],
    sizes: Optional[Mapping[str, Tuple[int, int]]] = None,
    workers: int = 16,
) -> Dict[str, str]:
    """Missing and incomplete files, with what is wrong with them.

    Args:
        paths (Iterable[str]): Local files.
        sizes (Mapping, optional): The ``(width, height)`` of files whose
            size is to be checked as well.
        workers (int): Threads; reading is all waiting.

    Returns:
        dict[str, str]: From path to reason, in the order of ``paths``.
    """
    paths = list(dict.fromkeys(paths))
    expected = [(sizes or {}).get(path) for path in paths]
    with ThreadPoolExecutor(workers) as pool:
        reasons = pool.map(what_is_wrong, paths, expected, chunksize=64)
        return {p: r for p, r in zip(paths, reasons) if r is not None}
