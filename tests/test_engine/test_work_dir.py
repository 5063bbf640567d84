"""A work directory is writable and belongs to one training."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from helpers import ROOT
from helpers.tools import CONFIG, data_options, tool, train

from swahr_mmpose.engine.hooks.work_dir import (
    POINTER,
    check_work_dir,
    lock_work_dir,
    unlock_work_dir,
)

LOCK = """
import sys, time
from swahr_mmpose.engine.hooks.work_dir import lock_work_dir
lock_work_dir(sys.argv[1])
print('locked', flush=True)
time.sleep(60)
"""


def start_other(folder):
    """Start a process that has the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', LOCK, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert 'locked\n' in iter(process.stdout.readline, '')
    return process


def test_two_trainings_cannot_share_a_work_dir(tmp_path):
    with start_other(tmp_path) as process:
        with pytest.raises(
            OSError, match=f'use by .*process {process.pid} on'
        ):
            lock_work_dir(str(tmp_path))
        with pytest.raises(OSError, match='choose another folder'):
            lock_work_dir(f'{tmp_path}/../{tmp_path.name}')
        process.send_signal(signal.SIGKILL)
    lock_work_dir(str(tmp_path))  # free at once
    lock_work_dir(str(tmp_path))  # again by the same process
    unlock_work_dir(str(tmp_path))
    with start_other(tmp_path) as process:
        assert process.poll() is None
        process.kill()


def test_the_lock_of_a_killed_training_does_not_stay_with_its_workers(
    tmp_path,
):
    lock_work_dir(str(tmp_path))
    worker = os.fork()
    if worker == 0:
        signal.pause()
        os._exit(0)
    try:
        unlock_work_dir(str(tmp_path))
        with start_other(tmp_path) as process:
            assert process.poll() is None
            process.kill()
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


def test_odd_work_dirs_are_described(tmp_path):
    (tmp_path / 'file').write_text('')
    os.symlink(tmp_path / 'absent', tmp_path / 'link')
    for name in ('file', 'file/run'):
        with pytest.raises(OSError, match='is or lies below a file, expected'):
            check_work_dir(str(tmp_path / name))
    with pytest.raises(
        OSError, match='link is a link to .*absent, which does'
    ):
        check_work_dir(str(tmp_path / 'link'))
    check_work_dir(str(tmp_path / 'new/run'))
    assert os.listdir(tmp_path / 'new/run') == []
    assert (tmp_path / 'file').read_text() == ''


def test_a_read_only_work_dir_is_described(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('tempfile.TemporaryFile', refuse)
    with pytest.raises(OSError, match='cannot be written to .Permission den'):
        check_work_dir(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['train.py', 'test.py'])
def test_tools_report_an_odd_work_dir_in_one_line(synthetic, tmp_path, name):
    (tmp_path / 'file').write_text('')
    torch.save(dict(state_dict={}), tmp_path / 'x.pth')
    checkpoint = [tmp_path / 'x.pth'] if name == 'test.py' else []
    done = tool(
        name,
        CONFIG,
        *checkpoint,
        '--work-dir',
        tmp_path / 'file',
        '--cfg-options',
        *data_options(synthetic),
        check=False,
    )
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert 'is or lies below a file' in done.stderr.splitlines()[-1]


def interrupt(name, *args, **kwargs):
    """Start a tool, and press Ctrl-C once it trains."""
    with subprocess.Popen(
        [sys.executable, '-W', 'ignore', f'tools/{name}', *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1'),
    ) as process:
        assert any(' 1/15' in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()
        process.errors = process.stderr.read()
    return process


@pytest.mark.slow
def test_ctrl_c_is_reported_in_one_line(synthetic, tmp_path):
    options = ['train_dataloader.num_workers=1']
    done = train(
        synthetic, tmp_path, start=interrupt, options=options, epochs=15
    )
    assert done.returncode == -signal.SIGINT
    assert 'Traceback' not in done.errors
    assert (
        done.errors.splitlines()[-1] == 'interrupted; continue with --resume'
    )


@pytest.mark.parametrize(
    'name', ['.training.lock', 'config.py', '20260101_000000']
)
def test_links_to_files_elsewhere_are_not_written_through(tmp_path, name):
    work_dir, victim = tmp_path / 'run', tmp_path / 'victim'
    work_dir.mkdir()
    victim.write_text('content')
    (work_dir / name).symlink_to(victim)
    with pytest.raises(OSError, match=f'link .*{name}.* outside of it'):
        lock_work_dir(str(work_dir))
    assert victim.read_text() == 'content'


def test_links_that_do_no_harm_are_accepted(tmp_path):
    work_dir = tmp_path / 'run'
    (work_dir / '20260101_000000').mkdir(parents=True)
    (tmp_path / 'logs').mkdir()
    (work_dir / 'latest').symlink_to('20260101_000000')
    (work_dir / 'logs').symlink_to(tmp_path / 'logs')
    (work_dir / 'epoch_1.pth').symlink_to(tmp_path / 'epoch_1.pth')
    lock_work_dir(str(work_dir))
    unlock_work_dir(str(work_dir))
    assert not (tmp_path / 'epoch_1.pth').exists()


def test_a_pipe_in_the_place_of_the_lock_is_described(tmp_path):
    os.mkfifo(tmp_path / '.training.lock')
    with pytest.raises(OSError, match='lock is not a regular file'):
        lock_work_dir(str(tmp_path))


def test_a_name_that_torch_cannot_open_is_refused(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b'/\xff')
    with pytest.raises(OSError, match='name that is not UTF-8') as error:
        check_work_dir(folder)
    assert str(error.value).isprintable()
    assert not os.path.exists(folder)


@pytest.mark.parametrize('name', ['epoch_1.pth', 'iter_9.pth', POINTER])
def test_a_folder_in_the_place_of_a_checkpoint_is_refused(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=f"has a folder '{name}'.*rename it"):
        lock_work_dir(str(tmp_path))
