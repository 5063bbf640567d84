"""Paths of annotation files and image folders are named with a remedy."""

import pytest

from swahr_mmpose.utils.annotation_paths import (
    require_annotation_file,
    require_image_dir,
)


@pytest.fixture
def data(tmp_path):
    """A dataset of two splits; the path of its annotations."""
    (tmp_path / 'images/train').mkdir(parents=True)
    (tmp_path / 'annotations').mkdir()
    for name in ('a', 'person_train'):
        (tmp_path / f'annotations/{name}.json').touch()
    return tmp_path


def test_files_pass(data):
    path = str(data / 'annotations/a.json')
    assert require_annotation_file(path, 'give another') is None
    assert require_image_dir(str(data / 'images'), 'give another') is None


def test_a_missing_file_has_the_remedy_of_the_caller(data):
    path = str(data / 'b.json')
    with pytest.raises(FileNotFoundError, match='b.json does not exist; look'):
        require_annotation_file(path, 'look')


@pytest.mark.parametrize(
    ('folder', 'file'),
    [
        ('images/train', 'annotations/person_train.json'),
        ('images', 'annotations/a.json'),
        ('.', 'annotations/a.json'),
        ('annotations', 'annotations/a.json'),
    ],
)
def test_a_folder_is_named_with_a_file_near_it(
    data, monkeypatch, folder, file
):
    monkeypatch.chdir(data)
    message = f'{folder} is a folder, expected a file; give a file, .*{file}$'
    with pytest.raises(IsADirectoryError, match=message):
        require_annotation_file(folder, 'look')


def test_a_folder_without_files_near_it_is_named(tmp_path):
    folder = tmp_path / '1/2/3/4'
    folder.mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match='give the .json file with'):
        require_annotation_file(str(folder), 'look')


def test_exchanged_arguments_are_recognized(data):
    folder, file = str(data / 'images'), str(data / 'annotations/a.json')
    message = f'may be exchanged: give {file} --img-dir {folder}$'
    with pytest.raises(IsADirectoryError, match=message):
        require_annotation_file(folder, 'look', [file])


def test_an_image_folder_is_a_folder(data):
    with pytest.raises(NotADirectoryError, match='a.json is a file, expected'):
        require_image_dir(str(data / 'annotations/a.json'), 'look')
    with pytest.raises(FileNotFoundError, match='nowhere does not exist; lo'):
        require_image_dir('nowhere', 'look')
