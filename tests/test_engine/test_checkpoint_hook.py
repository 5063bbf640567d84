"""A run may be killed at any time, and goes on as if it had not been."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from helpers import ROOT
from helpers.tools import CONFIG, train

from swahr_mmpose.engine.hooks.checkpoint_hook import (
    WholeFileBackend,
    latest_checkpoint,
)

# 20 have been tried: SWAHR_KILLS=20 pytest tests/test_safe_checkpoints.py
KILLS = os.environ.get('SWAHR_KILLS', '4')


def equal(a, b):
    """Bit for bit, whatever is in there."""
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
    script = ROOT / 'tests/interrupted_run.py'
    done = subprocess.run(
        [sys.executable, script, CONFIG, tmp_path, synthetic, KILLS, '0'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore'),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    whole = torch.load(tmp_path / 'whole/epoch_3.pth', weights_only=False)
    runs = sorted(tmp_path.glob('killed*'))
    assert runs
    for run in runs:
        killed = torch.load(run / 'epoch_3.pth', weights_only=False)
        for part in ('state_dict', 'optimizer', 'param_schedulers'):
            assert equal(whole[part], killed[part]), (run, part)
        assert whole['meta']['iter'] == killed['meta']['iter']
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
    """What the last validation of a work dir found."""
    lines = [
        json.loads(line)
        for path in sorted(folder.rglob('scalars.json'))
        for line in path.read_text().splitlines()
    ]
    found = [line for line in lines if 'coco/AP' in line][-1]
    return {k: v for k, v in found.items() if not k.endswith('time')}


@pytest.mark.slow
def test_a_killed_tool_ends_in_the_same_weights_and_metrics(
    synthetic, tmp_path
):
    options = ['randomness.seed=0', 'train_dataloader.num_workers=1']
    settings = dict(epochs=2, options=options)
    train(synthetic, tmp_path / 'whole', **settings)
    in_second = 'Epoch(train) [2][1/'
    train(
        synthetic,
        tmp_path / 'killed',
        start=lambda *args: train_until(in_second, *args),
        **settings,
    )
    assert not (tmp_path / 'killed/epoch_2.pth').exists()
    done = train(synthetic, tmp_path / 'killed', '--resume', **settings)
    assert 'resumed epoch: 1' in done.output
    whole, killed = (
        torch.load(tmp_path / f'{name}/epoch_2.pth', weights_only=False)
        for name in ('whole', 'killed')
    )
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert equal(whole[part], killed[part]), part
    assert last_metrics(tmp_path / 'whole') == last_metrics(
        tmp_path / 'killed'
    )


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    backend = WholeFileBackend()
    backend.put(b'whole', str(path))

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='epoch_1.pth could not be written.*No'):
        backend.put(b'half', str(path))
    assert path.read_bytes() == b'whole'
    assert list(tmp_path.iterdir()) == [path]


def checkpoint(path, number):
    torch.save(dict(number=number), path)
    return str(path)


def test_the_latest_checkpoint_is_the_one_that_was_named_last(tmp_path):
    assert latest_checkpoint(str(tmp_path / 'absent')) is None
    assert latest_checkpoint(str(tmp_path)) is None
    paths = [checkpoint(tmp_path / f'epoch_{n}.pth', n) for n in (9, 10)]
    assert latest_checkpoint(str(tmp_path)) == paths[1]
    (tmp_path / 'last_checkpoint').write_text(paths[0] + '\n')
    assert latest_checkpoint(str(tmp_path)) == paths[0]


@pytest.mark.parametrize('named', ['', 'epoch_3.pth', 'absent.pth'])
def test_a_half_written_checkpoint_is_never_picked(tmp_path, named):
    whole = checkpoint(tmp_path / 'epoch_2.pth', 2)
    half = tmp_path / 'epoch_3.pth'
    checkpoint(half, 3)
    half.write_bytes(half.read_bytes()[:-100])
    (tmp_path / 'last_checkpoint').write_text(named and str(tmp_path / named))
    assert latest_checkpoint(str(tmp_path)) == whole


def test_a_work_dir_that_was_moved_still_knows_its_checkpoint(tmp_path):
    paths = [checkpoint(tmp_path / f'epoch_{n}.pth', n) for n in (1, 2)]
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    assert latest_checkpoint(str(tmp_path)) == paths[0]
