# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a model zoo file from a training checkpoint.

  %(prog)s work_dirs/NAME/epoch_300.pth zoo/NAME
  # without the scale branch, which testing does not run
  %(prog)s IN.pth zoo/NAME --strip-scale-maps

Writes zoo/NAME-XXXXXXXX_YYYYMMDD.pth with weights and metadata only: no
optimizer, no config, no local folders. X is the beginning of the file's
SHA-256, by which torch verifies downloads. An existing file is not
overwritten.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os.path as osp
import time
from typing import Any, Dict, Tuple

from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import Argv, make_parser, user_errors


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('source', help='checkpoint file to read')
    parser.add_argument(
        'target', help='file to write; hash and date are appended to its name'
    )
    parser.add_argument(
        '--strip-scale-maps',
        action='store_true',
        help='leave out the scale branch; the file then serves neither '
        'resuming SWAHR training nor drawing scale maps',
    )
    parser.add_argument(
        '--date',
        default=time.strftime('%Y%m%d', time.gmtime()),
        help='date in the file name',
    )
    return parser.parse_args(argv)


def publish(args: argparse.Namespace) -> Tuple[str, str, Dict[str, Any]]:
    """Write the model zoo file; return its name, SHA-256 and content."""
    import torch

    from swahr_mmpose.checkpoints.averaged import report_averaged_weights
    from swahr_mmpose.checkpoints.convert import prepare_to_publish
    from swahr_mmpose.checkpoints.io import read_checkpoint

    content = read_checkpoint(args.source)
    report_averaged_weights(content, args.source)
    _report_removed_meta(content)
    result = prepare_to_publish(content, not args.strip_scale_maps)
    buffer = io.BytesIO()
    torch.save(result, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    stem, extension = osp.splitext(args.target)
    stem = stem if extension == '.pth' else args.target
    target = f'{stem}-{digest[:8]}_{args.date}.pth'
    with replaced_file(target, overwrite=False) as stream:
        stream.write(buffer.getbuffer())
    return target, digest, result


def _report_removed_meta(content: Any) -> None:
    """Print the metadata that is not published."""
    from swahr_mmpose.checkpoints.meta import select_meta

    meta = content.get('meta') if isinstance(content, dict) else None
    removed = select_meta(meta)[1]
    if removed:
        print(f'not published: {", ".join(f"meta.{key}" for key in removed)}')


def main(argv: Argv = None) -> None:
    """Publish a checkpoint and print a summary."""
    args = parse_args(argv)
    with user_errors():
        target, digest, result = publish(args)
    has_scales = any('scale_layers' in key for key in result['state_dict'])
    print(
        f'{target}\n  {osp.getsize(target) / 2**20:.1f} MiB, '
        f'{len(result["state_dict"])} entries, '
        f'{"with" if has_scales else "without"} scale branch\n'
        f'  sha256 {digest}\n  meta: {", ".join(result["meta"])}'
    )
