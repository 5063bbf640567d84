# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Test a model and write an HTML report of the evaluation.

  %(prog)s CONFIG CHECKPOINT
  # the first 200 images of the test set
  %(prog)s CONFIG CHECKPOINT --max-images 200 --out-file report.html
  # from the result file of an earlier test, without testing again
  %(prog)s CONFIG --results results.keypoints.json

The report is one file without external parts: metrics, precision and recall
by OKS, AP by size and number of people, kinds of keypoint errors (Ronchi and
Perona, ICCV 2017), and the images with the worst predictions, ground truth
beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from typing import TYPE_CHECKING, Any, Container, Dict, List, Sequence, Tuple

from swahr_mmpose.utils.argument_checks import (
    require_fraction,
    require_model,
    require_output,
)
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    add_model_arguments,
    make_parser,
    merge_options,
    parse_count,
    read_config,
    user_errors,
)
from swahr_mmpose.utils.config import require_config
from swahr_mmpose.utils.quiet import hide_coco_messages

if TYPE_CHECKING:
    from mmengine.config import Config

    from swahr_mmpose.apis.evaluation_report import Evaluation
    from swahr_mmpose.evaluation.breakdown import Results

_RESULTS = '.keypoints.json'  # as CocoMetric names its result file
_MAX_SCALE_IMAGES = 200


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_model_arguments(parser)
    parser.add_argument(
        '--results',
        metavar='FILE',
        help='result file of an earlier test (.keypoints.json), instead of a '
        'checkpoint',
    )
    _add_report_options(parser)
    add_cfg_options(parser)
    parser.check = _check_model
    args = parser.parse_args(argv)
    if args.checkpoint and args.results:
        parser.error('expected either a checkpoint or --results FILE')
    return args


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is tested and shown."""
    parser.add_argument(
        '--out-file', metavar='FILE', default='report.html', help='report'
    )
    parser.add_argument(
        '--max-images',
        type=parse_count,
        metavar='N',
        help='number of test images (default: all)',
    )
    parser.add_argument(
        '--num-worst',
        type=int,
        default=24,
        help='number of images with the worst predictions to show',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.2,
        help='minimum instance score of shown predictions, 0 to 1',
    )
    parser.add_argument(
        '--work-dir', help='folder of the log of the test', default=None
    )


def _check_model(args: argparse.Namespace) -> None:
    """Raise for missing files, and options out of range."""
    require_fraction('--score-thr', args.score_thr)
    require_output('--out-file', args.out_file)
    if args.results:
        require_config(args.config)
    else:
        require_model(args.config, args.checkpoint)


def main(argv: Argv = None) -> None:
    """Test the model, or read its results, and write the report."""
    args = parse_args(argv)
    from swahr_mmpose.apis.evaluation_report import make_report
    from swahr_mmpose.apis.loading import ignores_orientation, load_dataset
    from swahr_mmpose.datasets.checks.preflight import check_before_run

    with user_errors():
        cfg = _load_config(args)
        check_before_run(cfg, ('test',))
        dataset = load_dataset(cfg, 'test')
    if args.checkpoint:
        evaluation = _test(cfg, dataset)
    else:
        with user_errors(), hide_coco_messages():
            evaluation = _read_results(cfg, args.results, dataset)
    name = os.path.splitext(os.path.basename(args.config))[0]
    with user_errors():
        page = make_report(
            evaluation,
            dataset,
            f'Evaluation of {name}',
            _list_facts(args),
            args.num_worst,
            args.score_thr,
            ignores_orientation(cfg),
        )
    with user_errors(), replaced_file(args.out_file) as stream:
        stream.write(page.encode('utf-8'))
    print(f'the report is in {os.path.abspath(args.out_file)}')


def _load_config(args: argparse.Namespace) -> Config:
    """Load the config and apply the options."""
    from swahr_mmpose.checkpoints.model_zoo import resolve_model

    if args.results:
        cfg = read_config(args.config)
    else:
        cfg, args.checkpoint = resolve_model(args.config, args.checkpoint)
    merge_options(cfg, args.cfg_options)
    cfg.load_from = args.checkpoint
    cfg.launcher = 'none'
    name = os.path.splitext(os.path.basename(args.config))[0]
    cfg.work_dir = args.work_dir or os.path.join('work_dirs', name)
    if args.max_images:
        cfg.test_dataloader.dataset.indices = args.max_images
    return cfg


def _list_facts(args: argparse.Namespace) -> Dict[str, str]:
    """List the files of the report."""
    facts = dict(config=args.config)
    if args.checkpoint:
        facts['checkpoint'] = args.checkpoint
    else:
        facts['results'] = args.results
    return facts


def _get_metric(cfg: Config) -> Any:
    """Get the config of the COCO or CrowdPose metric of the test.

    Raises:
        ValueError: If the test has none.
    """
    metrics = cfg.test_evaluator
    metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    for metric in metrics:
        if metric.get('ann_file'):
            return metric
    raise ValueError(
        'test_evaluator has no metric with an ann_file; a report needs '
        'BottomupCocoMetric, CocoMetric or CrowdPoseMetric'
    )


def _test(cfg: Config, dataset: Any) -> Evaluation:
    """Test the model, and keep the predictions that its metric evaluated."""
    from swahr_mmpose.apis.evaluation_report import Evaluation, FilledCollector
    from swahr_mmpose.engine.launch import make_runner
    from swahr_mmpose.engine.schedule import SettingsError
    from swahr_mmpose.utils.registry_errors import BuildError, build_errors

    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, 'results')
        with user_errors():
            _get_metric(cfg).outfile_prefix = prefix
        runner = make_runner(cfg, quiet=True)
        collector = FilledCollector()
        runner.register_hook(collector)
        started = time.perf_counter()
        with user_errors(SettingsError, BuildError), build_errors():
            metrics = runner.test()
        seconds = time.perf_counter() - started
        metric = next(
            m for m in runner.test_evaluator.metrics if hasattr(m, 'iou_type')
        )
        with hide_coco_messages():
            results = _load_results(metric, prefix + _RESULTS)
    device = next(runner.model.parameters()).device
    return Evaluation(
        results,
        metrics,
        seconds,
        str(device),
        collector.filled,
        *_measure_scales(runner.model, dataset),
    )


def _measure_scales(model: Any, dataset: Any) -> Tuple[Any, List[int]]:
    """Measure learned scales on some images; None without a scale branch."""
    from swahr_mmpose.apis.measurements import list_strides, measure_scales

    if getattr(model.head, 'scale_layers', None) is None:
        return None, []
    number = min(len(dataset), _MAX_SCALE_IMAGES)
    samples = (dataset[i] for i in range(number))
    return measure_scales(model, samples), list_strides(model)


def _read_results(cfg: Config, path: str, dataset: Any) -> Evaluation:
    """Evaluate a result file, for the images of the dataset."""
    from mmpose.registry import METRICS

    from swahr_mmpose.apis.evaluation_report import Evaluation

    metric = METRICS.build(_get_metric(cfg))
    metric.dataset_meta = dataset.metainfo
    metric.tested = sorted(
        {dataset.get_data_info(i)['img_id'] for i in range(len(dataset))}
    )
    selected = _select_results(path, metric.coco.imgs, metric.tested)
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, 'results')
        with open(prefix + _RESULTS, 'w', encoding='utf-8') as stream:
            json.dump(selected, stream)
        results = _load_results(metric, prefix + _RESULTS)
        values = metric._do_python_keypoint_eval(prefix)
    metrics = {f'{metric.prefix}/{name}': value for name, value in values}
    return Evaluation(results, metrics, None, None)


def _select_results(
    path: str, known: Container[int], tested: Sequence[int]
) -> List[Any]:
    """Read a result file and select the instances of tested images.

    Raises:
        ValueError: If it is no result file, or of other images.
    """
    try:
        with open(path, encoding='utf-8') as stream:
            entries = json.load(stream)
        ids = {entry['image_id'] for entry in entries}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{path} is not a file of COCO results ({error!r}), expected a '
            'list of instances with image_id, keypoints and score; the metric '
            f'writes NAME{_RESULTS} with outfile_prefix=NAME'
        ) from error
    unknown = sorted(i for i in ids if i not in known)
    if unknown:
        raise ValueError(
            f'{len(unknown)} of {len(ids)} images of {path}, e.g. image '
            f'{unknown[0]}, are not in the annotation file of '
            'test_evaluator; give the config of the test that wrote it'
        )
    selected = set(tested)
    return [entry for entry in entries if entry['image_id'] in selected]


def _load_results(metric: Any, path: str) -> Results:
    """Load the result file of a metric."""
    from swahr_mmpose.evaluation.breakdown import Results

    tested: Tuple[int, ...] = tuple(
        getattr(metric, 'tested', ()) or sorted(metric.coco.imgs)
    )
    return Results(
        metric.coco,
        metric.coco.loadRes(path),
        list(tested),
        metric.dataset_meta['sigmas'],
        metric.iou_type,
        metric.use_area,
    )
