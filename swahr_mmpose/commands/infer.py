# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Detect people in images, folders, a video or a camera stream.

  # published weights, fetched at the first use; drawings are in poses/
  %(prog)s higherhrnet-w32 photo.jpg
  # your own model
  %(prog)s CONFIG CHECKPOINT photos/ --out-dir drawn
  # COCO results, four images at a time, without duplicate people
  %(prog)s CONFIG CHECKPOINT a.jpg b.png photos/ \
      --out-file people.json --batch-size 4 --pose-nms 0.7
  # every second frame of a video, drawn to drawn/walk.mp4
  %(prog)s CONFIG CHECKPOINT walk.mp4 --out-dir drawn --every 2
  # the first camera, until q or Ctrl-C; or rtsp://HOST/PATH
  %(prog)s CONFIG CHECKPOINT webcam:0 --show --score-thr 0.4

Dataset files are not needed. Results and videos are written atomically at the
end: after an error or Ctrl-C there are none. Those of a camera are complete
when it is stopped.
"""

from __future__ import annotations

import argparse
import os.path as osp
import re
import signal
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Iterator, List

from swahr_mmpose.utils.argument_checks import (
    describe_missing,
    require_fraction,
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
from swahr_mmpose.utils.model_index import is_model_name
from swahr_mmpose.utils.screen import require_screen

if TYPE_CHECKING:
    from swahr_mmpose.apis.input_sources import Source

__all__ = ['main', 'run_inference']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument(
        'inputs',
        nargs='+',
        help='images and folders, or one video, webcam:NUMBER or address of '
        'a stream (rtsp://..., http://...)',
    )
    _add_output_options(parser)
    _add_selection_options(parser)
    _add_processing_options(parser)
    parser.expected = (
        'expected a model and its inputs: NAME INPUT... with a name of "swahr '
        'fetch", such as higherhrnet-w32, or CONFIG CHECKPOINT INPUT...'
    )
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the options and complete them, without torch.

    Args:
        args (argparse.Namespace): Parsed command line; changed in place. With
            a short name, what stands in the place of the checkpoint is an
            input. Without another output, drawings go to ``poses``.

    Raises:
        OSError, ValueError: If a file does not exist, or options are out of
            range or contradict each other.
    """
    first = args.checkpoint
    is_input = first and not first.endswith(('.pth', '.pt'))
    if is_input and is_model_name(args.config):
        args.inputs.insert(0, first)
        args.checkpoint = None
    require_model(args.config, args.checkpoint)
    _check_options(args)
    if args.show:
        require_screen()
    if not (args.out_file or args.out_dir or args.show):
        args.out_dir = 'poses'
    _check_inputs(args.inputs, args.on_error == 'skip')


def _check_inputs(inputs: List[str], skip: bool) -> None:
    """Raise for inputs that do not exist.

    Missing ones among others may be skipped; which of them are images is
    found out when they are listed.
    """
    missing = [
        path
        for path in inputs
        if not (osp.exists(path) or _may_be_stream(path))
    ]
    some_exist = len(missing) < len(inputs)
    if not missing or (skip and some_exist):
        return
    remedy = ', or skip images with --on-error skip' if some_exist else ''
    raise FileNotFoundError(f'{describe_missing(missing)}{remedy}')


def _may_be_stream(text: str) -> bool:
    """Whether an input may be a camera or an address instead of a file."""
    return bool(re.fullmatch(r'webcam(:\d+)?|\d+|.*://.*', text.lower()))


def _check_options(args: argparse.Namespace) -> None:
    """Raise for options out of range, or without effect."""
    for name in ('every', 'batch_size', 'max_people'):
        value = getattr(args, name)
        if value is not None and value < 1:
            option = name.replace('_', '-')
            raise ValueError(f'--{option} is {value}, expected 1 or more')
    require_fraction('--score-thr', args.score_thr)
    require_fraction('--kpt-thr', args.kpt_thr)
    if args.pose_nms is not None:
        require_fraction('--pose-nms', args.pose_nms, 'an OKS')
    if args.out_file and not args.out_file.lower().endswith('.json'):
        raise ValueError(
            f'--out-file is {args.out_file}, expected a name that ends with '
            '.json; drawings go to --out-dir'
        )
    require_output('--out-file', args.out_file)
    if args.no_fill and args.draw_filled:
        raise ValueError(
            '--draw-filled draws the keypoints that --no-fill leaves out; '
            'use one of them'
        )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of files, drawings and the window."""
    parser.add_argument(
        '--out-file', metavar='FILE', help='COCO results file (.json)'
    )
    parser.add_argument(
        '--out-dir',
        metavar='DIR',
        help='folder of drawings: images, or a video for a video or camera '
        '(default: poses, if there is no other output)',
    )
    parser.add_argument(
        '--as-images',
        action='store_true',
        help='draw the frames of a video as images',
    )
    parser.add_argument(
        '--show',
        action='store_true',
        help='show drawings in a window; q or Escape stops',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=1,
        help='seconds that an image is shown; 0 waits for a key',
    )
    parser.add_argument(
        '--kpt-thr',
        type=float,
        default=0.1,
        help='score above which keypoints are drawn, 0 to 1',
    )
    parser.add_argument(
        '--draw-filled',
        action='store_true',
        help='draw keypoints that were not found and filled in as well',
    )


def _add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select people."""
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.2,
        help='minimum instance score, 0 to 1',
    )
    parser.add_argument(
        '--max-people',
        type=int,
        metavar='N',
        help='maximum number of people per image, best scores first',
    )
    parser.add_argument(
        '--pose-nms',
        type=float,
        metavar='OKS',
        help='keep only the best of people more similar than this OKS, 0 to '
        '1, for example 0.7',
    )
    parser.add_argument(
        '--no-flip',
        action='store_true',
        help='disable the flip test: half the time',
    )
    parser.add_argument(
        '--no-fill',
        action='store_true',
        help='do not fill in keypoints that were not found; AP is lower',
    )
    parser.add_argument(
        '--output-scales',
        action='store_true',
        help='estimate the standard deviation of each keypoint in pixels, '
        'with a SAHR or SWAHR model',
    )


