# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Overfit a few images to test the chain from data to decoding.

  # on COCO images
  %(prog)s configs/coco/swahr_higherhrnet-tiny_1xb4-300e_coco-512x512.py
  # on images of another annotation file
  %(prog)s CONFIG --ann-file my/train.json --img-dir my/images

A model that cannot overfit a handful of images has wrong data, geometry,
targets, losses or decoding. Augmentation is limited to translation: no
scaling, no rotation. The exit status is 1 if AP stays below --target-ap.
"""

from __future__ import annotations

import argparse
import json
import os.path as osp
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

from swahr_mmpose.utils.annotation_paths import require_annotation_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_common_arguments,
    load_config,
    make_parser,
    parse_count,
    user_errors,
)
from swahr_mmpose.utils.config import require_config

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ['main', 'rewrite', 'select']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--ann-file', help='annotation file (default: the training set)'
    )
    parser.add_argument(
        '--img-dir', help='image folder (default: the training set)'
    )
    parser.add_argument(
        '--max-images', type=parse_count, default=8, help='number of images'
    )
    parser.add_argument(
        '--min-height',
        type=float,
        default=0,
        help='minimum height in px of every person of a selected image',
    )
    parser.add_argument(
        '--epochs', type=int, default=600, help='training epochs'
    )
    parser.add_argument(
        '--target-ap', type=float, default=0.8, help='AP to reach, 0 to 1'
    )
    parser.add_argument(
        '--flip-prob',
        type=float,
        default=0.0,
        help='probability of a horizontal flip',
    )
    add_common_arguments(parser)
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check that the input files exist, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If a file does not exist or is no config.
    """
    require_config(args.config)
    if args.ann_file is not None:
        remedy = 'give another --ann-file'
        require_annotation_file(args.ann_file, remedy)


def select(
    ann_file: str, max_images: int, min_height: float
) -> Dict[str, Any]:
    """Select the first suitable images of an annotation file.

    Args:
        ann_file (str): COCO annotation file.
        max_images (int): Maximum number of images.
        min_height (float): Minimum height of all people of an image in
            pixels.

    Returns:
        dict: COCO annotations of these images.
    """
    content = json.loads(Path(ann_file).read_text(encoding='utf-8'))
    labelled, small = set(), set()
    for a in content['annotations']:
        visible = a['keypoints'][2::3]
        if sum(v > 0 for v in visible) >= min(5, len(visible)):
            labelled.add(a['image_id'])
        if a['bbox'][3] < min_height:
            small.add(a['image_id'])
    images = [i for i in content['images'] if i['id'] in labelled - small]
    content['images'] = images[:max_images]
    ids = {i['id'] for i in content['images']}
    content['annotations'] = [
        a for a in content['annotations'] if a['image_id'] in ids
    ]
    return content


def rewrite(cfg: Config, args: argparse.Namespace) -> None:
    """Rewrite the config to train and test on the same few images.

    Args:
        cfg (Config): Config; changed in place.
        args (argparse.Namespace): Parsed command line.
    """
    train = cfg.train_dataloader.dataset
    root = train.get('data_root') or ''
    ann_file = args.ann_file or osp.join(root, train.ann_file)
    img_dir = args.img_dir or osp.join(root, train.data_prefix.img)
    few = Path(cfg.work_dir) / 'few_images.json'
    few.parent.mkdir(parents=True, exist_ok=True)
    content = select(ann_file, args.max_images, args.min_height)
    few.write_text(json.dumps(content))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.update(
            data_root='',
            ann_file=str(few),
            data_prefix=dict(img=osp.abspath(img_dir)),
        )
        loader.update(num_workers=0, persistent_workers=False)
    cfg.val_evaluator.ann_file = str(few)
    for step in train.pipeline:
        if step.type == 'BottomupRandomSquareAffine':
            step.update(rotation=0, scale=(1, 1), flip_prob=args.flip_prob)
    if args.flip_prob == 0:
        # The flip test needs a model trained on flipped images.
        cfg.model.test_cfg.flip_test = False
    cfg.param_scheduler = [
        dict(
            type='LinearLR',
            start_factor=1.0,
            end_factor=0.01,
            end=args.epochs,
            by_epoch=True,
            convert_to_iter_based=True,
        )
    ]
    cfg.train_cfg.update(max_epochs=args.epochs, val_interval=args.epochs)
    cfg.default_hooks.checkpoint.interval = args.epochs


def main(argv: Argv = None) -> None:
    """Train, test and compare AP with the target."""
    args = parse_args(argv)
    from swahr_mmpose.datasets.checks.preflight import check_before_run
    from swahr_mmpose.engine.launch import make_runner

    with user_errors():
        cfg = load_config(args)
        rewrite(cfg, args)
        cfg.merge_from_dict(args.cfg_options)
        if not args.skip_checks:
            check_before_run(cfg, ('train',))
    runner = make_runner(cfg, quiet=not args.verbose)
    runner.train()
    ap = runner.message_hub.get_scalar('val/coco/AP').current()
    reached = ap >= args.target_ap
    print(
        f'AP {ap:.3f} on {len(runner.train_dataloader.dataset)} images after '
        f'{args.epochs} epochs; '
        f'{"reached" if reached else "below"} {args.target_ap}'
    )
    sys.exit(not reached)
