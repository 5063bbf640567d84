import pytest
from helpers.datasets import frame, write

from swahr_mmpose.apis.video import VideoReader, VideoWriter


@pytest.mark.parametrize('kind', ['mp4', 'avi'])
@pytest.mark.parametrize('size', [(64, 48), (65, 49)])
def test_a_written_video_is_read_back(tmp_path, kind, size):
    path = write(tmp_path / f'new/a.{kind}', size=size)
    video = VideoReader(path)
    assert (video.fps, video.count) == (12.5, 7)
    frames = list(video)
    assert [n for n, _ in frames] == list(range(7))
    for n, pixels in frames:
        assert pixels.shape == (48, 64, 3)
        assert abs(pixels.mean() - 30 * n) < 5
    assert [p.name for p in (tmp_path / 'new').iterdir()] == [f'a.{kind}']


@pytest.mark.parametrize(
    ('every', 'numbers'), [(2, [0, 2, 4, 6]), (3, [0, 3, 6]), (9, [0])]
)
def test_every_nth_frame_keeps_the_duration(tmp_path, every, numbers):
    video = VideoReader(write(tmp_path / 'a.mp4'), every)
    assert video.count == len(numbers)
    assert video.fps == pytest.approx(12.5 / every)
    frames = list(video)
    assert [n for n, _ in frames] == numbers
    assert abs(frames[-1][1].mean() - 30 * numbers[-1]) < 5


def test_invalid_videos_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='a.mp4 does not exist'):
        VideoReader(str(tmp_path / 'a.mp4'))
    (tmp_path / 'a.mp4').write_bytes(b'not a video')
    with pytest.raises(ValueError, match='a.mp4 is not a video that OpenCV'):
        VideoReader(str(tmp_path / 'a.mp4'))
    with pytest.raises(ValueError, match='camera 99 cannot be opened'):
        VideoReader(99)
    with pytest.raises(ValueError, match='file .mp4 or .avi, got a.gif'):
        VideoWriter('a.gif', 5)


def test_a_truncated_video_is_reported(tmp_path):
    path = tmp_path / 'a.avi'
    write(path, 40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r'number \d+ of 40; the file may'):
        frames = list(VideoReader(str(path)))
    assert 0 < len(frames) < 40


def write_all(path, frames, miss=0):
    with VideoWriter(str(path), 5) as video:
        for pixels in frames:
            video.write(pixels)
        video.written += miss


def stopped():
    yield frame(1)
    raise KeyboardInterrupt


def test_an_error_leaves_no_video(tmp_path):
    path = tmp_path / 'a.mp4'
    with pytest.raises(ValueError, match=r'size \(32, 48\), expected \(64'):
        write_all(path, [frame(1), frame(1, (32, 48))])
    assert not list(tmp_path.iterdir())
    write(path)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_all(path, stopped())
    assert path.read_bytes() == before
    write_all(tmp_path / 'none.mp4', [])
    assert [p.name for p in tmp_path.iterdir()] == ['a.mp4']


def test_a_missing_encoder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr('swahr_mmpose.apis.video._CODECS', {'.mp4': 'none'})
    monkeypatch.setattr('swahr_mmpose.apis.video.has_h264', lambda: False)
    with pytest.raises(OSError, match='no encoder none.*as images'):
        write(tmp_path / 'a.mp4')
    assert not list(tmp_path.iterdir())


def test_missing_frames_are_reported(tmp_path):
    with pytest.raises(OSError, match='3 of 4 frames were written; check'):
        write_all(tmp_path / 'a.mp4', [frame(1)] * 3, miss=1)
    assert not list(tmp_path.iterdir())


def test_a_file_of_a_similar_name_is_kept(tmp_path):
    (tmp_path / 'a.part.mp4').write_text('mine')
    write(tmp_path / 'a.mp4')
    assert (tmp_path / 'a.part.mp4').read_text() == 'mine'
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ['a.mp4', 'a.part.mp4']
