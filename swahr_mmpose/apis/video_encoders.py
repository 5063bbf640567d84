# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Encoders of video files: H.264 of imageio-ffmpeg, and those of OpenCV."""

from __future__ import annotations

from typing import Any, Tuple

import cv2
import numpy as np

__all__ = ['H264Encoder', 'OpenCVEncoder', 'has_h264']

Size = Tuple[int, int]


def has_h264() -> bool:
    """Return whether imageio-ffmpeg is installed and has FFmpeg.

    Returns:
        bool: Whether :class:`H264Encoder` can be used.
    """
    try:
        import imageio_ffmpeg

        return bool(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return False


class H264Encoder:
    """Encoder of H.264 in MP4 that browsers play.

    Args:
        path (str): File to write, ``.mp4``.
        fps (float): Frames per second.
        size (tuple): Even size ``(w, h)`` of the frames in pixels.

    Raises:
        OSError: If FFmpeg cannot be started or the size is 0.
    """

    def __init__(self, path: str, fps: float, size: Size) -> None:
        import imageio_ffmpeg

        if min(size) < 1:
            raise OSError(f'frames of size {size} cannot be encoded')
        self._process: Any = imageio_ffmpeg.write_frames(
            path,
            size,
            pix_fmt_in='bgr24',
            pix_fmt_out='yuv420p',  # others are not played by all browsers
            fps=fps,
            codec='libx264',
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level='error',
            output_params=[
                '-crf', '20', '-preset', 'veryfast',
                '-movflags', '+faststart',  # plays before it is loaded
            ],
        )  # fmt: skip
        self._process.send(None)

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame (np.ndarray): BGR uint8, contiguous, shape (h, w, 3).

        Raises:
            OSError: If FFmpeg reports an error.
        """
        self._process.send(frame)

    def close(self) -> None:
        """Write the end of the file."""
        self._process.close()


class OpenCVEncoder:
    """Encoder of OpenCV.

    Args:
        path (str): File to write.
        fps (float): Frames per second.
        size (tuple): Even size ``(w, h)`` of the frames in pixels.
        codec (str): Four-character code.

    Raises:
        OSError: If OpenCV has no such encoder.
    """

    def __init__(self, path: str, fps: float, size: Size, codec: str) -> None:
        self._writer: Any = None
        if min(size) > 0:
            code = cv2.VideoWriter.fourcc(*codec)
            self._writer = cv2.VideoWriter(path, code, fps, size)
        if self._writer is None or not self._writer.isOpened():
            raise OSError(
                f'OpenCV cannot write this video: it has no encoder {codec}, '
                f'or it does not accept frames of size {size}. Write frames '
                'as images, or an .avi file, or install imageio-ffmpeg'
            )

    def write(self, frame: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame (np.ndarray): BGR uint8, contiguous, shape (h, w, 3).
        """
        self._writer.write(frame)

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.release()
