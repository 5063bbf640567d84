# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Test a model and report its metrics.

%(prog)s CONFIG CHECKPOINT
# pictures of the predicted poses, metrics into a file
%(prog)s CONFIG CHECKPOINT --show-dir poses --out metrics.json
# without the mirrored image, on 8 GPUs
bash tools/dist_test.sh CONFIG CHECKPOINT 8 --cfg-options \
      model.test_cfg.flip_test=False
"""

from __future__ import annotations

import argparse
import os

import mmengine
from mmengine.hooks import Hook
from mmengine.runner import Runner

from swahr_mmpose.datasets.checks.preflight import check_before_run
from swahr_mmpose.utils.cli import (
    Argv,
    add_common_arguments,
    is_first_process,
    load_config,
    make_parser,
    user_errors,
)


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', metavar='FILE', help='write metrics (.json, .yaml, .pkl)'
    )
    parser.add_argument(
        '--dump', metavar='FILE', help='write predictions (.pkl)'
    )
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump must end in .pkl or .pickle, got {args.dump}')
    kinds = ('.json', '.yaml', '.yml', '.pkl')
    if args.out and not args.out.endswith(kinds):
        parser.error(f'--out must end in one of {kinds}, got {args.out}')
    return args


def merge_args(cfg, args):
    """Write the arguments into the config."""
    cfg.load_from = args.checkpoint
    if args.dump:
        dump = dict(type='DumpResults', out_file_path=args.dump)
        metrics = cfg.test_evaluator
        if not isinstance(metrics, (list, tuple)):
            metrics = [metrics]
        cfg.test_evaluator = [*metrics, dump]


class _WriteMetrics(Hook):
    """Write the metrics when they are complete, and then all at once."""

    def __init__(self, path):
        self.path = path

    def after_test_epoch(self, runner, metrics=None):
        """Write to a temporary file of the same folder, then rename."""
        if runner.rank != 0 or metrics is None:
            return
        stem, extension = os.path.splitext(self.path)
        temporary = f'{stem}.part{extension}'
        mmengine.dump(metrics, temporary)
        os.replace(temporary, self.path)
        print(f'metrics are in {os.path.abspath(self.path)}')


def main(argv: Argv = None) -> None:
    """Check, then test."""
    args = parse_args(argv)
    with user_errors():
        cfg = load_config(args)
        merge_args(cfg, args)
        if is_first_process() and not args.skip_checks:
            check_before_run(cfg, ('test',))
    runner = Runner.from_cfg(cfg)
    with user_errors():
        runner.load_or_resume()
    if args.out:
        runner.register_hook(_WriteMetrics(args.out), 'LOWEST')
    runner.test()
    if args.show_dir:
        print(f'pictures are in {os.path.abspath(args.show_dir)}')
