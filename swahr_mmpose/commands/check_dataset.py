# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Check an annotation file and its images before training.

  %(prog)s --img-dir data/coco/val2017 \
      data/coco/annotations/person_keypoints_val2017.json
  # CrowdPose: 14 keypoints, a crowdIndex for each image
  %(prog)s --crowdpose --img-dir data/crowdpose/images \
      data/crowdpose/annotations/mmpose_crowdpose_test.json

Told are files that are missing, cut short or of another size than the
annotations say (width and height swapped, in some copies of CrowdPose), file
names that leave the folder, missing or repeated ids, missing boxes and
crowdIndex, numbers that are none, masks of another size, images too long to
be tested. All is found in one pass, counted by kind, with the first of each
kind. The exit status is 1 where there is a problem. tools/train.py and
tools/test.py check the same before they start.
"""

from __future__ import annotations

import argparse
import sys

from swahr_mmpose.datasets.checks.preflight import check_dataset
from swahr_mmpose.utils.cli import Argv, make_parser


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('ann_file', help='COCO annotation file')
    parser.add_argument('--img-dir', required=True, help='its images')
    parser.add_argument(
        '--num-keypoints', type=int, help='default: 17, CrowdPose 14'
    )
    parser.add_argument(
        '--crowdpose', action='store_true', help='each image has a crowdIndex'
    )
    parser.add_argument(
        '--input-size',
        type=int,
        default=512,
        help='short side of images in testing, by which some are too long; 0 '
        'where they are for training only',
    )
    parser.add_argument(
        '--show', type=int, default=5, help='problems of a kind to write out'
    )
    return parser.parse_args(argv)


def main(argv: Argv = None) -> None:
    """Check, and count."""
    args = parse_args(argv)
    num_keypoints = args.num_keypoints or (14 if args.crowdpose else 17)
    try:
        counts = check_dataset(
            args.ann_file,
            args.img_dir,
            num_keypoints,
            crowd_index=args.crowdpose,
            required=('num_keypoints',) if args.crowdpose else (),
            test_side=args.input_size,
            shown=args.show,
        )
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(
        f'{args.ann_file}: {counts["images"]} images, '
        f'{counts["annotations"]} annotations, no problem found'
    )
