# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""EXIF orientation: the frame that annotations of an image refer to.

A camera stores pixels as its sensor reads them, and a tag with the rotation
or flip that makes the image upright.  Annotation tools show images upright.
Only the header of a file is read.  Sizes are ``(width, height)`` in pixels.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

from PIL import Image

__all__ = ['Frame', 'find_orientation_problem', 'read_frame']

_TAG = 0x0112
# Formats in which OpenCV applies the tag unless a flag forbids it.  It
# always applies that of TIFF (as Pillow's size does), never that of WEBP.
_TURNED = ('JPEG', 'MPO', 'PNG')

Size = Tuple[int, int]


class Frame(NamedTuple):
    """Size and orientation in the header of an image file.

    Attributes:
        stored (tuple): Size of the stored pixels.
        orientation (int): EXIF orientation, 1 (upright) to 8; 1 if reading
            does not depend on it.
    """

    stored: Size
    orientation: int

    @property
    def upright(self) -> Size:
        """Size of the upright image."""
        w, h = self.stored
        return (h, w) if self.orientation > 4 else (w, h)

    def get_read_size(self, ignore_orientation: Optional[bool]) -> Size:
        """Return the size of the image as the pipeline reads it."""
        return self.stored if ignore_orientation else self.upright


def read_frame(image: Any) -> Frame:
    """Read size and orientation of an image.

    Args:
        image (PIL.Image.Image): Opened image; its pixels are not decoded.

    Returns:
        Frame: Size and orientation.
    """
    if image.format not in _TURNED or 'exif' not in image.info:
        return Frame(image.size, 1)
    exif = Image.Exif()  # OpenCV does not read the orientation in XMP
    try:
        exif.load(image.info['exif'])
        orientation = exif.get(_TAG, 1)
    except Exception:  # Pillow raises errors of many kinds
        orientation = 1
    known = isinstance(orientation, int) and 1 <= orientation <= 8
    return Frame(image.size, orientation if known else 1)


def find_orientation_problem(
    frame: Frame, size: Optional[Size], ignore_orientation: Optional[bool]
) -> Tuple[Optional[str], Optional[str]]:
    """Compare the frame of an image file with the annotated size.

    Args:
        frame (Frame): Size and orientation in the file.
        size (tuple, optional): Size in the annotation file; ``None`` if
            unknown.
        ignore_orientation (bool, optional): Setting of the pipeline,
            see :class:`.BottomupLoadImage`.

    Returns:
        tuple[str, str]: Problem, or ``None``; doubt, or ``None``: the sizes do
        not show which frame the annotations refer to, and the pipeline does
        not state it, or states the frame that annotation tools do not show.
    """
    if frame.orientation == 1:
        return None, None
    if frame.stored == frame.upright or frame.orientation < 5 or size is None:
        return None, _format_doubt(frame, ignore_orientation)
    if size not in (frame.stored, frame.upright):
        return None, None
    if size == frame.get_read_size(ignore_orientation):
        return None, None
    fits_stored = size == frame.stored
    name = 'stored' if fits_stored else 'upright'
    return (
        f'has EXIF orientation {frame.orientation}: it is '
        f'{_format_size(frame.stored)} as stored and '
        f'{_format_size(frame.upright)} upright. The annotation file has the '
        f'{name} size, but the pipeline reads the '
        f'{"upright" if fits_stored else "stored"} image. If the keypoints '
        f'refer to the {name} image, set ignore_orientation={fits_stored} in '
        'BottomupLoadImage of all pipelines; otherwise correct width and '
        'height'
    ), None


def _format_doubt(
    frame: Frame, ignore_orientation: Optional[bool]
) -> Optional[str]:
    """Format the question that only the user can answer."""
    if ignore_orientation is False:
        return None
    if ignore_orientation:
        return (
            f'has EXIF orientation {frame.orientation}, which '
            'ignore_orientation=True ignores, and its size does not show '
            'whether the keypoints refer to the stored or the upright image. '
            'Annotation tools show it upright; if the keypoints were made '
            'with one, AP is near 0: remove ignore_orientation from the '
            'pipelines'
        )
    return (
        f'has EXIF orientation {frame.orientation}, and its size does not '
        'show whether the keypoints refer to the upright or the stored '
        'image. It is read upright, as annotation tools show it. State it '
        'with ignore_orientation=False in BottomupLoadImage of all '
        'pipelines, or, if the keypoints refer to stored pixels, '
        'ignore_orientation=True'
    )


def _format_size(size: Size) -> str:
    """Format a size as ``'64 x 48'``."""
    return f'{size[0]} x {size[1]}'
