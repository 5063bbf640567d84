# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check that several processes average the gradients of a training step."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from typing import Any, Dict, Iterator, List

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.model import MMDistributedDataParallel
from torch import Tensor

from swahr_mmpose.utils.device import list_devices

from .cases import build_estimator, load_network_config, make_training_batch
from .correctness import compute_step, disable_tf32, judge, measure_difference
from .plan import MODES, Plan, Row, Task, run_tasks

__all__ = ['check_ranks']

# Backend of torch.distributed for a device type.
_BACKENDS = {'cpu': 'gloo', 'cuda': 'nccl', 'xpu': 'xccl', 'npu': 'hccl'}
_PEOPLE = ((3, 0), (1, 5))  # people of the images of each rank


def check_ranks(plan: Plan) -> Iterator[Row]:
    """Compare the gradients of 1 and 2 processes with their average.

    Args:
        plan (Plan): Settings.

    Yields:
        dict: ``difference``, ``tolerance`` and ``ok``.
    """
    kind = torch.device(plan.device).type
    backend = _BACKENDS.get(kind)
    found = [d for d in list_devices() if d.startswith(kind)]
    tasks = []
    for count in (2,) if plan.quick else (1, 2):
        task = Task(
            f'{count} rank{"s" * (count > 1)} with {backend}',
            partial(_compare_ranks, plan, count, backend, len(found)),
        )
        tasks.append(task)
    yield from run_tasks(plan, tasks)


def _compare_ranks(
    plan: Plan, count: int, backend: Any, available: int
) -> Row:
    """Train in processes; compare with a run of each batch alone."""
    kind = torch.device(plan.device).type
    if backend is None:
        return dict(skipped=f'no process group for {kind}')
    if kind != 'cpu' and available < count:
        return dict(skipped=f'{available} of {count} devices available')
    disable_tf32()
    expected = _average([_run_step(plan.device, n) for n in range(count)])
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_run_rank, (count, kind, backend, folder), count, join=True)
        ranks = [
            torch.load(os.path.join(folder, f'{n}.pt'), weights_only=True)
            for n in range(count)
        ]
    difference = max(measure_difference(r, expected) for r in ranks)
    return judge(difference, 1e-3)


def _average(runs: List[List[Tensor]]) -> List[Tensor]:
    """Average lists of tensors."""
    return [torch.stack(each).mean(dim=0) for each in zip(*runs)]


def _run_step(device: str, rank: int, wrap: Any = None) -> List[Tensor]:
    """Compute the gradients of the batch of a rank, on the CPU.

    BatchNorm is in eval: its statistics are those of one process.
    """
    cfg = load_network_config('tiny')
    model = build_estimator(cfg, device, MODES[0]).eval()
    wrapped = model if wrap is None else wrap(model)
    batch = make_training_batch(cfg, _PEOPLE[rank])
    _, gradients = compute_step(wrapped, batch, device, MODES[0])
    return [g.cpu() for g in gradients]


def _run_rank(
    rank: int, count: int, kind: str, backend: str, folder: str
) -> None:
    """Run one process of the group; write its gradients."""
    device = 'cpu' if kind == 'cpu' else f'{kind}:{rank}'
    if kind == 'cpu':
        torch.set_num_threads(1)
    else:
        getattr(torch, kind).set_device(rank)
    disable_tf32()
    dist.init_process_group(
        backend,
        init_method=f'file://{folder}/group',
        rank=rank,
        world_size=count,
    )
    options: Dict[str, Any] = dict(broadcast_buffers=False)
    if kind != 'cpu':
        options['device_ids'] = [rank]
    gradients = _run_step(
        device, rank, lambda model: MMDistributedDataParallel(model, **options)
    )
    torch.save(gradients, os.path.join(folder, f'{rank}.pt'))
    dist.barrier()
    dist.destroy_process_group()
