# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Detect people in an image file.

  %(prog)s model.onnx image.jpg
  %(prog)s model.onnx image.jpg --out-file people.json

Writes the people as a JSON list: for each the score, the box, for each
keypoint x and y in pixels and its score, and the names of the keypoints that
were not found and filled in. Images are read with Pillow, upright by their
EXIF orientation unless the config of the training ignores it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from . import PoseModel
from .cli import make_parser, read_image
from .validation import parse_score_threshold


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__, str(__package__))
    parser.add_argument(
        'model', help='ONNX file of tools/deployment/export_onnx.py'
    )
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--out-file',
        metavar='FILE',
        help='JSON file to write instead of the standard output',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.2,
        help='instance score above which people are written, 0 to 1',
    )
    parser.add_argument(
        '--no-fill',
        action='store_true',
        help='do not fill in keypoints that were not found',
    )
    parser.add_argument(
        '--threads',
        type=int,
        metavar='N',
        help='number of CPU threads of the network',
    )
    return parser.parse_args()


def check_args(args: argparse.Namespace) -> None:
    """Check the options before the model is loaded.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError: If the output cannot be written.
        ValueError: If an option is out of range.
    """
    parse_score_threshold('--score-thr', args.score_thr)
    if args.threads is not None and args.threads < 1:
        raise ValueError(f'--threads is {args.threads}, expected 1 or more')
    path = args.out_file
    if path is None:
        return
    if os.path.isdir(path):
        raise IsADirectoryError(
            f'--out-file {path} is a folder, expected the name of a file to '
            'write; add a file name'
        )
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f'--out-file {path}: the folder {folder} does not exist; create '
            'it, or choose another'
        )
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise PermissionError(
            f'--out-file {path} cannot be written: no permission; choose '
            'another folder'
        )


def main() -> None:
    """Detect people in the image of the command line."""
    args = parse_args()
    try:
        check_args(args)
        model = PoseModel(
            args.model,
            threads=args.threads,
            fill_missing=False if args.no_fill else None,
        )
        image = read_image(
            args.image,
            args.image,
            ignore_orientation=model.settings.ignore_orientation,
        )
        started = time.perf_counter()
        poses = model(image, 'rgb')
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    people = poses.as_dicts(model.settings.keypoints, args.score_thr)
    seconds = time.perf_counter() - started
    text = json.dumps(people)
    if args.out_file:
        try:
            with open(args.out_file, 'w', encoding='utf-8') as file:
                file.write(text + '\n')
        except OSError as error:
            sys.exit(f'error: --out-file cannot be written: {error}')
        print(f'{len(people)} people in {seconds:.2f} s: {args.out_file}')
    else:
        print(text)


if __name__ == '__main__':
    main()
