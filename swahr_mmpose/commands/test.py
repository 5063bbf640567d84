# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Test a model and report its metrics.

  %(prog)s CONFIG CHECKPOINT
  # draw the predicted poses, write metrics to a file
  %(prog)s CONFIG CHECKPOINT --show-dir poses --out-file metrics.json
  # without flip test, on 8 GPUs
  bash tools/dist_test.sh CONFIG CHECKPOINT 8 --cfg-options \
      model.test_cfg.flip_test=False

Annotation files, images and sizes in the config are checked before the test
starts.
"""

from __future__ import annotations

import argparse
import os
from typing import Any, Mapping, Optional

import mmengine
from mmengine.config import Config
from mmengine.hooks import Hook

from swahr_mmpose.datasets.checks.preflight import check_before_run
from swahr_mmpose.engine.hooks.work_dir import check_work_dir
from swahr_mmpose.engine.launch import leave_process_group, make_runner
from swahr_mmpose.engine.schedule import SettingsError
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_common_arguments,
    is_first_process,
    load_config,
    make_parser,
    user_errors,
)
from swahr_mmpose.utils.registry_errors import BuildError, build_errors


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-file',
        '--out',
        metavar='FILE',
        help='file to write metrics to (.json, .yaml, .yml or .pkl); --out is '
        "MMPose's spelling",
    )
    parser.add_argument(
        '--dump',
        metavar='FILE',
        help='file to write predictions to (.pkl or .pickle)',
    )
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump must end in .pkl or .pickle, got {args.dump}')
    kinds = ('.json', '.yaml', '.yml', '.pkl')
    if args.out_file and not args.out_file.endswith(kinds):
        parser.error(
            f'--out-file must end in one of {kinds}, got {args.out_file}'
        )
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options to the config."""
    cfg.load_from = args.checkpoint
    if args.dump:
        dump = dict(type='DumpResults', out_file_path=args.dump)
        metrics = cfg.test_evaluator
        if not isinstance(metrics, (list, tuple)):
            metrics = [metrics]
        cfg.test_evaluator = [*metrics, dump]


class _WriteMetrics(Hook):
    """Write the metrics of a test to a file, atomically."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_test_epoch(
        self, runner: Any, metrics: Optional[Mapping[str, Any]] = None
    ) -> None:
        """Write the metrics in the first process."""
        if runner.rank != 0 or metrics is None:
            return
        extension = os.path.splitext(self.path)[1].lstrip('.')
        content = mmengine.dump(metrics, file_format=extension)
        if isinstance(content, str):
            content = content.encode('utf-8')
        with replaced_file(self.path) as stream:
            stream.write(content)
        print(f'metrics are in {os.path.abspath(self.path)}')


def main(argv: Argv = None) -> None:
    """Check the config and its data, then test."""
    args = parse_args(argv)
    with leave_process_group():
        _test(args)


def _test(args: argparse.Namespace) -> None:
    """Test in one process of the run."""
    with user_errors():
        cfg = load_config(args)
        merge_args(cfg, args)
        if is_first_process() and not args.skip_checks:
            check_before_run(cfg, ('test',))
        if is_first_process():
            check_work_dir(cfg.work_dir)
    runner = make_runner(cfg)
    if args.out_file:
        runner.register_hook(_WriteMetrics(args.out_file), 'LOWEST')
    with user_errors(SettingsError, BuildError), build_errors():
        runner.test()
    if args.show_dir and is_first_process():
        print(f'images are in {os.path.abspath(args.show_dir)}')
