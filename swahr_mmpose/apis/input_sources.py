# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What people are looked for in: pictures, arrays, a video, a camera."""

from __future__ import annotations

import os.path as osp
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Union

import numpy as np

from swahr_mmpose.datasets.checks.image_files import LARGEST_RATIO
from swahr_mmpose.datasets.transforms.loading import as_bgr, read_image

from .video import VideoReader

__all__ = ['IMAGE_TYPES', 'VIDEO_TYPES', 'Item', 'Source', 'open_source']

IMAGE_TYPES = (
    '.bmp .jp2 .jpe .jpeg .jpg .pbm .pgm .png .ppm .tif .tiff .webp'
).split()
VIDEO_TYPES = (
    '.avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ts .webm .wmv'
).split()

Inputs = Union[str, Path, int, np.ndarray, Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Item:
    """A picture to come, or a frame that is here.

    ``index`` is its place in the source, a video's frame number, which ends
    its ``name``, as in ``walk_000012.jpg``; ``image`` is None until
    :meth:`load` reads ``path``.
    """

    index: int
    name: str
    path: Optional[str] = None
    image: Optional[np.ndarray] = None

    def load(self, ignore_orientation: bool = False) -> np.ndarray:
        """BGR pixels, uint8 (h, w, 3).

        Raises:
            FileNotFoundError, ValueError: Naming the file.
        """
        if self.path is not None:
            image = read_image(self.path, ignore_orientation)
        else:
            image = as_bgr(self.image)
        h, w = image.shape[:2]
        if max(h, w) > LARGEST_RATIO * min(h, w):
            raise ValueError(
                f'image {self.path or self.name} is of size {w}x{h}; one side '
                f'may be {LARGEST_RATIO} times the other: cut it into pieces'
            )
        return image


@dataclass(frozen=True, eq=False)
class Source:
    """Items in their order.

    ``kind`` is ``'pictures'``, ``'arrays'``, ``'video'`` or ``'camera'``;
    ``count`` says how many there will be and ``fps`` how many a second, where
    that is known; ``path`` is that of a video; ``left_out`` names files of
    folders that are no pictures.
    """

    kind: str
    items: Iterable[Item]
    count: Optional[int] = None
    fps: Optional[float] = None
    name: str = ''
    path: Optional[str] = None
    left_out: Sequence[str] = ()


def open_source(inputs: Inputs, every: int = 1) -> Source:
    """Find out what was given; open it if it is a video.

    Args:
        inputs: A picture, a folder of pictures, a video file, a camera (its
            number, ``'webcam'`` or ``'webcam:1'``), an array (h, w[, c]) of
            uint8 in BGR order, or any iterable of pictures, folders and
            arrays.
        every (int): Take one of so many. Defaults to 1, all.

    Returns:
        Source: Of at least one item, unless it is an iterable.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is nothing of the kind.
    """
    if every < 1:
        raise ValueError(f'every must be 1 or more, got {every}')
    if isinstance(inputs, np.ndarray):
        inputs = [inputs]
    if isinstance(inputs, (str, Path)):
        inputs = _camera_number(str(inputs))
    if isinstance(inputs, int):
        return _frames('camera', inputs, f'camera{inputs}', every)
    if isinstance(inputs, str):
        if _type(inputs) in VIDEO_TYPES and not osp.isdir(inputs):
            return _frames('video', inputs, osp.basename(inputs), every)
        inputs = [inputs]
    if isinstance(inputs, (list, tuple)):
        if all(isinstance(entry, (str, Path)) for entry in inputs):
            if len(inputs) == 1 and _is_moving(str(inputs[0])):
                return open_source(inputs[0], every)
            return _pictures([str(entry) for entry in inputs], every)
        return Source(
            'arrays', _several(inputs, every), -(-len(inputs) // every)
        )
    return Source('arrays', _several(inputs, every))


def _camera_number(text: str) -> Union[str, int]:
    match = re.fullmatch(r'webcam(?::(\d+))?|(\d+)', text.lower())
    if match is None or osp.exists(text):
        return text
    return int(match[1] or match[2] or 0)


def _type(path: str) -> str:
    return osp.splitext(path)[1].lower()


def _is_moving(path: str) -> bool:
    return isinstance(_camera_number(path), int) or (
        _type(path) in VIDEO_TYPES and not osp.isdir(path)
    )


def _frames(
    kind: str, source: Union[str, int], name: str, every: int
) -> Source:
    reader = VideoReader(source, every)
    stem = osp.splitext(name)[0]
    items = (
        Item(n, f'{stem}_{n:06d}.jpg', None, frame) for n, frame in reader
    )
    path = None if reader.live else str(source)
    return Source(kind, items, reader.count, reader.fps, name, path)


def _pictures(entries: List[str], every: int) -> Source:
    paths: List[str] = []
    left_out: List[str] = []
    for entry in entries:
        if '://' in entry:
            raise ValueError(f'{entry} is a URL; download it first')
        if _is_moving(entry):
            raise ValueError(
                f'{entry} is a video or a camera, which must be the only '
                f'input, got {len(entries)} inputs; go through one at a time'
            )
        if not osp.exists(entry):
            raise FileNotFoundError(f'{entry} does not exist')
        if osp.isdir(entry):
            files = [str(p) for p in sorted(Path(entry).iterdir())]
            found = [p for p in files if _type(p) in IMAGE_TYPES]
            if not found:
                raise ValueError(
                    f'folder {entry} has no pictures, of {len(files)} files '
                    f'none ends in {" ".join(IMAGE_TYPES)}'
                )
            left_out += [p for p in files if _type(p) not in IMAGE_TYPES]
            paths += found
        else:
            paths.append(entry)
    items = [
        Item(n, osp.basename(path), path) for n, path in enumerate(paths)
    ][::every]
    name = osp.basename(osp.normpath(entries[0])) if entries else ''
    return Source('pictures', items, len(items), name=name, left_out=left_out)


def _several(entries: Iterable[Any], every: int) -> Iterator[Item]:
    """Arrays, and paths of pictures among them."""
    numbered = enumerate(entries)
    for n, entry in islice(numbered, 0, None, every):
        if isinstance(entry, (str, Path)):
            yield Item(n, osp.basename(entry), str(entry))
        else:
            yield Item(n, str(n), None, entry)
