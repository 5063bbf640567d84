"""What a file declares is bounded by its own size, before allocation."""

import resource
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from swahr_mmpose.checkpoints import io as checkpoint_io
from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.checkpoints.sizes import is_complete


@pytest.fixture(params=['torch', 'old torch'])
def _reader(request, monkeypatch):
    """Torch's allow-list, and ours."""
    if request.param == 'old torch':
        monkeypatch.setattr(checkpoint_io, 'TORCH_VERSION', (2, 0))


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Write the records of a checkpoint again."""
    with zipfile.ZipFile(path) as archive:
        records = [(r, archive.read(r)) for r in archive.infolist()]
    with zipfile.ZipFile(path, 'w', compression) as archive:
        for record, content in records:
            archive.writestr(record.filename, change(record.filename, content))


def save(path, zipped=True, **content):
    """Save a checkpoint in one of the two formats of torch."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def test_compressed_records_are_refused(tmp_path):
    path = save(tmp_path / 'x.pth', weight=torch.zeros(1 << 22))
    rewrite(path, lambda name, b: b, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match='x.pth .*refused: its records have'):
        read_checkpoint(path)


def test_records_of_one_name_are_refused(tmp_path):
    path = save(tmp_path / 'x.pth', weight=torch.zeros(1000))
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr('X/DATA.pkl', b'')
    with pytest.raises(ValueError, match='refused: two of its records'):
        read_checkpoint(path)


class Declared:
    """A tensor that is rebuilt with other sizes than its storage has."""

    def __init__(self, tensor, size, stride):
        self.arguments = (tensor.storage(), 0, size, stride, False, {})

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.arguments


HUGE = [
    ((1 << 40,), (0,)),
    ((1 << 40,), (1,)),
    ((1 << 20, 1 << 20, 1 << 20), (0, 0, 1)),
]


@pytest.mark.usefixtures('_reader')
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize(('size', 'stride'), HUGE)
def test_shapes_that_need_terabytes_are_refused(
    tmp_path, zipped, size, stride
):
    value = Declared(torch.zeros(4), size, stride)
    path = save(tmp_path / 'x.pth', zipped, weight=value)
    with pytest.raises(ValueError, match='refused: (a tensor of|its tensors)'):
        read_checkpoint(path)


@pytest.mark.usefixtures('_reader')
def test_a_tensor_named_often_is_counted_each_time(tmp_path):
    values = [
        Declared(torch.zeros(1 << 16), (1 << 16,), (1,)) for _ in range(2)
    ]
    storage = values[0].arguments[0]
    many = {}
    for n in range(200):
        many[str(n)] = Declared(torch.zeros(0), (1 << 16,), (1,))
        many[str(n)].arguments = (storage, 0, (1 << 16,), (1,), False, {})
    path = tmp_path / 'x.pth'
    torch.save(many, path)
    with pytest.raises(ValueError, match='refused: its tensors have more'):
        read_checkpoint(path)


@pytest.mark.usefixtures('_reader')
def test_tied_and_expanded_weights_are_read(tmp_path):
    weight = torch.randn(1000, 30)
    content = dict(a=weight, b=weight, c=weight[:1].expand(1000, 30))
    torch.save(content, tmp_path / 'x.pth')
    read = read_checkpoint(tmp_path / 'x.pth')
    assert all(torch.equal(read[k], content[k]) for k in content)


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('zipped', [True, False])
def test_storages_larger_than_their_data_are_refused(tmp_path, zipped):
    path = save(tmp_path / 'x.pth', zipped, weight=torch.arange(77.0))

    def lie(name, content):
        return content.replace(b'KM', b'J\x00\x00\x00\x70')

    if zipped:
        rewrite(path, lie)
        match = 'refused: storage 0 is declared with 7516192768 bytes'
    else:
        path.write_bytes(lie('', path.read_bytes()))
        match = 'storages of 7516192768 bytes are declared'
    with pytest.raises(ValueError, match=match):
        read_checkpoint(path)


class DeclaredArray:
    """A NumPy array that is allocated before its content is known."""

    def __reduce__(self):
        reconstruct = np.zeros(1).__reduce__()[0]
        return reconstruct, (np.ndarray, (1 << 33,), b'd')


@pytest.mark.usefixtures('_reader')
def test_arrays_that_are_allocated_first_are_refused(tmp_path):
    path = save(tmp_path / 'x.pth', array=DeclaredArray())
    with pytest.raises(ValueError, match=r'x\.pth'):
        read_checkpoint(path)


READ = """
import resource, sys
import swahr_mmpose
from swahr_mmpose.checkpoints.io import read_checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_checkpoint(path)
    except ValueError as error:
        print('refused')
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) >> 10)
"""


@pytest.mark.slow
def test_refusing_takes_no_memory(tmp_path):
    paths = [save(tmp_path / 'a.pth', weight=torch.zeros(1 << 26))]
    rewrite(paths[0], lambda name, b: b, zipfile.ZIP_DEFLATED)
    for n, (size, stride) in enumerate(HUGE):
        value = Declared(torch.zeros(4), size, stride)
        paths.append(save(tmp_path / f'{n}.pth', bool(n), weight=value))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', READ, *map(str, paths)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    *refused, megabytes = done.stdout.split()
    assert refused == ['refused'] * 4, done.stderr
    assert int(megabytes) < 32


