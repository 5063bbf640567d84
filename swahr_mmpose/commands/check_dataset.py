# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Check an annotation file and its images before training.

  %(prog)s --img-dir data/coco/val2017 \
      data/coco/annotations/person_keypoints_val2017.json
  # CrowdPose: 14 keypoints, a crowdIndex for each image
  %(prog)s --crowdpose --img-dir data/crowdpose/images \
      data/crowdpose/annotations/mmpose_crowdpose_test.json

Reports image files that are missing, truncated or of another size than in the
annotation file (some copies of CrowdPose have width and height swapped), file
names that leave the image folder, missing or duplicate ids, missing boxes and
crowdIndex, values that are not finite numbers, masks of another size, and
images too long for testing. All problems are found in one pass, counted by
kind, and the first ones of each kind are listed. The exit status is 1 if there
are any. tools/train.py and tools/test.py run the same checks before they
start.
"""

from __future__ import annotations

import argparse

from swahr_mmpose.utils.cli import Argv, make_parser, user_errors


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('ann_file', help='COCO annotation file')
    parser.add_argument(
        '--img-dir',
        required=True,
        default=argparse.SUPPRESS,
        help='folder of the images',
    )
    parser.add_argument(
        '--num-keypoints',
        type=int,
        default=argparse.SUPPRESS,
        help='number of keypoints per person (default: 17, with --crowdpose '
        '14)',
    )
    parser.add_argument(
        '--crowdpose',
        action='store_true',
        help='require a crowdIndex for each image, as CrowdPose has',
    )
    _add_check_arguments(parser)
    return parser.parse_args(argv)


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the checks."""
    parser.add_argument(
        '--input-size',
        type=int,
        default=512,
        help='short side of test images in pixels, by which overly long '
        'images are found; 0: the images are for training only',
    )
    parser.add_argument(
        '--ignore-orientation',
        choices=('auto', 'true', 'false'),
        default='auto',
        help='ignore_orientation of BottomupLoadImage in the config: true if '
        'keypoints refer to stored pixels, false if to the image as its EXIF '
        'orientation shows it; auto: not stated, read as false',
    )
    parser.add_argument(
        '--max-shown',
        type=int,
        default=5,
        help='number of problems of each kind to list',
    )


def main(argv: Argv = None) -> None:
    """Check a dataset and print its counts, or exit with its problems."""
    args = parse_args(argv)
    from swahr_mmpose.datasets.checks.preflight import check_dataset
    from swahr_mmpose.datasets.checks.text import count as plural
    from swahr_mmpose.datasets.checks.trial import (
        draw_samples,
        make_plain_dataset,
    )

    num_keypoints = getattr(
        args, 'num_keypoints', 14 if args.crowdpose else 17
    )
    ignore = dict(auto=None, true=True, false=False)[args.ignore_orientation]
    with user_errors():
        report = check_dataset(
            args.ann_file,
            args.img_dir,
            num_keypoints,
            crowd_index=args.crowdpose,
            required=('num_keypoints',) if args.crowdpose else (),
            test_side=args.input_size,
            max_shown=args.max_shown,
            ignore_orientation=ignore,
        )
        dataset = make_plain_dataset(
            args.ann_file, args.img_dir, num_keypoints, ignore
        )
        drawn = draw_samples(dataset, 'dataset', [report.sample], 'mmpose')
    count = len(report.warnings)
    print(
        f'{args.ann_file}: {plural(report.images, "image")}, '
        f'{plural(report.annotations, "annotation")}, '
        f'{plural(drawn, "sample")} drawn, '
        + (f'{count} warning(s)' if count else 'no problem found')
    )
    for warning in report.warnings:
        print(f'warning: {warning.strip()}')
