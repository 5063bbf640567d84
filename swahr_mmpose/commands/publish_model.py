# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make the file that a model zoo offers, from a training checkpoint.

  %(prog)s work_dirs/NAME/epoch_300.pth zoo/NAME
  # without the scale branch, which testing does not run
  %(prog)s IN.pth zoo/NAME --strip-scale-maps

Written is zoo/NAME-XXXXXXXX_YYYYMMDD.pth with weights and meta alone, no
optimizer, no config, no folders of this machine; X is the beginning of its
SHA-256, by which torch checks downloads. An existing file is not overwritten.
"""

from __future__ import annotations

import argparse
import os
import os.path as osp
import sys
import time

from swahr_mmpose.checkpoints.convert import to_publish
from swahr_mmpose.checkpoints.io import (
    file_sha256,
    read_checkpoint,
    write_checkpoint,
)
from swahr_mmpose.utils.cli import Argv, make_parser


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('source', help='checkpoint file')
    parser.add_argument(
        'target', help='file to write; its name is completed by hash and date'
    )
    parser.add_argument(
        '--strip-scale-maps',
        action='store_true',
        help='leave out the scale branch; no more training, no scale maps',
    )
    parser.add_argument(
        '--date',
        default=time.strftime('%Y%m%d', time.gmtime()),
        help='in the name of the file',
    )
    return parser.parse_args(argv)


def publish(args):
    """Write the file; its name."""
    content = read_checkpoint(args.source)
    result = to_publish(content, not args.strip_scale_maps)
    stem = (
        osp.splitext(args.target)[0]
        if args.target.endswith('.pth')
        else (args.target)
    )
    temporary = f'{stem}.part{os.getpid()}'
    write_checkpoint(result, temporary)
    try:
        digest = file_sha256(temporary)
        target = f'{stem}-{digest[:8]}_{args.date}.pth'
        if osp.exists(target):
            raise FileExistsError(f'{target} exists; it is not overwritten')
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    return target, digest, result


def main(argv: Argv = None) -> None:
    """Publish, or say why not."""
    args = parse_args(argv)
    try:
        target, digest, result = publish(args)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    except KeyError as error:
        sys.exit(f'error: {error.args[0]}')
    with_scale = any('scale_layers' in k for k in result['state_dict'])
    print(
        f'{target}\n  {osp.getsize(target) / 2**20:.1f} MiB, '
        f'{len(result["state_dict"])} entries, '
        f'{"with" if with_scale else "without"} scale branch\n'
        f'  sha256 {digest}\n  meta: {", ".join(result["meta"])}'
    )
