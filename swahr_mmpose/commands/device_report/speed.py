# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure losses, decoding, training, test and data loading on a device."""

from __future__ import annotations

import copy
import statistics
import time
from functools import partial
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from swahr_mmpose.structures import HeadOutput
from swahr_mmpose.utils.device import (
    get_peak_memory,
    reset_peak_memory,
    synchronize,
)

from .cases import (
    FLIP_INDICES,
    build_decoders,
    build_estimator,
    draw_maps,
    get_autocast,
    load_network_config,
    make_image_batch,
    make_training_batch,
)
from .plan import Mode, Plan, Row, Task, list_modes, run_tasks

__all__ = [
    'measure_compiled',
    'measure_decoding',
    'measure_seconds',
    'measure_test',
    'measure_training',
]

_BATCH_SIZES = {'W32-512': 20, 'W48-640': 10, 'tiny': 2}


def measure_seconds(
    run: Callable[[], Any], device: str, budget: float, most: int = 50
) -> float:
    """Measure the median time of a function on a device.

    Args:
        run (Callable): Function.
        device (str): Device, waited for after each call.
        budget (float): Seconds after which no other call starts.
        most (int): Most calls. Defaults to 50.

    Returns:
        float: Median in seconds, of at least two calls after a warm-up.
    """
    run()
    synchronize(device)
    times: List[float] = []
    ends = time.perf_counter() + budget
    while len(times) < 2 or (len(times) < most and time.perf_counter() < ends):
        started = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure_decoding(plan: Plan) -> Iterator[Row]:
    """Measure decoding by people, against MMPose on the same device.

    Args:
        plan (Plan): Settings.

    Yields:
        dict: ``ms`` per call, ``MMPose, ms`` and their ``ratio``.
    """
    tasks = []
    cases = [(0, 1), (10, 1)] if plan.quick else [
        (0, 1), (1, 1), (3, 1), (10, 1), (30, 1), (10, 8),
    ]  # fmt: skip
    for people, images in cases:
        name = f'{images} image{"s" * (images > 1)}, {people} people'
        run = partial(_measure_decoding, plan, people, images)
        tasks.append(Task(name, run))
    yield from run_tasks(plan, tasks)


@torch.no_grad()
def _measure_decoding(plan: Plan, people: int, images: int) -> Row:
    """Measure both decoders on equal maps; tags of MMPose are enlarged."""
    size = (128, 192) if plan.quick else (512, 768)
    ours, theirs = build_decoders((size[1], size[0]))
    maps, tags = (
        m.to(plan.device).repeat(images, 1, 1, 1)
        for m in draw_maps(people, size)
    )
    large = F.interpolate(tags, size, mode='bilinear', align_corners=False)
    budget = 0.2 if plan.quick else 1.0
    reset_peak_memory(plan.device)
    new = measure_seconds(
        lambda: ours.batch_decode(maps, tags), plan.device, budget
    )
    memory = get_peak_memory(plan.device)
    old = measure_seconds(
        lambda: theirs.batch_decode(maps, large), plan.device, budget
    )
    row = {'ms': 1e3 * new, 'MMPose, ms': 1e3 * old, 'ratio': old / new}
    return _add_memory(row, memory)


def _add_memory(row: Row, memory: Optional[float]) -> Row:
    """Add the peak memory where the device reports it."""
    return row if memory is None else {**row, 'peak memory, MiB': memory}


def measure_training(plan: Plan, network: str) -> Iterator[Row]:
    """Measure training steps in all modes that are not compiled.

    Args:
        plan (Plan): Settings.
        network (str): Key of ``cases.NETWORKS``.

    Yields:
        dict: ``images/s``, ``peak memory, MiB`` and ``outside the network,
        %``.
    """
    tasks = [
        Task(mode.name, partial(_measure_training, plan, network, mode))
        for mode in list_modes(plan)
    ]
    yield from run_tasks(plan, tasks)


def measure_compiled(plan: Plan, network: str) -> Iterator[Row]:
    """Measure compiled training and test steps.

    Args:
        plan (Plan): Settings.
        network (str): Key of ``cases.NETWORKS``.

    Yields:
        dict: As :func:`measure_training` and :func:`measure_test`.
    """
    tasks = []
    for mode in reversed(list_modes(plan, compiled=True)):
        for title, run in (
            ('training', _measure_training),
            ('test', _measure_test),
        ):
            name = f'{title}, {mode.name}'
            tasks.append(Task(name, partial(run, plan, network, mode)))
    yield from run_tasks(plan, tasks)


