# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Inputs of the inferencer: images, folders, videos, cameras, streams."""

from __future__ import annotations

import os
import os.path as osp
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Union

import numpy as np

from swahr_mmpose.datasets.checks.image_files import LARGEST_RATIO
from swahr_mmpose.datasets.transforms.loading import read_image
from swahr_mmpose.utils.argument_checks import describe_missing

from .image_inputs import (
    PILLOW_TYPES,
    convert_image,
    is_image,
    read_with_pillow,
)
from .streams import is_stream, mask_credentials, name_stream
from .video import VideoReader

__all__ = ['IMAGE_TYPES', 'VIDEO_TYPES', 'Item', 'Source', 'open_source']

IMAGE_TYPES = [
    *'.bmp .jp2 .jpe .jpeg .jpg .pbm .pgm .png .ppm .tif .tiff .webp'.split(),
    *PILLOW_TYPES,
]
VIDEO_TYPES = (
    '.avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .webm .wmv'
).split()

Inputs = Union[str, Path, int, np.ndarray, Iterable[Any]]
Paths = Sequence[str]


@dataclass(frozen=True, eq=False)
class Item:
    """An image file that is not read yet, or an image object.

    Attributes:
        index: Index in the source; frame number of a video.
        name: File name, index of an array, or ``STEM_NUMBER.jpg`` of a frame,
            as ``walk_000012.jpg``. Where inputs have equal file names, their
            paths from the folder that all have in common.
        path: Image file; None for an image object.
        image: Array, tensor or PIL image, see
            :func:`~.image_inputs.convert_image`; None for an image file.
    """

    index: int
    name: str
    path: Optional[str] = None
    image: Any = None

    def load(self, ignore_orientation: bool = False) -> np.ndarray:
        """Read the image.

        Args:
            ignore_orientation (bool): Whether to ignore the EXIF orientation.
                Defaults to False.

        Returns:
            np.ndarray: BGR uint8, shape (h, w, 3).

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the file or object is not a complete image, or one
                side is too long for the other.
        """
        if self.path is None:
            image = convert_image(self.image, ignore_orientation)
        elif _extension(self.path) in PILLOW_TYPES:
            image = read_with_pillow(self.path, ignore_orientation)
        else:
            image = read_image(self.path, ignore_orientation, annotated=False)
        h, w = image.shape[:2]
        if max(h, w) > LARGEST_RATIO * min(h, w):
            raise ValueError(
                f'image {self.path or self.name} has size {w}x{h}; expected '
                f'an aspect ratio of at most {LARGEST_RATIO}: crop it or '
                'split it'
            )
        return image


@dataclass(frozen=True, eq=False)
class Source:
    """Ordered items of one kind.

    Attributes:
        kind: ``'images'``, ``'arrays'``, ``'video'`` or ``'camera'``, which
            includes live streams.
        items: Items, read on demand for a video or a camera.
        count: Number of items; None if unknown.
        fps: Items per second of a video or camera; None if unknown.
        name: Name of the file, folder or camera.
        path: Video file; None for other kinds.
        skipped_files: Files and subfolders of folders that are not images.
    """

    kind: str
    items: Iterable[Item]
    count: Optional[int] = None
    fps: Optional[float] = None
    name: str = ''
    path: Optional[str] = None
    skipped_files: Sequence[str] = ()


