# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""How much faster than MMPose, or than the plain formula? In one process.

  # the first table of docs/speed.md
  python tools/analysis_tools/benchmark.py --out speed.json
  # some rows, on a GPU
  python tools/analysis_tools/benchmark.py --rows decode loss --device cuda
  # whole networks: images per second, and where the time goes
  python tools/analysis_tools/benchmark.py --rows sample train test --device cuda
  # how decoding grows with people, size and batch, and a picture of it
  python tools/analysis_tools/benchmark.py --rows growth --plot growth.png

Both sides of a row see the same input and run by turns; given are the medians
and, behind them, the middle half of the times. A row is a ratio of two
measurements in the same minute on the same machine, nothing else.
"""

import json
from pathlib import Path

import torch
from benchmarking import growth, measuring, networks, operations

from swahr_mmpose.utils.cli import make_parser


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    names = [*operations.ROWS, *networks.ROWS, 'growth']
    parser.add_argument(
        '--rows',
        nargs='+',
        choices=names,
        default=list(operations.ROWS),
        help='what to measure (default: the operations)',
    )
    parser.add_argument(
        '--repeats', type=int, default=15, help='runs of an operation'
    )
    parser.add_argument(
        '--steps', type=int, default=5, help='runs of a whole network'
    )
    parser.add_argument(
        '--networks',
        nargs='+',
        choices=list(networks.NETWORKS),
        default=['W32-512'],
        help='for the row train',
    )
    parser.add_argument(
        '--batch-size', type=int, help='for the row train; default: config'
    )
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--out', metavar='FILE', help='write results (.json)')
    parser.add_argument('--plot', metavar='FILE', help='for the row growth')
    return parser.parse_args()


def compare(rows, args):
    """Old beside new."""
    print(
        '| | old, ms | new, ms | ratio | goal | extra MiB, old / new |\n'
        '| --- | --- | --- | --- | --- | --- |'
    )
    results = []
    for row in rows:
        for name, old, new, goal in list(operations.ROWS[row](args.device)):
            results.append(measuring.measure(name, old, new, goal, args))
            print(measuring.line(results[-1]), flush=True)
    return results


def describe(rows, args):
    """Figures of whole networks."""
    results = []
    for row in rows:
        for name, figures in networks.ROWS[row](args):
            results.append(dict(name=name, **figures))
            shown = (
                f'{k} {v if isinstance(v, str) else format(v, ".1f")}'
                for k, v in figures.items()
            )
            print(f'{name}: {"; ".join(shown)}', flush=True)
    return results


def main():
    """Measure and print."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    content = dict(hardware=measuring.hardware(args))
    print(', '.join(f'{k} {v}' for k, v in content['hardware'].items()))
    compared = [row for row in args.rows if row in operations.ROWS]
    described = [row for row in args.rows if row in networks.ROWS]
    if compared:
        content['rows'] = compare(compared, args)
    if described:
        content['networks'] = describe(described, args)
    if 'growth' in args.rows:
        content['growth'] = growth.grow(args)
        if args.plot:
            growth.plot(content['growth'], args.plot)
    if args.out:
        Path(args.out).write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
