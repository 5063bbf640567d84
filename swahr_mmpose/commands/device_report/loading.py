# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure data loading by the number of workers."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from functools import partial
from typing import Any, Iterator

from mmengine.config import Config
from mmengine.runner import Runner

from swahr_mmpose.datasets.synthetic import make_synthetic_dataset

from .cases import load_network_config
from .plan import Plan, Row, Task, run_tasks

__all__ = ['measure_loading']


def measure_loading(plan: Plan) -> Iterator[Row]:
    """Measure the training pipeline of W32-512 on synthetic images.

    Args:
        plan (Plan): Settings.

    Yields:
        dict: ``images/s``.
    """
    cores = os.cpu_count() or 1
    counts = [n for n in (1, 2, 4, 8, 16) if n <= cores] or [1]
    counts = counts[:1] if plan.quick else counts
    with tempfile.TemporaryDirectory() as folder:
        make_synthetic_dataset(
            os.path.join(folder, 'data'),
            num_train=8 if plan.quick else 64,
            num_val=1,
            image_size=(640, 427),
        )
        tasks = [
            Task(
                f'{n} worker{"s" * (n > 1)}',
                partial(_measure_loading, plan, folder, n),
            )
            for n in counts
        ]
        yield from run_tasks(plan, tasks)


def _make_loader_config(folder: str, workers: int) -> Any:
    """Make the config of a loader of the synthetic images."""
    cfg: Config = load_network_config('W32-512')
    loader = cfg.train_dataloader
    data = os.path.join(folder, 'data')
    loader.num_workers = workers
    loader.persistent_workers = True
    loader.dataset.data_root = data
    loader.dataset.ann_file = 'annotations/person_keypoints_train.json'
    loader.dataset.data_prefix = dict(img='images/train/')
    loader.batch_size = 4
    # One long epoch: workers do not wait for its end.
    loader.dataset = dict(
        type='RepeatDataset', dataset=loader.dataset, times=1000
    )
    return loader


def _measure_loading(plan: Plan, folder: str, workers: int) -> Row:
    """Count images for some seconds, after a batch of each worker."""
    loader = Runner.build_dataloader(_make_loader_config(folder, workers))
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for _ in range(1 if plan.quick else 2 * workers):
        next(batches)
    count, started = 0, time.perf_counter()
    budget = 1.0 if plan.quick else 4.0
    while time.perf_counter() - started < budget:
        count += len(next(batches)['data_samples'])
    seconds = time.perf_counter() - started
    del batches, loader  # stops the workers
    return {'images/s': count / seconds}
