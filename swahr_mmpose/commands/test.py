# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Test a model and report its metrics.

  %(prog)s CONFIG CHECKPOINT
  # published weights, fetched at the first use
  %(prog)s higherhrnet-w32
  # draw the predicted poses, write metrics to a file
  %(prog)s CONFIG CHECKPOINT --show-dir poses --out-file metrics.json
  # without flip test, on 8 GPUs
  bash tools/dist_test.sh CONFIG CHECKPOINT 8 --cfg-options \
      model.test_cfg.flip_test=False

Annotation files, images and sizes in the config are checked before the test
starts. The log file in the work directory has all messages.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, Mapping

from swahr_mmpose.utils.cli import (
    Argv,
    add_common_arguments,
    add_model_arguments,
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
    add_model_arguments(parser)
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
    parser.add_argument(
        '--decode-assignment',
        choices=('nearest', 'official'),
        help='choice among assignments of candidates to people that cost the '
        "same: the nearest tags, or munkres' choice, to reproduce published "
        'results; default: that of the config, where not given nearest',
    )
    add_common_arguments(parser)
    args = parser.parse_args(argv)
    if args.dump and not args.dump.endswith(('.pkl', '.pickle')):
        parser.error(f'--dump must end in .pkl or .pickle, got {args.dump}')
    kinds = ('.json', '.yaml', '.yml', '.pkl')
    if args.out_file and not args.out_file.endswith(kinds):
        parser.error(
            f'--out-file must end in one of {", ".join(kinds)}, got '
            f'{args.out_file}'
        )
    return args


def _set_assignment(cfg: Config, assignment: str) -> None:
    """Set the assignment of the decoder; raise ValueError without one."""
    head = cfg.model.get('head') or {}
    decoder = head.get('decoder') or {}
    if 'ScaleAwareAssociativeEmbedding' not in str(decoder.get('type')):
        raise ValueError(
            '--decode-assignment is for the decoder '
            'ScaleAwareAssociativeEmbedding, but model.head.decoder of the '
            f'config is {decoder.get("type")}; leave the option out'
        )
    decoder['decode_assignment'] = assignment


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options to the config."""
    cfg.load_from = args.checkpoint
    if args.decode_assignment:
        _set_assignment(cfg, args.decode_assignment)
    if args.dump:
        dump = dict(type='DumpResults', out_file_path=args.dump)
        metrics = cfg.test_evaluator
        if not isinstance(metrics, (list, tuple)):
            metrics = [metrics]
        cfg.test_evaluator = [*metrics, dump]


def write_metrics(path: str, metrics: Mapping[str, Any]) -> None:
    """Write the metrics of a test to a file, atomically.

    Args:
        path (str): File (.json, .yaml, .yml or .pkl).
        metrics (Mapping[str, Any]): Values by name.
    """
    import mmengine
    import numpy as np

    from swahr_mmpose.utils.atomic_write import replaced_file

    extension = os.path.splitext(path)[1].lstrip('.')
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in metrics.items()
    }
    content = mmengine.dump(plain, file_format=extension)
    if isinstance(content, str):
        content = content.encode('utf-8')
    with replaced_file(path) as stream:
        stream.write(content)
    print(f'metrics are in {os.path.abspath(path)}')


def main(argv: Argv = None) -> None:
    """Check the config and its data, then test."""
    args = parse_args(argv)
    from swahr_mmpose.engine.launch import leave_process_group

    with leave_process_group():
        _test(args)


def _test(args: argparse.Namespace) -> None:
    """Test in one process of the run."""
    from swahr_mmpose.checkpoints.model_zoo import resolve_model
    from swahr_mmpose.datasets.checks.preflight import check_before_run
    from swahr_mmpose.engine.hooks.work_dir import check_work_dir
    from swahr_mmpose.engine.launch import make_runner
    from swahr_mmpose.engine.schedule import SettingsError
    from swahr_mmpose.utils.registry_errors import BuildError, build_errors

    with user_errors():
        cfg, args.checkpoint = resolve_model(args.config, args.checkpoint)
        cfg = load_config(args, cfg)
        merge_args(cfg, args)
        if is_first_process() and not args.skip_checks:
            check_before_run(cfg, ('test',))
        if is_first_process():
            check_work_dir(cfg.work_dir)
    runner = make_runner(cfg, quiet=not args.verbose)
    with user_errors(SettingsError, BuildError), build_errors():
        metrics = runner.test()
    if is_first_process():
        _report(cfg, args, metrics)


def _compare(args: argparse.Namespace, metrics: Mapping[str, Any]) -> None:
    """Compare the AP of published weights with the published one."""
    from swahr_mmpose.checkpoints import model_zoo

    if model_zoo.is_model_name(args.config):
        model = model_zoo.find_model(args.config)
        if args.checkpoint == model_zoo.get_cached_path(model):
            print(model_zoo.compare_with_published(model, metrics) or '')


def _report(
    cfg: Config, args: argparse.Namespace, metrics: Mapping[str, Any]
) -> None:
    """Write the metrics; print where results are, and what to do next."""
    from swahr_mmpose.datasets.checks.nested import has_own_metainfo

    if args.out_file:
        write_metrics(args.out_file, metrics)
    _compare(args, metrics)
    if args.show_dir:
        print(f'images are in {os.path.abspath(args.show_dir)}')
    own = has_own_metainfo(cfg.test_dataloader.dataset)
    for line in format_next_steps(
        args.config, args.checkpoint, own_keypoints=own
    ):
        print(line)
