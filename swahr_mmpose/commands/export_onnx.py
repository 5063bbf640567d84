# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Export a model to ONNX, to run without MMPose and PyTorch.

  %(prog)s CONFIG CHECKPOINT --out deploy/model.onnx
  # compare it with PyTorch on some images
  %(prog)s CONFIG CHECKPOINT --check a.jpg b.jpg
  # flip test and fusion outside the graph: the runtime may then turn it off
  %(prog)s CONFIG CHECKPOINT --fusion outside
  # a quarter of the size; ranges are learned from a hundred images of yours
  %(prog)s CONFIG CHECKPOINT --int8 images/*.jpg

Beside the model comes a folder swahr_runtime, which runs it with ONNX Runtime,
NumPy and SciPy alone (docs/deploy.md). The scale branch is left out. Any
batch, height and width that are multiples of 64 can be run. The tool needs
the extra "export" of the package: onnx, onnxruntime, onnxscript.
"""

from __future__ import annotations

import argparse
import os
import os.path as osp
import sys

import cv2
import numpy as np
from mmengine.config import Config
from tqdm import tqdm

from swahr_mmpose.apis.loading import load_model
from swahr_mmpose.utils.cli import Argv, add_cfg_options, make_parser

try:
    from swahr_mmpose.deploy import onnx_export as export
    from swahr_mmpose.deploy import onnx_parity as parity
    from swahr_mmpose.deploy import onnx_quantization as quantization
    from swahr_mmpose.deploy.runtime import PoseModel
except ModuleNotFoundError as error:
    if error.name not in ('onnx', 'onnxruntime', 'onnxscript'):
        raise
    sys.exit(
        f'error: {error.name} is not installed, which the export needs: '
        'pip install onnx onnxruntime onnxscript'
    )


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', default='model.onnx', help='model file to write'
    )
    parser.add_argument(
        '--fusion',
        choices=['inside', 'outside'],
        default='inside',
        help='where the mirrored image is run and all heatmaps become one',
    )
    parser.add_argument(
        '--no-flip',
        action='store_true',
        help='do not run the mirrored image: half the time',
    )
    _add_options(parser)
    return parser.parse_args(argv)


def _add_options(parser):
    parser.add_argument(
        '--opset', type=int, default=18, help="version of ONNX's operators"
    )
    smaller = parser.add_mutually_exclusive_group()
    smaller.add_argument(
        '--fp16',
        action='store_true',
        help='half precision: half the size; for GPUs, slower on a CPU',
    )
    smaller.add_argument(
        '--int8',
        nargs='+',
        metavar='IMAGE',
        help='8-bit convolutions, calibrated on these images; see the cost '
        'in docs/deploy.md',
    )
    parser.add_argument(
        '--check',
        nargs='+',
        default=[],
        metavar='IMAGE',
        help='print the largest differences from PyTorch on these images',
    )
    parser.add_argument(
        '--no-runtime',
        action='store_true',
        help='do not copy swahr_runtime beside the model',
    )
    add_cfg_options(parser)


def read_images(paths):
    """Images one after the other, BGR."""
    for path in tqdm(paths, desc='calibration'):
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f'{path} is not an image file')
        yield image


def write_model(args, cfg, model):
    """Write the model file and the runtime."""
    settings = export.settings_of(cfg, model, args.fusion == 'inside')
    folder = osp.dirname(osp.abspath(args.out))
    os.makedirs(folder, exist_ok=True)
    export.export_model(model, settings, args.out, args.opset)
    if args.fp16:
        quantization.to_float16(args.out, args.out)
    if args.int8:
        quantization.to_int8(args.out, args.out, read_images(args.int8))
    print(f'{args.out}: {osp.getsize(args.out) / 2**20:.1f} MiB')
    if not args.no_runtime:
        print(f'what runs it: {export.copy_runtime(folder)}')


def check(args, cfg, model):
    """Print differences of image after image, and the largest."""
    exported = PoseModel(args.out, ['CPUExecutionProvider'])
    every = []
    for path in args.check:
        found = parity.compare_model(cfg, model, exported, path)
        every.append(found)
        apart = found.apart
        print(
            f'{path}: inputs {found.inputs:.1g}, heatmaps '
            f'{found.heatmaps:.1g}, tags {found.tags:.1g}; people '
            f'{found.people[0]} and {found.people[1]}, keypoints '
            f'{apart.max(initial=0):.4f} px apart at most, '
            f'{found.single} found by one only'
        )
    apart = np.concatenate([found.apart for found in every])
    print(
        f'largest: heatmaps {max(f.heatmaps for f in every):.1g}, tags '
        f'{max(f.tags for f in every):.1g}, keypoints '
        f'{apart.max(initial=0):.4f} px (of {len(apart)}, '
        f'{(apart > 0.01).sum()} more than 0.01 px)'
    )


def main(argv: Argv = None) -> None:
    """Export, or say why not."""
    args = parse_args(argv)
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    if args.no_flip:
        cfg.model.test_cfg.flip_test = False
    try:
        model = load_model(cfg, args.checkpoint)
        write_model(args, cfg, model)
        if args.check:
            check(args, cfg, model)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
