# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The text of a config, and of meta information, for a skeleton of one's own.

A folder holds both, ``train.json`` and ``val.json``, and may be moved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pprint import pformat
from string import Template
from typing import Any, Dict, List, Sequence, Tuple

__all__ = ['BASES', 'Recipe', 'config_text', 'default_epochs', 'metainfo_text']


@dataclass(frozen=True)
class _Base:
    """What goes with a backbone: as the configs of COCO, or synthetic people.

    The rate is for ``total_batch`` images; ``tag_factor`` times the official
    weights of the tag loss.
    """

    input_side: int
    batch_size: int
    total_batch: int
    rate: float
    rotation: int
    scale: Tuple[float, float]
    threshold: float
    tag_factor: int
    workers: int
    epochs: int
    steps: int  # at least, however few images there are


BASES = {
    'tiny': _Base(256, 4, 4, 3e-3, 10, (0.75, 1.25), 0.3, 10, 0, 15, 960),
    'w32': _Base(512, 20, 160, 2e-3, 30, (0.75, 1.5), 0.1, 1, 4, 300, 0),
    'w48': _Base(640, 10, 80, 2e-3, 30, (0.75, 1.5), 0.1, 1, 4, 300, 0),
}


@dataclass(frozen=True)
class Recipe:
    """What of a config depends on data set and skeleton.

    Args:
        name (str): Of the data set.
        base (str): A key of :data:`BASES`.
        names (Sequence[str]): Of the keypoints.
        order (Sequence[int]): Of grouping.
        flip (bool): Whether images are mirrored in training and testing.
        image_dirs (tuple): Of training and validation.
        base_folder (str): The folder ``configs/_base_``, as the config is to
            name it.
        input_side (int): Of the square input, a multiple of 64.
        batch_size (int): Of one GPU.
        epochs (int): Of training.
        max_people (int): The most instances that an image may have.
    """

    name: str
    base: str
    names: Sequence[str]
    order: Sequence[int]
    flip: bool
    image_dirs: Tuple[str, str]
    base_folder: str
    input_side: int
    batch_size: int
    epochs: int
    max_people: int = 30

    def __post_init__(self) -> None:
        """Raises ValueError with what was got, expected, and the remedy."""
        side, count = self.input_side, len(self.names)
        if self.epochs < 2 or self.batch_size < 1:
            raise ValueError(
                f'epochs are {self.epochs} and the batch size '
                f'{self.batch_size}, expected 2 and 1 or more'
            )
        if side < 64 or side % 64:
            raise ValueError(
                f'the input size is {side}, expected a multiple of 64; '
                f'pass {max(64, round(side / 64) * 64)}'
            )
        if sorted(self.order) != list(range(count)):
            raise ValueError(
                f'the keypoint order is {list(self.order)}, expected each of '
                f'{count} keypoints once'
            )

    @property
    def file_name(self) -> str:
        """Of the config, which is its recipe in short."""
        return (
            f'swahr_higherhrnet-{self.base}_1xb{self.batch_size}-'
            f'{self.epochs}e_{self.name}-{self.input_side}x'
            f'{self.input_side}.py'
        )


def default_epochs(base: str, num_images: int, batch_size: int) -> int:
    """The epochs of a backbone, more where images are few.

    Args:
        base (str): A key of :data:`BASES`.
        num_images (int): Of training.
        batch_size (int): Of one step.
    """
    of = BASES[base]
    steps = max(1, math.ceil(num_images / batch_size))
    return max(of.epochs, math.ceil(of.steps / steps))


