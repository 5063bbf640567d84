"""Checkpoints made to deceive the unpickler; see also test_compat."""

import collections
import copy
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from swahr_mmpose.checkpoints import download
from swahr_mmpose.checkpoints import io as checkpoint_io
from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.checkpoints.safe_unpickler import PlainArray

MULTIARRAY = (
    b'numpy._core.multiarray'
    if np.__version__ >= '2'
    else b'numpy.core.multiarray'
)


@pytest.fixture(params=['torch', 'old torch'])
def _reader(request, monkeypatch):
    """Torch's allow-list, and ours."""
    if request.param == 'old torch':
        monkeypatch.setattr(checkpoint_io, 'TORCH_VERSION', (2, 0))


def write(path, program):
    """Write a checkpoint whose pickle is a program of opcodes."""
    torch.save({}, path)
    with zipfile.ZipFile(path) as old:
        parts = {part: old.read(part) for part in old.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as new:
        for part, content in parts.items():
            changed = program if part.endswith('data.pkl') else content
            new.writestr(part, changed)
    return path


def text(value):
    return b'X' + len(value).to_bytes(4, 'little') + value.encode()


def name(module, attribute):
    return f'c{module}\n{attribute}\n'.encode()


FIELDS = (  # np.dtype([('a', 'O')])
    name('numpy', 'dtype') + b'](' + text('a') + text('O') + b'\x86e\x85R'
)
FUNCTION = name('torch._utils', '_rebuild_tensor_v2')
# An array whose content would be read as the address of an object.
ADDRESS = (
    name('numpy', 'ndarray') + b'(K\x01\x85' + FIELDS + b'U\x08AAAAAAAAtR'
)
DECEIVERS = {
    'an array of addresses': b'\x80\x02' + ADDRESS + b'.',
    'a buffer of such arrays': b'\x80\x02'
    + name('mmengine.logging.history_buffer', 'HistoryBuffer')
    + b'('
    + ADDRESS
    + ADDRESS
    + b'tR.',
    'a scalar of addresses': b'\x80\x02'
    + name(MULTIARRAY.decode(), 'scalar')
    + b'('
    + FIELDS
    + b'U\x08AAAAAAAAtR.',
    'defaults for a function': b'\x80\x02'
    + FUNCTION
    + b'N}'
    + text('__defaults__')
    + b'}'
    + text('neg')
    + b'\x88s\x85s\x86b.',
    'a method for a class': b'\x80\x02'
    + name('mmengine.logging.history_buffer', 'HistoryBuffer')
    + b'N}'
    + text('mean')
    + FUNCTION
    + b's\x86b.',
}


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('program', DECEIVERS.values(), ids=DECEIVERS)
def test_deceivers_are_refused_and_change_nothing(tmp_path, program):
    defaults = torch._utils._rebuild_tensor_v2.__defaults__
    mean = HistoryBuffer.mean
    path = write(tmp_path / 'x.pth', program)
    with pytest.raises(ValueError, match='x.pth'):
        read_checkpoint(path)
    assert torch._utils._rebuild_tensor_v2.__defaults__ == defaults
    assert HistoryBuffer.mean is mean


@pytest.mark.usefixtures('_reader')
def test_a_buffer_brings_no_functions_for_others(tmp_path):
    buffer = HistoryBuffer()
    for value in (1, 5, 3):
        buffer.update(value)
    methods = HistoryBuffer._statistics_methods
    before = dict(methods)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods, 'mean', HistoryBuffer.max)
        torch.save(dict(loss=buffer), tmp_path / 'y.pth')
    loaded = read_checkpoint(tmp_path / 'y.pth')['loss']
    assert methods == before
    assert type(loaded) is HistoryBuffer
    assert loaded.statistics('mean') == 3
    loaded.update(7)
    assert loaded.mean() == 4
    for again in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        assert type(again) is HistoryBuffer
        assert again.mean() == 4


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('values', [[1.5, 2], [True], ['nose', 'tail'], []])
def test_arrays_are_read_and_written_again_as_they_were(tmp_path, values):
    torch.save(dict(a=np.array(values)), tmp_path / 'x.pth')
    loaded = read_checkpoint(tmp_path / 'x.pth')['a']
    np.testing.assert_array_equal(loaded, np.array(values))
    assert loaded.dtype == np.array(values).dtype
    assert isinstance(loaded, PlainArray)
    assert type(pickle.loads(pickle.dumps(loaded))) is np.ndarray
    assert type(np.append(loaded, loaded)[:1].copy()) in (
        np.ndarray,
        PlainArray,
    )


def test_states_and_ids_that_torch_never_writes_are_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint_io, 'TORCH_VERSION', (2, 0))
    for program in (
        b'\x80\x02' + text('module') + b'\x85Q.',
        b'\x80\x02Pmodule\n.',
    ):
        with pytest.raises(ValueError, match='persistent id'):
            read_checkpoint(write(tmp_path / 'x.pth', program))
    ordered = collections.OrderedDict(a=1)
    ordered._metadata = dict(version=1)
    torch.save(ordered, tmp_path / 'y.pth')
    assert read_checkpoint(tmp_path / 'y.pth')._metadata == dict(version=1)


def test_a_tar_file_is_no_checkpoint(tmp_path):
    with tarfile.open(tmp_path / 'x.pth', 'w') as archive:
        archive.addfile(tarfile.TarInfo('\x80'), io.BytesIO())
    content = (tmp_path / 'x.pth').read_bytes()
    (tmp_path / 'x.pth').write_bytes(b'\x80' + content[1:])
    with pytest.raises(ValueError, match='x.pth'):
        read_checkpoint(tmp_path / 'x.pth')


def test_resuming_runs_no_config_out_of_a_checkpoint(tmp_path):
    path = str(tmp_path / 'x.pth')
    code = "open('ran', 'w')"
    torch.save(dict(meta=dict(config=code, epoch=1), state_dict={}), path)
    loaded = download.load_from_local(path)
    assert loaded['meta'] == dict(epoch=1)
    assert not os.path.exists('ran')


def test_errors_of_a_gpu_are_not_reported_as_damage(tmp_path, monkeypatch):
    torch.save(1, tmp_path / 'x.pth')

    def fail(*args, **kwargs):
        raise RuntimeError('CUDA out of memory')

    monkeypatch.setattr(torch, 'load', fail)
    with pytest.raises(RuntimeError, match='^CUDA out of memory'):
        read_checkpoint(tmp_path / 'x.pth')
