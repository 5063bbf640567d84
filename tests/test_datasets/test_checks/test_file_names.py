import os

import pytest

from swahr_mmpose.datasets.checks.file_names import (
    FolderIndex,
    is_link_outside,
)
from swahr_mmpose.datasets.checks.image_files import (
    find_file_problem,
    refuse_paths_outside,
)

COMPOSED, DECOMPOSED = 'caf\u00e9.jpg', 'cafe\u0301.jpg'


@pytest.fixture
def index(tmp_path):
    folder = tmp_path / 'images'
    for name in ('a/b c.jpg', 'a/1.JPG', COMPOSED, '2.jpeg'):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return FolderIndex(str(folder))


@pytest.mark.parametrize(
    ('name', 'file', 'reason'),
    [
        ('a\\b c.jpg', 'a/b c.jpg', 'backslashes, as on Windows'),
        ('a/b%20c.jpg', 'a/b c.jpg', 'URL-encoded'),
        ('a/B C.jpg', 'a/b c.jpg', 'upper and lower case'),
        ('a/1.jpg', 'a/1.JPG', 'upper and lower case'),
        ('C:\\data\\a\\b c.jpg', 'a/b c.jpg', 'folders that are not there'),
        ('/home/me/a/b c.jpg', 'a/b c.jpg', 'folders that are not there'),
        ('../a/b c.jpg', 'a/b c.jpg', 'folders that are not there'),
        (DECOMPOSED, COMPOSED, 'another Unicode normalization'),
        ('2.jpg', '2.jpeg', 'another extension'),
    ],
)
def test_a_similar_name_is_suggested(index, name, file, reason):
    hint = index.suggest(name)
    assert f"the folder has '{file}'" in hint
    assert reason in hint


def test_nothing_is_suggested_without_a_similar_file(index):
    assert index.suggest('c/d.jpg') == ''
    assert 'backslashes' in index.suggest('c\\d.jpg')


def test_a_missing_image_is_reported_with_its_other_name(dataset):
    name = dataset.content['images'][0]['file_name']
    dataset.content['images'][0]['file_name'] = f'val\\{name.upper()}'
    with pytest.raises(ValueError, match=f"folder has '{name}'") as error:
        dataset.check()
    assert 'backslashes' in str(error.value)


def test_an_absolute_name_is_refused_with_its_relative_one(dataset):
    name = dataset.content['images'][0]['file_name']
    dataset.content['images'][0]['file_name'] = f'/data/{name}'
    with pytest.raises(ValueError, match=f"leaves.*the folder has '{name}'"):
        dataset.check()


def test_files_of_macos_with_attributes_are_named(tmp_path):
    path = tmp_path / '._a.jpg'
    path.write_bytes(b'\x00\x05\x16\x07' + bytes(100))
    assert 'a file of macOS' in find_file_problem(str(path), None)


class Part:
    def __init__(self, folder, names):
        self.data_prefix = dict(img=str(folder))
        self.paths = [str(folder / name) for name in names]

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])


@pytest.fixture
def links(tmp_path):
    folder, away = tmp_path / 'images', tmp_path / 'away'
    folder.mkdir()
    away.mkdir()
    (away / 'x.jpg').write_bytes(b'x')
    (folder / 'a.jpg').write_bytes(b'a')
    (folder / 'inside.jpg').symlink_to('a.jpg')
    (folder / 'outside.jpg').symlink_to(away / 'x.jpg')
    (folder / 'sub').symlink_to(away)
    (tmp_path / 'linked').symlink_to(folder)
    return folder


@pytest.mark.parametrize(
    ('name', 'outside'),
    [
        ('a.jpg', False),
        ('inside.jpg', False),
        ('missing.jpg', False),
        ('outside.jpg', True),
        ('sub/x.jpg', True),
    ],
)
def test_links_that_leave_the_folder_are_refused(links, name, outside):
    for folder in (links, links.parent / 'linked'):
        path = str(folder / name)
        assert is_link_outside(path, str(folder), {}) == outside
        if outside:
            with pytest.raises(ValueError, match='a link .*prefix.links'):
                refuse_paths_outside(Part(folder, [name]))
        else:
            refuse_paths_outside(Part(folder, [name]))


def test_the_check_names_links_that_leave_the_folder(dataset, tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for image in dataset.content['images']:
        name = image['file_name']
        (folder / name).symlink_to(dataset.images / name)
    dataset.images = folder
    with pytest.raises(ValueError, match='16 image files.*is a link that'):
        dataset.check()


def test_links_to_a_folder_that_the_config_names_are_followed(
    dataset, tmp_path
):
    """DVC and git-annex replace each file by a link into a cache."""
    folder = tmp_path / 'images'
    folder.mkdir()
    names = [image['file_name'] for image in dataset.content['images']]
    for name in names:
        (folder / name).symlink_to(dataset.images / name)
    cache, dataset.images = str(dataset.images), folder
    assert dataset.check(link_dir=cache).images == 16
    part = Part(folder, names)
    part.data_prefix['links'] = cache
    refuse_paths_outside(part)
    part.data_prefix['links'] = str(tmp_path / 'other')
    with pytest.raises(ValueError, match='a link that leaves'):
        refuse_paths_outside(part)
    with pytest.raises(ValueError, match='16 image files.*data_prefix.links'):
        dataset.check(link_dir=str(tmp_path / 'other'))


def test_a_folder_whose_name_is_no_unicode_is_reported(dataset):
    dataset.content['images'][0]['file_name'] = '\ud800/a.jpg'
    with pytest.raises(
        ValueError, match='ud800/a.jpg cannot be read'
    ) as error:
        dataset.check()
    assert str(dataset.file) in str(error.value)


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='has no named pipes')
def test_pipes_and_devices_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / 'a.jpg')
    for path, kind in ((tmp_path / 'a.jpg', 'pipe'), ('/dev/zero', 'device')):
        assert kind in find_file_problem(str(path), None)


def test_a_name_of_20000_letters_is_shortened(dataset):
    dataset.content['images'][0]['file_name'] = 'a' * 20000
    dataset.content['images'][1]['file_name'] = 'b\x1b[2J\u202egpj.jpg'
    with pytest.raises(ValueError, match='cannot be read') as error:
        dataset.check()
    text = str(error.value)
    assert max(map(len, text.splitlines())) < 1000
    assert text.replace('\n', '').isprintable()