def test_zeros_within_a_complete_file_are_found(tmp_path):
    path = save(tmp_path / 'x.pth', weight=torch.rand(50000))
    assert is_complete(path)
    content = bytearray(path.read_bytes())
    content[100000:104096] = bytes(4096)
    path.write_bytes(content)
    assert not is_complete(path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(
        ValueError, match='x.pth .*damaged.*checksum of record'
    ):
        read_checkpoint(path)


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'set_crc32_options'),
    reason='torch < 2.6 always writes checksums',
)
def test_files_without_checksums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = save(tmp_path / 'x.pth', weight=torch.arange(3.0))
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_checkpoint(path)['weight'].tolist() == [0, 1, 2]
    assert is_complete(path)


def replace_pickle(path, content):
    """Write a checkpoint whose pickle is replaced."""
    save(path, weight=torch.zeros(4))
    rewrite(path, lambda n, b: content if n.endswith('data.pkl') else b)
    return path


def shared_tuples(depth):
    """Opcodes of a tuple with ``2 ** depth`` items by references."""
    steps = [b'h%ch%c\x86q%c' % (n, n, n + 1) for n in range(depth)]
    return b'K\x00q\x00' + b''.join(steps)


HISTORY = (
    b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}('
    b'X\x0c\0\0\0_log_history]q\x01(]q\x02(]q\x03K\x00aeh\x03ae'
    b'X\x0e\0\0\0_count_history]X\x0a\0\0\0max_lengthK\x01ub.'
)


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize(
    ('opcodes', 'message'),
    [
        (b'\x96' + (1 << 40).to_bytes(8, 'little') + b'.', 'bytearray'),
        (shared_tuples(45) + b'Q.', r'persistent id \(tuple\)'),
        (b'}' + b')' + b'\x85' * 10**6 + b'K\x01s.', 'nesting: 51 tuples'),
        (b'(\x91.', 'frozenset'),
        (HISTORY, 'history: not a list of numbers'),
    ],
)
def test_opcodes_that_expand_are_refused(tmp_path, opcodes, message):
    path = replace_pickle(tmp_path / 'x.pth', b'\x80\x02' + opcodes)
    with pytest.raises(ValueError, match=f'Unsupported {message}'):
        read_checkpoint(path)


def test_a_file_with_two_directories_is_refused(tmp_path):
    path = save(tmp_path / 'x.pth', weight=torch.zeros(4))
    rewrite(path, lambda name, b: b)
    content = path.read_bytes()
    end = content.rindex(b'PK\5\6')
    size, offset = (
        int.from_bytes(content[end + n : end + n + 4], 'little')
        for n in (12, 16)
    )
    directory = content[offset : offset + size]
    # Python reads the second directory, torch the first.
    path.write_bytes(content[:end] + directory + content[end:])
    with pytest.raises(ValueError, match='directory of records is ambiguous'):
        read_checkpoint(path)
    # The same with the zip64 end that torch finds by its position.
    save(path, weight=torch.zeros(4))
    content = bytearray(path.read_bytes())
    locator = content.rindex(b'PK\6\7')
    content[locator + 8 : locator + 16] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match='ambiguous|damaged'):
        read_checkpoint(path)


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize(
    'content',
    [
        {'a\x1b[2J': torch.zeros(1)},
        {'state_dict': {'a\nb': torch.zeros(1)}},
        {'ema_state_dict': {3: torch.zeros(1)}},
    ],
)
def test_names_that_control_a_terminal_are_refused(content, tmp_path):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='have the name') as error:
        read_checkpoint(tmp_path / 'x.pth')
    assert '\x1b' not in str(error.value)


def test_messages_on_damaged_files_are_escaped(tmp_path):
    opcodes = b'\x80\x02c\x1b[2Jos\nsystem\n.'
    path = replace_pickle(tmp_path / 'x.pth', opcodes)
    with pytest.raises(ValueError, match='not an allowed') as error:
        read_checkpoint(path)
    assert '\x1b' not in str(error.value)
    assert '\\x1b[2Jos.system' in str(error.value)


@pytest.mark.usefixtures('_reader')
def test_deeply_nested_values_are_refused(tmp_path):
    depth = 10**5
    opcodes = b'}X\x01\0\0\0a' + b']' * depth + b'a' * (depth - 1) + b's.'
    path = replace_pickle(tmp_path / 'x.pth', b'\x80\x02' + opcodes)
    with pytest.raises(ValueError, match='nested in more than 50 containers'):
        read_checkpoint(path)
    cyclic = b'}q\0X\x01\0\0\0ah\0s.'  # a dict that holds itself
    path = replace_pickle(tmp_path / 'y.pth', b'\x80\x02' + cyclic)
    with pytest.raises(ValueError, match='nested in more than 50 containers'):
        read_checkpoint(path)
