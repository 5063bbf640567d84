# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure speed-ups over MMPose and over the dense formulas.

  # the first table of docs/speed.md
  %(prog)s --out-file speed.json
  # some rows, on a GPU
  %(prog)s --rows decode loss --device cuda
  # complete networks: images per second and time per stage
  %(prog)s --rows sample train test --device cuda
  # data loading on one core, with the share of each step
  %(prog)s --rows loader --images data/coco/val2017
  # decoding time over people, size and batch, with a figure
  %(prog)s --rows growth --plot growth.png

Both sides of a row run on the same input in one process, interleaved. Reported
are the medians and, in parentheses, the interquartile ranges. A row is a ratio
of two measurements on one machine; the times alone do not transfer.
"""

import json
from pathlib import Path

from benchmarking import DESCRIBED, NETWORKS, OPERATIONS

# Parse the arguments before torch and MMPose are imported.
__swahr_command__ = True

from swahr_mmpose.utils.cli import make_parser, user_errors


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--rows',
        nargs='+',
        choices=[*OPERATIONS, *DESCRIBED, 'growth'],
        default=list(OPERATIONS),
        help='rows to measure (default: the operations)',
    )
    add_sizes(parser)
    parser.add_argument(
        '--device', default='cpu', help='device, for example cuda:1 or mps'
    )
    parser.add_argument(
        '--threads',
        type=int,
        help='threads of torch (default: as torch chooses)',
    )
    parser.add_argument(
        '--out-file', metavar='FILE', help='file of the results (.json)'
    )
    parser.add_argument(
        '--plot',
        metavar='FILE',
        help='file of the figure of the row growth (.png)',
    )
    args = parser.parse_args()
    if args.ann_file and not args.images:
        parser.error('--ann-file needs --images, the folder of its images')
    return args


def add_sizes(parser):
    """Add the options of single rows: repetitions, networks, images."""
    parser.add_argument(
        '--repeats',
        type=int,
        default=15,
        help='repetitions of an operation, or of loading all images',
    )
    parser.add_argument(
        '--steps',
        type=int,
        default=5,
        help='training or test steps of a network',
    )
    parser.add_argument(
        '--networks',
        nargs='+',
        choices=list(NETWORKS),
        default=['W32-512'],
        help='networks of the row train',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help='batch size of the row train (default: that of the config)',
    )
    parser.add_argument(
        '--images',
        metavar='FOLDER',
        help='images of the row loader (default: synthetic ones)',
    )
    parser.add_argument(
        '--ann-file',
        metavar='FILE',
        help='COCO annotations of --images (default: random people)',
    )


def compare(rows, args):
    """Measure the reference and our implementation of some operations."""
    from benchmarking import measuring, operations

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
    """Measure complete networks and data loading."""
    from benchmarking import loader, networks

    measured = {**networks.ROWS, **loader.ROWS}
    results = []
    for row in rows:
        for name, figures in measured[row](args):
            results.append(dict(name=name, **figures))
            shown = (
                f'{k} {v if isinstance(v, str) else format(v, ".1f")}'
                for k, v in figures.items()
            )
            print(f'{name}: {"; ".join(shown)}', flush=True)
    return results


def main():
    """Measure, print and write the rows."""
    args = parse_args()
    import torch
    from benchmarking import growth, measuring

    from swahr_mmpose.utils.device import require_device

    with user_errors():
        require_device(args.device)
    args.threads = args.threads or torch.get_num_threads()
    torch.set_num_threads(args.threads)
    content = dict(hardware=measuring.hardware(args))
    print(', '.join(f'{k} {v}' for k, v in content['hardware'].items()))
    compared = [row for row in args.rows if row in OPERATIONS]
    described = [row for row in args.rows if row in DESCRIBED]
    if compared:
        content['rows'] = compare(compared, args)
    if described:
        content['networks'] = describe(described, args)
    if 'growth' in args.rows:
        content['growth'] = growth.grow(args)
        if args.plot:
            growth.plot(content['growth'], args.plot)
    if args.out_file:
        Path(args.out_file).write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
