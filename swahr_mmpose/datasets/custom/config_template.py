# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Text of the config and of the metainfo file of a custom dataset.

Both are written into one folder, beside ``train.json`` and ``val.json``,
which may be moved. The config inherits ``configs/_base_`` and sets what
differs. Values from annotation files and paths are written as Python literals
only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pprint import pformat
from string import Template
from typing import Any, Dict, Optional, Sequence, Tuple

__all__ = [
    'BASES',
    'ConfigRecipe',
    'choose_epochs',
    'format_config',
    'format_metainfo',
]


@dataclass(frozen=True)
class _Base:
    """Settings of a backbone, as in ``configs/coco`` or ``synthetic``.

    Args:
        inputs (str): File of ``_base_/inputs``.
        schedule (str): File of ``_base_/schedules``.
        input_side (int): Side of the square input in px.
        batch_size (int): Images per GPU.
        total_batch (int): Images per step to which ``lr`` belongs.
        lr (float): Learning rate.
        threshold (float): Minimum score of a keypoint.
        workers (int): Number of data loading processes.
        epochs (int): Minimum number of epochs.
        steps (int): Minimum number of steps, for small datasets. Defaults to
            0.
    """

    inputs: str
    schedule: str
    input_side: int
    batch_size: int
    total_batch: int
    lr: float
    threshold: float
    workers: int
    epochs: int
    steps: int = 0


BASES = {
    'tiny': _Base(
        inputs='256x256_synthetic',
        schedule='adam_15e',
        input_side=256,
        batch_size=4,
        total_batch=4,
        lr=3e-3,
        threshold=0.3,
        workers=0,
        epochs=15,
        steps=960,
    ),
    'w32': _Base(
        inputs='512x512_unbiased',
        schedule='adam_300e',
        input_side=512,
        batch_size=20,
        total_batch=160,
        lr=2e-3,
        threshold=0.1,
        workers=4,
        epochs=300,
    ),
    'w48': _Base(
        inputs='640x640_unbiased',
        schedule='adam_300e',
        input_side=640,
        batch_size=10,
        total_batch=80,
        lr=9.6e-4,
        threshold=0.1,
        workers=4,
        epochs=300,
    ),
}


@dataclass(frozen=True)
class ConfigRecipe:
    """Settings of a config that depend on dataset and skeleton.

    Args:
        name (str): Name of the dataset, part of the file name.
        base (str): Name of the backbone, a key of :data:`BASES`.
        num_keypoints (int): Number of keypoints K.
        order (Sequence[int]): Grouping order, a permutation of K indices.
        flip (bool): Whether to flip images horizontally in training and
            testing.
        image_dirs (tuple[str, str]): Folders of training and validation
            images, absolute or relative to the config, with a slash at the
            end.
        base_folder (str): Path of ``configs/_base_``, absolute or relative to
            the config.
        input_side (int): Side of the square input in px, a multiple of 64.
        batch_size (int): Images per GPU, at least 1.
        epochs (int): Number of epochs, at least 2.
        max_instances (int): Maximum number of instances per image. Defaults
            to 30.
        link_dir (str, optional): Folder to which links in the image folders
            may lead, absolute. Defaults to None, none.

    Raises:
        ValueError: If a number is out of its range or ``order`` is no
            permutation.
    """

    name: str
    base: str
    num_keypoints: int
    order: Sequence[int]
    flip: bool
    image_dirs: Tuple[str, str]
    base_folder: str
    input_side: int
    batch_size: int
    epochs: int
    max_instances: int = 30
    link_dir: Optional[str] = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        side = self.input_side
        if self.epochs < 2 or self.batch_size < 1:
            raise ValueError(
                f'got {self.epochs} epochs and a batch size of '
                f'{self.batch_size}, expected at least 2 and 1; change '
                '--epochs or --batch-size'
            )
        if side < 64 or side % 64:
            raise ValueError(
                f'got an input size of {side}, expected a multiple of 64; '
                f'give --input-size {max(64, round(side / 64) * 64)}'
            )
        if sorted(self.order) != list(range(self.num_keypoints)):
            raise ValueError(
                f'got the keypoint order {list(self.order)}, expected each '
                f'of 0 to {self.num_keypoints - 1} once'
            )

    @property
    def file_name(self) -> str:
        """File name of the config, with the batch size and epochs."""
        return (
            f'swahr_higherhrnet-{self.base}_1xb{self.batch_size}-'
            f'{self.epochs}e_{self.name}-{self.input_side}x'
            f'{self.input_side}.py'
        )


def choose_epochs(base: str, num_images: int, batch_size: int) -> int:
    """Choose the number of epochs: that of the backbone, or more.

    Args:
        base (str): Name of the backbone, a key of :data:`BASES`.
        num_images (int): Number of training images.
        batch_size (int): Images per step.

    Returns:
        int: The epochs that give the minimum number of steps, if more.
    """
    settings = BASES[base]
    steps_per_epoch = max(1, math.ceil(num_images / batch_size))
    return max(settings.epochs, math.ceil(settings.steps / steps_per_epoch))


