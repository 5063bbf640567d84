# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Find the people in an image file.

  python -m swahr_runtime model.onnx image.jpg
  python -m swahr_runtime model.onnx image.jpg --out people.json

Written are the people as JSON: a score, and for each keypoint that was found
x and y in pixels and its score.  Images are read by Pillow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np

from . import PoseModel


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m swahr_runtime',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'model', help='ONNX file of tools/deployment/export_onnx.py'
    )
    parser.add_argument('image', help='image file')
    parser.add_argument(
        '--out', help='JSON file to write (default: standard output)'
    )
    parser.add_argument(
        '--min-score',
        type=float,
        default=0.2,
        help='write people that score more (default: 0.2)',
    )
    parser.add_argument('--threads', type=int, help='of the network on a CPU')
    return parser.parse_args()


def read_image(path: str) -> np.ndarray:
    """An image as RGB; its EXIF orientation is ignored, as in training."""
    try:
        from PIL import Image
    except ImportError:
        sys.exit(
            'error: this command reads images by Pillow, which is not here: '
            'pip install pillow (PoseModel itself takes arrays and does not '
            'need it)'
        )
    with Image.open(path) as image:
        return np.asarray(image.convert('RGB'))


def main() -> None:
    """Find people, or say why not."""
    args = parse_args()
    try:
        model = PoseModel(args.model, threads=args.threads)
        image = read_image(args.image)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    started = time.perf_counter()
    people = model(image, 'rgb').as_dicts(
        model.settings.keypoints, args.min_score
    )
    seconds = time.perf_counter() - started
    text = json.dumps(people)
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            file.write(text + '\n')
        print(f'{len(people)} people in {seconds:.2f} s: {args.out}')
    else:
        print(text)


if __name__ == '__main__':
    main()
