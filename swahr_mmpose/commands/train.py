# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Train a model.

  # one process
  %(prog)s CONFIG --work-dir work_dirs/run
  # resume from the latest checkpoint
  %(prog)s CONFIG --work-dir work_dirs/run --resume
  # another input size
  %(prog)s CONFIG --input-size 640
  # 8 GPUs
  bash tools/dist_train.sh CONFIG 8 --amp

Annotation files, images and sizes in the config are checked before the
training starts. The console shows a line per epoch and a table per
validation; the log file in the work directory has all messages.
"""

from __future__ import annotations

import argparse
import os.path as osp
from typing import TYPE_CHECKING, Optional

from swahr_mmpose.utils.cli import (
    Argv,
    add_common_arguments,
    format_next_steps,
    is_first_process,
    load_config,
    make_parser,
    user_errors,
)

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='checkpoint to resume from; without a value the latest one of '
        'the work directory',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision, on devices with autocast',
    )
    parser.add_argument(
        '--no-validate',
        action='store_true',
        help='no evaluation during training',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual total batch size',
    )
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.amp:
        from swahr_mmpose.utils.device import find_amp_wrapper

        try:
            args.amp = find_amp_wrapper()
        except ValueError as error:
            parser.error(str(error))
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options to the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = args.amp
        if args.amp == 'AmpOptimWrapper':
            cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        path = args.resume
        if path == 'auto':
            path = _find_checkpoint(cfg)
            if is_first_process():
                print(f'resuming from {path or "the start"}')
        cfg.resume = path is not None
        cfg.load_from = path or cfg.get('load_from')
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                '--auto-scale-lr needs the total batch size of the learning '
                'rate, but the config has no auto_scale_lr.base_batch_size; '
                'add --cfg-options auto_scale_lr.base_batch_size=N'
            )
        cfg.auto_scale_lr.enable = True


def _find_checkpoint(cfg: Config) -> Optional[str]:
    """Find the latest checkpoint of the work directory; None if none."""
    from swahr_mmpose.engine.hooks.work_dir import find_latest_checkpoint

    hook = cfg.get('default_hooks', {}).get('checkpoint') or {}
    return find_latest_checkpoint(
        cfg.work_dir, hook.get('out_dir'), hook.get('filename_tmpl')
    )


def main(argv: Argv = None) -> None:
    """Check the config and its data, then train."""
    args = parse_args(argv)
    from swahr_mmpose.engine.launch import leave_process_group

    with leave_process_group():
        _train(args)


def _train(args: argparse.Namespace) -> None:
    """Train in one process of the run."""
    from swahr_mmpose.datasets.checks.preflight import check_before_run
    from swahr_mmpose.engine import launch
    from swahr_mmpose.engine.hooks.work_dir import lock_work_dir
    from swahr_mmpose.engine.schedule import SettingsError
    from swahr_mmpose.utils.registry_errors import BuildError, build_errors

    with user_errors():
        cfg = load_config(args)
        merge_args(cfg, args)
        if is_first_process() and not args.skip_checks:
            check_before_run(cfg, ('train', 'val'))
        if is_first_process():
            lock_work_dir(cfg.work_dir)
    runner = launch.make_runner(cfg, quiet=not args.verbose)
    try:
        errors = SettingsError, BuildError, FloatingPointError
        with user_errors(*errors), build_errors():
            runner.train()
    except KeyboardInterrupt:
        raise KeyboardInterrupt('continue with --resume') from None
    if is_first_process():
        print(f'checkpoints and logs are in {osp.abspath(cfg.work_dir)}')
        _print_next_steps(cfg, args)


def _print_next_steps(cfg: Config, args: argparse.Namespace) -> None:
    """Print commands that use the trained model."""
    from swahr_mmpose.datasets.checks.nested import has_own_metainfo

    checkpoint = _find_checkpoint(cfg)
    if checkpoint is None:
        return
    config = args.config
    if args.cfg_options or args.input_size:  # MMEngine wrote the result
        written = osp.join(cfg.work_dir, osp.basename(config))
        config = written if osp.isfile(written) else config
    own = has_own_metainfo(cfg.train_dataloader.dataset)
    for line in format_next_steps(config, checkpoint, False, own):
        print(line)
