# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Convert checkpoints of HigherHRNet and SWAHR between code bases.

  # from official SWAHR or HigherHRNet, or MMPose 0.x (detected)
  %(prog)s pose_higher_hrnet_w32_512.pth swahr.pth
  # check names and shapes against the model of a config
  %(prog)s IN.pth OUT.pth --config CONFIG
  # back to the official names
  %(prog)s epoch_300.pth official.pth --to official

Prefixes of wrappers ("module.", "1.") and wrapping dicts are removed, half
precision becomes float32. An unknown or missing key is an error, and nothing
is written. Files are read without running code from them. The origin of the
checkpoint is stored in its "meta".
"""

from __future__ import annotations

import argparse
import os.path as osp
import time
from typing import Any, Dict

import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import swahr_mmpose
from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.convert import LAYOUTS, Converted, convert
from swahr_mmpose.checkpoints.io import (
    file_sha256,
    read_checkpoint,
    write_checkpoint,
)
from swahr_mmpose.utils.cli import Argv, make_parser, read_config, user_errors


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('source', help='checkpoint file to read')
    parser.add_argument('target', help='checkpoint file to write')
    parser.add_argument(
        '--to', choices=LAYOUTS, default='mmpose', help='target layout'
    )
    parser.add_argument(
        '--config', help='config whose model the weights must fit'
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the target if it exists',
    )
    return parser.parse_args(argv)


def check_config(path: str, converted: Converted, name: str) -> None:
    """Compare weights with the model of a config, built without memory.

    Args:
        path (str): Config file.
        converted (Converted): Weights in the layout of this package.
        name (str): Checkpoint file, for messages.

    Raises:
        ValueError: If the weights do not fit.
    """
    cfg = read_config(path)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    refuse_other_weights(model, converted.state_dict, name)
    if (model.head.scale_layers is not None) != converted.model.scale_maps:
        has = 'has a' if converted.model.scale_maps else 'has no'
        print(f'note: {name} {has} scale branch, unlike {path}')


def make_meta(source: str, converted: Converted) -> Dict[str, Any]:
    """Make the checkpoint's ``meta``: version, time and origin."""
    return dict(
        swahr_mmpose_version=swahr_mmpose.__version__,
        time=time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime()),
        source=dict(
            file=osp.basename(source),
            sha256=file_sha256(source),
            layout=converted.layout,
            taken_off=converted.wrapper + converted.prefixes,
            from_half=converted.from_half,
        ),
    )


def convert_file(args: argparse.Namespace) -> Converted:
    """Read, convert, check and write a checkpoint."""
    converted = convert(read_checkpoint(args.source), args.to)
    if args.config:
        ours = convert(converted.state_dict)
        check_config(args.config, ours, args.source)
    result: Dict[str, Any] = converted.state_dict
    if args.to == 'mmpose':  # official code loads a plain state dict
        meta = make_meta(args.source, converted)
        result = dict(meta=meta, state_dict=converted.state_dict)
    write_checkpoint(result, args.target, args.overwrite)
    return converted


def main(argv: Argv = None) -> None:
    """Convert a checkpoint and print a summary."""
    args = parse_args(argv)
    with user_errors():
        converted = convert_file(args)
    model = converted.model
    removed = converted.wrapper + converted.prefixes
    print(
        f'{args.source}: layout {converted.layout}'
        + ''.join(f', {name!r} removed' for name in removed)
        + (', half precision' if converted.from_half else '')
        + f'\n{args.target}: layout {args.to}, {len(converted.state_dict)} '
        f'entries, {model.num_keypoints} keypoints, {model.channels} '
        f'channels, {model.num_levels} heatmap levels, '
        f'{"with" if model.scale_maps else "without"} scale branch'
    )
