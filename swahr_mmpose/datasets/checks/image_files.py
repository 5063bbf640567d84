# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of image files: missing, truncated, unreadable or of another size.

A file is judged by its first and last bytes and its header; it is decoded only
if these are inconclusive.  Messages are predicates: "does not exist".
"""

from __future__ import annotations

import io
import os
import os.path as osp
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)

import cv2
from PIL import Image

from .file_names import is_inside, is_link_outside
from .orientation import find_orientation_problem, read_frame
from .schema import is_integer
from .text import escape, short

__all__ = [
    'LARGEST_RATIO',
    'LINK_OUTSIDE',
    'ImageReport',
    'check_record',
    'find_broken_images',
    'find_file_problem',
    'find_irregular_file',
    'image_sizes',
    'inspect_images',
    'is_inside',
    'is_truncated',
    'lacks_end_marker',
    'refuse_paths_outside',
]

# First bytes of a format, and the marker near its end.
_END_MARKERS = {b'\xff\xd8': b'\xff\xd9', b'\x89PNG': b'IEND'}
_MARKED = ('JPEG', 'PNG')  # MPO is read as JPEG
# Bytes at the end of a file in which the end marker is searched.
_TAIL = 4096
# Formats, by Pillow's names, that every supported OpenCV reads; OpenCV 5 reads
# GIF as well.
_FORMATS = 'JPEG MPO PNG BMP TIFF WEBP PPM JPEG2000'.split()
# First bytes of the files in which macOS keeps attributes, as "._a.jpg".
_APPLE_DOUBLE = b'\x00\x05\x16\x07'
# Threads that read files; they mostly wait for the disk.
_THREADS = 16
# Maximum of long side / short side: the short side of a test image is resized
# to the input size, and the long side grows in proportion.
LARGEST_RATIO = 20
# Message on a symbolic link out of the image folder.
LINK_OUTSIDE = (
    'is a link that leaves the image folder; copy the file, or set '
    'data_prefix.links in the config (--link-dir of swahr dataset new) to the '
    'folder of the files (as the cache of DVC) if you trust the links'
)

Size = Tuple[int, int]


def check_record(image: dict, test_side: Optional[int]) -> Iterator[str]:
    """Check the file name and the size in the record of an image.

    Args:
        image (dict): Record of the image in the annotation file.
        test_side (int, optional): Short side of test images after resizing,
            in pixels.  ``None``: the image is not used for testing.

    Yields:
        str: Problem.  Missing keys are not reported.
    """
    name, size = image.get('file_name'), _read_size(image)
    if isinstance(name, str) and not is_inside(name):
        yield (
            f'has the file_name {short(name)}, which leaves the image folder; '
            'expected a relative path without ".."'
        )
    given = [image.get(key) for key in ('width', 'height')]
    # Values of another type are reported by the schema.
    if size is None and all(map(is_integer, given)):
        yield (
            f'has width {short(given[0])} and height {short(given[1])}, '
            'expected positive integers'
        )
    if size and test_side and max(size) > LARGEST_RATIO * min(size):
        w, h = (round(side * test_side / min(size)) for side in size)
        yield (
            f'has size {size[0]}x{size[1]} and would be resized to {w}x{h} '
            'for testing; remove it or split it (one side may be at most '
            f'{LARGEST_RATIO} times the other)'
        )


def image_sizes(images: Iterable[dict]) -> Dict[str, Optional[Size]]:
    """Collect the file names and sizes of image records.

    Args:
        images (Iterable[dict]): Records of an annotation file, valid or not.

    Returns:
        dict: ``(width, height)`` in pixels by file name, or ``None`` if
        unknown.  Names that leave the image folder are skipped.
    """
    return {
        image['file_name']: _read_size(image)
        for image in images
        if is_inside(image.get('file_name'))
    }


def _read_size(image: dict) -> Optional[Size]:
    """Read ``(width, height)`` of a record; None if missing or invalid."""
    sides = []
    for side in (image.get('width'), image.get('height')):
        if not isinstance(side, (int, float)) or not 0 < side < 1e9:
            return None
        if side != int(side):
            return None
        sides.append(int(side))
    return sides[0], sides[1]


def lacks_end_marker(content: bytes) -> bool:
    """Return whether a JPEG or PNG file has no end marker in its last bytes.

    OpenCV decodes such a file without an error; the missing part is grey.

    Args:
        content (bytes): The file, or its beginning and its last 4096 bytes.
    """
    for begin, end in _END_MARKERS.items():
        if content.startswith(begin):
            return end not in content[-_TAIL:]
    return False


def is_truncated(content: bytes) -> bool:
    """Return whether an image file is truncated.

    A file without an end marker is decoded, because some cameras append more
    data than :func:`lacks_end_marker` searches.

    Args:
        content (bytes): The complete file.
    """
    if not lacks_end_marker(content):
        return False
    try:
        with Image.open(io.BytesIO(content), formats=_MARKED) as image:
            image.load()
    except Exception:  # Pillow raises errors of many kinds
        return True
    return False


class ImageReport(NamedTuple):
    """Result of the check of an image file.

    Attributes:
        problem (str, optional): What is wrong with the file, or ``None``.
        doubt (str, optional): What the user should decide, or ``None``.
    """

    problem: Optional[str] = None
    doubt: Optional[str] = None


def find_file_problem(
    path: str, size: Optional[Size], ignore_orientation: Optional[bool] = None
) -> Optional[str]:
    """Find what is wrong with an image file.

    Args:
        path (str): Path of the file.
        size (tuple, optional): Expected ``(width, height)`` in pixels.
            ``None``: any size.
        ignore_orientation (bool, optional): Whether the pipeline ignores the
            EXIF orientation.  Defaults to ``None``, it does not.

    Returns:
        str, optional: Problem, or ``None``.
    """
    return _inspect_image(path, size, ignore_orientation).problem


def find_irregular_file(path: str) -> Optional[str]:
    """Find out whether a path is a folder, pipe or device.

    Reading a named pipe waits for a writer, and a device may never end.

    Args:
        path (str): Path of the file.

    Returns:
        str, optional: Problem, or ``None``.

    Raises:
        OSError: If the file does not exist or its name is invalid.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return None
    kinds = [
        (stat.S_ISDIR, 'a folder'),
        (stat.S_ISFIFO, 'a named pipe'),
        (stat.S_ISSOCK, 'a socket'),
        (stat.S_ISCHR, 'a device'),
        (stat.S_ISBLK, 'a device'),
    ]
    kind = next((name for test, name in kinds if test(mode)), 'special')
    return f'cannot be read (it is {kind}, expected a regular file)'


