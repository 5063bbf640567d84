"""Two processes give the gradients, weights and metrics of one."""

import json
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.datasets import META, batch, evaluate, make_set, predict
from helpers.models import training_model
from mmengine.dataset import pseudo_collate
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from swahr_mmpose import BottomupCocoMetric, CrowdPoseMetric

INDICES = [0.05, 0.3, 0.9, 0.5, 0.0, 0.95, 0.4, 0.2, 0.7]
# Number of people in each of four images, two per process.
CROWDS = {
    'people everywhere': [2, 1, 3, 1],
    'no instance on one rank': [2, 1, 0, 0],
    'no instance on any rank': [0, 0, 0, 0],
}


def train(model, samples, steps=3):
    """Train; return gradients of the first step and final weights."""
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    wrapper, gradients = OptimWrapper(optimizer), None
    update = optimizer.step

    def step(*args, **kwargs):
        nonlocal gradients
        if gradients is None:
            gradients = [p.grad.clone() for p in parameters]
        return update(*args, **kwargs)

    optimizer.step = step
    for _ in range(steps):
        model.train_step(pseudo_collate(samples), wrapper)
    return gradients, [p.detach().clone() for p in parameters]


def leave():
    """Leave the process group.

    Torch 2.6 hangs if a thread of the group still has to release a tensor of
    the last collective operation; the pause gives it time.
    """
    time.sleep(0.2)
    dist.destroy_process_group()


def worker(rank, folder, people):
    """Train in one of two processes with half of the batch."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', f'file://{folder}/meet', rank=rank, world_size=2
    )
    model = MMDistributedDataParallel(
        training_model(), broadcast_buffers=False, device_ids=None
    )
    half = batch(people)[2 * rank : 2 * rank + 2]
    torch.save(train(model, half), f'{folder}/{rank}.pt')
    leave()


@pytest.mark.slow
@pytest.mark.parametrize('people', list(CROWDS.values()), ids=list(CROWDS))
def test_two_processes_with_half_the_batch_are_one_with_the_whole(
    tmp_path, people
):
    expected = train(training_model(), batch(people))
    mp.spawn(worker, (str(tmp_path), people), nprocs=2)
    ranks = [torch.load(tmp_path / f'{rank}.pt') for rank in range(2)]
    assert sum(float(g.abs().sum()) for g in expected[0]) > 0
    for got in ranks:
        for actual, reference in zip(got, expected):
            torch.testing.assert_close(actual, reference, rtol=1e-5, atol=1e-6)
    for one, other in zip(*ranks):
        assert all(torch.equal(a, b) for a, b in zip(one, other))


def part_evaluator(rank, folder):
    """Evaluate three of the images of a dataset, in one of two processes."""
    dist.init_process_group(
        'gloo', f'file://{folder}/meet', rank=rank, world_size=2
    )
    path = Path(folder, 'crowdpose.json')
    samples = predict(json.loads(path.read_text()))[:3]
    metric = BottomupCocoMetric(str(path), use_area=False)
    metric.dataset_meta = META
    metric.process([], samples[rank::2])
    metric.evaluate(len(samples))
    tested = metric.tested if rank == 0 else [s['img_id'] for s in samples]
    torch.save(tested, f'{folder}/{rank}.pt')
    leave()


def test_images_of_both_processes_are_evaluated(tmp_path):
    make_set(tmp_path, INDICES)
    mp.spawn(part_evaluator, (str(tmp_path),), nprocs=2)
    tested, expected = (torch.load(tmp_path / f'{n}.pt') for n in range(2))
    assert tested == expected


def evaluator(rank, folder):
    """Evaluate in one of two processes with every second image."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', f'file://{folder}/meet', rank=rank, world_size=2
    )
    path = Path(folder, 'crowdpose.json')
    samples = predict(json.loads(path.read_text()))
    metric = CrowdPoseMetric(str(path))
    metric.dataset_meta = META
    metric.process([], samples[rank::2])
    torch.save(metric.evaluate(len(samples)), f'{folder}/{rank}.pt')
    leave()


def test_metrics_of_two_processes_are_those_of_one(tmp_path):
    """An odd number of images: one rank has one more, none counts twice."""
    path, content = make_set(tmp_path, INDICES)
    expected = evaluate(path, predict(content))
    assert 0 < expected['AP'] < 1
    mp.spawn(evaluator, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        got = torch.load(tmp_path / f'{rank}.pt')
        assert {k.split('/')[1]: v for k, v in got.items()} == expected
