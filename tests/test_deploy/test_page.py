"""The page of the web service, in a headless browser."""

import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.browser import open_browser
from PIL import Image

pytest.importorskip('uvicorn')
from swahr_mmpose.deploy.runtime import Poses, server

pytestmark = pytest.mark.slow
RED = (214, 39, 40)


class StubModel:
    """Model that finds two people at fixed places."""

    settings = SimpleNamespace(
        keypoints=['nose', 'left_hip', 'right_hip'],
        skeleton=[(0, 1), (0, 2)],
        output_scales=True,
    )

    def __call__(self, image, channel_order):
        points = np.array(
            [[[20, 10], [10, 40], [30, 40]], [[70, 10], [60, 40], [80, 40]]],
            np.float32,
        )
        return Poses(
            points,
            np.array([[0.9, 0.9, 0.05], [0.9, 0.9, 0.9]], np.float32),
            np.array([0.8, 0.4], np.float32),
            np.array([[0, 0, 0], [0, 0, 1]], bool),
            np.full((2, 3), 2.5, np.float32),
        )


@pytest.fixture(scope='module')
def url():
    """Address of a service, which ends with the process."""
    limits = server.Limits(max_pixels=400_000)
    address, url = server.open_socket('127.0.0.1', 0)
    service = server.Service(StubModel(), limits)
    threading.Thread(
        target=server.serve, args=(service, address), daemon=True
    ).start()
    return url


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp('profile')) as page:
        yield page


@pytest.fixture
def page(browser, url):
    """The page, opened again; no script may fail."""
    browser.open(f'{url}/')
    browser.wait_for('model.uncertainty')
    browser.events.clear()
    yield browser
    assert browser.errors() == []


@pytest.fixture
def photo(tmp_path):
    """An image of one colour."""
    path = tmp_path / 'a photo.png'
    Image.new('RGB', (100, 50), RED).save(path)
    return path


def choose(page, path):
    page.choose_files('#file', path)
    page.wait_for('image !== null')


def pixel(page, x, y):
    """Colour of the canvas at a point."""
    return page.evaluate(
        "Array.from(document.getElementById('canvas').getContext('2d')"
        f'.getImageData({x}, {y}, 1, 1).data).slice(0, 3)'
    )


def slide(page, name, value):
    page.evaluate(
        f"document.getElementById('{name}').value = {value};"
        f"document.getElementById('{name}').dispatchEvent(new Event('input'))"
    )


def test_people_are_drawn_and_listed(page, photo):
    choose(page, photo)
    assert page.evaluate("document.getElementById('count').innerText") == (
        '2 people'
    )
    rows = page.evaluate(
        "Array.from(document.getElementById('list').rows, (row) => "
        'Array.from(row.cells, (c) => c.innerText))'
    )
    assert rows == [['1', '0.800', '3'], ['2', '0.400', '2']]
    first, second = (31, 119, 180), (255, 127, 14)
    assert pixel(page, 10, 40) == list(first)
    assert pixel(page, 15, 25) != list(RED)  # between nose and left hip
    assert pixel(page, 70, 10) == list(second)
    # a low score, and a keypoint that was filled in
    assert pixel(page, 30, 40) == pixel(page, 80, 40) == list(RED)
    status = page.evaluate("document.getElementById('status').innerText")
    assert status.startswith('a photo.png: ')


def test_sliders_choose_people_and_keypoints(page, photo):
    choose(page, photo)
    slide(page, 'people', 0.5)
    assert page.evaluate("document.getElementById('count').innerText") == (
        '1 person'
    )
    assert pixel(page, 70, 10) == list(RED)
    slide(page, 'keypoints', 0)
    assert pixel(page, 30, 40) != list(RED)
    slide(page, 'people', 1)
    assert pixel(page, 10, 40) == list(RED)


def test_the_uncertainty_is_a_circle(page, photo):
    choose(page, photo)
    assert pixel(page, 12, 38) != list(RED)
    page.evaluate("document.getElementById('sigmas').click()")
    assert pixel(page, 12, 37) == list(RED)


def test_the_download_is_coco(page, photo):
    choose(page, photo)
    content = json.loads(page.evaluate('JSON.stringify(makeCoco())'))
    assert content['images'] == [
        dict(id=1, file_name='a photo.png', width=100, height=50)
    ]
    (category,) = content['categories']
    assert category['keypoints'] == StubModel.settings.keypoints
    assert category['skeleton'] == [[1, 2], [1, 3]]
    first, second = content['annotations']
    assert first['keypoints'] == [20, 10, 2, 10, 40, 2, 30, 40, 2]
    assert first['bbox'] == [10, 10, 20, 30]
    assert (second['num_keypoints'], second['keypoints'][-3:]) == (
        2, [0, 0, 0]
    )  # fmt: skip
    assert second['bbox'] == [60, 10, 10, 30]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'no image', 'is no image that this browser shows'),
        ((800, 800), 'expected at most 400000'),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(
    page, tmp_path, content, message, photo
):
    path = tmp_path / 'b.png'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        Image.new('RGB', content).save(path)
    page.choose_files('#file', path)
    status = "document.getElementById('status')"
    page.wait_for(f"{status}.classList.contains('error')")
    text = page.evaluate(f'{status}.innerText')
    assert message in text or 'of no known format' in text
    choose(page, photo)  # the page goes on
    assert not page.evaluate(f"{status}.classList.contains('error')")


def test_camera_frames_are_shown_until_it_is_stopped(page):
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for("image !== null && name === 'camera.jpg'")
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for('stream === null')
    assert page.evaluate("document.getElementById('camera').innerText") == (
        'Camera'
    )


def test_nothing_is_cut_off_on_a_phone(page, photo):
    page.resize(360, 700)
    choose(page, photo)
    assert page.evaluate('document.documentElement.scrollWidth') <= 360
    page.resize(1200, 800)
