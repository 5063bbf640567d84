"""Files of other formats are distinguished from damaged images."""

import io

import numpy as np
import pytest
from PIL import Image

from swahr_mmpose.datasets.checks.image_formats import (
    find_format_problem,
    has_supported_format,
)

HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic'


def encode(kind):
    stream = io.BytesIO()
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    'kind', ['BMP', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'TIFF', 'WEBP']
)
def test_supported_formats_are_recognized_when_truncated(kind):
    content = encode(kind)
    assert has_supported_format(content[:16])
    for length in (16, len(content) // 2, len(content)):
        assert find_format_problem(content[:length]) is None
    assert find_format_problem(b'') is None


@pytest.mark.parametrize(
    ('content', 'name'),
    [
        (encode('GIF'), 'is a GIF file'),
        (encode('TGA'), 'is a TGA file'),
        (encode('ICO'), 'is an ICO file'),
        (HEIC, 'is a HEIC file'),
        (b'<html>' + b'not found ' * 9, 'is not an image file'),
        (b'P4 is no image, PNG is one'[:1] + b'ose', 'is not an image file'),
        (b'RIFF\0\0\0\0AVI LIST', 'is not an image file'),
        (bytes(99), 'is not an image file'),
    ],
)
def test_other_formats_are_named(content, name):
    problem = find_format_problem(content)
    assert problem.startswith(name)
    assert 'BMP, JPEG, JPEG 2000, PNG' in problem
