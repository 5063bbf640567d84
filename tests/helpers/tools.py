"""Run tools as commands, and build small configs."""

import os
import subprocess
import sys

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets import CrowdPoseDataset  # noqa: F401  (its sigmas)
from mmpose.registry import MODELS

import swahr_mmpose  # noqa: F401  (registers everything)
from helpers import ROOT

LEAVES = sorted(
    str(p.relative_to(ROOT))
    for p in (ROOT / 'configs').glob('*/*.py')
    if p.parent.name != '_base_'
)


def build(path):
    """Build the model of a config without memory for its weights."""
    init_default_scope('mmpose')
    cfg = Config.fromfile(ROOT / path)
    with torch.device('meta'):
        return cfg, MODELS.build(cfg.model)


SIZES = dict(
    input_size=(64, 64), heatmap_sizes=[(16, 16), (32, 32)]
)  # codec and pipelines


def make_small(value):
    """Replace the input and heatmap sizes in a config."""
    if isinstance(value, dict):
        return {
            k: SIZES[k] if k in SIZES else make_small(v)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(make_small(v) for v in value)
    return value


CONFIG = str(
    ROOT
    / 'configs/synthetic/swahr_higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
)


def save_random_weights(folder, std=0.5):
    """Save random weights of ``CONFIG``, which detect people everywhere."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(CONFIG).model)
    for layer in model.head.final_layers:
        torch.nn.init.normal_(layer.weight, std=std)
    path = folder / 'random.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def run(*command, cwd=ROOT, check=True, **kwargs):
    """Run a command; assert that it succeeds unless ``check`` is False."""
    env = dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        **kwargs,
    )
    done.output = done.stdout + done.stderr
    if check:
        assert done.returncode == 0, done.output[-4000:]
    return done


def tool(name, *args, **kwargs):
    """Run a script of ``tools/``."""
    return run(sys.executable, f'tools/{name}', *args, **kwargs)


def data_options(folder):
    """Config options that replace the dataset of a config."""
    options = [f'val_evaluator.ann_file={ann(folder)}']
    options += [f'test_evaluator.ann_file={ann(folder)}']
    for split in ('train', 'val', 'test'):
        options += [f'{split}_dataloader.dataset.data_root={folder}/']
    return options


def ann(folder, split='val'):
    """Path of the annotation file of a synthetic dataset."""
    return f'{folder}/annotations/person_keypoints_{split}.json'


def train(data, folder, *args, options=(), epochs=1, start=tool, **kwargs):
    """Train the synthetic config for some epochs."""
    return start(
        'train.py',
        CONFIG,
        '--work-dir',
        folder,
        *args,
        '--cfg-options',
        *data_options(data),
        f'train_cfg.max_epochs={epochs}',
        'train_cfg.val_interval=1',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.logger.interval=1',
        *options,
        **kwargs,
    )