def _inspect_image(
    path: str, size: Optional[Size], ignore_orientation: Optional[bool]
) -> ImageReport:
    """Inspect the ends of a file, and its header."""
    try:
        problem = find_irregular_file(path)
        if problem:
            return ImageReport(problem)
        with open(path, 'rb') as file:
            head = file.read(16)
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL, 0))
            tail = file.read()
    except FileNotFoundError:
        return ImageReport('does not exist')
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', error)
        return ImageReport(f'cannot be read ({reason})')
    if not head:
        return ImageReport('is empty')
    if lacks_end_marker(head + tail):
        with open(path, 'rb') as file:
            if is_truncated(file.read()):
                return ImageReport('is truncated')
    return _inspect_header(path, head, size, ignore_orientation)


def _inspect_header(
    path: str,
    head: bytes,
    size: Optional[Size],
    ignore_orientation: Optional[bool],
) -> ImageReport:
    """Find an unreadable format, or a size other than the expected one."""
    try:
        with Image.open(path) as image:
            frame, kind = read_frame(image), image.format
    except Image.DecompressionBombError:
        return ImageReport('has more than 178 million pixels; make it smaller')
    except Exception:  # Pillow raises errors of many kinds
        why = ''
        if head.startswith(_APPLE_DOUBLE):
            why = ', but a file of macOS with attributes; remove its record'
        return ImageReport(f'is not an image file{why}')
    if kind not in _FORMATS and not cv2.haveImageReader(path):
        return ImageReport(
            f'is a {kind} file, which OpenCV cannot read; expected JPEG or PNG'
        )
    size = None if size is None else (size[0], size[1])
    problem, doubt = find_orientation_problem(frame, size, ignore_orientation)
    actual = frame.get_read_size(ignore_orientation)
    if problem is None and size is not None and actual != size:
        problem = _format_difference(actual, size)
    return ImageReport(problem, doubt)


