# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Outputs of inference: result files, images, videos and windows."""

from __future__ import annotations

import os
import os.path as osp
import time
from contextlib import ExitStack
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import cv2
import numpy as np

from swahr_mmpose.datasets.checks.text import count as plural
from swahr_mmpose.evaluation.coco_results import (
    CocoResultsWriter,
    image_ids,
    images_file,
)
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.progress import Progress
from swahr_mmpose.utils.screen import require_screen

from .input_sources import Item, Source
from .result import Result
from .video import H264, VideoWriter

__all__ = [
    'ImageFolder',
    'LiveVideoWriter',
    'OutputSinks',
    'Window',
    'refuse_to_overwrite',
]

_WRITTEN_TYPES = ('.jpg', '.jpeg', '.png')
_DEFAULT_FPS = 25.0  # of sources that do not report their frame rate
_VIDEO_WAIT = 0.001  # seconds a window shows a frame of a video


def refuse_to_overwrite(
    inputs: Sequence[Optional[str]], outputs: Sequence[str]
) -> None:
    """Raise if drawings would overwrite input files.

    Args:
        inputs (Sequence[str]): Files that are read; None is ignored.
        outputs (Sequence[str]): Files to write, or folders into which files
            with the names of the inputs are written.

    Raises:
        ValueError: If an output is an input or the folder of an input.
    """
    files = {osp.realpath(path) for path in inputs if path is not None}
    folders = {osp.dirname(path) for path in files}
    for output in outputs:
        if osp.realpath(output) in files | folders:
            raise ValueError(
                f'drawings would overwrite the inputs in {output}; choose '
                'another folder'
            )


def _count_people(number: int) -> str:
    """Write a number of people."""
    return '1 person' if number == 1 else f'{number} people'


class ImageFolder:
    """A folder of images with the names of their inputs.

    Names may have folders, which are created. They are made unique by
    appending numbers. JPEG and PNG are kept; other types are written as JPEG.

    Args:
        path (str): Folder; it is created.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.used: Set[str] = set()
        if osp.isfile(path):
            raise NotADirectoryError(f'{path} is a file, expected a folder')
        os.makedirs(path, exist_ok=True)

    def write(self, name: str, image: np.ndarray) -> str:
        """Write an image atomically.

        Args:
            name (str): File name of the input.
            image (np.ndarray): BGR uint8, shape (h, w, 3).

        Returns:
            str: File name of the written image.

        Raises:
            ValueError: If the image is too large for its file type.
        """
        name = self._choose_name(name)
        extension = osp.splitext(name)[1]
        success, encoded = cv2.imencode(extension, image)
        if not success:
            raise ValueError(
                f'{name}: an image of {image.shape[1]}x{image.shape[0]} '
                f'pixels cannot be stored as {extension}; use .png'
            )
        with replaced_file(osp.join(self.path, name)) as stream:
            stream.write(encoded.tobytes())
        return name

    def _choose_name(self, name: str) -> str:
        """Choose an unused name with an extension that can be written."""
        stem, extension = osp.splitext(name)
        if extension.lower() not in _WRITTEN_TYPES:
            extension = '.jpg'
        unique, number = f'{stem}{extension}', 1
        while unique in self.used:
            number += 1
            unique = f'{stem}_{number}{extension}'
        self.used.add(unique)
        return unique


class LiveVideoWriter(VideoWriter):
    """Video writer that keeps real time.

    While no new frame arrives, the previous one is repeated.

    Args:
        path (str): Video file, see :class:`VideoWriter`.
        fps (float): Frames per second of the file.
        clock (Callable): Function that returns the time in seconds. Defaults
            to ``time.monotonic``.
    """

    def __init__(
        self,
        path: str,
        fps: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path, fps)
        self.clock = clock
        self.started: Optional[float] = None
        self.previous: Optional[np.ndarray] = None

    def write(self, frame: np.ndarray) -> None:
        """Repeat the previous frame up to now and append a frame.

        Args:
            frame (np.ndarray): BGR uint8, shape (h, w, 3).
        """
        now = self.clock()
        if self.started is None:
            self.started = now
        due = int((now - self.started) * self.fps)
        while self.previous is not None and self.written < due:
            super().write(self.previous)
        super().write(frame)
        self.previous = frame


class Window:
    """A window on the screen, a context manager.

    Args:
        title (str): Title.
        wait (float): Seconds that an image is shown; 0 waits for a key.

    Raises:
        OSError: If there is no screen or OpenCV has no window support.
    """

    def __init__(self, title: str, wait: float) -> None:
        self.title = title
        self.milliseconds = max(1, round(wait * 1000)) if wait > 0 else 0
        require_screen()
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise OSError(
                'this OpenCV has no window support; install opencv-python '
                'instead of opencv-python-headless'
            ) from error

    def show(self, image: np.ndarray) -> bool:
        """Show an image.

        Args:
            image (np.ndarray): BGR uint8, shape (h, w, 3).

        Returns:
            bool: False if q or Escape was pressed.
        """
        cv2.imshow(self.title, image)
        return cv2.waitKey(self.milliseconds) & 0xFF not in (ord('q'), 27)

    def __enter__(self) -> Window:
        """Return the window, which is open already."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Close the window."""
        cv2.destroyWindow(self.title)


