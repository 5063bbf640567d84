# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Reading of videos, cameras and streams, and writing of videos."""

from __future__ import annotations

import math
import os.path as osp
import warnings
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Iterator, Optional, Tuple, Type, Union

import cv2
import numpy as np

from swahr_mmpose.utils.atomic_write import replaced_path

from .streams import is_stream, mask_credentials, newest_frames, open_stream
from .video_encoders import H264Encoder, OpenCVEncoder, has_h264

__all__ = ['H264', 'VideoReader', 'VideoWriter']

H264 = 'H.264'
# Codecs of OpenCV's own builds; Motion JPEG does not need FFmpeg.
_CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


class VideoReader:
    """Iterator over the frames of a video file, a camera or a stream.

    Frames are rotated as the video's metadata say.

    Args:
        source (str | int): Video file, number of a camera, or address of a
            stream. A stream of unknown length is live: its newest frame is
            read, others are dropped.
        every (int): Step between frames: 2 reads every second one. Defaults
            to 1.

    Attributes:
        fps: Rate of the frames that are read, in frames per second; None if
            unknown.
        count: Number of frames that are read, by the file's header; None if
            unknown.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file, camera or stream cannot be opened.
    """

    def __init__(self, source: Union[str, int], every: int = 1) -> None:
        self.source, self.every = source, every
        self.name = mask_credentials(str(source))
        self.is_stream = is_stream(str(source))
        self.live = isinstance(source, int)
        self.capture = self._open()
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        known = math.isfinite(fps) and 0 < fps <= 1000
        self.fps = fps / every if known else None
        self.total = self._read_frame_count()
        self.live = self.live or (self.is_stream and self.total is None)
        self.count = None if self.total is None else -(-self.total // every)

    def _open(self) -> Any:
        """Open the file, the camera or the stream."""
        if self.is_stream:
            capture = open_stream(str(self.source))
        elif self.live or osp.isfile(self.source):
            capture = cv2.VideoCapture(self.source)
        else:
            raise FileNotFoundError(f'video {self.source} does not exist')
        if not capture.isOpened():
            raise ValueError(self._describe_failure())
        if self.live:  # return the newest frame, not a buffered one
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    def _describe_failure(self) -> str:
        """Format the message for a source that cannot be opened."""
        if self.is_stream:
            return (
                f'stream {self.name} cannot be opened; check address, user '
                'and password, and that another player can open it'
            )
        if self.live:
            return (
                f'camera {self.source} cannot be opened; check that it is '
                'connected and not in use'
            )
        return (
            f'{self.source} is not a video that OpenCV can read; convert it '
            'to mp4, e.g. with ffmpeg'
        )

    def _read_frame_count(self) -> Optional[int]:
        """Read the number of frames in the file's header; None if unknown."""
        total = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        if self.live or not math.isfinite(total) or total < 1:
            return None
        return int(total)

    def __iter__(self) -> Iterator[Tuple[int, np.ndarray]]:
        """Yield pairs of frame number, from 0, and BGR pixels.

        The source is closed at the end, on errors and when the iteration is
        stopped.

        Raises:
            ValueError: If no frame can be read.
        """
        if self.live and self.is_stream:
            yield from self._iterate_newest()
            return
        number = 0
        try:
            while self.capture.grab():
                if number % self.every == 0:
                    success, frame = self.capture.retrieve()
                    if not success:
                        break
                    yield number, frame
                number += 1
            self._check_end(number)
        finally:
            self.capture.release()

    def _iterate_newest(self) -> Iterator[Tuple[int, np.ndarray]]:
        """Iterate over the newest frames of a live stream."""
        read = 0
        for number, frame in newest_frames(self.capture, self.every):
            read = number + 1
            yield number, frame
        self._check_end(read)

    def _check_end(self, number: int) -> None:
        """Report an early end; OpenCV treats a broken frame as the end."""
        if number == 0:
            raise ValueError(
                f'{self.name}: no frame can be read; download or convert '
                'the video again, or use another camera'
            )
        if self.live:
            kind = 'stream' if self.is_stream else 'camera'
            warnings.warn(
                f'{kind} {self.name} returns no more frames', stacklevel=2
            )
        # Some headers round the number up.
        if self.total is not None and number < 0.98 * self.total - 1:
            warnings.warn(
                f'{self.name}: the last frame that can be read is number '
                f'{number} of {self.total}; the file may be truncated',
                stacklevel=2,
            )


class VideoWriter:
    """Atomic writer of a video file, a context manager.

    With the package imageio-ffmpeg an ``.mp4`` file is H.264, which browsers
    play; without it MPEG-4 of OpenCV, which they do not. ``codec`` is the one
    that is used.

    The file appears at the end of the ``with`` statement if no error was
    raised. The first frame sets the size; an odd width or height loses its
    last column or row, since the codecs need even sizes.

    Args:
        path (str): ``.mp4`` (H.264 or MPEG-4) or ``.avi`` (Motion JPEG)
            file. Its folder is created.
        fps (float): Frames per second.

    Raises:
        ValueError: If the extension is another one.
    """

    def __init__(self, path: str, fps: float) -> None:
        extension = osp.splitext(path)[1].lower()
        if extension not in _CODECS:
            raise ValueError(
                f'expected a video file .mp4 or .avi, got {path}; rename it'
            )
        self.path, self.fps = path, fps
        self.codec = _CODECS[extension]
        if extension == '.mp4' and has_h264():
            self.codec = H264
        self.size: Tuple[int, int] = (0, 0)
        self.writer: Any = None
        self.written = 0
        self.temporary = ''  # set with the first frame
        self._stack = ExitStack()

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame (np.ndarray): BGR uint8, shape (h, w, 3).

        Raises:
            ValueError: If its size differs from that of the first frame.
            OSError: If the video cannot be encoded.
        """
        if self.writer is None:
            self._open((frame.shape[1], frame.shape[0]))
        if (frame.shape[1], frame.shape[0]) != self.size:
            raise ValueError(
                f'{self.path}: got a frame of size {frame.shape[1::-1]}, '
                f'expected {self.size} like the first one'
            )
        w, h = self.size
        even = frame[: h - h % 2, : w - w % 2]
        self.writer.write(np.ascontiguousarray(even))
        self.written += 1

    def _open(self, size: Tuple[int, int]) -> None:
        """Create the temporary file and the encoder."""
        even = (size[0] - size[0] % 2, size[1] - size[1] % 2)
        with ExitStack() as stack:
            temporary = stack.enter_context(replaced_path(self.path))
            try:
                if self.codec == H264:
                    writer: Any = H264Encoder(temporary, self.fps, even)
                else:
                    writer = OpenCVEncoder(
                        temporary, self.fps, even, self.codec
                    )
            except OSError as error:
                raise OSError(f'{self.path}: {error}') from error
            stack.push(self._close)
            self._stack = stack.pop_all()
        self.writer, self.temporary, self.size = writer, temporary, size

    def __enter__(self) -> VideoWriter:
        """Return the writer; the file is created with the first frame."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        """Move the file to its path, or remove it on errors.

        Raises:
            OSError: If frames are missing in the file.
        """
        self._stack.__exit__(kind, error, trace)

    def _close(self, kind: Optional[Type[BaseException]], *_: Any) -> None:
        """Close the encoder and, without an error, check the file."""
        self.writer.close()
        if kind is None:
            self._check_written()

    def _check_written(self) -> None:
        """Count the frames: OpenCV does not report a full disk."""
        reader = VideoReader(self.temporary)
        reader.capture.release()
        if reader.total != self.written:
            raise OSError(
                f'{self.path}: {reader.total} of {self.written} frames were '
                'written; check the free disk space'
            )
