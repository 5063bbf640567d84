import sys

import numpy as np
import pytest
import torch
from PIL import Image, features

from swahr_mmpose.apis.image_inputs import convert_image, is_image
from swahr_mmpose.apis.input_sources import open_source

BGR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
RGB = np.ascontiguousarray(BGR[..., ::-1])


@pytest.mark.parametrize(
    'image',
    [
        BGR,
        Image.fromarray(RGB),
        Image.fromarray(RGB).convert('RGBA'),
        torch.from_numpy(RGB).permute(2, 0, 1),
        torch.from_numpy(RGB).permute(2, 0, 1).double() / 255,
    ],
    ids=['array', 'PIL', 'PIL RGBA', 'uint8 tensor', 'float tensor'],
)
def test_image_objects_become_bgr(image):
    assert is_image(image)
    np.testing.assert_array_equal(convert_image(image), BGR)
    for inputs in (image, [image], iter([image])):
        (item,) = open_source(inputs).items
        np.testing.assert_array_equal(item.load(), BGR)


def test_batches_are_lists_of_images():
    tensors = torch.from_numpy(RGB).permute(2, 0, 1).expand(3, -1, -1, -1)
    for batch in (tensors, np.stack([BGR] * 3)):
        source = open_source(batch)
        assert source.count == 3
        for item in source.items:
            np.testing.assert_array_equal(item.load(), BGR)


def test_grey_images_of_any_kind_become_bgr():
    grey = BGR[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    sixteen = Image.fromarray(grey.astype(np.uint16) * 256 + 255)
    for image in (
        Image.fromarray(grey),
        sixteen,
        torch.from_numpy(grey)[None],
    ):
        np.testing.assert_array_equal(convert_image(image), expected)


def test_pil_images_are_upright_unless_the_orientation_is_ignored(tmp_path):
    stored = Image.fromarray(RGB)
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    stored.save(tmp_path / 'a.png', exif=exif)
    image = Image.open(tmp_path / 'a.png')
    assert convert_image(image).shape == (8, 6, 3)
    np.testing.assert_array_equal(convert_image(image, True), BGR)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (torch.zeros(6, 8, 3), r'shape \(6, 8, 3\).*permute\(2, 0, 1\)'),
        (torch.zeros(2, 3, 6, 8), r'shape \(2, 3, 6, 8\), expected an RGB'),
        (torch.full((3, 6, 8), 200.0), 'values from 200 to 200, expected 0'),
        (torch.full((3, 6, 8), torch.nan), 'values from nan'),
        (torch.zeros(3, 6, 8, dtype=torch.int64), 'type torch.int64, expect'),
        (np.zeros((6, 8, 3)), 'type float64, expected uint8'),
    ],
)
def test_other_tensors_and_arrays_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        convert_image(image)


def test_a_list_is_no_image():
    assert not is_image([BGR])
    assert not is_image('a.jpg')


@pytest.mark.skipif(
    not features.check('avif'), reason='this Pillow has no AVIF decoder'
)
def test_avif_files_are_read_with_pillow(tmp_path):
    smooth = np.full((40, 60, 3), (10, 120, 240), np.uint8)
    Image.fromarray(smooth).save(tmp_path / 'a.AVIF', quality=95)
    (item,) = open_source(tmp_path).items
    assert item.name == 'a.AVIF'
    assert abs(item.load().astype(int) - smooth[..., ::-1]).max() < 12


def test_files_that_pillow_cannot_read_are_named(tmp_path, monkeypatch):
    path = tmp_path / 'a.heic'
    path.write_bytes(b'no image')
    (item,) = open_source(path).items
    with pytest.raises(ValueError, match='a.heic cannot.*pip install pillow-'):
        item.load()
    monkeypatch.setitem(sys.modules, 'PIL', None)
    with pytest.raises(ValueError, match='Pillow, which is not installed'):
        item.load()
    path.unlink()
    with pytest.raises(FileNotFoundError, match='a.heic does not exist'):
        item.load()


def test_tensors_of_a_derived_class_are_images():
    class Image(torch.Tensor):  # as torchvision.tv_tensors.Image
        pass

    Image.__module__ = 'torchvision.tv_tensors._image'
    image = torch.from_numpy(RGB).permute(2, 0, 1).as_subclass(Image)
    assert is_image(image)
    np.testing.assert_array_equal(convert_image(image), BGR)


@pytest.mark.parametrize(('factor', 'offset'), [(1, 0), (256, 255)])
def test_pil_images_of_32_bits_have_8_or_16_bit_values(factor, offset):
    grey = BGR[..., 0].copy()
    grey[0, 0] = 255
    pixels = grey.astype(np.int32) * factor + offset
    expected = np.repeat(grey[..., None], 3, axis=2)
    found = convert_image(Image.fromarray(pixels))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ('pixels', 'message'),
    [
        (np.array([[-1, 9]], np.int32), "mode 'I' with values from -1 to 9"),
        (np.array([[0, 70000]], np.int32), 'to 70000, expected up to 16 bits'),
        (np.array([[0.5]], np.float32), "mode 'F', whose range is not known"),
    ],
)
def test_pil_images_of_an_unknown_range_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        convert_image(Image.fromarray(pixels))
