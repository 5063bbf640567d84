# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Complete networks: training steps, test images, bytes per sample.

Each row yields (name, figures): a dictionary of numbers with their units.
"""

import contextlib
import pickle
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

from swahr_mmpose.utils.device import (
    get_peak_memory,
    reset_peak_memory,
    synchronize,
)

from . import NETWORKS
from .inputs import FLIP, K, network_output

CONFIGS = Path(__file__).resolve().parents[3] / 'configs' / 'coco'


def load(name):
    """Read the config of a network."""
    init_default_scope('mmpose')
    return Config.fromfile(CONFIGS / NETWORKS[name])


def build(cfg, device, channels_last=False, compiled=False):
    """Build the estimator with random weights."""
    settings = cfg.model.copy()
    settings.backbone.init_cfg = None
    settings.data_preprocessor.channels_last = channels_last
    model = MODELS.build(settings)
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    if compiled:
        model.backbone.forward = torch.compile(model.backbone.forward)
        model.head.forward = torch.compile(model.head.forward)
    return model


def annotated_picture(people, size=(640, 427)):
    """Make the results that the loading transform returns."""
    rng = np.random.default_rng(people)
    w, h = size
    return dict(
        img=rng.integers(0, 255, (h, w, 3), dtype=np.uint8),
        img_id=0,
        img_path='',
        ori_shape=(h, w),
        img_shape=(h, w),
        keypoints=rng.uniform(0, min(size), (people, K, 2)),
        keypoints_visible=np.ones((people, K), np.float32),
        bbox=np.tile(np.array([[20, 30, 200, 300]], np.float32), (people, 1)),
        flip_indices=FLIP,
        raw_ann_info=[],
    )


def training_sample(cfg, people, sparse=True):
    """Pack a sample as a data worker does."""
    steps = [dict(step) for step in cfg.train_pipeline[1:]]
    steps[-1]['sparse'] = sparse
    np.random.seed(0)
    return Compose(steps)(annotated_picture(people))


def rows_sample(args):
    """Measure the bytes per training sample from worker to model."""
    cfg = load('W32-512')
    for people in (1, 3, 10, 30):
        dense, sparse = (
            len(pickle.dumps(training_sample(cfg, people, flag)))
            for flag in (False, True)
        )
        image = 3 * 512 * 512
        yield (
            f'training sample, W32-512, {people} people',
            {
                'dense targets, kB': (dense - image) / 1e3,
                'sparse targets, kB': (sparse - image) / 1e3,
                'ratio': (dense - image) / (sparse - image),
                'image, kB': image / 1e3,
            },
        )


class Clock:
    """Stopwatch that waits for the device."""

    def __init__(self, device):
        self.device = device
        self.last = self.now()

    def now(self):
        """Read the clock after the device has finished."""
        synchronize(self.device)
        return time.perf_counter()

    def __call__(self):
        """Return the seconds since the last call."""
        before, self.last = self.last, self.now()
        return self.last - before


def step(model, optimizer, batch, device, autocast):
    """Time the parts of one training step in seconds.

    The gradients of the loss by the network's output are taken apart from
    those of the network.
    """
    clock = Clock(device)
    data = model.data_preprocessor(batch, True)
    parts = dict(preprocess=clock())
    with autocast:
        feats = model.extract_feat(data['inputs'])
        output = model.head.forward(feats, with_scale_maps=True)
    parts['network'] = clock()
    flat = [*output.heatmaps, output.tags, *(output.scale_maps or [])]
    leaves = [t.detach().requires_grad_() for t in flat]
    levels = len(output.heatmaps)
    seen = type(output)(
        leaves[:levels], leaves[levels], leaves[levels + 1 :] or None
    )
    forward, model.head.forward = model.head.forward, lambda *a, **k: seen
    try:
        losses = model.head.loss(feats, data['data_samples'])
    finally:
        model.head.forward = forward
    grads = torch.autograd.grad(sum(losses.values()), leaves)
    parts['loss'] = clock()
    torch.autograd.backward(flat, grads)
    parts['network'] += clock()
    optimizer.step()
    optimizer.zero_grad()
    parts['optimizer'] = clock()
    return parts


def variants(device):
    """List run modes: (name, autocast dtype, memory format, compiled)."""
    if device == 'cpu':
        yield 'fp32', None, False, False
        return
    for dtype in (None, torch.bfloat16, torch.float16):
        name = 'fp32' if dtype is None else str(dtype).split('.')[1]
        for channels_last in (False, True):
            for compiled in (False, True):
                layout = ', channels_last' if channels_last else ''
                extra = ', compiled' if compiled else ''
                yield name + layout + extra, dtype, channels_last, compiled


def autocast(device, dtype):
    """Return an autocast context, or a null context."""
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype)


def rows_train(args):
    """Measure training steps: images per second and time per part."""
    for name in args.networks:
        cfg = load(name)
        size = args.batch_size or cfg.train_dataloader.batch_size
        batch = pseudo_collate([training_sample(cfg, 3) for _ in range(size)])
        for variant, dtype, channels_last, compiled in variants(args.device):
            title = f'train {name}, batch {size}, {variant}'
            model = build(cfg, args.device, channels_last, compiled)
            model.train()
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
            yield (
                title,
                _measured(
                    lambda m=model, o=optimizer, t=dtype, b=batch: step(
                        m, o, b, args.device, autocast(args.device, t)
                    ),
                    size,
                    args,
                ),
            )


def _measured(run, images, args):
    """Compute the medians of the parts, or the reason of a failure."""
    try:
        for _ in range(1 if args.device == 'cpu' else 5):
            run()
        reset_peak_memory(args.device)
        runs = [run() for _ in range(args.steps)]
    except RuntimeError as error:  # out of memory, no compiler
        return {'failed': str(error).splitlines()[0][:100]}
    parts = {k: statistics.median(r[k] for r in runs) for k in runs[0]}
    whole = statistics.median(sum(r.values()) for r in runs)
    figures = {'images/s': images / whole}
    figures.update({f'{k}, ms': 1e3 * v for k, v in parts.items()})
    figures['outside the network, %'] = 100 * (1 - parts['network'] / whole)
    memory = get_peak_memory(args.device)
    if memory is not None:
        figures['peak memory, GiB'] = memory / 2**10
    return figures


class TestImage:
    """Time a test image from file to people, with flip test.

    The network runs, but its output is replaced by the maps of ten people:
    an untrained network would find no instance.
    """

    def __init__(self, cfg, model, device, dtype):
        self.model, self.device, self.dtype = model, device, dtype
        self.pipeline = Compose(
            [dict(step) for step in cfg.test_dataloader.dataset.pipeline[1:]]
        )
        picture = annotated_picture(0)
        self.file = cv2.imencode('.jpg', picture['img'])[1]
        self.results = {k: v for k, v in picture.items() if k != 'keypoints'}
        self.maps = network_output(10, device)

    def __call__(self):
        """Return the time per part in seconds."""
        clock = Clock(self.device)
        image = cv2.imdecode(self.file, cv2.IMREAD_COLOR)
        batch = pseudo_collate([self.pipeline(dict(self.results, img=image))])
        parts = {'read and resize': clock()}
        data = self.model.data_preprocessor(batch, False)
        parts['preprocess'] = clock()
        with autocast(self.device, self.dtype), torch.no_grad():
            for images in (data['inputs'], data['inputs'].flip(-1)):
                feats = self.model.extract_feat(images)
                self.model.head.forward(feats, with_scale_maps=False)
        parts['network'] = clock()
        width, height = data['data_samples'][0].metainfo['input_size']
        forward = self.model.head.forward
        maps = iter(self.maps)
        self.model.head.forward = lambda *a, **k: next(maps)
        try:
            with torch.no_grad():
                fused = self.model.head.test_maps(
                    None, (None,), (height, width), FLIP
                )
        finally:
            self.model.head.forward = forward
        found = self.model.head.decode(fused)
        self.model.add_pred_to_datasample(found, None, data['data_samples'])
        parts['after the network'] = clock()
        return parts


def rows_test(args):
    """Measure test images one at a time, with flip test."""
    name = 'W32-512'
    cfg = load(name)
    for variant, dtype, channels_last, compiled in variants(args.device):
        model = build(cfg, args.device, channels_last, compiled)
        model.eval()
        image = TestImage(cfg, model, args.device, dtype)
        title = f'test {name}, flip, 512x768, 10 people, {variant}'
        yield title, _measured(image, 1, args)


ROWS = dict(sample=rows_sample, train=rows_train, test=rows_test)