class _TrainingStep:
    """A training step whose parts can be timed apart.

    The batch is on the CPU, as it comes from the data loader.
    """

    def __init__(self, plan: Plan, network: str, mode: Mode) -> None:
        cfg = load_network_config(network)
        size = _BATCH_SIZES[network]
        people = [(3, 1, 8, 0, 2)[n % 5] for n in range(size)]
        self.batch = make_training_batch(cfg, people)
        self.device, self.mode = plan.device, mode
        self.model = build_estimator(cfg, plan.device, mode).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        self.network_seconds = 0.0

    def __call__(self) -> None:
        """Run a step as the training does, without waiting."""
        data = self.model.data_preprocessor(self.batch, True)
        with get_autocast(self.device, self.mode):
            losses = self.model(**data, mode='loss')
        self.model.parse_losses(losses)[0].backward()
        self._update()

    def _update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    def run_apart(self) -> None:
        """Run a step; add the time of the network to ``network_seconds``.

        Losses and their gradients by the output of the network are computed
        apart from the gradients of the network.
        """
        data = self.model.data_preprocessor(self.batch, True)
        started = self._now()
        with get_autocast(self.device, self.mode):
            feats = self.model.extract_feat(data['inputs'])
            output = self.model.head(feats, with_scale_maps=True)
        flat = [*output.heatmaps, output.tags, *(output.scale_maps or [])]
        ended = self._now()
        leaves = [t.detach().requires_grad_() for t in flat]
        gradients = self._compute_loss_gradients(output, leaves, feats, data)
        resumed = self._now()
        torch.autograd.backward(flat, gradients)
        self.network_seconds += ended - started + self._now() - resumed
        self._update()

    def _compute_loss_gradients(
        self,
        output: HeadOutput,
        leaves: Sequence[Tensor],
        feats: Sequence[Tensor],
        data: dict,
    ) -> Tuple[Tensor, ...]:
        """Compute the gradients of the losses by the maps."""
        levels = len(output.heatmaps)
        maps = HeadOutput(
            list(leaves[:levels]),
            leaves[levels],
            list(leaves[levels + 1 :]) or None,
        )
        head = self.model.head
        forward = head.forward
        head.forward = lambda *args, **kwargs: maps
        try:
            with get_autocast(self.device, self.mode):
                losses = head.loss(feats, data['data_samples'])
        finally:
            head.forward = forward
        return torch.autograd.grad(sum(losses.values()), leaves)

    def _now(self) -> float:
        """Read the clock after the device has finished."""
        synchronize(self.device)
        return time.perf_counter()


def _measure_training(plan: Plan, network: str, mode: Mode) -> Row:
    """Measure images/s, memory and the share outside the network."""
    step = _TrainingStep(plan, network, mode)
    size = _BATCH_SIZES[network]
    budget, most = (0.5, 2) if plan.quick else (4.0, 20)
    step()  # the optimizer makes its state
    reset_peak_memory(plan.device)
    seconds = measure_seconds(step, plan.device, budget, most)
    row = _add_memory(
        {'images/s': size / seconds}, get_peak_memory(plan.device)
    )
    step.run_apart()
    calls, step.network_seconds = (1 if plan.quick else 3), 0.0
    started = step._now()
    for _ in range(calls):
        step.run_apart()
    whole = step._now() - started
    row['outside the network, %'] = 100 * (1 - step.network_seconds / whole)
    return dict(row, batch=size)


def measure_test(plan: Plan, network: str) -> Iterator[Row]:
    """Measure test images with flip test, one at a time.

    Args:
        plan (Plan): Settings.
        network (str): Key of ``cases.NETWORKS``.

    Yields:
        dict: ``images/s`` and ``outside the network, %``.
    """
    tasks = [
        Task(mode.name, partial(_measure_test, plan, network, mode))
        for mode in list_modes(plan)
    ]
    yield from run_tasks(plan, tasks)


@torch.no_grad()
def _measure_test(plan: Plan, network: str, mode: Mode) -> Row:
    """Measure the network, and what follows with the maps of ten people.

    An untrained network would find noise, so its maps are replaced.
    """
    cfg = load_network_config(network)
    model = build_estimator(cfg, plan.device, mode).eval()
    batch = make_image_batch(cfg)
    inputs = model.data_preprocessor(copy.deepcopy(batch), False)
    images = inputs['inputs']
    height, width = images.shape[-2:]
    views = _make_head_outputs(plan.device, (height, width))

    def run_network() -> None:
        with get_autocast(plan.device, mode):
            for view in (images, images.flip(-1)):
                model.head(model.extract_feat(view), with_scale_maps=False)

    def run_rest() -> None:
        data = model.data_preprocessor(batch, False)
        outputs = iter(views)
        head = model.head
        forward = head.forward
        head.forward = lambda *args, **kwargs: next(outputs)
        try:
            maps = head.test_maps((), (), (height, width), FLIP_INDICES)
        finally:
            head.forward = forward
        model.add_pred_to_datasample(
            head.decode(maps), None, data['data_samples']
        )

    budget, most = (0.3, 3) if plan.quick else (1.5, 30)
    reset_peak_memory(plan.device)
    network_seconds = measure_seconds(run_network, plan.device, budget, most)
    rest = measure_seconds(run_rest, plan.device, budget, most)
    whole = network_seconds + rest
    row = {
        'images/s': 1 / whole,
        'network, ms': 1e3 * network_seconds,
        'outside the network, %': 100 * rest / whole,
        'input': f'{width}x{height}',
    }
    return _add_memory(row, get_peak_memory(plan.device))


def _make_head_outputs(
    device: str, size: Tuple[int, int]
) -> Tuple[HeadOutput, HeadOutput]:
    """Make the output of the head for ten people, and flipped."""
    height, width = size
    maps, tags = draw_maps(10, (height // 2, width // 2), 1, 2)
    coarse = F.interpolate(maps, scale_factor=0.5, mode='bilinear')
    coarse, maps, tags = (t.to(device) for t in (coarse, maps, tags))
    plain = HeadOutput([coarse, maps], tags, None)
    flipped = HeadOutput(
        [m.flip(-1)[:, FLIP_INDICES] for m in plain.heatmaps],
        tags.flip(-1)[:, FLIP_INDICES],
        None,
    )
    return plain, flipped
