# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Compare baseline, SAHR, WAHR, SWAHR and SHR on synthetic people.

  # continue the study of docs/ablation.md, one process of one thread
  %(prog)s --seeds 0 1 2
  # two GPU processes at a time, only the values of lambda
  %(prog)s --methods SAHR SAHR-lambda0.5 SAHR-lambda0.1 --device cuda --jobs 2
  # write the page again from the results
  %(prog)s --page-only

Each run is one training of a tiny model and its measurements. Runs are added
to one JSON file as they end, and the page is written from it. The same command
continues an interrupted study: complete runs are skipped, others resume from
their last checkpoint, and measurements that are missing are added as long as
the checkpoint exists.

Training labels have the noise that OKS assumes, small people are blurred and
of low contrast, and the weights of heatmap and tag losses have the official
ratio. docs/ablation.md explains the conditions and the result.
"""

import contextlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from studying.settings import (
    CONFIG,
    DATA,
    MAIN_METHODS,
    MEASURES,
    METHODS,
    NOISE,
    VARIANTS,
    find_suffix,
    is_measured,
    list_settings,
)

from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import make_parser

ROOT = Path(__file__).resolve().parents[2]


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.needs_torch = lambda args: False  # the processes of the runs do
    add_data_options(parser)
    add_method_options(parser)
    add_run_options(parser)
    args = parser.parse_args()
    if min(args.epochs) < 2:
        parser.error(
            f'--epochs has {min(args.epochs)}, expected 2 or more (1 of '
            'warm-up)'
        )
    return args


def add_data_options(parser):
    """Add the options of the dataset and of the results."""
    add = parser.add_argument
    add('--work-dir', default='work_dirs/ablation', help='folder of the runs')
    add('--data', default='data/ablation', help='dataset, made if missing')
    add('--num-train', type=int, default=512, help='training images')
    add('--num-val', type=int, default=200, help='validation images')
    add('--results', default='docs/ablation.json', help='file of all results')
    add('--page', default='docs/ablation.md', help='page of the results')


def add_method_options(parser):
    """Add the options of what is trained and measured."""
    add = parser.add_argument
    add('--seeds', type=int, nargs='+', default=[0], help='RNG seeds')
    add(
        '--methods',
        nargs='+',
        choices=list(METHODS),
        default=list(MAIN_METHODS),
        metavar='METHOD',
        help=f'methods to compare: {", ".join([*MAIN_METHODS, *VARIANTS])}, '
        f'and each with {" or ".join(filter(None, NOISE))} for other label '
        'noise',
    )
    add(
        '--epochs',
        type=int,
        nargs='+',
        default=[20, 80],
        help='lengths of training in epochs, 2 or more',
    )
    add(
        '--measures',
        nargs='*',
        choices=list(MEASURES),
        default=list(MEASURES),
        help='measurements of the trained models',
    )
    add(
        '--no-train',
        action='store_true',
        help='only measure runs whose training is complete',
    )


def add_run_options(parser):
    """Add the options of how it runs, and of what it only prints."""
    add = parser.add_argument
    add('--jobs', type=int, default=1, help='runs at a time')
    add('--device', default='cpu', help='cpu, cuda or cuda:N')
    add(
        '--page-only',
        action='store_true',
        help='write the tables and the figure and run nothing',
    )
    add(
        '--summary',
        nargs='*',
        choices=list(METHODS),
        metavar='METHOD',
        help='print AP of these methods and do nothing else',
    )


class Study:
    """Results in one JSON file, and the runs that fill it.

    Args:
        args (argparse.Namespace): Options of the command line.
    """

    def __init__(self, args):
        self.args = args
        self.path = Path(args.results)
        self.lock = threading.Lock()

    def read(self):
        """Read the results, ``{'runs': {name: run}}``."""
        data = list_data(self.args)
        if not self.path.exists():
            return {'config': CONFIG, 'data': data, 'runs': {}}
        content = json.loads(self.path.read_text(encoding='utf-8'))
        if content['data'] != data or content['config'] != CONFIG:
            raise SystemExit(
                f'{self.path} has results of {content["config"]} and '
                f'{content["data"]}, expected {CONFIG} and {data}; choose '
                'another file with --results'
            )
        return content

    def update(self, name, **values):
        """Add values to a run and write the file.

        Other studies may write the same file meanwhile.
        """
        with self.lock, lock_file(f'{self.path}.lock'):
            content = self.read()
            content['runs'].setdefault(name, {}).update(values)
            text = json.dumps(content, indent=1, sort_keys=True)
            with replaced_file(str(self.path)) as stream:
                stream.write(f'{text}\n'.encode())

    def call(self, log, *command):
        """Run a tool with one thread and write its output to a log file."""
        device = self.args.device
        variables = dict(
            os.environ, OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore'
        )
        if device == 'cpu':
            variables['CUDA_VISIBLE_DEVICES'] = ''
        elif ':' in device:
            variables['CUDA_VISIBLE_DEVICES'] = device.split(':')[1]
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
            raise SystemExit(f'error: {command[0]} failed; see {log}')

    def run(self, name, method, seed, epochs):
        """Train a run unless it is complete, and add missing measurements."""
        settings = list_settings(self.args.data, method, seed, epochs)
        folder = Path(self.args.work_dir).resolve() / name
        checkpoint = folder / f'epoch_{epochs}.pth'
        known = self.read()['runs'].get(name, {})
        train = not self.args.no_train and 'metrics' not in known
        if train and not checkpoint.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self.call(
                folder / 'log.txt', 'tools/train.py', CONFIG, '--work-dir',
                folder, '--resume', '--cfg-options', *settings,
            )  # fmt: skip
        if not checkpoint.exists():
            return
        if 'metrics' not in known:
            self.update(
                name,
                method=method,
                seed=seed,
                epochs=epochs,
                curve=read_curve(folder),
                hardware=describe_hardware(self.args.device),
            )
        for measure in self.args.measures:
            command = MEASURES[measure]
            if measure in known or not is_measured(measure, method):
                continue
            out = folder / f'{measure}.json'
            # A test writes its logs to a folder of its own.
            extra = ['--work-dir', folder / 'test'] * ('test.py' in command[0])
            self.call(
                folder / 'log.txt', command[0], CONFIG, checkpoint,
                '--out-file', out, *extra, '--cfg-options', *settings,
                *command[1:],
            )  # fmt: skip
            self.update(name, **{measure: json.loads(out.read_text())})


@contextlib.contextmanager
def lock_file(path):
    """Lock a file until the end of the context, where the system can."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_curve(folder):
    """Read AP during training, a list of (epoch, AP)."""
    curve = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'coco/AP' in entry:
                curve[entry['step']] = round(entry['coco/AP'], 4)
    return sorted(curve.items())


