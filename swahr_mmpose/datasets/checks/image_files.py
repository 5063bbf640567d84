# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Image files of a data set: which are missing, cut short or do not fit.

Files are told from their first and last bytes and their header, and decoded
only where these leave a doubt.
"""

from __future__ import annotations

import io
import os
import os.path as osp
from concurrent.futures import ThreadPoolExecutor
from pathlib import PureWindowsPath
from reprlib import repr as short
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, Tuple

import cv2
from PIL import Image

__all__ = [
    'LARGEST_RATIO',
    'check_record',
    'find_broken_images',
    'image_sizes',
    'is_cut_short',
    'is_inside',
    'is_truncated',
    'what_is_wrong',
]

# How a file of each kind begins and, near its end, ends.
_MARKS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}
_TAIL = 4096
# What each OpenCV reads of what Pillow knows; OpenCV 5 reads GIF as well.
_FORMATS = 'JPEG MPO PNG BMP TIFF WEBP PPM JPEG2000'.split()
# A longer image becomes enormous when its short side is enlarged.
LARGEST_RATIO = 20

Size = Tuple[int, int]


def check_record(image: dict, test_side: Optional[int]) -> Iterator[str]:
    """What is wrong with name and size that annotations give for an image.

    Args:
        image (dict): Its record in the annotation file.
        test_side (int, optional): The short side to which test images are
            resized; ``None``: it is not for testing.

    Yields:
        str: One thing that is wrong; a key that is missing is none.
    """
    name, size = image.get('file_name'), _size(image)
    if name is not None and not is_inside(name):
        yield (
            f'has the file_name {short(name)}, which leaves the folder of '
            'images; expected a relative path without ".."'
        )
    given = [image.get(key) for key in ('width', 'height')]
    if size is None and None not in given:
        yield (
            f'has the width {short(given[0])} and the height '
            f'{short(given[1])}, expected whole numbers above 0'
        )
    if size and test_side and max(size) > LARGEST_RATIO * min(size):
        w, h = (round(side * test_side / min(size)) for side in size)
        yield (
            f'is of size {size[0]}x{size[1]} and in testing would be resized '
            f'to {w}x{h}; take it out or split it (one side may be '
            f'{LARGEST_RATIO} times the other)'
        )


def image_sizes(images: Iterable[dict]) -> Dict[str, Optional[Size]]:
    """The files that records of an annotation file name.

    Args:
        images (Iterable[dict]): The records, broken ones among them.

    Returns:
        dict: From file name to ``(width, height)``, None where that is not
        known.  Names that leave the folder of images are left out.
    """
    return {
        image['file_name']: _size(image)
        for image in images
        if is_inside(image.get('file_name'))
    }


def is_inside(name: Any) -> bool:
    """Whether a file name stays in the folder to which it is relative.

    Args:
        name: As an annotation file has it; anything but a string is outside.
    """
    if not isinstance(name, str) or '\0' in name or '://' in name:
        return False
    path = PureWindowsPath(name)  # knows slashes of both kinds
    return bool(path.parts) and not path.anchor and '..' not in path.parts


def _size(image: dict) -> Optional[Size]:
    width, height = image.get('width'), image.get('height')
    for side in (width, height):
        if not isinstance(side, (int, float)) or not 0 < side < 1e9:
            return None
        if side != int(side):
            return None
    return width, height  # type: ignore[return-value]


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
    except Exception:  # Pillow raises errors of many kinds
        return True
    return False


def what_is_wrong(path: str, size: Optional[Size] = None) -> Optional[str]:
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
    except (OSError, ValueError) as error:
        return f'cannot be read ({getattr(error, "strerror", error)})'
    if not head:
        return 'is empty'
    if is_cut_short(head + tail):
        with open(path, 'rb') as file:
            if is_truncated(file.read()):
                return 'is cut short'
    return _wrong_header(path, size)


def _wrong_header(path: str, size: Optional[Size]) -> Optional[str]:
    try:
        with Image.open(path) as image:
            found, kind = image.size, image.format
    except Image.DecompressionBombError:
        return 'has more than 178 million pixels; make it smaller'
    except Exception:  # Pillow raises errors of many kinds
        return 'is no image file'
    if kind not in _FORMATS and not cv2.haveImageReader(path):
        return (
            f'is a {kind} file, which OpenCV cannot read; expected JPEG, PNG'
        )
    if size is None or found == tuple(size):
        return None
    swapped = ': width and height are swapped' if found == size[::-1] else ''
    return (
        f'is {found[0]} x {found[1]}, the annotation file says {size[0]} x '
        f'{size[1]}{swapped}'
    )


def find_broken_images(
    paths: Iterable[str],
    sizes: Optional[Mapping[str, Optional[Size]]] = None,
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


def refuse_paths_outside(dataset: Any) -> None:
    """Raise where images of a data set are not in its ``data_prefix.img``.

    Args:
        dataset (BaseDataset): Or a wrapper of such, of any depth.

    Raises:
        ValueError: With the first path that is outside.
    """
    for part in _plain_datasets(dataset):
        folder = osp.join(part.data_prefix.get('img', ''), '')
        for index in range(len(part)):
            path = part.get_data_info(index)['img_path']
            inside = path.startswith(folder)
            if not (inside and is_inside(path[len(folder) :])):
                raise ValueError(
                    f'image {path} is not in {folder or "a relative folder"}, '
                    'expected of data_prefix.img. Correct file_name in the '
                    'annotation file, or the prefix; do not trust a file that '
                    'names others than its own images'
                )


def _plain_datasets(dataset: Any) -> Iterator[Any]:
    """A data set, or those that it wraps, if they have images in a folder."""
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    for part in inner:
        if part is not None:
            yield from _plain_datasets(part)
        elif hasattr(dataset, 'data_prefix'):
            yield dataset
