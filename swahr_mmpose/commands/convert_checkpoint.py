# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Convert checkpoints of HigherHRNet and SWAHR between code bases.

  # from official SWAHR or HigherHRNet, or MMPose 0.x (detected)
  %(prog)s pose_higher_hrnet_w32_512.pth swahr.pth
  # check names and shapes against the model of a config
  %(prog)s IN.pth OUT.pth --config CONFIG
  # back to the official names
  %(prog)s epoch_300.pth official.pth --to official
  # to the names of MMPose 0.x, which has no scale branch
  %(prog)s epoch_300.pth old.pth --to mmpose-0.x --strip-scale-maps

Prefixes of wrappers ("module.", "1.") and wrapping dicts are removed, half
precision becomes float32. An unknown or missing key is an error, and nothing
is written. Files are read without running code from them. The origin of the
checkpoint is stored in its "meta".
"""

from __future__ import annotations

import argparse
import os.path as osp
from typing import TYPE_CHECKING

from swahr_mmpose.utils.argument_checks import (
    require_checkpoint,
    require_output,
)
from swahr_mmpose.utils.cli import Argv, make_parser, read_config, user_errors
from swahr_mmpose.utils.config import require_config

if TYPE_CHECKING:
    from swahr_mmpose.checkpoints.convert import Converted

# As swahr_mmpose.checkpoints.convert.LAYOUTS, which needs torch.
_LAYOUTS = ('mmpose', 'official', 'mmpose-0.x')


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('source', help='checkpoint file to read')
    parser.add_argument('target', help='checkpoint file to write')
    parser.add_argument(
        '--to', choices=_LAYOUTS, default='mmpose', help='target layout'
    )
    parser.add_argument(
        '--config', help='config whose model the weights must fit'
    )
    parser.add_argument(
        '--strip-scale-maps',
        action='store_true',
        help='leave out the scale branch, which MMPose 0.x does not have',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the target if it exists',
    )
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the files, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If an input does not exist, or the target exists
            or cannot be written.
    """
    require_checkpoint(args.source)
    if args.config:
        require_config(args.config)
    require_output('target', args.target)
    if osp.exists(args.target) and not args.overwrite:
        raise FileExistsError(
            f'{args.target} exists; choose another name, or replace it with '
            '--overwrite'
        )


def convert(args: argparse.Namespace) -> Converted:
    """Read, convert, check and write the checkpoint of the command line."""
    from swahr_mmpose.checkpoints.files import convert_file

    return convert_file(
        args.source,
        args.target,
        args.to,
        read_config(args.config) if args.config else None,
        args.overwrite,
        scale_maps=not args.strip_scale_maps,
    )


def main(argv: Argv = None) -> None:
    """Convert a checkpoint and print a summary."""
    args = parse_args(argv)
    with user_errors():
        converted = convert(args)
    model = converted.model
    removed = converted.wrapper + converted.prefixes
    print(
        f'{args.source}: layout {converted.layout}'
        + ''.join(f', {name!r} removed' for name in removed)
        + (', half precision' if converted.from_half else '')
        + f'\n{args.target}: layout {args.to}, {len(converted.state_dict)} '
        f'entries, {model.num_keypoints} keypoints, {model.channels} '
        f'channels, {model.num_levels} heatmap levels, '
        f'{"with" if model.scale_maps else "without"} scale branch'
    )