def describe_hardware(device):
    """Describe the device of a run."""
    import torch

    from swahr_mmpose.utils.device import get_device_name

    if device == 'cpu':
        return f'one thread of {platform.machine()}, torch {torch.__version__}'
    return f'{get_device_name(device)}, torch {torch.__version__}'


def write_page(path, runs):
    """Replace the tables of the page, and draw the figure beside it."""
    page = Path(path)
    if not page.exists():
        print(f'{path} does not exist; no page is written')
        return
    from swahr_mmpose.evaluation.ablation_tables import (
        format_tables,
        replace_tables,
    )
    from swahr_mmpose.visualization.study_figure import study_figure

    text = replace_tables(
        page.read_text(encoding='utf-8'), format_tables(runs)
    )
    with replaced_file(path) as stream:
        stream.write(text.encode())
    figure = page.with_suffix('.png')
    with replaced_file(str(figure)) as stream:
        study_figure(runs).savefig(stream, format='png', dpi=130)
    print(f'tables are in {page.resolve()}, the figure in {figure.name}')


def list_data(args):
    """List the options of the dataset without its noise."""
    return {'num-train': args.num_train, 'num-val': args.num_val, **DATA}


def make_dataset(args, suffix):
    """Make a dataset of the study unless it exists."""
    tool = ROOT / 'tools/dataset_tools/make_synthetic_dataset.py'
    options = [
        word
        for key, value in {
            **list_data(args),
            'annotation-noise': NOISE[suffix],
        }.items()
        for word in (f'--{key}', *str(value).split())
    ]
    subprocess.run(
        [sys.executable, tool, args.data + suffix, *options], check=True
    )


def execute(study, plan, jobs):
    """Execute all runs, ``jobs`` at a time."""
    started = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(study.run, *run): run for run in plan}
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            minutes = (time.monotonic() - started) / 60
            print(
                f'[{number}/{len(plan)}, {minutes:.1f} min] '
                f'{futures[future][0]}',
                flush=True,
            )


def main():
    """Run all methods, lengths and seeds, and write the tables."""
    args = parse_args()
    study = Study(args)
    runs = study.read()['runs']
    if args.summary is not None:
        from swahr_mmpose.evaluation.ablation_tables import summarize_methods

        print('\n'.join(summarize_methods(runs, args.summary)))
        return
    if not args.page_only:
        for suffix in sorted({find_suffix(m) for m in args.methods}):
            make_dataset(args, suffix)
        # Short runs first, then seed by seed: an early stop leaves complete
        # comparisons.
        plan = [
            (f'{method}_{epochs}e_seed{seed}', method, seed, epochs)
            for epochs in args.epochs
            for seed in args.seeds
            for method in args.methods
        ]
        execute(study, plan, args.jobs)
    write_page(args.page, study.read()['runs'])


if __name__ == '__main__':
    main()
