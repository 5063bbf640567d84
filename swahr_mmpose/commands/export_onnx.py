# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Export a model to ONNX, to run without MMPose and PyTorch.

  %(prog)s CONFIG CHECKPOINT --out-file deploy/model.onnx
  # print the differences from PyTorch on some images
  %(prog)s CONFIG CHECKPOINT --check a.jpg b.jpg
  # flip test and fusion by the runtime, which can disable the flip test
  %(prog)s CONFIG CHECKPOINT --fusion outside
  # fixed input of one image, for hardware that needs it
  %(prog)s CONFIG CHECKPOINT --opset 13 --input-shape 512 768
  # 8-bit integers, calibrated on about 100 images: a quarter of the size
  %(prog)s CONFIG CHECKPOINT --int8 images/*.jpg

Writes the model and a folder swahr_runtime beside it, which runs the model
with ONNX Runtime, NumPy and SciPy (docs/deploy.md). The scale branch is
exported with --output-scales only. Without --input-shape the model accepts any
batch size, and any height and width that are multiples of 64. Requires onnx,
onnxruntime and onnxscript, the extra "export" of the package.
"""

from __future__ import annotations

import argparse
import os
import os.path as osp
from typing import TYPE_CHECKING, Any, Iterator, List, Sequence, Tuple

from swahr_mmpose.deploy.requirements import require_packages
from swahr_mmpose.utils.argument_checks import (
    describe_missing,
    require_model,
    require_output,
)
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    add_input_size,
    add_model_arguments,
    make_parser,
    override_config,
    user_errors,
)
from swahr_mmpose.utils.progress import track
from swahr_mmpose.utils.text import escape

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument(
        '--out-file',
        default='model.onnx',
        metavar='FILE',
        help='ONNX file to write (.onnx)',
    )
    _add_graph_options(parser)
    _add_precision_options(parser)
    parser.add_argument(
        '--check',
        nargs='+',
        default=[],
        metavar='IMAGE',
        help='images on which to print the largest differences from PyTorch',
    )
    parser.add_argument(
        '--no-runtime',
        action='store_true',
        help='do not copy swahr_runtime beside the model',
    )
    add_input_size(parser)
    add_cfg_options(parser)
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the options, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If a file does not exist, or the name of the
            model does not end with ``.onnx``.
    """
    require_model(args.config, args.checkpoint)
    require_output('--out-file', args.out_file, ['.onnx'])
    for option, images in _list_images(args):
        missing = [path for path in images if not osp.exists(path)]
        if missing:
            raise FileNotFoundError(f'{option}: {describe_missing(missing)}')


def _list_images(args: argparse.Namespace) -> List[Tuple[str, Sequence[str]]]:
    """List the options that take images, with their files."""
    return [('--check', args.check), ('--int8', args.int8 or [])]


def refuse_unreadable_images(args: argparse.Namespace) -> None:
    """Raise for images of ``--check`` and ``--int8`` that cannot be read.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        ValueError: If a file is not a complete image.
    """
    from swahr_mmpose.datasets.checks.image_files import find_broken_images

    for option, images in _list_images(args):
        broken = find_broken_images({path: None for path in images})
        for path, problem in broken.items():
            raise ValueError(
                f'{option}: image {escape(path)} {problem}; give another '
                'image, or leave it out'
            )


def _add_graph_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the contents of the graph."""
    parser.add_argument(
        '--fusion',
        choices=['inside', 'outside'],
        default='inside',
        help='flip test and fusion of levels inside of the graph, or outside '
        'by the runtime',
    )
    parser.add_argument(
        '--no-flip',
        action='store_true',
        help='disable the flip test: half the time',
    )
    parser.add_argument(
        '--output-scales',
        action='store_true',
        help='include the scale branch, for the standard deviation of each '
        'keypoint in pixels; requires a SAHR or SWAHR model',
    )
    parser.add_argument(
        '--opset',
        type=int,
        default=18,
        help='ONNX operator set version, from 11',
    )
    parser.add_argument(
        '--input-shape',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='fixed size of the network input in pixels, multiples of 64, '
        'with one image per batch; images are scaled to fit',
    )


def _add_precision_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of half precision and quantization."""
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        '--fp16',
        action='store_true',
        help='half precision: half the size; for GPUs, slower on a CPU',
    )
    precision.add_argument(
        '--int8',
        nargs='+',
        metavar='IMAGE',
        help='images to calibrate 8-bit convolutions with; docs/deploy.md '
        'lists the loss of accuracy',
    )


def main(argv: Argv = None) -> None:
    """Export the model; errors of files and settings end in one line."""
    args = parse_args(argv)
    require_packages('onnx', 'onnxruntime', 'onnxscript')
    from swahr_mmpose.apis.loading import load_model
    from swahr_mmpose.checkpoints.model_zoo import resolve_model

    with user_errors():
        refuse_unreadable_images(args)
        cfg, checkpoint = resolve_model(args.config, args.checkpoint)
        override_config(cfg, args)
        if args.no_flip:
            cfg.model.test_cfg.flip_test = False
        if args.output_scales:
            cfg.model.test_cfg.output_scales = True
        model = load_model(cfg, checkpoint)
        write_model(args, cfg, model)
        if args.check:
            check_model(cfg, model, args.out_file, args.check)


def write_model(args: argparse.Namespace, cfg: Config, model: Any) -> None:
    """Write the ONNX file and the runtime.

    Args:
        args (argparse.Namespace): Parsed command line.
        cfg (Config): Complete config.
        model (nn.Module): Model of the config.
    """
    from swahr_mmpose.apis.loading import ignores_orientation
    from swahr_mmpose.deploy import onnx_export, onnx_quantization

    path = args.out_file
    settings = onnx_export.build_settings(
        cfg, model, args.fusion == 'inside', ignores_orientation(cfg)
    )
    folder = osp.dirname(osp.abspath(path))
    os.makedirs(folder, exist_ok=True)
    onnx_export.export_model(
        model, settings, path, args.opset, args.input_shape
    )
    if args.fp16:
        onnx_quantization.to_float16(path, path)
    if args.int8:
        onnx_quantization.to_int8(path, path, _read_images(args.int8))
    print(f'model: {path} ({osp.getsize(path) / 2**20:.1f} MiB)')
    if not args.no_runtime:
        print(f'runtime: {onnx_export.copy_runtime(folder)}')


def _read_images(paths: Sequence[str]) -> Iterator[np.ndarray]:
    """Read BGR images for calibration."""
    import cv2

    for path in track(paths, 'calibration'):
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError(f'{path} is not an image file')
        yield image


def check_model(
    cfg: Config, model: Any, path: str, images: Sequence[str]
) -> None:
    """Print the differences from PyTorch for each image, and the largest.

    Args:
        cfg (Config): Complete config.
        model (nn.Module): Model of the config.
        path (str): ONNX file.
        images (Sequence[str]): Image files.
    """
    import numpy as np

    from swahr_mmpose.deploy import onnx_parity
    from swahr_mmpose.deploy.runtime import PoseModel

    exported = PoseModel(path, ['CPUExecutionProvider'])
    differences: List[onnx_parity.Difference] = []
    for image in images:
        d = onnx_parity.compare_model(cfg, model, exported, image)
        differences.append(d)
        scales = '' if d.scale_maps is None else f', scales {d.scale_maps:.1g}'
        print(
            f'{image}: inputs {d.inputs:.1g}, heatmaps {d.heatmaps:.1g}, '
            f'tags {d.tags:.1g}{scales}; people {d.people[0]} and '
            f'{d.people[1]}, '
            f'keypoint distance up to {d.distances.max(initial=0):.4f} px, '
            f'{d.unmatched} keypoints in one model only'
        )
    distances = np.concatenate([d.distances for d in differences])
    print(
        f'largest: heatmaps {max(d.heatmaps for d in differences):.1g}, tags '
        f'{max(d.tags for d in differences):.1g}, keypoints '
        f'{distances.max(initial=0):.4f} px (of {len(distances)}, '
        f'{(distances > 0.01).sum()} more than 0.01 px)'
    )
