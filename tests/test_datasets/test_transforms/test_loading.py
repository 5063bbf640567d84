import os

import cv2
import numpy as np
import pytest
from helpers.datasets import IMAGE_SIZES, loader, sample
from PIL import Image

from swahr_mmpose import BottomupLoadImage
from swahr_mmpose.datasets.transforms.loading import as_bgr


@pytest.fixture
def image_file(tmp_path):
    path = tmp_path / 'a.jpg'
    cv2.imwrite(str(path), sample()['img'])
    return path


def test_an_image_is_read_as_bgr(image_file):
    results = BottomupLoadImage()(dict(img_path=str(image_file)))
    np.testing.assert_array_equal(results['img'], cv2.imread(str(image_file)))
    assert results['ori_shape'] == (40, 60)


def test_one_switch_chooses_upright_or_stored_pixels(image_file):
    image = Image.open(image_file)
    exif = image.getexif()
    exif[0x0112] = 6  # the upright image is the stored one, rotated
    image.save(image_file, exif=exif)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    stored = cv2.imread(str(image_file), flags)
    upright = cv2.rotate(stored, cv2.ROTATE_90_CLOCKWISE)
    for ignore, expected in (
        (True, stored),
        (False, upright),
        (None, upright),
    ):
        load = BottomupLoadImage(ignore_orientation=ignore)
        for results in (dict(img_id=7), {}):  # of a dataset, or alone
            image = load(dict(results, img_path=str(image_file)))['img']
            np.testing.assert_array_equal(image, expected)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='has no named pipes')
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    path = tmp_path / 'a\x1b[2J.jpg'
    os.mkfifo(path)
    with pytest.raises(ValueError, match='is a named pipe, exp') as error:
        BottomupLoadImage()(dict(img_path=str(path)))
    assert '\x1b' not in str(error.value)


def test_grey_and_transparent_arrays_become_bgr():
    bgr = sample()['img']
    transparent = np.dstack([bgr, bgr[..., 0]])
    grey = bgr[..., 0]
    np.testing.assert_array_equal(as_bgr(transparent), bgr)
    for array in (grey, grey[..., None]):
        made = BottomupLoadImage()(dict(img=array))['img']
        np.testing.assert_array_equal(made, np.dstack([grey] * 3))


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((3, 40, 60), np.uint8),
        np.zeros((40, 60, 3), np.float32),
        np.zeros((0, 60, 3), np.uint8),
        np.zeros(5, np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    with pytest.raises(ValueError, match='got an image of shape'):
        as_bgr(image)


@pytest.mark.parametrize('content', [b'', b'\xff\xd8\xff\xe0', None])
def test_a_broken_image_is_named(image_file, content):
    if content is None:  # truncated
        complete = image_file.read_bytes()
        content = complete[: len(complete) // 2]
    image_file.write_bytes(content)
    with pytest.raises(ValueError, match='a.jpg .* not a complete image'):
        BottomupLoadImage()(dict(img_path=str(image_file)))


def test_a_file_of_another_format_is_distinguished(image_file):
    image_file.write_bytes(b'no image')
    with pytest.raises(ValueError, match='a.jpg .*its first bytes are of no'):
        BottomupLoadImage()(dict(img_path=str(image_file)))
    Image.new('RGB', (60, 40)).save(image_file, 'PCX')
    with pytest.raises(ValueError, match='is a PCX file, .*; convert it'):
        BottomupLoadImage()(dict(img_path=str(image_file)))


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='b.jpg does not exist; check'):
        BottomupLoadImage()(dict(img_path=str(tmp_path / 'b.jpg')))


def test_images_of_a_dataset_are_read_upright(folder):
    path = folder / '1.png'
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(path, format='JPEG', exif=exif)
    samples = [s for b in loader(folder) for s in b['data_samples']]
    for loaded in samples:
        w, h = IMAGE_SIZES[loaded.img_id - 10]
        turned = loaded.img_id == 11
        assert loaded.ori_shape == ((w, h) if turned else (h, w))
    assert len(samples) == len(IMAGE_SIZES)
