# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Compare baseline, SAHR, WAHR and SWAHR on synthetic people.

  # twelve runs of a tiny model, about an hour on two cores
  %(prog)s --work-dir work_dirs/ablation
  # one seed, two epochs
  %(prog)s --work-dir /tmp/quick --seeds 0 --epochs 2

The scheme of the paper's Table 3. Each run is a process with one thread;
--jobs processes run at a time. Completed runs are skipped, so the same command
resumes an interrupted comparison. Writes results.json and results.md with mean
and standard deviation over the seeds of AP, AP medium and AP large, and the
rank correlation of the learned scale with the size of the people.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/synthetic/{}higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
MAKE_DATASET = ROOT / 'tools/dataset_tools/make_synthetic_dataset.py'
METHODS = {
    'baseline': CONFIG.format(''),
    'SAHR': CONFIG.format('sahr_'),
    'WAHR': CONFIG.format('wahr_'),
    'SWAHR': CONFIG.format('swahr_'),
}
COLUMNS = {
    'AP': 'coco/AP',
    'AP medium': 'coco/AP (M)',
    'AP large': 'coco/AP (L)',
    'scale ~ size, 1/4': 'rank_correlation_0',
    'scale ~ size, 1/2': 'rank_correlation_1',
}


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add('--work-dir', default='work_dirs/ablation', help='folder of the runs')
    add('--data', default='data/ablation', help='dataset, made if missing')
    add('--num-train', type=int, default=256, help='training images')
    add('--num-val', type=int, default=200, help='validation images')
    add('--seeds', type=int, nargs='+', default=[0, 1, 2], help='RNG seeds')
    add(
        '--methods',
        nargs='+',
        choices=list(METHODS),
        default=list(METHODS),
        help='methods to compare',
    )
    add('--epochs', type=int, default=15, help='training epochs, 2 or more')
    add('--jobs', type=int, default=os.cpu_count(), help='parallel runs')
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error(
            f'--epochs is {args.epochs}, expected 2 or more (1 of warm-up)'
        )
    return args


def options(args, seed):
    """Format the settings of a run as --cfg-options."""
    root = str(Path(args.data).resolve()) + '/'
    ann_file = root + 'annotations/person_keypoints_val.json'
    settings = {
        'randomness.seed': seed,
        'train_cfg.max_epochs': args.epochs,
        'param_scheduler.1.end': args.epochs,
        'train_cfg.val_interval': args.epochs,
        'default_hooks.checkpoint.interval': args.epochs,
        'test_evaluator.ann_file': ann_file,
    }
    for split in ('train', 'val', 'test'):
        settings[f'{split}_dataloader.dataset.data_root'] = root
    return [f'{key}={value}' for key, value in settings.items()]


def call(log, *command):
    """Run a tool with one thread and write its output to a log file."""
    variables = dict(os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
    with open(log, 'a', encoding='utf-8') as stream:
        process = subprocess.run(
            [sys.executable, *map(str, command)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=ROOT,
            check=False,
        )
    if process.returncode:
        raise RuntimeError(f'{command[0]} failed; see {log}')


def run(args, method, seed):
    """Train and test once, or read the result; returns the metrics."""
    folder = Path(args.work_dir).resolve() / f'{method}_seed{seed}'
    result = folder / 'result.json'
    settings = options(args, seed)
    if result.exists():
        content = json.loads(result.read_text())
        if content['settings'] == settings:
            return content
    folder.mkdir(parents=True, exist_ok=True)
    log, config = folder / 'log.txt', METHODS[method]
    common = ['--cfg-options', *settings]
    started = time.monotonic()
    call(log, 'tools/train.py', config, '--work-dir', folder,
         '--no-validate', *common)  # fmt: skip
    seconds = time.monotonic() - started
    checkpoint = folder / f'epoch_{args.epochs}.pth'
    metrics = folder / 'metrics.json'
    call(log, 'tools/test.py', config, checkpoint, '--out-file', metrics,
         '--work-dir', folder / 'test', *common)  # fmt: skip
    content = json.loads(metrics.read_text())
    if method in ('SAHR', 'SWAHR'):
        scales = folder / 'scales.json'
        measure = 'tools/analysis_tools/scale_statistics.py'
        common = ['--out-file', scales, '--device', 'cpu', *common]
        call(log, measure, config, checkpoint, *common)
        statistics_ = json.loads(scales.read_text())
        content['scales'] = statistics_
        for level, found in statistics_.items():
            if level.startswith('level_'):
                name = level.replace('level', 'rank_correlation')
                content[name] = found['rank_correlation']
    content.update(
        method=method, seed=seed, settings=settings, train_seconds=seconds
    )
    with replaced_file(str(result)) as stream:
        stream.write(json.dumps(content, indent=2).encode())
    return content


def cell(values):
    """Format mean and sample standard deviation for a table cell."""
    values = [v for v in values if v is not None]
    if not values:
        return '-'
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f'{mean:.3f}'
    return f'{mean:.3f} ± {statistics.stdev(values):.3f}'


def table(results, methods):
    """Format the results as a Markdown table."""
    lines = [
        '| method | seeds | ' + ' | '.join(COLUMNS) + ' |',
        '| --- ' * (len(COLUMNS) + 2) + '|',
    ]
    for method in methods:
        runs = [r for r in results if r['method'] == method]
        cells = [cell([r.get(key) for r in runs]) for key in COLUMNS.values()]
        lines.append(f'| {method} | {len(runs)} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main():
    """Run all methods and seeds and write the table."""
    args = parse_args()
    started = time.monotonic()
    subprocess.run(
        [
            sys.executable,
            MAKE_DATASET,
            args.data,
            f'--num-train={args.num_train}',
            f'--num-val={args.num_val}',
        ],
        check=True,
    )
    # Seed by seed, so that an early stop leaves complete comparisons.
    plan = [(m, s) for s in args.seeds for m in args.methods]
    results = []
    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(run, args, m, s) for m, s in plan]
        for future in as_completed(futures):
            result = future.result()
            results.append(result)
            elapsed = (time.monotonic() - started) / 60
            print(
                f'[{len(results)}/{len(plan)}, {elapsed:.1f} min] '
                f'{result["method"]} seed {result["seed"]}: '
                f'AP {result["coco/AP"]:.3f}',
                flush=True,
            )
    text = table(results, args.methods)
    folder = Path(args.work_dir)
    (folder / 'results.json').write_text(json.dumps(results, indent=2))
    (folder / 'results.md').write_text(text + '\n')
    print(f'\n{text}\n\nresults are in {folder.resolve()}')


if __name__ == '__main__':
    main()
