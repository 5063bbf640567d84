import re

import pytest
from PIL import Image

# Stored pixels by orientation: the operation that undoes it.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def rotate(dataset, folder, orientation, kind='jpg', square=False):
    """Store all images as a camera that was held in another way."""
    folder.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for image in dataset.content['images']:
        picture = Image.open(dataset.images / image['file_name'])
        if square:
            side = min(picture.size)
            picture = picture.crop((0, 0, side, side))
            image.update(width=side, height=side)
        if STORED[orientation] is not None:
            picture = picture.transpose(STORED[orientation])
        image['file_name'] = f'{image["id"]}.{kind}'
        picture.save(folder / image['file_name'], exif=exif)
    dataset.images = folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'rotated'


@pytest.mark.parametrize('orientation', [6, 8])
@pytest.mark.parametrize('kind', ['jpg', 'png'])
def test_upright_sizes_fit_the_default(dataset, folder, orientation, kind):
    rotate(dataset, folder, orientation, kind)
    assert dataset.check().warnings == []
    assert dataset.check(ignore_orientation=False).warnings == []
    with pytest.raises(ValueError, match='set ignore_orientation=False'):
        dataset.check(ignore_orientation=True)


def test_stored_sizes_ask_for_the_switch(dataset, folder):
    rotate(dataset, folder, 6)
    for image in dataset.content['images']:
        image['width'], image['height'] = image['height'], image['width']
    for person in dataset.content['annotations']:
        person.pop('segmentation', None)
    for ignore in (None, False):
        with pytest.raises(ValueError, match='set ignore_orientation=True'):
            dataset.check(ignore_orientation=ignore)
    warnings = dataset.check(ignore_orientation=True).warnings
    assert not any('ignore_orientation' in text for text in warnings)


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_the_user_is_asked_where_sizes_cannot_tell(
    dataset, folder, orientation
):
    rotate(dataset, folder, orientation)
    (warning,) = dataset.check().warnings
    count = len(dataset.content['images'])
    assert f'{count} image file(s)' in warning
    assert f'EXIF orientation {orientation}' in warning
    assert re.search('ignore_orientation=False.*=True', warning)
    assert dataset.check(ignore_orientation=False).warnings == []
    (warning,) = dataset.check(ignore_orientation=True).warnings
    assert f'EXIF orientation {orientation}, which ignore_' in warning
    assert 'AP is near 0: remove ignore_orientation' in warning


def test_the_user_is_asked_for_rotated_squares(dataset, folder):
    for person in dataset.content['annotations']:
        person.pop('segmentation', None)
    rotate(dataset, folder, 6, square=True)
    warnings = dataset.check().warnings
    assert any('EXIF orientation 6' in warning for warning in warnings)


def test_images_without_orientation_raise_no_question(dataset, folder):
    rotate(dataset, folder, 1)
    for ignore in (None, True, False):
        assert dataset.check(ignore_orientation=ignore).warnings == []


def test_a_broken_exif_block_is_no_orientation(dataset, folder):
    rotate(dataset, folder, 3)
    for path in folder.iterdir():
        path.write_bytes(
            path.read_bytes().replace(b'Exif\0\0MM', b'Exif\0\0XX')
        )
    assert dataset.check().warnings == []