def _add_processing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of device, batches and reading."""
    parser.add_argument(
        '--device',
        help='device, for example cpu, cuda or cuda:1 (default: a GPU if '
        'there is one)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='maximum number of images per batch',
    )
    parser.add_argument(
        '--every',
        type=int,
        default=1,
        metavar='N',
        help='process every N-th image or frame',
    )
    parser.add_argument(
        '--on-error',
        choices=['stop', 'skip'],
        default='stop',
        help='reaction to an image that cannot be read, or is missing among '
        'several inputs',
    )
    parser.add_argument(
        '--ignore-exif',
        action='store_true',
        help='ignore the EXIF orientation, as COCO annotations do; without '
        'it, as in the config',
    )
    add_input_size(parser)
    add_cfg_options(parser)


def main(argv: Argv = None) -> None:
    """Run inference; errors of inputs and settings end in one line."""
    args = parse_args(argv)
    with user_errors():
        run_inference(args)


def run_inference(args: argparse.Namespace) -> None:
    """Run inference on the inputs and write the outputs.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If inputs, checkpoint or outputs are not valid.
    """
    from swahr_mmpose.apis.inferencer import Inferencer
    from swahr_mmpose.apis.input_sources import open_source
    from swahr_mmpose.apis.output_sinks import OutputSinks
    from swahr_mmpose.checkpoints.model_zoo import resolve_model

    inputs = args.inputs if len(args.inputs) > 1 else args.inputs[0]
    source = open_source(inputs, args.every, args.on_error == 'skip')
    _report_skipped_files(source)
    cfg, checkpoint = resolve_model(args.config, args.checkpoint)
    override_config(cfg, args)
    infer = Inferencer(
        cfg,
        checkpoint,
        args.device,
        threshold=args.score_thr,
        max_people=args.max_people,
        nms=args.pose_nms,
        batch_size=args.batch_size,
        flip=False if args.no_flip else None,
        ignore_orientation=args.ignore_exif or None,
        fill_missing=False if args.no_fill else None,
        output_scales=args.output_scales or None,
    )
    sinks = OutputSinks(
        source,
        infer.metainfo,
        out_file=args.out_file,
        out_dir=args.out_dir,
        as_images=args.as_images,
        show=args.show,
        wait_time=args.wait_time,
        kpt_thr=args.kpt_thr,
        draw_filled=args.draw_filled,
    )
    on_error = sinks.skip if args.on_error == 'skip' else None
    with _catch_interrupt(source.kind == 'camera') as interrupts, sinks:
        # Closing the generator stops the prefetching threads.
        results: Any = infer(source, on_error=on_error)
        with closing(results):
            for result in results:
                if not sinks.write(result) or interrupts:
                    break
    print('\n'.join(sinks.summarize()))


def _report_skipped_files(source: Source) -> None:
    """Print the files of folders that are not images."""
    if source.skipped_files:
        names = [osp.basename(path) for path in source.skipped_files]
        print(
            f'skipped {len(names)} files that are not images: '
            f'{", ".join(names[:5])}'
        )


@contextmanager
def _catch_interrupt(enabled: bool) -> Iterator[List[bool]]:
    """Catch the first Ctrl-C; the second one raises KeyboardInterrupt.

    Args:
        enabled (bool): Whether to catch it.

    Yields:
        list[bool]: Empty until the first Ctrl-C.
    """
    interrupts: List[bool] = []

    def catch(*_: Any) -> None:
        interrupts.append(True)
        signal.signal(signal.SIGINT, previous)

    previous = signal.getsignal(signal.SIGINT)
    if enabled:
        signal.signal(signal.SIGINT, catch)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, previous)
