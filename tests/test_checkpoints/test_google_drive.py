"""Download from a Google Drive folder, with a stand-in for gdown."""

import os
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest

from swahr_mmpose.checkpoints.download import DownloadError
from swahr_mmpose.checkpoints.google_drive import (
    download_from_folder,
    is_folder,
)

URL = 'https://drive.google.com/drive/folders/ABC'
Entry = namedtuple('Entry', 'id path local_path')
ENTRIES = [
    Entry('1', os.path.join('coco', 'w32.pth'), 'x'),
    Entry('2', os.path.join('crowd', 'w32.pth'), 'x'),
    Entry('3', 'w48.pth', 'x'),
]


@pytest.fixture
def gdown(monkeypatch):
    """What gdown 5 and 6 offer, without a network."""

    def download_folder(url, quiet, skip_download):
        assert (url, skip_download) == (URL, True)
        return ENTRIES

    def download(id, output):  # noqa: A002
        with open(output, 'w') as file:
            file.write(f'content of {id}')
        return output

    module = SimpleNamespace(
        download_folder=download_folder, download=download
    )
    monkeypatch.setitem(sys.modules, 'gdown', module)
    return module


@pytest.mark.usefixtures('gdown')
@pytest.mark.parametrize(
    ('file', 'number'),
    [('coco/w32.pth', 1), ('crowd/w32.pth', 2), ('elsewhere/w48.pth', 3)],
)
def test_a_file_is_found_by_its_path_or_by_its_name(tmp_path, file, number):
    target = str(tmp_path / 'cache/x.pth')
    assert download_from_folder(URL, file, target) == target
    with open(target) as stream:
        assert stream.read() == f'content of {number}'
    assert os.listdir(tmp_path / 'cache') == ['x.pth']


def test_an_existing_file_is_not_downloaded_again(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gdown', None)
    (tmp_path / 'x.pth').touch()
    target = str(tmp_path / 'x.pth')
    assert download_from_folder(URL, 'a.pth', target) == target


def test_a_missing_gdown_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gdown', None)
    with pytest.raises(DownloadError, match='pip install gdown'):
        download_from_folder(URL, 'a.pth', str(tmp_path / 'x.pth'))


@pytest.mark.usefixtures('gdown')
@pytest.mark.parametrize('file', ['coco/w64.pth', 'other/w32.pth'])
def test_a_missing_or_ambiguous_file_is_named(tmp_path, file):
    with pytest.raises(DownloadError, match=f'no file {file}, only'):
        download_from_folder(URL, file, str(tmp_path / 'x.pth'))


def test_errors_of_gdown_are_one_sentence(tmp_path, gdown):
    def fail(**kwargs):
        raise RuntimeError(' no network\n')

    gdown.download = fail
    with pytest.raises(DownloadError, match='^gdown: no network$'):
        download_from_folder(URL, 'w48.pth', str(tmp_path / 'x.pth'))
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_arrive_is_reported(tmp_path, gdown):
    gdown.download = lambda **kwargs: None
    with pytest.raises(DownloadError, match='could not download w48.pth'):
        download_from_folder(URL, 'w48.pth', str(tmp_path / 'x.pth'))


def test_folders_are_told_from_files():
    assert is_folder(URL)
    assert not is_folder('https://download.openmmlab.com/x.pth')
