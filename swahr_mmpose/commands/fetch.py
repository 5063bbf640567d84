# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Fetch published weights: download, verify, convert and check them.

  # list the models
  %(prog)s
  # download a model into the cache; then: swahr infer higherhrnet-w32 a.jpg
  %(prog)s higherhrnet-w32
  # a file that was downloaded in another way
  %(prog)s swahr-w32 --file pose_higher_hrnet_w32_512.pth

The SHA-256 is compared with the digits in the file's name, names and shapes
of the weights with the model of the config. The cache is the folder
swahr_mmpose of torch hub (set TORCH_HOME to move it). Files on Google Drive
need gdown: pip install gdown.
"""

from __future__ import annotations

import argparse
import os.path as osp
from typing import List

from swahr_mmpose.utils import model_index
from swahr_mmpose.utils.argument_checks import require_file
from swahr_mmpose.utils.cli import Argv, make_parser, user_errors
from swahr_mmpose.utils.model_index import ZooModel

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'name', nargs='?', help='short name of a model; without it, a list'
    )
    parser.add_argument(
        '--file',
        metavar='FILE',
        help='published file that was downloaded manually',
    )
    parser.check = check_args
    parser.needs_torch = lambda args: args.name is not None
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the name and the file, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the name is unknown, or there is a file without one.
    """
    if args.name is not None:
        model_index.find_model(args.name)
    elif args.file:
        raise ValueError(
            f'no name for {args.file}, expected `swahr fetch NAME --file '
            'FILE` with a name that `swahr fetch` lists'
        )
    if args.file:
        require_file(args.file, 'published file', 'give another --file')


def main(argv: Argv = None) -> None:
    """Fetch a model, or list all models."""
    args = parse_args(argv)
    if args.name is None:
        models = model_index.list_models()
        print('\n'.join(format_list(list(models.values()))))
        return
    from swahr_mmpose.checkpoints.model_zoo import fetch

    with user_errors():
        model = model_index.find_model(args.name)
        path = fetch(model, args.file, in_parallel=True)
        print('\n'.join(describe(model, path)))


def format_list(models: List[ZooModel]) -> List[str]:
    """Format the table of models.

    Args:
        models (list[ZooModel]): Models.

    Returns:
        list[str]: A line per model: name, input size, source, published AP,
        and whether it is in the cache.
    """
    get_path = model_index.get_cached_path
    rows = [
        (
            model.name,
            str(model.input_size),
            model.source,
            f'AP {model.metrics["AP"]:.1f} on {model.dataset}',
            'fetched' if osp.isfile(get_path(model)) else '',
        )
        for model in models
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        '  '.join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip()
        for row in rows
    ]


def describe(model: ZooModel, path: str) -> List[str]:
    """Describe a fetched model.

    Args:
        model (ZooModel): Model.
        path (str): Converted checkpoint.

    Returns:
        list[str]: Lines: file, origin, parameters, expected AP, next command.
    """
    from swahr_mmpose.checkpoints.io import read_checkpoint

    content = read_checkpoint(path)
    origin, state = content['meta']['source'], content['state_dict']
    count = sum(
        value.numel()
        for key, value in state.items()
        if not key.endswith(('running_mean', 'running_var', '_tracked'))
    )
    return [
        f'{model.name}: {path}',
        f'  from        {origin["file"]} of {model.source}, sha256 '
        f'{origin["sha256"][:16]}...',
        f'  parameters  {count} in {len(state)} entries, which fit '
        f'{model.config}',
        f'  expected    AP {model.metrics["AP"]:.1f} ± {model.tolerance:.1f} '
        f'on {model.dataset} with flip test, as published by {model.source}; '
        'not verified by this package',
        f'  next        swahr infer {model.name} your.jpg --out-dir poses',
    ]
