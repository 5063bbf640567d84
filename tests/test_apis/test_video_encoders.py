import sys

import cv2
import numpy as np
import pytest
from helpers.datasets import frame, write

from swahr_mmpose.apis.video import H264, VideoReader, VideoWriter
from swahr_mmpose.apis.video_encoders import H264Encoder, has_h264


def test_without_imageio_ffmpeg_opencv_writes_mpeg_4(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', None)
    assert not has_h264()
    assert VideoWriter('a.mp4', 5).codec == 'mp4v'
    path = write(tmp_path / 'a.mp4')
    assert VideoReader(path).count == 7


class Ffmpeg:
    """Stand-in of imageio_ffmpeg that records what is written."""

    def __init__(self):
        self.frames, self.options, self.closed = [], {}, False

    def get_ffmpeg_exe(self):
        return 'ffmpeg'

    def write_frames(self, path, size, **options):
        self.options = dict(options, path=path, size=size)
        try:
            while True:
                pixels = yield
                if pixels is not None:
                    self.frames.append(np.array(pixels))
        except GeneratorExit:
            self.closed = True


def test_mp4_is_h_264_that_browsers_play(tmp_path, monkeypatch):
    ffmpeg = Ffmpeg()
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', ffmpeg)
    monkeypatch.setattr(VideoWriter, '_check_written', lambda _: None)
    path = str(tmp_path / 'a.mp4')
    with VideoWriter(path, 12.5) as video:
        assert video.codec == H264
        for value in (1, 2, 3):
            video.write(frame(value, (65, 49)))
    assert ffmpeg.closed
    assert [f.shape for f in ffmpeg.frames] == [(48, 64, 3)] * 3
    assert [f[0, 0, 0] for f in ffmpeg.frames] == [1, 2, 3]
    assert ffmpeg.options['size'] == (64, 48)
    assert ffmpeg.options['fps'] == 12.5
    assert ffmpeg.options['pix_fmt_out'] == 'yuv420p'
    assert VideoWriter('a.avi', 5).codec == 'MJPG'


def test_an_encoder_needs_a_size(monkeypatch):
    monkeypatch.setitem(sys.modules, 'imageio_ffmpeg', Ffmpeg())
    with pytest.raises(OSError, match='frames of size'):
        H264Encoder('a.mp4', 5, (0, 48))


@pytest.mark.skipif(not has_h264(), reason='imageio-ffmpeg is not installed')
def test_written_h_264_is_read_back(tmp_path):
    path = write(tmp_path / 'a.mp4', count=12)
    video = VideoReader(path)
    code = int(video.capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little')
    assert code in (b'avc1', b'h264', b'H264')
    assert (video.count, video.fps) == (12, 12.5)
    means = [pixels.mean() for _, pixels in video]
    expected = [30 * n % 256 for n in range(12)]
    np.testing.assert_allclose(means, expected, atol=6)
