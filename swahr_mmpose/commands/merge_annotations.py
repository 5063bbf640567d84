# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Merge annotation files into one.

# CrowdPose is trained on both, as in the paper: 12,000 images
DIR=data/crowdpose/annotations
%(prog)s $DIR/mmpose_crowdpose_train.json \
      $DIR/mmpose_crowdpose_val.json --out $DIR/mmpose_crowdpose_trainval.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from swahr_mmpose.datasets.custom.coco_json import merge_annotations
from swahr_mmpose.utils.cli import Argv, make_parser


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('ann_files', nargs='+', help='COCO annotation files')
    parser.add_argument('--out', required=True, help='file to write')
    return parser.parse_args(argv)


def main(argv: Argv = None) -> None:
    """Merge; the result is written as a whole or not at all."""
    args = parse_args(argv)
    try:
        if Path(args.out).exists():
            raise FileExistsError(f'{args.out} exists; it is not overwritten')
        contents = [
            json.loads(Path(path).read_text(encoding='utf-8'))
            for path in args.ann_files
        ]
        merged = merge_annotations(contents)
        temporary = f'{args.out}.part'
        Path(temporary).write_text(json.dumps(merged), encoding='utf-8')
        os.replace(temporary, args.out)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f'error: {error}')
    counts = [f'{len(content["images"])}' for content in contents]
    print(
        f'{args.out}: {len(merged["images"])} images ({" + ".join(counts)}), '
        f'{len(merged["annotations"])} annotations'
    )
