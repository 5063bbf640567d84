import pickle
import zipfile

import pytest
import torch

from swahr_mmpose.checkpoints import io as checkpoint_io
from swahr_mmpose.checkpoints.io import (
    file_sha256,
    read_checkpoint,
    write_checkpoint,
)

STATE = dict(state_dict=dict(weight=torch.arange(6.0)), meta=dict(epoch=1))
RAN = []


class Program:
    """An unrestricted unpickler runs this when the file is read."""

    def __reduce__(self):
        return RAN.append, (1,)


@pytest.fixture(params=['torch', 'old torch'])
def _reader(request, monkeypatch):
    """Torch's allow-list, and ours."""
    if request.param == 'old torch':
        monkeypatch.setattr(checkpoint_io, 'TORCH_VERSION', (2, 0))


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('zipped', [True, False])
def test_what_was_written_is_read(tmp_path, zipped):
    path = tmp_path / 'x.pth'
    if zipped:
        write_checkpoint(STATE, path)
    else:  # format of torch before 1.6
        torch.save(STATE, path, _use_new_zipfile_serialization=False)
    content = read_checkpoint(path)
    assert content['meta'] == STATE['meta']
    assert torch.equal(content['state_dict']['weight'], torch.arange(6.0))


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('zipped', [True, False])
def test_programs_are_refused_and_not_run(tmp_path, zipped):
    path = tmp_path / 'x.pth'
    content = dict(STATE, extra=Program())
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='refused: it holds more than weight'):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Program()))
    with pytest.raises(ValueError, match='x.pth'):
        read_checkpoint(path)
    assert RAN == []


@pytest.mark.usefixtures('_reader')
def test_programs_of_torchscript_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as archive:
        archive.writestr('x/constants.pkl', b'')
        archive.writestr('x/data.pkl', b'')
        archive.writestr('x/version', b'3\n')
    with pytest.raises(ValueError, match='is a TorchScript program'):
        read_checkpoint(tmp_path / 'x.pth')


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('part', [0.02, 0.5, 0.99])
def test_truncated_files_are_reported(tmp_path, zipped, part):
    path = tmp_path / 'x.pth'
    content = dict(STATE, more=torch.zeros(1000))
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    complete = path.read_bytes()
    path.write_bytes(complete[: int(len(complete) * part)])
    with pytest.raises(ValueError, match='x.pth.* truncated'):
        read_checkpoint(path)


@pytest.mark.parametrize('content', [b'', b'\x89PNG....', b'{"a": 1}'])
def test_other_files_are_no_checkpoints(tmp_path, content):
    path = tmp_path / 'x.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='x.pth .* is not a checkpoint'):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'y\.pth does not exist'):
        read_checkpoint(tmp_path / 'y.pth')


def test_files_are_not_overwritten_unless_asked(tmp_path):
    path = tmp_path / 'folder/x.pth'
    write_checkpoint(1, path)
    with pytest.raises(FileExistsError, match='is not overwritten'):
        write_checkpoint(2, path)
    assert read_checkpoint(path) == 1
    write_checkpoint(2, path, overwrite=True)
    assert read_checkpoint(path) == 2


def test_a_failed_write_leaves_nothing(tmp_path):
    path = tmp_path / 'x.pth'
    with pytest.raises(Exception, match='pickle'):
        write_checkpoint(lambda: 0, path)
    assert list(tmp_path.iterdir()) == []


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / 'x'
    path.write_bytes(b'abc')
    assert file_sha256(path).startswith('ba7816bf8f01cfea')
