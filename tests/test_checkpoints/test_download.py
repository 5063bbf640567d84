import errno
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError, URLError

import pytest
import torch
from mmengine.runner import CheckpointLoader

from swahr_mmpose.checkpoints.download import describe_failure, local_file
from swahr_mmpose.checkpoints.io import file_sha256

RAN = []


class Program:
    def __reduce__(self):
        return RAN.append, (1,)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder, and the URL under which it is served."""
    folder = tmp_path / 'site'
    folder.mkdir()
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    handler = partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_mmengine_reads_a_url_as_a_file(site):
    folder, url = site
    torch.save(dict(state_dict=dict(a=torch.ones(2))), folder / 'a.pth')
    loaded = CheckpointLoader.load_checkpoint(f'{url}/a.pth', 'cpu')
    assert loaded['state_dict']['a'].tolist() == [1, 1]


def test_mmengine_runs_no_programs_from_files_and_urls(site):
    folder, url = site
    torch.save(dict(state_dict=Program()), folder / 'a.pth')
    for name in (f'{url}/a.pth', str(folder / 'a.pth')):
        with pytest.raises(ValueError, match='is refused'):
            CheckpointLoader.load_checkpoint(name, 'cpu')
    assert RAN == []


@pytest.mark.parametrize('ending', ['', '_20260101'])
def test_the_hash_in_a_name_is_verified(site, ending):
    folder, url = site
    torch.save(1, folder / 'a.pth')
    right = file_sha256(folder / 'a.pth')[:8]
    for digest in (right, '0' * 8):
        (folder / f'a-{digest}{ending}.pth').write_bytes(
            (folder / 'a.pth').read_bytes()
        )
    path = local_file(f'{url}/a-{right}{ending}.pth')
    assert torch.load(path) == 1
    with pytest.raises(RuntimeError, match='cannot download .*invalid hash'):
        local_file(f'{url}/a-00000000{ending}.pth')


def test_files_are_downloaded_once(site):
    folder, url = site
    torch.save(1, folder / 'a.pth')
    path = local_file(f'{url}/a.pth')
    (folder / 'a.pth').unlink()
    assert local_file(f'{url}/a.pth') == path
    with pytest.raises(RuntimeError, match='cannot download .*save it as'):
        local_file(f'{url}/b.pth')


def test_without_a_process_group_no_process_waits_for_another(
    site, monkeypatch
):
    folder, url = site
    torch.save(1, folder / 'a.pth')
    monkeypatch.setenv('SLURM_LOCALID', '1')
    assert torch.load(local_file(f'{url}/a.pth')) == 1


def test_local_files_stay_where_they_are(tmp_path):
    assert local_file(str(tmp_path / 'x.pth')) == str(tmp_path / 'x.pth')
    with pytest.raises(FileNotFoundError, match=r'x\.pth does not exist'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'x.pth'))


def test_a_query_is_no_part_of_the_name(site):
    folder, url = site
    torch.save(1, folder / 'a-00000000.pth')
    with pytest.raises(RuntimeError, match='invalid hash'):
        local_file(f'{url}/a-00000000.pth?download=1')
    torch.save(1, folder / 'b.pth')
    assert local_file(f'{url}/b.pth?download=1').endswith('/b.pth')


@pytest.mark.parametrize('ending', ['/..', '/', '/.', ''])
def test_a_url_that_names_no_file_is_refused(site, ending):
    with pytest.raises(ValueError, match='names no file'):
        local_file(site[1] + ending)


def test_downloads_of_mmengine_are_used(site, tmp_path):
    cached = tmp_path / 'checkpoints/c.pth'
    cached.parent.mkdir()
    torch.save(1, cached)
    assert local_file(f'{site[1]}/c.pth') == str(cached)


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (
            URLError(socket.gaierror(-2, 'Name or service not known')),
            'host.invalid is not reachable (no network, or no such host)',
        ),
        (
            URLError(ConnectionRefusedError(111, 'Connection refused')),
            'no connection to host.invalid (Connection refused)',
        ),
        (
            HTTPError('https://host.invalid/a', 404, 'Not Found', {}, None),
            'host.invalid answers with status 404 (Not Found)',
        ),
        (
            URLError(FileNotFoundError(2, 'No such file')),
            '/a.pth does not exist',
        ),
        (
            OSError(errno.ENOSPC, 'No space left on device'),
            'the file cannot be written (No space left on device)',
        ),
        (
            PermissionError(13, 'Permission denied', '/hub/a.pth'),
            'the file cannot be written (Permission denied)',
        ),
        (RuntimeError('invalid hash value'), 'invalid hash value'),
    ],
)
def test_failures_are_described_without_the_words_of_urllib(error, reason):
    url = 'https://host.invalid/a.pth'
    assert describe_failure(error, url) == reason
