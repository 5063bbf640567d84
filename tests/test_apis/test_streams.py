import http.server
import threading
import time

import cv2
import numpy as np
import pytest
from helpers.datasets import write

from swahr_mmpose.apis.input_sources import open_source
from swahr_mmpose.apis.streams import (
    is_stream,
    mask_credentials,
    name_stream,
    newest_frames,
)
from swahr_mmpose.apis.video import VideoReader


@pytest.mark.parametrize(
    ('address', 'masked', 'name'),
    [
        ('rtsp://u:secret@cam/live/1', 'rtsp://cam/live/1', 'cam_live_1'),
        ('http://10.0.0.5:80/v?token=x', 'http://10.0.0.5:80/v', None),
        ('udp://@239.0.0.1:5000', 'udp://239.0.0.1:5000', None),
        ('RTSP://cam', 'rtsp://cam', 'cam'),
    ],
)
def test_credentials_are_not_part_of_names(address, masked, name):
    assert is_stream(address)
    assert mask_credentials(address) == masked
    assert name is None or name_stream(address) == name
    for secret in ('secret', 'token', '.', ':', '/', '@'):
        assert secret not in name_stream(address)


def test_paths_and_other_schemes_are_no_streams():
    for text in ('a/b.mp4', 'C:\\a.mp4', 'http', 's3://a/b', 'webcam:0'):
        assert not is_stream(text)
        assert mask_credentials(text) == text


class Capture:
    """Stream of frames with their number as value, as fast as allowed."""

    def __init__(self, count, wait=0.0):
        self.count, self.wait = count, wait
        self.number, self.released = -1, False

    def grab(self):
        time.sleep(self.wait)
        self.number += 1
        return self.number < self.count

    def retrieve(self):
        return True, np.full((2, 2, 3), self.number, np.uint8)

    def release(self):
        self.released = True


def test_a_slow_consumer_gets_the_newest_frame():
    capture, seen = Capture(40, 0.005), []
    for number, pixels in newest_frames(capture):
        assert pixels[0, 0, 0] == number
        seen.append(number)
        time.sleep(0.05)
    assert capture.released
    assert seen == sorted(set(seen))
    assert seen[-1] == 39
    assert 2 <= len(seen) < 25


def test_every_nth_frame_of_a_stream_and_an_early_end():
    capture = Capture(1000, 0.001)
    before = threading.active_count()
    frames = newest_frames(capture, every=3)
    numbers = [next(frames)[0] for _ in range(4)]
    assert all(n % 3 == 0 for n in numbers)
    frames.close()
    assert capture.released
    assert threading.active_count() == before


@pytest.fixture
def server(tmp_path):
    """Serve a folder over HTTP."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{served.server_port}'
        served.shutdown()
        thread.join()


def test_a_video_is_read_over_http(server, tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    write(tmp_path / 'walk.avi')
    source = open_source(f'{server}/walk.avi', every=2)
    if source.kind == 'camera':
        pytest.skip('this FFmpeg does not report the length')
    assert (source.kind, source.count, source.path) == ('video', 4, None)
    frames = list(source.items)
    assert [item.index for item in frames] == [0, 2, 4, 6]
    assert frames[0].name.startswith('127_0_0_1')
    assert abs(frames[1].load().mean() - 60) < 5


def test_a_live_stream_is_a_camera(monkeypatch):
    class Live(Capture):
        def isOpened(self):  # noqa: N802
            return True

        def get(self, _):
            return -1.0

    def open_live(address, backend, limits):
        assert address == 'rtsp://u:secret@cam/1'
        assert cv2.CAP_PROP_OPEN_TIMEOUT_MSEC in limits
        return Live(5, 0.01)

    monkeypatch.setattr(
        'swahr_mmpose.apis.streams.cv2.VideoCapture', open_live
    )
    source = open_source(['rtsp://u:secret@cam/1'])
    assert (source.kind, source.name, source.count) == (
        'camera',
        'cam_1',
        None,
    )
    with pytest.warns(UserWarning, match='stream rtsp://cam/1 returns no mor'):
        items = list(source.items)
    assert items[-1].index == 4


def test_a_stream_that_cannot_be_opened_is_named_without_password(monkeypatch):
    class Closed:
        def isOpened(self):  # noqa: N802
            return False

    monkeypatch.setattr(
        'swahr_mmpose.apis.streams.cv2.VideoCapture', lambda *_: Closed()
    )
    with pytest.raises(ValueError, match='stream rtsp://cam/1 cannot be ope'):
        VideoReader('rtsp://u:secret@cam/1')
    with pytest.raises(ValueError, match='rtsp://cam/1 is a video, camera or'):
        open_source(['rtsp://u:secret@cam/1', 'a.jpg'])
