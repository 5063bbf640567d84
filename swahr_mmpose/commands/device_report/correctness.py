# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check a device against the CPU: losses, gradients, decoding, steps."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor

from .cases import (
    build_decoders,
    build_estimator,
    draw_maps,
    get_autocast,
    load_network_config,
    make_image_batch,
    make_training_batch,
)
from .plan import MODES, Mode, Plan, Row, Task, list_modes, run_tasks

__all__ = [
    'check_compiled',
    'check_correctness',
    'compute_step',
    'disable_tf32',
    'judge',
    'measure_difference',
]

# Relative differences that are accepted, by the type of the computation.
TOLERANCES = {None: 1e-3, 'bfloat16': 0.05, 'float16': 0.02}
_LOSS_SCALE = 1024.0  # keeps float16 gradients above zero


def check_correctness(plan: Plan) -> Iterator[Row]:
    """Compare the device with the CPU, not compiled.

    Args:
        plan (Plan): Settings.

    Yields:
        dict: ``difference``, ``tolerance`` and ``ok``.
    """
    disable_tf32()
    tasks = [
        Task('losses and gradients', partial(compare_losses, plan, None)),
        Task('losses, bf16 maps', partial(compare_losses, plan, 'bfloat16')),
        Task('losses, fp16 maps', partial(compare_losses, plan, 'float16')),
    ]
    for people in (0, 3) if plan.quick else (0, 1, 3, 10, 30):
        title = f'decoding, {people} people'
        tasks.append(Task(title, partial(compare_decoding, plan, people)))
    yield from run_tasks(plan, tasks + _list_network_tasks(plan, False))


def check_compiled(plan: Plan) -> Iterator[Row]:
    """Compare compiled networks on the device with the CPU.

    Args:
        plan (Plan): Settings.

    Yields:
        dict: As :func:`check_correctness`.
    """
    disable_tf32()
    yield from run_tasks(plan, _list_network_tasks(plan, True))


def _list_network_tasks(plan: Plan, compiled: bool) -> List[Task]:
    """List the comparisons of training and test steps."""
    tasks = []
    for mode in list_modes(plan, compiled):
        for title, compare in (
            ('training step', compare_training),
            ('test step', compare_test),
        ):
            name = f'{title}, {mode.name}'
            tasks.append(Task(name, partial(compare, plan, mode)))
    return tasks


