# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Networks, batches and maps of the report; nothing is downloaded.

K keypoints (17), L tag dimensions, map size H x W.
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any, ContextManager, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor

from swahr_mmpose.utils.config import read_config

from .plan import Mode

__all__ = [
    'FLIP_INDICES',
    'KEYPOINT_ORDER',
    'NETWORKS',
    'build_decoders',
    'build_estimator',
    'draw_maps',
    'get_autocast',
    'load_network_config',
    'make_image_batch',
    'make_training_batch',
]

NETWORKS = {
    'tiny': 'synthetic/swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256.py',
    'W32-512': 'coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py',
    'W48-640': 'coco/swahr_higherhrnet-w48_8xb10-300e_coco-640x640.py',
}
KEYPOINT_ORDER = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
FLIP_INDICES = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
_K = 17


def load_network_config(name: str) -> Config:
    """Load the shipped config of a network.

    Args:
        name (str): Key of ``NETWORKS``.

    Returns:
        Config: Config without pretrained weights.
    """
    init_default_scope('mmpose')
    cfg = read_config(NETWORKS[name])
    cfg.model.backbone.init_cfg = None
    return cfg


def build_estimator(cfg: Config, device: str, mode: Mode) -> Any:
    """Build an estimator with random weights, equal in each call.

    Args:
        cfg (Config): Config of the network.
        device (str): Device.
        mode (Mode): Memory format and compilation.

    Returns:
        nn.Module: Estimator on the device; its heatmaps have peaks.
    """
    torch.manual_seed(0)
    settings = copy.deepcopy(cfg.model)
    settings.data_preprocessor.channels_last = mode.channels_last
    model = MODELS.build(settings)
    for layer in model.head.final_layers:
        torch.nn.init.normal_(layer.weight, std=0.5)
    model.to(device)
    if mode.channels_last:
        model.to(memory_format=torch.channels_last)
    if mode.compiled:
        for part in (model.backbone, model.head):
            part.forward = torch.compile(part.forward)
    return model


def get_autocast(device: str, mode: Mode) -> ContextManager:
    """Get the autocast context of a mode.

    Args:
        device (str): Device.
        mode (Mode): Run mode.

    Returns:
        ContextManager: Autocast, or a context that does nothing.
    """
    if mode.autocast_dtype is None:
        return contextlib.nullcontext()
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=mode.autocast_dtype)


def _make_results(people: int, size: Tuple[int, int]) -> dict:
    """Make what the loading transform returns, from random numbers."""
    rng = np.random.default_rng(people)
    width, height = size
    boxes = np.array([[20, 30, 200, 300]], np.float32)
    return dict(
        img=rng.integers(0, 255, (height, width, 3), dtype=np.uint8),
        img_id=0,
        img_path='',
        ori_shape=(height, width),
        img_shape=(height, width),
        keypoints=rng.uniform(0, min(size), (people, _K, 2)),
        keypoints_visible=np.ones((people, _K), np.float32),
        bbox=np.tile(boxes, (people, 1)),
        flip_indices=FLIP_INDICES,
        raw_ann_info=[],
    )


def make_training_batch(cfg: Config, people: Sequence[int]) -> dict:
    """Make a training batch with random images.

    Args:
        cfg (Config): Config of the network.
        people (Sequence[int]): Number of people of each image.

    Returns:
        dict: Collated batch on the CPU.
    """
    steps = [dict(step) for step in cfg.train_dataloader.dataset.pipeline[1:]]
    pipeline = Compose(steps)
    np.random.seed(0)
    samples = [pipeline(_make_results(n, (640, 427))) for n in people]
    return pseudo_collate(samples)


def make_image_batch(cfg: Config, images: int = 1) -> dict:
    """Make a test batch with random images of equal size.

    Args:
        cfg (Config): Config of the network.
        images (int): Number of images. Defaults to 1.

    Returns:
        dict: Collated batch on the CPU.
    """
    steps = [dict(step) for step in cfg.test_dataloader.dataset.pipeline[1:]]
    pipeline = Compose(steps)
    results = _make_results(0, (640, 427))
    for name in ('keypoints', 'keypoints_visible', 'bbox'):
        del results[name]
    return pseudo_collate([pipeline(dict(results)) for _ in range(images)])


def build_decoders(size: Tuple[int, int]) -> List[Any]:
    """Build this package's codec and that of MMPose, equally configured.

    Args:
        size (tuple): Input size ``(w, h)`` in pixels.

    Returns:
        list: ``ScaleAwareAssociativeEmbedding``, ``AssociativeEmbedding``.
    """
    width, height = size
    ours = KEYPOINT_CODECS.build(
        dict(
            type='ScaleAwareAssociativeEmbedding',
            input_size=size,
            heatmap_sizes=[
                (width // 4, height // 4),
                (width // 2, height // 2),
            ],
            decode_keypoint_order=KEYPOINT_ORDER,
        )
    )
    theirs = KEYPOINT_CODECS.get('AssociativeEmbedding')(
        input_size=size,
        heatmap_size=size,
        decode_keypoint_order=KEYPOINT_ORDER,
        decode_center_shift=0.5,
    )
    return [ours, theirs]


def draw_maps(
    people: int,
    size: Tuple[int, int],
    tag_dim: int = 2,
    tag_stride: int = 4,
    seed: int = 0,
) -> Tuple[Tensor, Tensor]:
    """Draw fused heatmaps and tags of random people.

    Gaussians of different height over noise; about a third of the keypoints
    is below the threshold, so that it is missing and searched for.

    Args:
        people (int): Number of people.
        size (tuple): Size ``(H, W)`` of the heatmaps.
        tag_dim (int): L. Defaults to 2, that of a flip test.
        tag_stride (int): Cells of the heatmaps per cell of the tags. Defaults
            to 4.
        seed (int): Seed of the random number generator. Defaults to 0.

    Returns:
        tuple[Tensor, Tensor]: Heatmaps (1, K, H, W) and tags (1, L*K, h, w).
    """
    rng = np.random.default_rng(seed)
    height, width = size
    maps = rng.normal(0, 0.002, (_K, height, width)).astype(np.float32)
    shape = (tag_dim, _K, height // tag_stride, width // tag_stride)
    tags = rng.normal(0, 0.05, shape).astype(np.float32)
    for n in range(people):
        center = rng.uniform(0.1, 0.9, 2) * [width, height]
        points = center + rng.normal(0, min(size) / 15, (_K, 2))
        points = points.clip(1, [width - 2, height - 2])
        tops = np.where(rng.random(_K) > 0.3, rng.uniform(0.3, 1, _K), 0.05)
        for k, (point, top) in enumerate(zip(points, tops)):
            left, upper = (point.astype(int) // tag_stride - 8).clip(0)
            corner = np.array([left, upper]) * tag_stride
            part = maps[k, corner[1] :, corner[0] :]
            part = part[: 16 * tag_stride, : 16 * tag_stride]
            rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
            dx, dy = point - corner
            square = (columns - dx) ** 2 + (rows - dy) ** 2
            bump = top * np.exp(-square / 128)
            np.maximum(part, bump, out=part)
            near = bump[::tag_stride, ::tag_stride] > 0.02
            owned = tags[:, k, upper:, left:]
            owned[:, : near.shape[0], : near.shape[1]][:, near] = 1.7 * (n + 1)
    flat = tags.reshape(1, -1, *tags.shape[2:])
    return torch.from_numpy(maps)[None], torch.from_numpy(flat)
