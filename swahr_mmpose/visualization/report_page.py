# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""HTML page of an evaluation report: one file, nothing to load.

All texts are escaped; images are JPEG data URIs and charts SVG elements.
"""

from __future__ import annotations

import base64
from html import escape
from string import Template
from typing import Iterable, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

__all__ = [
    'ImagePair',
    'Section',
    'make_gallery',
    'make_page',
    'make_table',
    'put_side_by_side',
]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem;
  font: 16px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem;
  border-bottom: 1px solid #dde3ea; padding-bottom: .25rem; }
p.note, dl { color: #56636f; font-size: .9rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.headline { display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; }
.headline div { flex: 1 1 7rem; background: #f3f6f9; border-radius: .5rem;
  padding: .6rem .9rem; }
.headline b { display: block; font-size: 1.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; }
th { border-bottom: 1px solid #b8c2cc; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tbody tr:nth-child(even) { background: #f7f9fb; }
svg { display: block; width: 100%; max-width: 46rem; height: auto; }
.gallery { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; }
figure img { width: 100%; border-radius: .3rem; display: block; }
figcaption { font-size: .85rem; color: #56636f; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>$title</h1>
<dl>$facts</dl>
$headline
$sections
</body>
</html>
""")


class Section(NamedTuple):
    """Section of the page.

    Attributes:
        title (str): Title.
        content (str): HTML.
        note (str): Explanation under the title, plain text.
    """

    title: str
    content: str
    note: str = ''


class ImagePair(NamedTuple):
    """Ground truth beside prediction.

    Attributes:
        image (np.ndarray): uint8 RGB, shape (H, W, 3).
        caption (str): Plain text.
    """

    image: np.ndarray
    caption: str


def make_page(
    title: str,
    facts: Sequence[Tuple[str, str]],
    headline: Sequence[Sequence[Tuple[str, str]]],
    sections: Iterable[Section],
) -> str:
    """Make the page.

    Args:
        title (str): Title.
        facts (Sequence[tuple]): Names and values: config, checkpoint, date.
        headline (Sequence[Sequence[tuple]]): Rows of names and values, the
            metrics under the title.
        sections (Iterable[Section]): Sections in order.

    Returns:
        str: HTML document.
    """
    return _PAGE.substitute(
        title=escape(title),
        facts=''.join(
            f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>'
            for name, value in facts
        ),
        headline='\n'.join(_format_cards(row) for row in headline if row),
        sections='\n'.join(_format_section(s) for s in sections),
    )


def _format_cards(row: Sequence[Tuple[str, str]]) -> str:
    """Format a row of metrics as HTML."""
    cards = ''.join(
        f'<div><b>{escape(value)}</b>{escape(name)}</div>'
        for name, value in row
    )
    return f'<div class="headline">{cards}</div>'


def _format_section(section: Section) -> str:
    """Format a section as HTML."""
    note = f'<p class="note">{escape(section.note)}</p>'
    return (
        f'<section><h2>{escape(section.title)}</h2>'
        f'{note if section.note else ""}{section.content}</section>'
    )


def make_table(
    header: Sequence[str], rows: Iterable[Sequence[Optional[object]]]
) -> str:
    """Make a table.

    Args:
        header (Sequence[str]): Column names.
        rows (Iterable[Sequence]): Cells; a float has three decimals, ``None``
            is a dash.

    Returns:
        str: HTML.
    """
    head = ''.join(f'<th>{escape(name)}</th>' for name in header)
    body = ''.join(
        '<tr>' + ''.join(f'<td>{_format_cell(c)}</td>' for c in row) + '</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div>'
    )


def _format_cell(value: Optional[object]) -> str:
    """Format a cell as HTML."""
    if value is None:
        return '&ndash;'
    return f'{value:.3f}' if isinstance(value, float) else escape(str(value))


def make_gallery(pairs: Iterable[ImagePair]) -> str:
    """Make a gallery of images with captions.

    Args:
        pairs (Iterable[ImagePair]): Images.

    Returns:
        str: HTML.
    """
    return (
        '<div class="gallery">'
        + ''.join(
            f'<figure><img loading="lazy" alt="{escape(caption)}" '
            f'src="{_encode_image(image)}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>'
            for image, caption in pairs
        )
        + '</div>'
    )


def _encode_image(image: np.ndarray) -> str:
    """Encode an RGB image as a JPEG data URI."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, 85]
    _, data = cv2.imencode('.jpg', image[..., ::-1], flags)
    text = base64.b64encode(data.tobytes()).decode()
    return f'data:image/jpeg;base64,{text}'


def put_side_by_side(
    left: np.ndarray, right: np.ndarray, height: int = 320
) -> np.ndarray:
    """Put two images of equal size side by side, with a gap.

    Args:
        left (np.ndarray): uint8, shape (H, W, 3).
        right (np.ndarray): uint8, shape (H, W, 3).
        height (int): Maximum height in pixels; larger images are reduced.
            Defaults to 320.

    Returns:
        np.ndarray: uint8, shape (h, 2 w + gap, 3).
    """
    zoom = min(height / left.shape[0], 1.0)
    size = tuple(max(round(zoom * side), 1) for side in left.shape[1::-1])
    images = [
        cv2.resize(i, size, interpolation=cv2.INTER_AREA)
        for i in (left, right)
    ]
    gap = np.full((size[1], 6, 3), 255, np.uint8)
    return np.concatenate([images[0], gap, images[1]], axis=1)