_CONFIG = Template("""\
# SWAHR with HigherHRNet-$base on $name, $count keypoints. Written by
# tools/dataset_tools/new_dataset.py; to be changed at will.
_base_ = [
    '$folder/datasets/coco-keypoints.py',
    '$folder/models/higherhrnet-$base.py',
    '$folder/default_runtime.py',
]
data_root = '{{ fileDirname }}/'
metainfo = dict(from_file=data_root + 'metainfo.py')
num_keypoints = $count
# Keypoints join instances in this order:
$order_text
keypoint_order = $order

input_size = ($side, $side)
codec = dict(
    type='ScaleAwareAssociativeEmbedding',
    input_size=input_size,
    heatmap_sizes=[($quarter, $quarter), ($half, $half)],
    sigma=2.0,
    unbiased=True,
    decode_keypoint_order=keypoint_order,
    decode_keypoint_thr=$threshold,
    decode_topk=$topk,
)
train_pipeline = [
    dict(type='BottomupLoadImage'),
    dict(
        type='BottomupRandomSquareAffine',
        input_size=input_size,
        rotation=$rotation,
        scale=$scale,
        flip_prob=$flip_prob,
    ),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='BottomupGetLossMask', unbiased=True),
    dict(type='BottomupPackInputs'),
]
val_pipeline = [
    dict(type='BottomupLoadImage'),
    dict(type='BottomupPyramidResize', input_size=input_size, unbiased=True),
    dict(type='BottomupPackInputs'),
]

head = dict(
    num_keypoints=num_keypoints,
    decoder=codec,
    tag_loss=dict(pull_weight=$pull, push_weight=$push),
)
model = dict(head=head, test_cfg=dict(flip_test=$flip))

train_dataloader = dict(
    batch_size=$batch,
    num_workers=$workers,
    persistent_workers=$persistent,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='train.json',
        data_prefix=dict(img=$train_images),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=$workers,
    persistent_workers=$persistent,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='val.json',
        data_prefix=dict(img=$val_images),
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator

# The rate is for $total_batch images a step, and scaled to what a step has.
optim_wrapper = dict(optimizer=dict(type='Adam', lr=$rate))
auto_scale_lr = dict(enable=True, base_batch_size=$total_batch)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        begin=0,
        end=$warm,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.0,
        begin=$warm,
        end=$epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=$epochs, val_interval=$interval)
val_cfg = dict()
test_cfg = dict()
""")


def config_text(recipe: Recipe) -> str:
    """The config of a recipe, for a file beside ``metainfo.py``.

    Args:
        recipe (Recipe): What is to be trained on what.

    Returns:
        str: Python, as MMEngine reads it.
    """
    base, side = BASES[recipe.base], recipe.input_side
    return _CONFIG.substitute(
        name=recipe.name,
        base=recipe.base,
        count=len(recipe.names),
        folder=recipe.base_folder,
        order_text=_comment([recipe.names[k] for k in recipe.order]),
        order=list(recipe.order),
        side=side,
        quarter=side // 4,
        half=side // 2,
        threshold=base.threshold,
        topk=recipe.max_people,
        rotation=base.rotation,
        scale=base.scale,
        flip_prob=0.5 if recipe.flip else 0.0,
        pull=1e-3 * base.tag_factor,
        push=5e-4 * base.tag_factor,
        flip=recipe.flip,
        batch=recipe.batch_size,
        workers=base.workers,
        persistent=base.workers > 0,
        train_images=repr(recipe.image_dirs[0]),
        val_images=repr(recipe.image_dirs[1]),
        total_batch=base.total_batch,
        rate=base.rate,
        warm=max(1, round(recipe.epochs / 100)),
        epochs=recipe.epochs,
        interval=max(1, min(10, recipe.epochs // 5)),
    )


def _comment(words: Sequence[str]) -> str:
    lines: List[str] = ['#']
    for word in words:
        if len(lines[-1]) + len(word) > 76:
            lines.append('#')
        lines[-1] += f' {word},'
    return '\n'.join(lines).rstrip(',')


def metainfo_text(info: Dict[str, Any]) -> str:
    """Meta information as a file, for ``metainfo=dict(from_file=...)``.

    Args:
        info (dict): ``dataset_info``.
    """
    written = pformat(info, width=78, sort_dicts=False)
    return f'dataset_info = (\n{written}\n)\n'
