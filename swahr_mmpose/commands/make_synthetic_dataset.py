# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a small COCO keypoint data set of drawn people, or beetles.

The pictures show nobody to six people of very different sizes, partly hidden
by each other, by bars or by the border; some also show a crowd, annotated as
one region to ignore. They need no download, and the same options give the same
files on every run.

Beetles have nine keypoints and no crowds. Written are
OUT/annotations/person_keypoints_{train,val}.json (beetle_... of beetles),
OUT/images/{train,val}/*.jpg and OUT/dataset.json, all at once at the end. If
OUT already holds exactly this data set, nothing is done.

Examples:
  # the data of the quick start: 304 pictures, some 15 s and 25 MB
  %(prog)s data/synthetic

  # a handful of pictures to look at
  %(prog)s /tmp/few --num-train 8 --num-val 4

  # larger people, in place of the data made before
  %(prog)s data/big --overwrite --min-height 96

  # beetles with keypoints alone: no boxes, no areas, no outlines
  %(prog)s data/beetles --kind beetles --bare
"""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from swahr_mmpose.datasets.synthetic import (
    KINDS,
    is_complete,
    make_synthetic_dataset,
)
from swahr_mmpose.utils.cli import Argv, make_parser


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line; see the module's text for the manual."""
    parser = make_parser(__doc__)
    parser.add_argument('out_dir', metavar='OUT', help='directory to make')
    parser.add_argument(
        '--num-train',
        type=int,
        default=256,
        metavar='N',
        help='number of training pictures',
    )
    parser.add_argument(
        '--num-val',
        type=int,
        default=48,
        metavar='N',
        help='number of validation pictures',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        default=(448, 360),
        metavar=('WIDTH', 'HEIGHT'),
        help='size of the pictures in px',
    )
    parser.add_argument(
        '--min-height',
        type=int,
        default=32,
        metavar='PX',
        help='smallest standing height of a person',
    )
    parser.add_argument(
        '--max-height',
        type=int,
        default=340,
        metavar='PX',
        help='largest standing height of a person',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of all randomness, 0 or more'
    )
    parser.add_argument(
        '--kind', choices=sorted(KINDS), default='people', help='who is drawn'
    )
    parser.add_argument(
        '--bare',
        action='store_true',
        help='annotate keypoints alone: no bbox, area, segmentation, '
        'num_keypoints, iscrowd',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a data set made by this tool',
    )
    return parser.parse_args(argv)


def main(argv: Argv = None) -> None:
    """Make the data set unless it is there, and say what was written."""
    arguments = vars(parse_args(argv))
    out_dir = arguments.pop('out_dir')
    overwrite = arguments.pop('overwrite')
    try:
        if not overwrite and is_complete(out_dir, **arguments):
            print(f'{out_dir} already holds this data set; nothing to do.')
            return
        total = arguments['num_train'] + arguments['num_val']
        with tqdm(total=total, unit=' pictures') as bar:
            summary = make_synthetic_dataset(
                out_dir,
                overwrite=overwrite,
                **arguments,
                progress=lambda done, total: bar.update(),
            )
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    for split in ('train', 'val'):
        counts = ', '.join(f'{n} {what}' for what, n in summary[split].items())
        print(f'{split}: {counts}')
    print(f'Wrote {summary["out_dir"]}')
