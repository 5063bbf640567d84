# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Videos and cameras through OpenCV: frames in, an mp4 or avi file out."""

from __future__ import annotations

import math
import os
import os.path as osp
import tempfile
import warnings
from types import TracebackType
from typing import Any, Iterator, Optional, Tuple, Type, Union

import cv2
import numpy as np

__all__ = ['VideoReader', 'VideoWriter']

# Codecs that OpenCV's own builds have; Motion JPEG needs no FFmpeg.
_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


class VideoReader:
    """The frames of a video file or a camera, turned upright.

    Args:
        source (str | int): A file, or the number of a camera.
        every (int): Take one frame of so many. Defaults to 1.

    Attributes:
        fps: Frames a second that are taken; ``None`` where it is not known.
        count: How many will be, as the file's header says; or ``None``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be opened.
    """

    def __init__(self, source: Union[str, int], every: int = 1) -> None:
        self.source, self.every = source, every
        self.live = isinstance(source, int)
        if not self.live and not osp.isfile(source):
            raise FileNotFoundError(f'video {source} does not exist')
        self.capture = cv2.VideoCapture(source)
        if not self.capture.isOpened():
            raise ValueError(
                f'camera {source} cannot be opened; is it there, and free?'
                if self.live
                else f'{source} is no video that OpenCV can read; convert it, '
                'e.g. with ffmpeg, to mp4'
            )
        if self.live:  # the newest frame, not one that waited
            self.capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        known = math.isfinite(fps) and 0 < fps <= 1000
        self.fps = fps / every if known else None
        self.total = self._frames_in_file()
        self.count = None if self.total is None else -(-self.total // every)

    def _frames_in_file(self) -> Optional[int]:
        total = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if self.live or not math.isfinite(total) or total < 1:
            return None
        return int(total)

    def __iter__(self) -> Iterator[Tuple[int, np.ndarray]]:
        """Yield the number of each frame, from 0, and its BGR pixels.

        The file is closed at the end, however that is reached.
        """
        number = 0
        try:
            while self.capture.grab():
                if number % self.every == 0:
                    read, frame = self.capture.retrieve()
                    if not read:
                        break
                    yield number, frame
                number += 1
            self._check_end(number)
        finally:
            self.capture.release()

    def _check_end(self, number: int) -> None:
        """OpenCV does not tell the end of a video from a broken frame."""
        if number == 0:
            raise ValueError(
                f'{self.source} has no frame that can be read; fetch or '
                'convert it again, or try another camera'
            )
        if self.live:
            warnings.warn(
                f'camera {self.source} gives no more frames', stacklevel=2
            )
        # Some headers round the number up.
        if self.total is not None and number < 0.98 * self.total - 1:
            warnings.warn(
                f'{self.source}: the last frame that can be read is number '
                f'{number} of {self.total}; is the file cut short?',
                stacklevel=2,
            )


class VideoWriter:
    """A video file that is there as a whole, or not at all.

    Used in a ``with`` statement.  The size is that of the first frame, less
    a last column or row where it is odd, which codecs cannot store.

    Args:
        path (str): ``.mp4`` (MPEG-4) or ``.avi`` (Motion JPEG).
        fps (float): Frames a second.
    """

    def __init__(self, path: str, fps: float) -> None:
        extension = osp.splitext(path)[1]
        if extension.lower() not in _CODECS:
            raise ValueError(f'a video is written to .mp4 or .avi, got {path}')
        self.path, self.fps = path, fps
        self.temporary = ''  # named when there is a first frame
        self.codec = _CODECS[extension.lower()]
        self.size: Tuple[int, int] = (0, 0)
        self.writer: Any = None
        self.written = 0

    def write(self, frame: np.ndarray) -> None:
        """Append a frame, BGR uint8 (h, w, 3).

        Raises:
            ValueError: If its size is another than that of the first.
            RuntimeError: If this OpenCV has no encoder.
        """
        if self.writer is None:
            self._open((frame.shape[1], frame.shape[0]))
        if (frame.shape[1], frame.shape[0]) != self.size:
            raise ValueError(
                f'{self.path}: got a frame of size {frame.shape[1::-1]}, '
                f'expected {self.size} as before'
            )
        w, h = self.size
        even = frame[: h - h % 2, : w - w % 2]
        self.writer.write(np.ascontiguousarray(even))
        self.written += 1

    def _open(self, size: Tuple[int, int]) -> None:
        folder, name = osp.split(osp.abspath(self.path))
        os.makedirs(folder, exist_ok=True)
        stem, extension = osp.splitext(name)
        handle, self.temporary = tempfile.mkstemp(
            dir=folder, prefix=f'{stem}.', suffix=f'.part{extension}'
        )
        os.close(handle)
        self.size = size
        even = (size[0] - size[0] % 2, size[1] - size[1] % 2)
        if min(even) > 0:
            code = cv2.VideoWriter.fourcc(*self.codec)
            self.writer = cv2.VideoWriter(self.temporary, code, self.fps, even)
        if self.writer is None or not self.writer.isOpened():
            self.writer = None
            raise RuntimeError(
                f'OpenCV cannot write {self.path}: it has no encoder '
                f'{self.codec}, or frames of size {even} are too small for '
                'it. Write frames as pictures, or an .avi, or install an '
                'opencv-python with FFmpeg'
            )

    def __enter__(self) -> VideoWriter:
        """Nothing is written yet."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Rename the file, or remove it if something went wrong."""
        if self.writer is not None:
            self.writer.release()
        try:
            if kind is None and self.writer is not None:
                self._check_written()
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(self.temporary, 0o666 & ~umask)
                os.replace(self.temporary, self.path)
        finally:
            if osp.exists(self.temporary):
                os.remove(self.temporary)

    def _check_written(self) -> None:
        """OpenCV writes without a word where there is no room."""
        stored = VideoReader(self.temporary)
        stored.capture.release()
        if stored.total != self.written:
            raise OSError(
                f'{self.path}: {stored.total} of {self.written} frames were '
                'written; is the disk full?'
            )
