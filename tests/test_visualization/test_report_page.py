"""The page escapes what it is given and loads nothing."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np

from swahr_mmpose.visualization.report_page import (
    ImagePair,
    Section,
    make_gallery,
    make_page,
    make_table,
    put_side_by_side,
)

HOSTILE = '<script>alert("$x & \'y\'")</script>'


class Collector(HTMLParser):
    """Collect the tags of a page, and its open elements."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], ''

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parse(page):
    """Parse a page whose elements must be closed in order."""
    collector = Collector()
    collector.feed(page)
    assert collector.open == []
    return collector


def test_texts_are_escaped_everywhere():
    image = np.zeros((4, 4, 3), np.uint8)
    page = make_page(
        HOSTILE,
        [(HOSTILE, HOSTILE)],
        [[(HOSTILE, HOSTILE)]],
        [
            Section(HOSTILE, make_table([HOSTILE], [[HOSTILE]]), HOSTILE),
            Section('images', make_gallery([ImagePair(image, HOSTILE)])),
        ],
    )
    collector = parse(page)
    assert 'script' not in [tag for tag, _ in collector.tags]
    assert collector.text.count(HOSTILE) == 11


def test_nothing_is_loaded_from_elsewhere():
    image = np.full((8, 6, 3), (200, 10, 30), np.uint8)
    page = make_page('t', [], [], [Section('s', make_gallery([(image, 'c')]))])
    (attributes,) = [a for tag, a in parse(page).tags if tag == 'img']
    kind, data = attributes['src'].split(',')
    assert kind == 'data:image/jpeg;base64'
    decoded = cv2.imdecode(
        np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR
    )
    assert np.abs(decoded[..., ::-1].astype(int) - image).max() < 10
    assert not re.search(r'(src|href)="(?!data:)|url\(|@import', page)


def test_cells_have_three_decimals_or_a_dash():
    table = make_table(('name', 'value'), [('AP', 0.12345), ('AR', None)])
    assert re.findall(r'<td>(.*?)</td>', table) == [
        'AP', '0.123', 'AR', '&ndash;'
    ]  # fmt: skip


def test_large_images_are_reduced_and_small_ones_kept():
    tall, small = np.zeros((640, 100, 3)), np.zeros((20, 30, 3))
    for image, shape in ((tall, (320, 106, 3)), (small, (20, 66, 3))):
        image = image.astype(np.uint8)
        assert put_side_by_side(image, image).shape == shape