def open_source(
    inputs: Inputs, every: int = 1, allow_missing: bool = False
) -> Source:
    """Determine the kind of the inputs and open them.

    Args:
        inputs: Image file, folder of images, video file, camera (its number,
            ``'webcam'`` or ``'webcam:1'``), address of a stream
            (``rtsp://...``, ``http://...``), image object or batch (B, ...)
            of them, or an iterable of image files, folders and image objects:
            arrays (h, w[, c]) of uint8 in BGR order, torch tensors
            (3, h, w) in RGB order, PIL images.
        every (int): Step between items: 2 takes every second one. Defaults to
            1.
        allow_missing (bool): Whether image files in a list may be missing;
            reading such an item raises FileNotFoundError. Defaults to False.

    Returns:
        Source: At least one item, unless ``inputs`` is an iterable.

    Raises:
        FileNotFoundError: If a file or folder does not exist; names all that
            are missing.
        ValueError: If an input is the URL of an image, a folder without
            images or a video or stream that cannot be opened, if a video,
            camera or stream is not the only input, or if ``every`` is below
            1.
    """
    if every < 1:
        raise ValueError(f'every must be 1 or more, got {every}')
    if is_image(inputs):
        inputs = _list_batch(inputs)
    if isinstance(inputs, (str, Path)):
        inputs = _parse_camera(str(inputs))
    if isinstance(inputs, (str, int)):
        if isinstance(inputs, int) or _is_video_or_camera(inputs):
            return _open_video(inputs, every)
        inputs, allow_missing = [inputs], False
    if not isinstance(inputs, (list, tuple)):
        return Source('arrays', _iterate_items(inputs, every))
    if not all(isinstance(entry, (str, Path)) for entry in inputs):
        count = -(-len(inputs) // every)
        return Source('arrays', _iterate_items(inputs, every), count)
    if len(inputs) == 1 and _is_video_or_camera(str(inputs[0])):
        return open_source(inputs[0], every)
    entries = [str(entry) for entry in inputs]
    _refuse_missing(entries, allow_missing)
    return _list_images(entries, every)


def _list_batch(images: Any) -> List[Any]:
    """List the images of a batch (B, ...); one for a single image."""
    is_batch = getattr(images, 'ndim', 0) == 4
    return list(images) if is_batch else [images]


def _parse_camera(text: str) -> Union[str, int]:
    """Convert ``webcam``, ``webcam:1`` or ``1`` to the camera's number."""
    match = re.fullmatch(r'webcam(?::(\d+))?|(\d+)', text.lower())
    if match is None or osp.exists(text):
        return text
    return int(match[1] or match[2] or 0)


def _extension(path: str) -> str:
    return osp.splitext(path)[1].lower()


def _is_video(path: str) -> bool:
    return _extension(path) in VIDEO_TYPES and not osp.isdir(path)


def _is_video_stream(path: str) -> bool:
    return is_stream(path) and _extension(path) not in IMAGE_TYPES


def _is_video_or_camera(path: str) -> bool:
    is_camera = isinstance(_parse_camera(path), int)
    return is_camera or _is_video_stream(path) or _is_video(path)


def _open_video(source: Union[str, int], every: int) -> Source:
    """Open a video file, a camera or a stream."""
    reader = VideoReader(source, every)
    path: Optional[str] = None
    if isinstance(source, int):
        name = f'camera{source}'
    elif reader.is_stream:
        name = name_stream(source)
    else:
        path, name = source, osp.basename(source)
    stem = osp.splitext(name)[0]
    items = (
        Item(n, f'{stem}_{n:06d}.jpg', None, frame) for n, frame in reader
    )
    kind = 'camera' if reader.live else 'video'
    return Source(kind, items, reader.count, reader.fps, name, path)


def _list_images(entries: List[str], every: int) -> Source:
    """List image files and the images of folders."""
    paths: List[str] = []
    skipped: List[str] = []
    for entry in entries:
        _check_entry(entry, len(entries))
        if osp.isdir(entry):
            files = [str(p) for p in sorted(Path(entry).iterdir())]
            images = [p for p in files if _extension(p) in IMAGE_TYPES]
            if not images:
                raise ValueError(_describe_folder(entry, files))
            skipped += [p for p in files if _extension(p) not in IMAGE_TYPES]
            paths += images
        else:
            paths.append(entry)
    items = [
        Item(n, item_name, path)
        for n, (item_name, path) in enumerate(zip(_name_files(paths), paths))
    ][::every]
    name = osp.basename(osp.normpath(entries[0])) if entries else ''
    return Source(
        'images', items, len(items), name=name, skipped_files=skipped
    )


def _describe_folder(folder: str, entries: Paths) -> str:
    """Describe a folder without images; name a subfolder that has some."""
    message = (
        f'folder {folder} has no images: none of its files '
        f'({sum(map(osp.isfile, entries))}) ends with one of '
        f'{" ".join(IMAGE_TYPES)}'
    )
    folders = [entry for entry in entries if osp.isdir(entry)]
    if not folders:
        return message
    full = [
        f
        for f in folders
        if any(_extension(name) in IMAGE_TYPES for name in os.listdir(f))
    ]
    given = full or ['another folder']
    return f'{message}; subfolders are not searched, give {given[0]}'


def _name_files(paths: Paths) -> List[str]:
    """Name image files; equal file names by the folders that differ."""
    names = [osp.basename(path) for path in paths]
    files = {osp.realpath(path) for path in paths}
    if len(set(names)) >= len(files):
        return names
    absolute = [osp.abspath(path) for path in paths]
    try:
        common = osp.commonpath([osp.dirname(path) for path in absolute])
    except ValueError:  # different drives of Windows
        return names
    full = [Path(path).relative_to(common).as_posix() for path in absolute]
    counts = Counter(names)
    return [
        short if counts[short] == 1 else long
        for short, long in zip(names, full)
    ]


def _check_entry(entry: str, count: int) -> None:
    """Raise for an entry of several that is not an image file or a folder."""
    if '://' in entry and not _is_video_stream(entry):
        raise ValueError(
            f'{mask_credentials(entry)} is the URL of a file; download it '
            'first'
        )
    if _is_video_or_camera(entry):
        raise ValueError(
            f'{mask_credentials(entry)} is a video, camera or stream, which '
            f'must be the only input, '
            f'got {count} inputs; process one at a time'
        )


def _refuse_missing(entries: Paths, allow_images: bool) -> None:
    """Raise for entries that do not exist, except image files if allowed.

    Lists with URLs, videos or cameras are refused elsewhere.
    """
    if any('://' in entry or _is_video_or_camera(entry) for entry in entries):
        return
    missing = [
        entry
        for entry in entries
        if not osp.exists(entry)
        and not (allow_images and _extension(entry) in IMAGE_TYPES)
    ]
    if missing:
        raise FileNotFoundError(describe_missing(missing))


def _iterate_items(entries: Iterable[Any], every: int) -> Iterator[Item]:
    """Iterate over arrays and image files."""
    for n, entry in islice(enumerate(entries), 0, None, every):
        if isinstance(entry, (str, Path)):
            yield Item(n, osp.basename(entry), str(entry))
        else:
            yield Item(n, str(n), None, entry)
