import cv2
import numpy as np
import pytest

from swahr_mmpose.apis.output_sinks import (
    ImageFolder,
    LiveVideoWriter,
    Window,
    refuse_to_overwrite,
)
from swahr_mmpose.apis.video import VideoReader

IMAGE = np.full((30, 40, 3), 90, np.uint8)


def test_images_keep_their_names_and_names_are_unique(tmp_path):
    folder = ImageFolder(str(tmp_path / 'a/b'))
    given = ['x.png', 'x.png', 'x.jpg', 'y.tiff', 'w.mp4_3', '3', '3']
    made = [folder.write(name, IMAGE) for name in given]
    assert made[:4] == ['x.png', 'x_2.png', 'x.jpg', 'y.jpg']
    assert len(set(made)) == len(made)
    assert {p.name for p in (tmp_path / 'a/b').iterdir()} == set(made)
    for name in made:
        seen = cv2.imread(str(tmp_path / 'a/b' / name))
        assert abs(seen.astype(int) - IMAGE).max() < 4


def test_inputs_are_not_overwritten(tmp_path):
    image = str(tmp_path / 'in/a.jpg')
    (tmp_path / 'link').symlink_to(tmp_path / 'in')
    refuse_to_overwrite([image, None], [str(tmp_path / 'out')])
    for out in ('in', 'link', 'in/a.jpg', 'in/../in'):
        with pytest.raises(ValueError, match='would overwrite the inputs'):
            refuse_to_overwrite([None, image], [str(tmp_path / out)])


def test_a_live_video_keeps_real_time(tmp_path):
    times = iter([100.0, 100.1, 101.0, 101.05])
    path = str(tmp_path / 'a.mp4')
    with LiveVideoWriter(path, 10, clock=lambda: next(times)) as video:
        for value in (10, 70, 130, 190):
            video.write(np.full((32, 32, 3), value, np.uint8))
    means = [round(f.mean(), -1) for _, f in VideoReader(path)]
    # 0.1 s between the first two frames, 0.9 s until the third.
    assert means == [10, *[70] * 9, 130, 190]


def test_without_a_screen_there_is_no_window(monkeypatch):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    monkeypatch.setattr('sys.platform', 'linux')
    with pytest.raises(OSError, match='no screen'):
        Window('a', 1)


def test_a_window_shows_until_q(monkeypatch):
    monkeypatch.setenv('DISPLAY', ':0')
    keys, waits, closed = iter([255, ord('x'), ord('q'), 27]), [], []
    monkeypatch.setattr(cv2, 'namedWindow', lambda *_: None)
    monkeypatch.setattr(cv2, 'imshow', lambda *_: None)
    monkeypatch.setattr(cv2, 'destroyWindow', closed.append)
    monkeypatch.setattr(
        cv2, 'waitKey', lambda ms: (waits.append(ms), next(keys))[1]
    )
    with Window('people', 0.2) as window:
        shown = [window.show(IMAGE) for _ in range(4)]
    assert shown == [True, True, False, False]
    assert waits == [200] * 4
    assert closed == ['people']


def test_an_opencv_without_windows_is_reported(monkeypatch):
    def fail(*_):
        raise cv2.error('not implemented')

    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'namedWindow', fail)
    with pytest.raises(OSError, match='install opencv-python'):
        Window('a', 1)


def test_images_of_different_folders_are_kept_apart(tmp_path):
    folder = ImageFolder(str(tmp_path / 'out'))
    made = [folder.write(name, IMAGE) for name in ('a/x.png', 'b/x.png')]
    assert made == ['a/x.png', 'b/x.png']
    assert all((tmp_path / 'out' / name).is_file() for name in made)
