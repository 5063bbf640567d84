"""Train in child processes that are killed; see test_checkpoint_hook.py.

Modules are imported once. Each child is a fork that trains, or resumes as
tools/train.py does.
"""

import glob
import os
import random
import signal
import sys
import time

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from swahr_mmpose.engine.hooks.checkpoint_hook import find_latest_checkpoint


def config(path, work_dir, data):
    """Make a config of three short epochs, a checkpoint after each."""
    cfg = Config.fromfile(path)
    cfg.work_dir = work_dir
    cfg.randomness = dict(seed=0, deterministic=True)
    cfg.train_dataloader.dataset.data_root = f'{data}/'
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.persistent_workers = False
    cfg.train_dataloader.batch_size = 4
    cfg.train_cfg.max_epochs = 3
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    path = find_latest_checkpoint(work_dir)
    cfg.resume, cfg.load_from = path is not None, path
    return cfg


def child(path, work_dir, data):
    """Train in a fork; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    log = os.open(os.devnull, os.O_WRONLY)
    os.dup2(log, 1)
    Runner.from_cfg(config(path, work_dir, data)).train()
    os._exit(0)


def kill(pid, work_dir, delay):
    """Kill a process after a delay, or (None) while it writes a checkpoint."""
    if delay is not None:
        time.sleep(delay)
    else:
        while not glob.glob(f'{work_dir}/*.part') and running(pid):
            time.sleep(1e-4)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def running(pid):
    """Whether a child is neither dead nor a zombie."""
    with open(f'/proc/{pid}/stat') as file:
        return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'


def main(path, work_dir, data, kills, seed):
    """Kill a training ``kills`` times; each run is resumed to its end."""
    torch.set_num_threads(1)
    draw = random.Random(seed)
    started = time.perf_counter()
    reference = child(path, f'{work_dir}/uninterrupted', data)
    assert os.waitpid(reference, 0)[1] == 0
    length = time.perf_counter() - started
    run = 0
    for number in range(kills):
        folder = f'{work_dir}/killed{run}'
        writing = number % 2 == 1
        delay = None if writing else draw.uniform(0, length * 0.8)
        kill(child(path, folder, data), folder, delay)
        latest = find_latest_checkpoint(folder)
        if latest:  # must be readable
            torch.load(latest, map_location='cpu', weights_only=False)
        parts = [os.path.basename(p) for p in glob.glob(f'{folder}/*.part')]
        print(f'{folder} {delay}: {latest}, temporary {parts}', flush=True)
        run += bool(latest and latest.endswith('epoch_3.pth'))
    last = child(path, f'{work_dir}/killed{run}', data)
    assert os.waitpid(last, 0)[1] == 0


if __name__ == '__main__':
    main(*sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]))
