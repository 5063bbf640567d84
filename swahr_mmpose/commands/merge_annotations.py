# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Merge COCO annotation files into one.

If ids of images or annotations collide, as in exports of an annotation tool
that begin at 1, all are renumbered. Image files have to differ.

CrowdPose is trained on train and val, as in the paper (12,000 images):

  DIR=data/crowdpose/annotations
  %(prog)s $DIR/mmpose_crowdpose_train.json \
      $DIR/mmpose_crowdpose_val.json \
      --out-file $DIR/mmpose_crowdpose_trainval.json
"""

from __future__ import annotations

import argparse
import json

from swahr_mmpose.datasets.custom.coco_json import read_coco
from swahr_mmpose.datasets.custom.merging import merge_annotations
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import Argv, make_parser, user_errors


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('ann_files', nargs='+', help='COCO annotation files')
    parser.add_argument(
        '--out-file',
        required=True,
        default=argparse.SUPPRESS,
        help='merged file to write; an existing file is not overwritten',
    )
    return parser.parse_args(argv)


def main(argv: Argv = None) -> None:
    """Merge annotation files; the output is written atomically."""
    args = parse_args(argv)
    with user_errors():
        with replaced_file(args.out_file, overwrite=False) as stream:
            contents = [read_coco(path) for path in args.ann_files]
            merged = merge_annotations(contents, args.ann_files)
            stream.write(json.dumps(merged).encode())
    counts = ' + '.join(str(len(content['images'])) for content in contents)
    print(
        f'{args.out_file}: {len(merged["images"])} images ({counts}), '
        f'{len(merged["annotations"])} annotations'
    )
    for kind in ('images', 'annotations'):
        given = [r.get('id') for c in contents for r in c.get(kind) or []]
        if given != [r.get('id') for r in merged[kind]]:
            print(f'ids of {kind} collided: renumbered from 1')
