# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Baseline, SAHR, WAHR and SWAHR on synthetic people, several seeds each.

  # twelve runs of a tiny model, about an hour on two cores
  python tools/analysis_tools/ablation.py --work-dir work_dirs/ablation
  # a quick look
  python tools/analysis_tools/ablation.py --work-dir /tmp/look --seeds 0 --epochs 2

The scheme of the paper's Table 3. Each run is a process with one thread;
--jobs of them run at a time. Runs that are complete are not run again, so the
same command goes on where it stopped. Written are results.json and results.md
with mean and standard deviation over the seeds of AP, AP medium and AP large,
and the rank correlation of the learned scale with the size of people.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from swahr_mmpose.utils.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/synthetic/{}higherhrnet-tiny_1xb4-15e_synthetic-256x256.py'
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
    parser.add_argument('--work-dir', default='work_dirs/ablation')
    parser.add_argument('--data', default='data/ablation', help='made if new')
    parser.add_argument('--num-train', type=int, default=256)
    parser.add_argument('--num-val', type=int, default=200)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--methods', nargs='+', choices=list(METHODS), default=list(METHODS)
    )
    parser.add_argument('--epochs', type=int, default=15)
    parser.add_argument(
        '--jobs', type=int, default=os.cpu_count(), help='runs at a time'
    )
    args = parser.parse_args()
    if args.epochs < 2:
        parser.error(
            f'--epochs is {args.epochs}, expected at least 2: one to warm up'
        )
    return args


def options(args, seed):
    """Settings of one run, as --cfg-options."""
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
    """Run a tool with one thread; its output goes into a file."""
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
    """Train, test and measure once; the metrics."""
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
    call(log, 'tools/test.py', config, checkpoint, '--out', metrics,
         '--work-dir', folder / 'test', *common)  # fmt: skip
    content = json.loads(metrics.read_text())
    if method in ('SAHR', 'SWAHR'):
        scales = folder / 'scales.json'
        call(log, 'tools/analysis_tools/scale_statistics.py', config, checkpoint,
             '--out', scales, '--device', 'cpu', *common)  # fmt: skip
        found = json.loads(scales.read_text())
        content['scales'] = found
        for level in (0, 1):
            rho = found[f'level_{level}']['rank_correlation']
            content[f'rank_correlation_{level}'] = rho
    content.update(
        method=method, seed=seed, settings=settings, train_seconds=seconds
    )
    temporary = folder / 'result.part'
    temporary.write_text(json.dumps(content, indent=2))
    os.replace(temporary, result)
    return content


def cell(values):
    """Mean and sample standard deviation, as in a table."""
    values = [v for v in values if v is not None]
    if not values:
        return '-'
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f'{mean:.3f}'
    return f'{mean:.3f} ± {statistics.stdev(values):.3f}'


def table(results, methods):
    """The results as a Markdown table."""
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
    """Run everything and write the table."""
    args = parse_args()
    started = time.monotonic()
    subprocess.run(
        [sys.executable, ROOT / 'tools/dataset_tools/make_synthetic_dataset.py', args.data,
         '--num-train', str(args.num_train), '--num-val', str(args.num_val)],
        check=True,
    )  # fmt: skip
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
