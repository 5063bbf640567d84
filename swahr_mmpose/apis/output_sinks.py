# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Where drawings go: a folder of pictures, a video, a window."""

from __future__ import annotations

import os
import os.path as osp
import sys
import time
from typing import Any, Callable, Optional, Sequence, Set

import cv2
import numpy as np

from swahr_mmpose.utils.atomic_write import replaced_file

from .video import VideoWriter

__all__ = ['LiveVideoWriter', 'PictureFolder', 'Window', 'refuse_to_overwrite']

_KINDS = ('.jpg', '.jpeg', '.png')


def refuse_to_overwrite(
    inputs: Sequence[Optional[str]], outputs: Sequence[str]
) -> None:
    """Raise where drawings would take the place of what they are made of.

    Args:
        inputs (Sequence[str]): Files that are read; ``None`` is none.
        outputs (Sequence[str]): Files that will be written, or folders into
            which files of the same names go.
    """
    files = {osp.realpath(path) for path in inputs if path is not None}
    folders = {osp.dirname(path) for path in files}
    for output in outputs:
        if osp.realpath(output) in files | folders:
            raise ValueError(
                f'drawings would overwrite what they are made of, in {output};'
                ' choose another folder'
            )


class PictureFolder:
    """Pictures of the names that their originals had.

    Where two have the same name, the second gets a number.  What is no JPEG
    or PNG becomes a JPEG.

    Args:
        path (str): The folder; it is made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.used: Set[str] = set()
        os.makedirs(path, exist_ok=True)

    def write(self, name: str, image: np.ndarray) -> str:
        """Write a picture as a whole.

        Args:
            name (str): Of its original.
            image (np.ndarray): BGR uint8 (h, w, 3).

        Returns:
            str: The name that it got.
        """
        stem, kind = osp.splitext(name)
        kind = kind if kind.lower() in _KINDS else '.jpg'
        free, number = f'{stem}{kind}', 1
        while free in self.used:
            number += 1
            free = f'{stem}_{number}{kind}'
        self.used.add(free)
        written, encoded = cv2.imencode(kind, image)
        if not written:
            raise ValueError(
                f'{free}: a picture of {image.shape[1]} x {image.shape[0]} '
                f'cannot be stored as {kind}; take .png'
            )
        with replaced_file(osp.join(self.path, free)) as stream:
            stream.write(encoded.tobytes())
        return free


class LiveVideoWriter(VideoWriter):
    """A video at the pace of the clock, whatever the pace of the frames.

    Between two frames that are far apart the first stands still.

    Args:
        path (str): As for :class:`VideoWriter`.
        fps (float): Frames a second of the file.
        clock (Callable): Gives seconds.
    """

    def __init__(
        self,
        path: str,
        fps: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path, fps)
        self.clock = clock
        self.began: Optional[float] = None
        self.last: Optional[np.ndarray] = None

    def write(self, frame: np.ndarray) -> None:
        """Write the frame before until now, then this one once."""
        now = self.clock()
        if self.began is None:
            self.began = now
        due = int((now - self.began) * self.fps)
        while self.last is not None and self.written < due:
            super().write(self.last)
        super().write(frame)
        self.last = frame


class Window:
    """A window on the screen.

    Args:
        title (str): Of the window.
        wait (float): Seconds that a picture stays; 0 until a key is pressed.

    Raises:
        RuntimeError: If there is no screen, or OpenCV has no windows.
    """

    def __init__(self, title: str, wait: float) -> None:
        self.title = title
        self.milliseconds = max(1, round(wait * 1000)) if wait > 0 else 0
        screen = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
        if sys.platform.startswith('linux') and not screen:
            raise RuntimeError('there is no screen to show a window on')
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise RuntimeError(
                'this OpenCV cannot show windows; install opencv-python in '
                'the place of opencv-python-headless'
            ) from error

    def show(self, image: np.ndarray) -> bool:
        """Show a picture; False if q or Escape was pressed."""
        cv2.imshow(self.title, image)
        return cv2.waitKey(self.milliseconds) & 0xFF not in (ord('q'), 27)

    def __enter__(self) -> Window:
        """It is open already."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Close it."""
        cv2.destroyWindow(self.title)