# The folder of the config is read from the compiled code, to which MMEngine
# gives the path of the file. Its mark fileDirname would be replaced in the
# text before it is parsed: a folder's name could become code.
_CONFIG = Template("""\
# SWAHR with HigherHRNet on a custom dataset, made by `swahr dataset new`.
_base_ = [
    $datasets,
    $inputs,
    $models,
    $schedules,
]
import os.path as osp  # below _base_, or MMEngine expects its other syntax

# The folder of this file, which may be moved.
data_root = osp.dirname((lambda: None).__code__.co_filename)
metainfo = dict(from_file=osp.join(data_root, 'metainfo.py'))
val_ann_file = 'val.json'
num_keypoints = $num_keypoints
# Grouping order; report.txt and skeleton.png show it with names.
keypoint_order = $order

# Changed together: MMEngine does not re-evaluate inherited pipelines.
input_size = ($side, $side)
codec = dict(
    _base_.codec,
    input_size=input_size,
    heatmap_sizes=[($quarter, $quarter), ($half, $half)],
    decode_keypoint_order=keypoint_order,
    decode_keypoint_thr=$threshold,
    decode_topk=$topk,
)
train_pipeline = [
    _base_.train_pipeline[0],
    dict(_base_.train_pipeline[1], input_size=input_size, flip_prob=$prob),
    dict(type='GenerateTarget', encoder=codec),
    *_base_.train_pipeline[3:],
]
val_pipeline = [
    _base_.val_pipeline[0],
    dict(_base_.val_pipeline[1], input_size=input_size),
    _base_.val_pipeline[2],
]

model = dict(
    head=dict(
        num_keypoints=num_keypoints,
        decoder=codec,
    ),
    test_cfg=dict(flip_test=$flip),
)

train_dataloader = dict(
    batch_size=$batch,
    num_workers=$workers,
    persistent_workers=$persistent,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='train.json',
        data_prefix=dict($train_images),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=$workers,
    persistent_workers=$persistent,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file=val_ann_file,
        data_prefix=dict($val_images),
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=osp.join(data_root, val_ann_file))
test_evaluator = val_evaluator

# For one GPU; with more, or another batch size, train with --auto-scale-lr.
optim_wrapper = dict(optimizer=dict(lr=$lr))
auto_scale_lr = dict(enable=False, base_batch_size=$batch)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=$warmup),
    dict(_base_.param_scheduler[1], begin=$warmup, end=$epochs),
]
train_cfg = dict(max_epochs=$epochs, val_interval=$interval)
""")


def format_config(recipe: ConfigRecipe) -> str:
    """Format the config, for a file beside ``metainfo.py``.

    Args:
        recipe (ConfigRecipe): Settings of the config.

    Returns:
        str: Python code of an MMEngine config.
    """
    base, side = BASES[recipe.base], recipe.input_side
    return _CONFIG.substitute(
        _format_base_files(recipe),
        num_keypoints=recipe.num_keypoints,
        order=list(recipe.order),
        side=side,
        quarter=side // 4,
        half=side // 2,
        threshold=base.threshold,
        topk=recipe.max_instances,
        prob=0.5 if recipe.flip else 0.0,
        flip=recipe.flip,
        batch=recipe.batch_size,
        workers=base.workers,
        persistent=base.workers > 0,
        train_images=_format_prefix(recipe.image_dirs[0], recipe.link_dir),
        val_images=_format_prefix(recipe.image_dirs[1], recipe.link_dir),
        lr=float(f'{base.lr * recipe.batch_size / base.total_batch:.3g}'),
        warmup=max(1, round(recipe.epochs / 100)),
        epochs=recipe.epochs,
        interval=max(1, min(10, recipe.epochs // 5)),
    )


def _format_prefix(image_dir: str, link_dir: Optional[str]) -> str:
    """Format the folders of a dataset as arguments."""
    images = f'img={_format_literal(image_dir)}'
    if link_dir is None:
        return images
    return f'{images}, links={_format_literal(link_dir)}'


def _format_base_files(recipe: ConfigRecipe) -> Dict[str, str]:
    """Format the paths of the inherited files as literals."""
    base = BASES[recipe.base]
    files = dict(
        datasets='coco-keypoints',
        inputs=base.inputs,
        models=f'higherhrnet-{recipe.base}',
        schedules=base.schedule,
    )
    return {
        kind: _format_literal(f'{recipe.base_folder}/{kind}/{name}.py')
        for kind, name in files.items()
    }


def _format_literal(text: str) -> str:
    """Format a string as a Python literal without marks of MMEngine."""
    return _hide_marks(repr(text))


def _hide_marks(code: str) -> str:
    """Escape double braces in strings of Python code.

    MMEngine replaces marks in double braces in the whole text of a file, also
    within strings.
    """
    return code.replace('{{', '{\\x7b')


def format_metainfo(info: Dict[str, Any]) -> str:
    """Format metainfo as a file for ``metainfo=dict(from_file=...)``.

    Args:
        info (dict): Content of ``dataset_info``.

    Returns:
        str: Python code of an MMEngine config.
    """
    code = _hide_marks(pformat(info, width=78, sort_dicts=False))
    return f'dataset_info = (\n{code}\n)\n'