def disable_tf32() -> None:
    """Compute float32 products in float32, not in TF32 (CUDA)."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def measure_difference(
    found: Sequence[Tensor], expected: Sequence[Tensor]
) -> float:
    """Measure the relative difference of two lists of tensors.

    Args:
        found (Sequence[Tensor]): Tensors on any device.
        expected (Sequence[Tensor]): Tensors of the same shapes on the CPU.

    Returns:
        float: Norm of the difference by the norm of ``expected``; infinite if
        a shape differs or a value is not finite.
    """
    pairs = [
        (a.detach().cpu().float(), b.detach().float())
        for a, b in zip(found, expected)
    ]
    if len(found) != len(expected) or any(
        a.shape != b.shape or not a.isfinite().all() for a, b in pairs
    ):
        return float('inf')
    error = sum(float((a - b).square().sum()) for a, b in pairs)
    norm = sum(float(b.square().sum()) for _, b in pairs)
    return float(np.sqrt(error / max(norm, 1e-30)))


def judge(difference: float, tolerance: float) -> Row:
    """Make the row of a comparison; ``ok`` if within the tolerance."""
    ok = bool(difference <= tolerance)
    shown = difference if np.isfinite(difference) else 'not finite'
    return dict(difference=shown, tolerance=tolerance, ok=ok)


def compare_losses(plan: Plan, dtype: Any) -> Row:
    """Compare SWAHRLoss and PullPushLoss and their gradients."""
    generator = torch.Generator().manual_seed(0)
    batch = (2, 17, 64, 64) if plan.quick else (8, 17, 128, 128)
    codec = build_decoders((2 * batch[3], 2 * batch[2]))[0]
    rng = np.random.default_rng(0)
    encoded = [
        codec.encode(rng.uniform(0, 2 * batch[2], (3, 17, 2)))
        for _ in range(batch[0])
    ]
    goal = np.stack([np.asarray(e['heatmaps'][1]) for e in encoded])
    mask = torch.rand(batch[0], *batch[2:], generator=generator) > 0.1
    indices = [torch.from_numpy(e['keypoint_indices']) for e in encoded]
    maps = [0.2 * torch.randn(batch, generator=generator) for _ in range(2)]
    tags = torch.randn(
        *batch[:2], batch[2] // 2, batch[3] // 2, generator=generator
    )
    inputs = [t.to(getattr(torch, dtype or 'float32')) for t in (*maps, tags)]
    fixed = (torch.from_numpy(goal), mask, indices)
    expected, found = (
        _compute_losses(inputs, fixed, device)
        for device in ('cpu', plan.device)
    )
    difference = measure_difference(found, expected)
    return judge(difference, 1e-4 if dtype is None else 0.02)


def _compute_losses(
    inputs: Sequence[Tensor], fixed: Tuple[Tensor, Tensor, list], device: str
) -> List[Tensor]:
    """Compute the losses, and the gradients by predicted maps."""
    keypoint_loss = MODELS.build(dict(type='SWAHRLoss'))
    tag_loss = MODELS.build(dict(type='PullPushLoss'))
    leaves = [t.to(device).requires_grad_() for t in inputs]
    target, mask = (t.to(device) for t in fixed[:2])
    indices = [i.to(device) for i in fixed[2]]
    losses = [
        *keypoint_loss(leaves[0], leaves[1], target, mask),
        *tag_loss(leaves[2], indices),
    ]
    # Each loss and gradient counts as much as any other.
    gradients = [
        g * g.numel() ** 0.5
        for g in torch.autograd.grad(sum(x.float() for x in losses), leaves)
    ]
    return [*losses, *gradients]


def compare_decoding(plan: Plan, people: int) -> Row:
    """Compare the decoded people of equal maps."""
    size = (128, 192) if plan.quick else (512, 768)
    codec = build_decoders((size[1], size[0]))[0]
    maps = draw_maps(people, size)
    return _compare_people(codec, [m.to(plan.device) for m in maps], maps)


def _compare_people(
    codec: Any, found_maps: Sequence[Tensor], maps: Sequence[Tensor]
) -> Row:
    """Decode on both devices; compare number, keypoints and scores."""
    with torch.no_grad():
        found = codec.batch_decode(*found_maps)
        expected = codec.batch_decode(*maps)
    counts = [[len(image) for image in r[0]] for r in (found, expected)]
    row: Row = dict(people=sum(counts[0]), people_cpu=sum(counts[1]))
    if counts[0] != counts[1]:
        return dict(row, ok=False)
    differences = [
        np.abs(a - b).max()
        for n in (0, 1)  # keypoints, scores
        for a, b in zip(found[n], expected[n])
        if len(a)
    ]
    # Unlike max, np.max returns NaN if there is one.
    return dict(row, **judge(float(np.max(differences, initial=0)), 1e-3))


def compute_step(
    model: Any, batch: dict, device: str, mode: Mode
) -> Tuple[Dict[str, Tensor], List[Tensor]]:
    """Run forward and backward of a training step.

    Args:
        model (nn.Module): Estimator, or its wrapper.
        batch (dict): Collated batch, not changed.
        device (str): Device.
        mode (Mode): Run mode.

    Returns:
        tuple[dict, list[Tensor]]: Losses, and gradients of the parameters,
        zeros where there is none.
    """
    scale = _LOSS_SCALE if mode.dtype == 'float16' else 1.0
    inner = getattr(model, 'module', model)
    data = inner.data_preprocessor(copy.deepcopy(batch), True)
    with get_autocast(device, mode):
        losses = model(**data, mode='loss')
    model.zero_grad()
    (inner.parse_losses(losses)[0] * scale).backward()
    gradients = [
        torch.zeros_like(p) if p.grad is None else p.grad / scale
        for p in inner.parameters()
    ]
    return losses, gradients


def compare_training(plan: Plan, mode: Mode) -> Row:
    """Compare losses and gradients of the tiny network."""
    cfg = load_network_config('tiny')
    batch = make_training_batch(cfg, (3, 0) if plan.quick else (3, 0, 1, 8))
    losses, gradients = [], []
    for device, how in ((plan.device, mode), ('cpu', MODES[0])):
        model = build_estimator(cfg, device, how).train()
        step = compute_step(model, batch, device, how)
        losses.append(list(step[0].values()))
        _freeze_statistics(model)
        gradients.append(compute_step(model, batch, device, how)[1])
    tolerance = TOLERANCES[mode.dtype]
    row = judge(measure_difference(*gradients), tolerance)
    other = judge(measure_difference(*losses), tolerance)
    row['difference of losses'] = other['difference']
    row['ok'] = row['ok'] and other['ok']
    return row


def _freeze_statistics(model: Any) -> None:
    """Normalize with the running statistics.

    Statistics of few images, of a network that is not trained, amplify
    rounding in the gradients several thousand times.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()


@torch.no_grad()
def compare_test(plan: Plan, mode: Mode) -> Row:
    """Compare the fused maps of the tiny network, and their decoding."""
    cfg = load_network_config('tiny')
    cfg.model.test_cfg.flip_test = True
    batch = make_image_batch(cfg)
    maps = []
    for device, how in (('cpu', MODES[0]), (plan.device, mode)):
        model = build_estimator(cfg, device, how).eval()
        data = model.data_preprocessor(copy.deepcopy(batch), False)
        size = tuple(data['inputs'].shape[-2:])
        with get_autocast(device, how):
            feats, flipped = (
                model.extract_feat(x)
                for x in (data['inputs'], data['inputs'].flip(-1))
            )
            flips = data['data_samples'][0].metainfo['flip_indices']
            maps.append(model.head.test_maps(feats, flipped, size, flips))
        if device == plan.device:
            model.test_step(copy.deepcopy(batch))  # must not raise
    expected, found = maps
    row = judge(measure_difference(found, expected), TOLERANCES[mode.dtype])
    same = _compare_people(
        model.head.decoder, found, [m.detach().cpu() for m in found]
    )
    row['people'], row['people_cpu'] = same['people'], same['people_cpu']
    row['ok'] = row['ok'] and same['ok']
    return row
