"""A run may be killed at any time and resumed with the same result."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, toy_training
from helpers.tools import CONFIG, train

from swahr_mmpose.engine.hooks.checkpoint_hook import (
    AtomicFileBackend,
    SafeCheckpointHook,
    _remove_temporary,
    find_latest_checkpoint,
)

# More kills: SWAHR_KILLS=20 pytest tests/test_engine/test_checkpoint_hook.py
KILLS = os.environ.get('SWAHR_KILLS', '4')


def equal(a, b):
    """Compare nested containers and tensors bit by bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_weights_to_the_last_bit(
    synthetic, tmp_path
):
    script = ROOT / 'tests/test_engine/interrupted_run.py'
    done = subprocess.run(
        [sys.executable, script, CONFIG, tmp_path, synthetic, KILLS, '0'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore'),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    expected = torch.load(
        tmp_path / 'uninterrupted/epoch_3.pth', weights_only=False
    )
    runs = sorted(tmp_path.glob('killed*'))
    assert runs
    for run in runs:
        killed = torch.load(run / 'epoch_3.pth', weights_only=False)
        for part in ('state_dict', 'optimizer', 'param_schedulers'):
            assert equal(expected[part], killed[part]), (run, part)
        assert expected['meta']['iter'] == killed['meta']['iter']
        assert len(list(run.glob('*.pth'))) <= 2
        assert not list(run.glob('*.part'))


def train_until(line, name, *args):
    """Start a tool and kill it, with its workers, once it prints a line."""
    process = subprocess.Popen(
        [sys.executable, f'tools/{name}', *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1'),
    )
    with process:
        assert any(line in printed for printed in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)


def last_metrics(folder):
    """Metrics of the last validation in a work directory."""
    lines = [
        json.loads(line)
        for path in sorted(folder.rglob('scalars.json'))
        for line in path.read_text().splitlines()
    ]
    last = [line for line in lines if 'coco/AP' in line][-1]
    return {k: v for k, v in last.items() if not k.endswith('time')}


@pytest.mark.slow
def test_a_killed_tool_ends_in_the_same_weights_and_metrics(
    synthetic, tmp_path
):
    options = ['randomness.seed=0', 'train_dataloader.num_workers=1']
    settings = dict(epochs=2, options=options)
    train(synthetic, tmp_path / 'uninterrupted', **settings)
    in_second = 'Epoch(train) [2][1/'
    train(
        synthetic,
        tmp_path / 'killed',
        '--verbose',
        start=lambda *args: train_until(in_second, *args),
        **settings,
    )
    assert not (tmp_path / 'killed/epoch_2.pth').exists()
    done = train(synthetic, tmp_path / 'killed', '--resume', **settings)
    assert 'resuming from' in done.output
    expected, killed = (
        torch.load(tmp_path / f'{name}/epoch_2.pth', weights_only=False)
        for name in ('uninterrupted', 'killed')
    )
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert equal(expected[part], killed[part]), part
    assert last_metrics(tmp_path / 'uninterrupted') == last_metrics(
        tmp_path / 'killed'
    )


def test_a_full_disk_leaves_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    backend = AtomicFileBackend()
    backend.put(b'old', str(path))

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='epoch_1.pth could not be written.*No'):
        backend.put(b'new', str(path))
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def checkpoint(path, number):
    torch.save(dict(number=number), path)
    return str(path)


def test_the_latest_checkpoint_is_that_of_last_checkpoint(tmp_path):
    assert find_latest_checkpoint(str(tmp_path / 'absent')) is None
    assert find_latest_checkpoint(str(tmp_path)) is None
    paths = [checkpoint(tmp_path / f'epoch_{n}.pth', n) for n in (9, 10)]
    assert find_latest_checkpoint(str(tmp_path)) == paths[1]
    (tmp_path / 'last_checkpoint').write_text(paths[0] + '\n')
    assert find_latest_checkpoint(str(tmp_path)) == paths[0]


@pytest.mark.parametrize('named', ['', 'epoch_3.pth', 'absent.pth'])
def test_a_truncated_checkpoint_is_never_chosen(tmp_path, named):
    complete = checkpoint(tmp_path / 'epoch_2.pth', 2)
    truncated = tmp_path / 'epoch_3.pth'
    checkpoint(truncated, 3)
    truncated.write_bytes(truncated.read_bytes()[:-100])
    (tmp_path / 'last_checkpoint').write_text(named and str(tmp_path / named))
    assert find_latest_checkpoint(str(tmp_path)) == complete


def test_the_latest_checkpoint_of_a_moved_work_dir(tmp_path):
    paths = [checkpoint(tmp_path / f'epoch_{n}.pth', n) for n in (1, 2)]
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    assert find_latest_checkpoint(str(tmp_path)) == paths[0]


def test_paths_elsewhere_are_not_resumed_from(tmp_path):
    elsewhere = tmp_path / 'a'
    work_dir = tmp_path / 'b'
    elsewhere.mkdir()
    work_dir.mkdir()
    other = checkpoint(elsewhere / 'epoch_9.pth', 9)
    for named in (other, '../a/epoch_9.pth', 'epoch_9.pth'):
        (work_dir / 'last_checkpoint').write_text(named)
        assert find_latest_checkpoint(str(work_dir)) is None
    own = checkpoint(work_dir / 'epoch_9.pth', 9)
    assert find_latest_checkpoint(str(work_dir)) == own


@pytest.mark.parametrize(
    'content', [b'\xff\xfe\x00x', b'\0', bytes(9999), b'']
)
def test_a_binary_pointer_is_ignored_and_reported(tmp_path, content, capsys):
    complete = checkpoint(tmp_path / 'epoch_2.pth', 2)
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert find_latest_checkpoint(str(tmp_path)) == complete
    assert 'last_checkpoint has no file name' in capsys.readouterr().out


def test_a_checkpoint_partly_zeros_is_not_chosen(tmp_path, capsys):
    complete = checkpoint(tmp_path / 'epoch_2.pth', 2)
    damaged = tmp_path / 'epoch_3.pth'
    torch.save(dict(weight=torch.rand(99999)), damaged)
    content = bytearray(damaged.read_bytes())
    content[100000:104096] = bytes(4096)
    damaged.write_bytes(content)
    (tmp_path / 'last_checkpoint').write_text('epoch_3.pth')
    assert find_latest_checkpoint(str(tmp_path)) == complete
    assert 'epoch_3.pth is truncated or damaged' in capsys.readouterr().out


def test_checkpoints_of_another_folder_are_found(tmp_path):
    (tmp_path / 'out/run').mkdir(parents=True)
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/last_checkpoint').write_text('epoch_1.pth')
    path = checkpoint(tmp_path / 'out/run/epoch_1.pth', 1)
    out_dir = str(tmp_path / 'out')
    assert find_latest_checkpoint(str(tmp_path / 'run'), out_dir) == path
    assert find_latest_checkpoint(str(tmp_path / 'run')) is None


def test_links_out_of_the_folder_are_not_resumed_from(tmp_path, capsys):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    other = checkpoint(tmp_path / 'epoch_9.pth', 9)
    (work_dir / 'epoch_9.pth').symlink_to(other)
    (work_dir / 'last_checkpoint').write_text('epoch_9.pth')
    assert find_latest_checkpoint(str(work_dir)) is None
    assert 'outside of the folder' in capsys.readouterr().out
    own = checkpoint(work_dir / 'epoch_1.pth', 1)
    (tmp_path / 'link').symlink_to(work_dir)
    assert find_latest_checkpoint(str(work_dir)) == own
    expected = str(tmp_path / 'link/epoch_1.pth')
    assert find_latest_checkpoint(str(tmp_path / 'link')) == expected


def test_folders_named_as_temporary_files_are_not_removed(tmp_path):
    (tmp_path / 'epoch_1.pth.a.part').mkdir()
    (tmp_path / 'epoch_1.pth.b.part').write_bytes(b'')
    _remove_temporary(str(tmp_path), '*.pth')
    assert [p.name for p in tmp_path.iterdir()] == ['epoch_1.pth.a.part']


def test_the_backend_that_the_user_chooses_is_kept(tmp_path):
    atomic = dict(backend='atomic_file')
    assert SafeCheckpointHook().backend_args == atomic
    assert SafeCheckpointHook(out_dir=str(tmp_path)).backend_args == atomic
    for settings in (
        dict(out_dir='s3://bucket/runs'),
        dict(file_client_args=dict(backend='disk')),
        dict(backend_args=None),
    ):
        assert SafeCheckpointHook(**settings).backend_args is None
    toy_training.train(tmp_path, file_client_args=dict(backend='disk'))
    assert (tmp_path / 'epoch_5.pth').is_file()