class OutputSinks:
    """Results, drawings, window and progress bar of an inference run.

    A context manager. Result files and videos appear at the end of the
    ``with`` statement if no error was raised; drawn images appear at once.

    Args:
        source (Source): Inputs of the run.
        metainfo (Mapping): Dataset metainfo of the model.
        out_file (str, optional): COCO results file (.json).
        out_dir (str, optional): Folder of drawings: images for images, else
            a video.
        as_images (bool): Whether to write frames as images.
        show (bool): Whether to show drawings in a window.
        wait_time (float): Seconds that the drawing of an image is shown; 0
            waits for a key.
        kpt_thr (float): Score above which keypoints are drawn.
        draw_filled (bool): Whether to draw keypoints that were filled in.
    """

    def __init__(
        self,
        source: Source,
        metainfo: Mapping[str, Any],
        *,
        out_file: Optional[str],
        out_dir: Optional[str],
        as_images: bool,
        show: bool,
        wait_time: float,
        kpt_thr: float,
        draw_filled: bool,
    ) -> None:
        self.source, self.metainfo = source, metainfo
        self.out_file, self.out_dir = out_file, out_dir
        self.as_images, self.show = as_images, show
        self.wait_time, self.kpt_thr = wait_time, kpt_thr
        self.draw_filled = draw_filled
        self.num_images = self.num_people = 0
        self.skipped: List[str] = []
        self.written: List[Tuple[str, str]] = []
        self.notes: List[str] = []
        self.started = time.monotonic()
        images = list(source.items) if source.kind == 'images' else []
        ids = image_ids(item.name for item in images)
        self.ids: Dict[int, int] = dict(
            zip((item.index for item in images), ids or ())
        )
        self.inputs = [source.path, *(item.path for item in images)]
        self.results: Optional[CocoResultsWriter] = None
        self.draw: Optional[Callable[[str, np.ndarray], Any]] = None
        self.window: Optional[Window] = None

    def __enter__(self) -> OutputSinks:
        """Open all outputs."""
        with ExitStack() as stack:
            if self.out_file:
                self._open_results(stack, self.out_file)
            if self.out_dir:
                self._open_drawings(stack, self.out_dir)
            if self.show:
                is_still = self.source.kind == 'images'
                wait = self.wait_time if is_still else _VIDEO_WAIT
                window = Window(self.source.name, wait)
                self.window = stack.enter_context(window)
            self.progress = stack.enter_context(Progress(self.source.count))
            self._stack = stack.pop_all()
        return self

    def _open_results(self, stack: ExitStack, path: str) -> None:
        """Open the results file and its table of images."""
        writer = CocoResultsWriter(path, self.metainfo)
        self.results = stack.enter_context(writer)
        self.written += [('results', path), ('images', images_file(path))]

    def _open_drawings(self, stack: ExitStack, folder: str) -> None:
        """Open the folder or the video of the drawings."""
        path = folder
        if self.source.kind == 'images' or self.as_images:
            refuse_to_overwrite(self.inputs, [path])
            self.draw = ImageFolder(path).write
        else:
            stem = osp.splitext(self.source.name)[0]
            path = osp.join(folder, f'{stem}.mp4')
            refuse_to_overwrite(self.inputs, [path])
            is_live = self.source.kind == 'camera'
            writer = LiveVideoWriter if is_live else VideoWriter
            video = writer(path, self.source.fps or _DEFAULT_FPS)
            if video.codec != H264:
                self.notes.append(
                    f'{path} is MPEG-4, which browsers do not play; for '
                    'H.264: pip install imageio-ffmpeg'
                )
            stack.enter_context(video)
            self.draw = lambda name, image: video.write(image)
        self.written.append(('drawings', path))

    def write(self, result: Result) -> bool:
        """Write, draw and show a result.

        Args:
            result (Result): Result of one image or frame.

        Returns:
            bool: False if the user closed the window.
        """
        self.num_images += 1
        self.num_people += len(result.scores)
        self.progress.update(_count_people(self.num_people))
        if self.results:
            self._write_results(self.results, result)
        if not (self.draw or self.window):
            return True
        drawn = result.drawn(self.kpt_thr, self.draw_filled)
        if self.draw:
            self.draw(result.name, drawn)
        return self.window is None or self.window.show(drawn)

    def _write_results(
        self, writer: CocoResultsWriter, result: Result
    ) -> None:
        """Write the people of a result as COCO results."""
        image_id = self.ids.get(result.index, result.index)
        size = (result.image.shape[1], result.image.shape[0])
        people = result.to_coco(image_id)
        writer.write(image_id, result.name, size, people)

    def skip(self, item: Item, error: Exception) -> None:
        """Report an image that cannot be read.

        Args:
            item (Item): Image.
            error (Exception): Error of reading it.
        """
        self.skipped.append(item.path or item.name)
        self.progress.update(_count_people(self.num_people))
        self.progress.write(f'skipped: {error}')

    def __exit__(self, *error: Any) -> Optional[bool]:
        """Move files to their paths, or remove them on errors."""
        return self._stack.__exit__(*error)

    def summarize(self) -> Iterator[str]:
        """Yield lines with counts, speed and the paths of written files."""
        seconds = time.monotonic() - self.started
        yield (
            f'{plural(self.num_images, "image")}, '
            f'{_count_people(self.num_people)}, '
            f'{seconds:.1f} s '
            f'({self.num_images / max(seconds, 1e-9):.1f} images/s)'
        )
        if self.skipped:
            names = ', '.join(self.skipped[:5])
            were = 'was' if len(self.skipped) == 1 else 'were'
            skipped = plural(len(self.skipped), 'image')
            yield f'{skipped} {were} skipped: {names}'
        for kind, path in self.written:
            yield f'{kind} are in {osp.abspath(path)}'
        yield from self.notes
