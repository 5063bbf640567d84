import cv2
import numpy as np
import pytest
from helpers.datasets import write

from swahr_mmpose.apis.input_sources import Item, open_source

IMAGE = np.full((30, 40, 3), 90, np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ('b.png', 'a.JPG', 'c.bmp'):
        cv2.imwrite(str(tmp_path / name), IMAGE)
    (tmp_path / 'notes.txt').write_text('not an image')
    (tmp_path / 'README').write_text('not an image')
    (tmp_path / 'more').mkdir()
    cv2.imwrite(str(tmp_path / 'more/d.png'), IMAGE)
    return tmp_path


def names(source):
    return [item.name for item in source.items]


def test_images_of_a_folder_are_used_and_the_rest_is_reported(folder):
    source = open_source(folder)
    assert (source.kind, source.count) == ('images', 3)
    assert names(source) == ['a.JPG', 'b.png', 'c.bmp']
    assert {p.rsplit('/')[-1] for p in source.skipped_files} == {
        'notes.txt', 'README', 'more'
    }  # fmt: skip
    assert all(item.load().shape == (30, 40, 3) for item in source.items)


def test_images_and_folders_may_be_mixed(folder):
    source = open_source([str(folder / 'b.png'), folder / 'more'])
    assert names(source) == ['b.png', 'd.png']
    assert [item.index for item in open_source(folder, every=2).items] == [
        0,
        2,
    ]
    assert names(open_source(str(folder / 'b.png'))) == ['b.png']


def test_arrays_and_infinite_iterables_are_sources(folder):
    for inputs in (IMAGE, [IMAGE], (IMAGE,)):
        source = open_source(inputs)
        assert (source.kind, source.count) == ('arrays', 1)
        assert [item.load().shape for item in source.items] == [IMAGE.shape]

    def infinite():
        while True:
            yield IMAGE

    source = open_source(infinite(), every=3)
    assert source.count is None
    items = iter(source.items)
    assert [next(items).index for _ in range(3)] == [0, 3, 6]
    mixed = open_source([IMAGE, str(folder / 'b.png')])
    assert [item.load().shape for item in mixed.items] == [IMAGE.shape] * 2


def test_a_video_is_a_source(tmp_path):
    path = write(tmp_path / 'walk.mp4')
    for inputs in (path, [path]):
        source = open_source(inputs, every=3)
        assert (source.kind, source.count) == ('video', 3)
        assert source.path == path
        assert source.fps == pytest.approx(12.5 / 3)
        assert names(source) == [f'walk_00000{n}.jpg' for n in (0, 3, 6)]


@pytest.mark.parametrize('inputs', ['webcam:99', '99', 99, ['webcam:99']])
def test_cameras_are_numbers_or_named_as_in_mmpose(inputs):
    with pytest.raises(ValueError, match='camera 99 cannot be opened'):
        open_source(inputs)


def test_invalid_inputs_are_refused(folder):
    write(folder / 'v.mp4')
    (folder / 'empty').mkdir()
    for inputs, kind, message in (
        ('http://a/b.jpg', ValueError, 'URL of a file; download it first'),
        (str(folder / 'no.jpg'), FileNotFoundError, 'no.jpg does not exist'),
        (
            [folder / 'no.jpg', folder, folder / 'b'],
            FileNotFoundError,
            '2 inputs do not exist: .*no.jpg, .*/b; check their paths',
        ),
        (folder / 'empty', ValueError, 'has no images: none of its files .0'),
        ([folder, folder / 'v.mp4'], ValueError, 'v.mp4 is a video, camera'),
    ):
        with pytest.raises(kind, match=message):
            open_source(inputs)
    missing = [folder / 'b.png', folder / 'no.jpg']
    assert names(open_source(missing, 1, True)) == ['b.png', 'no.jpg']
    with pytest.raises(FileNotFoundError, match='no.jpg does not exist'):
        open_source(missing[1], 1, True)
    with pytest.raises(ValueError, match='every must be 1 or more, got 0'):
        open_source(folder, every=0)


def test_images_in_a_subfolder_are_named(folder, tmp_path):
    outer = tmp_path / 'outer'
    (outer / 'empty').mkdir(parents=True)
    (outer / 'a.txt').touch()
    message = (
        'none of its files .1. ends .*; subfolders are not searched, give '
    )
    with pytest.raises(ValueError, match=message + 'another folder'):
        open_source(outer)
    (outer / 'photos').mkdir()
    (outer / 'photos/b.png').touch()
    with pytest.raises(ValueError, match=message + '.*outer/photos$'):
        open_source(outer)


def test_an_image_that_cannot_be_read_is_named(folder):
    (folder / 'b.png').write_bytes((folder / 'b.png').read_bytes()[:50])
    with pytest.raises(ValueError, match='b.png .* not a complete image'):
        Item(0, 'b', str(folder / 'b.png')).load()
    thin = np.zeros((2, 100, 3), np.uint8)
    with pytest.raises(
        ValueError, match='image 7 has size 100x2; expected an asp'
    ):
        Item(7, '7', None, thin).load()


@pytest.mark.parametrize('shape', [(30, 40), (30, 40, 4)])
def test_grey_and_transparent_images_become_bgr(tmp_path, shape):
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, np.full(shape, 77, np.uint8))
    image = Item(0, 'a', path).load()
    np.testing.assert_array_equal(image, np.full((30, 40, 3), 77))


def test_equal_names_in_different_folders_are_kept_apart(tmp_path):
    for name in ('a/x.png', 'b/x.png', 'b/c/x.png', 'b/y.png'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), IMAGE)
    folders = [tmp_path / name for name in ('a', 'b', 'b/c')]
    names = [item.name for item in open_source(folders).items]
    assert names == ['a/x.png', 'b/x.png', 'y.png', 'b/c/x.png']
    alone = open_source([tmp_path / 'a/x.png', tmp_path / 'b/y.png'])
    assert [item.name for item in alone.items] == ['x.png', 'y.png']
    twice = open_source([tmp_path / 'a/x.png'] * 2)
    assert [item.name for item in twice.items] == ['x.png', 'x.png']
