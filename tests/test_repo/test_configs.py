import json
import re

import pytest
import torch
from helpers import GOLDEN, ROOT
from helpers.tools import LEAVES, build
from mmengine.config import Config
from mmengine.optim import LinearLR
from torch import nn

from swahr_mmpose.datasets.checks.preflight import check_config

W32 = 'configs/coco/swahr_higherhrnet-w32_8xb20-300e_coco-512x512.py'
W48 = 'configs/coco/swahr_higherhrnet-w48_8xb10-300e_coco-640x640.py'
BASELINE = 'configs/coco/higherhrnet-w32_8xb20-300e_coco-512x512.py'


def multiply_adds(model, side):
    """Those of convolutions, transposed ones counted at their output."""
    total = 0

    def count(module, _, output):
        nonlocal total
        total += module.weight.numel() * output.shape[2] * output.shape[3]

    handles = [
        m.register_forward_hook(count)
        for m in model.modules()
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    model(torch.zeros(1, 3, side, side, device='meta'), None, mode='tensor')
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize('path', LEAVES)
def test_all_sizes_of_a_config_agree_and_its_model_builds(path):
    cfg, model = build(path)
    check_config(cfg)
    side = cfg.codec.input_size[0]
    for level, stride in enumerate((4, 2)):
        assert cfg.codec.heatmap_sizes[level] == (side // stride,) * 2
    output = model(torch.zeros(1, 3, side, side, device='meta'), None)
    sizes = [tuple(h.shape[-2:]) for h in output.heatmaps]
    assert sizes == [(side // 4,) * 2, (side // 2,) * 2]


@pytest.mark.parametrize('path', LEAVES)
def test_the_file_name_is_the_recipe(path):
    cfg = Config.fromfile(ROOT / path)
    gpus, batch, epochs, side = map(
        int, re.search(r'(\d+)xb(\d+)-(\d+)e_.*?-(\d+)x', path).groups()
    )
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].end == epochs
    assert cfg.codec.input_size == (side, side)


@pytest.mark.parametrize('path', LEAVES)
def test_leaves_are_short(path):
    assert len((ROOT / path).read_text().splitlines()) < 20


@pytest.mark.parametrize('path', LEAVES)
def test_runtime_is_ours(path):
    cfg = Config.fromfile(ROOT / path)
    assert cfg.custom_imports['imports'] == ['swahr_mmpose']
    assert {'type': 'CheckCheckpointHook'} in cfg.custom_hooks


@pytest.mark.parametrize(
    ('path', 'side', 'parameters', 'training', 'testing'),
    [
        (W32, 512, 28649309, 48021716992, 47864348672),
        (W48, 640, 63831661, 154586035200, 154305331200),
        (BASELINE, 512, 28645331, 47864348672, 47864348672),
    ],
)
def test_costs_are_those_of_the_paper(
    path, side, parameters, training, testing
):
    model = build(path)[1]
    assert sum(p.numel() for p in model.parameters()) == parameters
    model.train()
    assert multiply_adds(model, side) == training
    model.eval()
    assert multiply_adds(model, side) == testing


def test_published_settings():
    w32, w48 = (Config.fromfile(ROOT / p) for p in (W32, W48))
    assert w32.optim_wrapper.optimizer == dict(type='Adam', lr=2e-3)
    assert w48.optim_wrapper.optimizer == dict(type='Adam', lr=9.6e-4)
    assert w32.codec.decode_keypoint_thr == 0.12
    assert 'decode_keypoint_thr' not in w48.codec  # the default, 0.1
    assert w48.sync_bn == 'torch'
    assert 'sync_bn' not in w32
    for cfg in (w32, w48):
        assert cfg.val_evaluator.score_mode == 'bbox'
        assert cfg.val_evaluator.nms_mode == 'none'
        assert cfg.model.head.decoder == cfg.codec
        assert cfg.model.test_cfg.flip_test


def test_learning_rate_follows_the_official_schedule():
    """But for its first step, which the official code takes unscaled."""
    official = json.loads((GOLDEN / 'schedule.json').read_text())
    used = official['lr_used_in_step']
    epochs, length = 10, 20
    assert len(used) == epochs * length
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=used[0])
    schedulers = []
    for settings in Config.fromfile(ROOT / W32).param_scheduler:
        settings = dict(settings, epoch_length=length)
        settings['end'] = epochs if settings['end'] > 3 else 3
        del settings['type'], settings['convert_to_iter_based']
        schedulers.append(
            LinearLR.build_iter_from_epoch(optimizer, **settings)
        )
    rates = []
    for _ in used:
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    # Two steps of the warm-up is all that the two are apart.
    step = used[2] - used[1]
    gaps = [abs(a - b) for a, b in zip(rates[1:], used[1:])]
    assert max(gaps) <= 2 * step + 1e-9
