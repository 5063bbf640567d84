import cv2
import numpy as np
import pytest
from PIL import Image

from swahr_mmpose.datasets.checks.image_files import (
    check_record,
    find_broken_images,
    find_file_problem,
    image_sizes,
    lacks_end_marker,
)


@pytest.fixture(params=['.jpg', '.png'])
def image_file(request, tmp_path):
    path = tmp_path / f'a{request.param}'
    noise = np.random.randint(0, 255, (90, 120, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def test_a_complete_image_file_is_fine(image_file):
    assert find_file_problem(str(image_file), None) is None


@pytest.mark.parametrize('share', [0.1, 0.5, 0.8])
def test_a_part_of_it_is_not(image_file, share):
    content = image_file.read_bytes()
    part = content[: int(share * len(content))]
    assert lacks_end_marker(part)
    image_file.write_bytes(part)
    assert find_file_problem(str(image_file), None) == 'is truncated'


def test_only_broken_files_are_returned_in_order(image_file, tmp_path):
    empty = tmp_path / 'b.jpg'
    empty.write_bytes(b'')
    missing = str(tmp_path / 'c.jpg')
    paths = [missing, str(image_file), str(empty)]
    problems = find_broken_images(dict.fromkeys(paths))
    assert list(problems.items()) == [
        (missing, 'does not exist'),
        (str(empty), 'is empty'),
    ]


def test_what_a_camera_appends_does_no_harm(image_file):
    content = image_file.read_bytes() + bytes(10000)
    assert lacks_end_marker(content)
    image_file.write_bytes(content)
    assert find_file_problem(str(image_file), None) is None


def test_a_folder_is_not_an_image_file(tmp_path):
    assert 'cannot be read' in find_file_problem(str(tmp_path), None)


@pytest.mark.parametrize(
    'name',
    [
        '../a.jpg',
        'b/../../a.jpg',
        '/etc/passwd',
        '..\\a.jpg',
        'C:\\a.jpg',
        'file:///etc/passwd',
        's3://bucket/a.jpg',
        'a.jpg\0',
        '',
        '.',
    ],
)
def test_names_that_leave_the_folder_are_never_opened(name):
    image = dict(file_name=name, width=4, height=3)
    (message,) = check_record(image, None)
    assert 'leaves the image folder; expected a relative path' in message
    assert image_sizes([image]) == {}


@pytest.mark.parametrize('name', ['a.jpg', 'b/c/a.jpg', './a.jpg', 'a..b.jpg'])
def test_names_in_the_folder_are_fine(name):
    image = dict(file_name=name, width=4, height=3)
    assert list(check_record(image, None)) == []
    assert image_sizes([image]) == {name: (4, 3)}


def test_only_images_much_longer_than_wide_are_too_long_for_testing():
    image = dict(file_name='a.jpg', width=10, height=200)
    assert list(check_record(image, 512)) == []
    image['height'] = 201
    (message,) = check_record(image, 512)
    assert 'would be resized to 512x10291 for testing; remove it or' in message
    assert list(check_record(image, None)) == []


def test_a_gif_will_do_where_opencv_reads_it(tmp_path):
    path = str(tmp_path / 'a.gif')
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    can_read = cv2.imread(path) is not None  # OpenCV 5 can, 4 cannot
    assert (find_file_problem(path, None) is None) == can_read


def test_a_kind_of_file_that_opencv_cannot_read_is_named(tmp_path):
    path = tmp_path / 'a.tga'
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    assert find_file_problem(str(path), None).startswith('is a TGA file')
    assert find_file_problem(f'{path}\0', None).startswith('cannot be')
