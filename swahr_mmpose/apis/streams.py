# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Video streams of network cameras: addresses and newest frames."""

from __future__ import annotations

import re
from threading import Condition, Thread
from typing import Any, Iterator, Optional, Tuple
from urllib.parse import urlsplit

import cv2
import numpy as np

__all__ = [
    'is_stream',
    'mask_credentials',
    'name_stream',
    'newest_frames',
    'open_stream',
]

_SCHEMES = ('http', 'https', 'rtmp', 'rtmps', 'rtsp', 'rtsps', 'srt', 'udp')
# Time to open a stream or to receive a frame, in milliseconds.
_TIMEOUT = 10_000

Frame = Tuple[int, np.ndarray]


def is_stream(text: str) -> bool:
    """Return whether a text is the address of a video stream.

    Args:
        text (str): Input, e.g. ``rtsp://host/live`` or ``http://host/video``.

    Returns:
        bool: Whether its scheme is one that OpenCV's FFmpeg reads.
    """
    scheme, separator, _ = text.partition('://')
    return bool(separator) and scheme.lower() in _SCHEMES


def mask_credentials(address: str) -> str:
    """Remove user, password and query of an address, for messages.

    Args:
        address (str): Address, or the path of a file, which is kept.

    Returns:
        str: Address that can be printed.
    """
    if not is_stream(address):
        return address
    parts = urlsplit(address)
    host = parts.netloc.rpartition('@')[2]
    return f'{parts.scheme}://{host}{parts.path}'


def name_stream(address: str) -> str:
    """Make a file name stem from an address, without credentials.

    Args:
        address (str): Address of a stream.

    Returns:
        str: Host and path, e.g. ``host_live`` for ``rtsp://u:p@host/live``.
    """
    parts = urlsplit(mask_credentials(address))
    words = re.findall(r'[A-Za-z0-9-]+', f'{parts.netloc} {parts.path}')
    return '_'.join(words) or 'stream'


def open_stream(address: str) -> Any:
    """Open a stream with OpenCV's FFmpeg.

    Args:
        address (str): Address.

    Returns:
        cv2.VideoCapture: Capture, which is not opened if it failed within ten
        seconds.
    """
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT,
    ]  # fmt: skip
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)


def newest_frames(capture: Any, every: int = 1) -> Iterator[Frame]:
    """Iterate over the frames of a live stream without delay.

    A thread reads all frames as they arrive; those that the consumer is too
    slow for are dropped. Otherwise they would wait in buffers of the network
    and the delay would grow.

    Args:
        capture (cv2.VideoCapture): Opened stream; released at the end.
        every (int): Step between frames. Defaults to 1.

    Yields:
        tuple[int, np.ndarray]: Frame number, from 0, and BGR pixels; the last
        frame of a stream that ended is not dropped.
    """
    slot = _NewestFrame(capture, every)
    try:
        while (frame := slot.wait()) is not None:
            yield frame
    finally:
        slot.close()


class _NewestFrame:
    """A thread that reads frames and keeps the newest one.

    Args:
        capture (cv2.VideoCapture): Opened stream.
        every (int): Step between frames.
    """

    def __init__(self, capture: Any, every: int) -> None:
        self.capture, self.every = capture, every
        self.frame: Optional[Frame] = None
        self.ended = False
        self.changed = Condition()
        self.thread = Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        """Read until the stream ends or :meth:`close` is called."""
        number = 0
        try:
            while not self.ended and self.capture.grab():
                if number % self.every == 0:
                    success, pixels = self.capture.retrieve()
                    if not success:
                        break
                    with self.changed:
                        self.frame = number, pixels
                        self.changed.notify()
                number += 1
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify()

    def wait(self) -> Optional[Frame]:
        """Wait for a new frame; None at the end."""
        with self.changed:
            while self.frame is None and not self.ended:
                self.changed.wait()
            frame, self.frame = self.frame, None
            return frame

    def close(self) -> None:
        """Stop the thread and release the stream."""
        self.ended = True
        self.thread.join()
        self.capture.release()
