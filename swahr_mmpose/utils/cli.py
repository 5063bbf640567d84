# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What the command line tools share."""

from __future__ import annotations

import argparse
import os
import os.path as osp
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

import torch
from mmengine.config import Config, DictAction

__all__ = [
    'Argv',
    'HelpFormatter',
    'add_cfg_options',
    'add_common_arguments',
    'is_first_process',
    'load_config',
    'make_parser',
    'user_errors',
]


# Command-line arguments; ``None``: those of the process.
Argv = Optional[Sequence[str]]


class HelpFormatter(
    argparse.ArgumentDefaultsHelpFormatter,
    argparse.RawDescriptionHelpFormatter,
):
    """Defaults shown, examples as they were written."""


def make_parser(description: Optional[str]) -> argparse.ArgumentParser:
    """A parser whose description is the tool's docstring."""
    return argparse.ArgumentParser(
        prog=_program(), description=description, formatter_class=HelpFormatter
    )


def _program() -> str:
    """Name of the command as it was typed: ``%(prog)s`` of the examples."""
    path = sys.argv[0]
    return f'python {osp.relpath(path)}' if path.endswith('.py') else path


@contextmanager
def user_errors() -> Iterator[None]:
    """What is wrong with files and settings ends the tool, in a sentence.

    For the steps that look at what the user gave; elsewhere an error keeps
    its traceback.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """The flag that changes settings of the config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. '
        "train_dataloader.batch_size=4 'model.test_cfg.flip_test=False'",
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of MMPose's own ``tools/train.py`` and ``tools/test.py``."""
    parser.add_argument(
        '--work-dir',
        help='folder of logs and results (default: '
        './work_dirs/NAME_OF_CONFIG)',
        default=argparse.SUPPRESS,
    )
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    _add_drawing_arguments(parser)
    parser.add_argument(
        '--skip-checks',
        action='store_true',
        help='do not check annotation and image files before the run',
    )
    # torchrun sets the environment variable; the old launcher passes this.
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,
    )


def _add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--show-dir', help='folder for pictures of predicted poses'
    )
    parser.add_argument(
        '--show', action='store_true', help='show predicted poses in a window'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='draw every n-th sample'
    )
    parser.add_argument(
        '--wait-time', type=float, default=1, help='seconds a window stays'
    )


def load_config(args: argparse.Namespace) -> Config:
    """The config file with the common arguments written into it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if getattr(args, 'work_dir', None):
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    if args.show or args.show_dir:
        _draw_predictions(cfg, args)
    cfg.merge_from_dict(args.cfg_options)
    if args.launcher == 'pytorch' and not torch.cuda.is_available():
        _distribute_on_cpu(cfg)
    return cfg


def is_first_process() -> bool:
    """Whether this is the process that speaks and checks for all."""
    rank = os.environ.get('RANK') or os.environ.get('SLURM_PROCID')
    return int(rank or 0) == 0


def _draw_predictions(cfg: Any, args: argparse.Namespace) -> None:
    hook = cfg.default_hooks.visualization
    hook.update(enable=True, show=args.show, interval=args.interval)
    if args.show:
        hook.wait_time = args.wait_time
    if args.show_dir:
        # Absolute: MMPose joins a relative one anew for every image.
        hook.out_dir = osp.abspath(args.show_dir)


def _distribute_on_cpu(cfg: Any) -> None:
    """Start the process group: MMEngine's launcher asks for a GPU."""
    torch.distributed.init_process_group('gloo')
    if cfg.pop('sync_bn', None):
        print('no GPU: training without SyncBN, which needs one')
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    cfg.setdefault('model_wrapper_cfg', wrapper)
    cfg.model_wrapper_cfg.device_ids = None
