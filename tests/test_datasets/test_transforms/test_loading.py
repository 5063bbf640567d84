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


def test_exif_orientation_is_ignored_only_in_datasets(image_file):
    image = Image.open(image_file)
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(image_file, exif=exif)
    alone = dict(img_path=str(image_file))
    annotated = dict(alone, img_id=7)
    stored, upright = (40, 60, 3), (60, 40, 3)
    load = BottomupLoadImage()
    assert load(dict(annotated))['img'].shape == stored
    assert load(dict(alone))['img'].shape == upright
    for ignore, shape in ((True, stored), (False, upright)):
        load = BottomupLoadImage(ignore_orientation=ignore)
        assert load(dict(annotated))['img'].shape == shape
        assert load(dict(alone))['img'].shape == shape


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


@pytest.mark.parametrize('content', [b'', b'no image', None])
def test_a_broken_image_is_named(image_file, content):
    if content is None:  # truncated
        complete = image_file.read_bytes()
        content = complete[: len(complete) // 2]
    image_file.write_bytes(content)
    with pytest.raises(ValueError, match='a.jpg .* not a complete image'):
        BottomupLoadImage()(dict(img_path=str(image_file)))


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='b.jpg does not exist; check'):
        BottomupLoadImage()(dict(img_path=str(tmp_path / 'b.jpg')))


def test_images_of_a_dataset_stay_as_they_are_stored(folder):
    path = folder / '1.png'
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(path, format='JPEG', exif=exif)
    samples = [s for b in loader(folder) for s in b['data_samples']]
    for loaded in samples:
        assert loaded.ori_shape == IMAGE_SIZES[loaded.img_id - 10][::-1]
    assert len(samples) == len(IMAGE_SIZES)
