# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Convert checkpoints of HigherHRNet and SWAHR between code bases.

  # official SWAHR or HigherHRNet, or MMPose 0.x; which one is detected
  %(prog)s pose_higher_hrnet_w32_512.pth swahr.pth
  # make sure that it is the model of a config, name by name
  %(prog)s IN.pth OUT.pth --config CONFIG
  # back to the official names
  %(prog)s epoch_300.pth official.pth --to official

Prefixes of wrappers ("module.", "1."), wrapping dicts and half precision are
taken off. Every key is accounted for; where one is not, the tool names it and
writes nothing. The files are read without running what they may carry. Where a
checkpoint came from is written into its "meta".
"""

from __future__ import annotations

import argparse
import os.path as osp
import sys
import time

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import swahr_mmpose
from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.convert import LAYOUTS, convert
from swahr_mmpose.checkpoints.io import (
    file_sha256,
    read_checkpoint,
    write_checkpoint,
)
from swahr_mmpose.utils.cli import Argv, make_parser


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('source', help='checkpoint file')
    parser.add_argument('target', help='file to write')
    parser.add_argument('--to', choices=LAYOUTS, default='mmpose')
    parser.add_argument(
        '--config', help='the weights must be those of its model'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='the target may exist'
    )
    return parser.parse_args(argv)


def check_against(path, converted, name):
    """Compare with the model of a config, without memory for its weights."""
    cfg = Config.fromfile(path)
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    refuse_other_weights(model, converted.state_dict, name)
    if (model.head.scale_layers is not None) != converted.model.scale_maps:
        there = 'has' if converted.model.scale_maps else 'has no'
        print(f'note: {name} {there} scale branch, {path} the contrary')


def provenance(args, converted):
    """What goes into the checkpoint's meta."""
    return dict(
        swahr_mmpose_version=swahr_mmpose.__version__,
        time=time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime()),
        source=dict(
            file=osp.basename(args.source),
            sha256=file_sha256(args.source),
            layout=converted.layout,
            taken_off=converted.wrapper + converted.prefixes,
            from_half=converted.from_half,
        ),
    )


def main(argv: Argv = None) -> None:
    """Convert, or say what does not fit and write nothing."""
    args = parse_args(argv)
    try:
        content = read_checkpoint(args.source)
        converted = convert(content, args.to)
        if args.config:
            ours = convert(converted.state_dict)
            check_against(args.config, ours, args.source)
        meta = provenance(args, converted)
        # The official code loads the state dict itself.
        result = dict(meta=meta, state_dict=converted.state_dict)
        result = result if args.to == 'mmpose' else converted.state_dict
        write_checkpoint(result, args.target, args.overwrite)
    except (FileNotFoundError, FileExistsError, ValueError) as error:
        sys.exit(f'error: {error}')
    except KeyError as error:
        sys.exit(f'error: {error.args[0]}')
    model = converted.model
    print(
        f'{args.source}: layout {converted.layout}'
        + ''.join(f', {t!r} taken off' for t in meta['source']['taken_off'])
        + (', half precision' if converted.from_half else '')
        + f'\n{args.target}: layout {args.to}, {len(converted.state_dict)} '
        f'entries, {model.num_keypoints} keypoints, {model.channels} '
        f'channels, {"with" if model.scale_maps else "without"} scale branch'
    )