def _format_difference(actual: Size, size: Size) -> str:
    """Format a size that differs from that of the annotation file."""
    swapped = ': width and height are swapped' if actual == size[::-1] else ''
    return (
        f'is {actual[0]} x {actual[1]}, expected {size[0]} x {size[1]} as in '
        f'the annotation file{swapped}'
    )


def inspect_images(
    sizes: Mapping[str, Optional[Size]],
    ignore_orientation: Optional[bool] = None,
) -> Dict[str, ImageReport]:
    """Inspect image files: missing, incomplete or other than expected.

    Args:
        sizes (Mapping): Expected ``(width, height)`` in pixels by path of a
            local file; ``None``: any size.
        ignore_orientation (bool, optional): Whether the pipeline ignores the
            EXIF orientation.  Defaults to ``None``, it does not.

    Returns:
        dict[str, ImageReport]: Reports that are not empty, by path, in the
        order of ``sizes``.
    """

    def inspect(item: Tuple[str, Optional[Size]]) -> ImageReport:
        return _inspect_image(*item, ignore_orientation)

    with ThreadPoolExecutor(_THREADS) as pool:
        reports = pool.map(inspect, sizes.items(), chunksize=64)
        return {p: report for p, report in zip(sizes, reports) if any(report)}


def find_broken_images(sizes: Mapping[str, Optional[Size]]) -> Dict[str, str]:
    """Find missing, incomplete and unexpected image files.

    Args:
        sizes (Mapping): Expected ``(width, height)`` in pixels by path of a
            local file; ``None``: any size.

    Returns:
        dict[str, str]: Problem by path, in the order of ``sizes``.
    """
    reports = inspect_images(sizes)
    return {p: r.problem for p, r in reports.items() if r.problem}


def refuse_paths_outside(dataset: Any) -> None:
    """Raise if a dataset has an image outside of its ``data_prefix.img``.

    Args:
        dataset (BaseDataset): Dataset, or a wrapper of datasets of any depth.

    Symbolic links may lead to ``data_prefix.links``, if given.

    Raises:
        ValueError: With the first path that is outside, by its name or by a
            symbolic link.
    """
    resolved: Dict[str, str] = {}
    for part in _iter_base_datasets(dataset):
        folder = osp.join(part.data_prefix.get('img', ''), '')
        link_dir = part.data_prefix.get('links')
        for index in range(len(part)):
            path = part.get_data_info(index)['img_path']
            inside = path.startswith(folder) and is_inside(path[len(folder) :])
            if inside and is_link_outside(path, folder, resolved, link_dir):
                raise ValueError(f'image {escape(path)} {LINK_OUTSIDE}')
            if not inside:
                raise ValueError(
                    f'image {escape(path)} is not in '
                    f'{folder or "a relative folder"}, expected from '
                    'data_prefix.img; correct file_name in the '
                    'annotation file or data_prefix in the config, and do not '
                    'trust an annotation file with paths to other files'
                )


def _iter_base_datasets(dataset: Any) -> Iterator[Any]:
    """Yield a dataset, or those it wraps, if they have ``data_prefix``."""
    inner = getattr(dataset, 'datasets', None) or [
        getattr(dataset, 'dataset', None)
    ]
    for part in inner:
        if part is not None:
            yield from _iter_base_datasets(part)
        elif hasattr(dataset, 'data_prefix'):
            yield dataset
