import cv2
import numpy as np
import pytest

from swahr_mmpose.imagefiles import (
    find_broken_images,
    is_cut_short,
    what_is_wrong,
)


@pytest.fixture(params=['.jpg', '.png'])
def picture(request, tmp_path):
    path = tmp_path / f'a{request.param}'
    noise = np.random.randint(0, 255, (90, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def test_a_whole_picture_is_fine(picture):
    assert what_is_wrong(str(picture)) is None


@pytest.mark.parametrize('share', [0.1, 0.5, 0.8])
def test_a_part_of_it_is_not(picture, share):
    content = picture.read_bytes()
    part = content[: int(share * len(content))]
    assert is_cut_short(part)
    picture.write_bytes(part)
    assert what_is_wrong(str(picture)) == 'is cut short'


def test_only_broken_files_are_returned_in_order(picture, tmp_path):
    empty = tmp_path / 'b.jpg'
    empty.write_bytes(b'')
    missing = str(tmp_path / 'c.jpg')
    found = find_broken_images([missing, str(picture), str(empty), missing])
    assert list(found.items()) == [
        (missing, 'does not exist'),
        (str(empty), 'is empty'),
    ]


def test_what_a_camera_appends_does_no_harm(picture):
    content = picture.read_bytes() + bytes(10000)
    assert is_cut_short(content)
    picture.write_bytes(content)
    assert what_is_wrong(str(picture)) is None


def test_a_folder_is_no_picture(tmp_path):
    assert 'cannot be read' in what_is_wrong(str(tmp_path))
