# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check and measure a GPU or another accelerator, within 8 minutes.

  %(prog)s --out-dir report
  # a small form for any device, within a minute
  %(prog)s --quick --device cpu
  # some sections
  %(prog)s --sections correctness decoding --device cuda:1

Compares losses, gradients, decoding, training and test steps with the CPU, in
fp32, bf16, fp16, channels_last and compiled, and in several processes; and
measures training, test, decoding and data loading. Nothing is downloaded.

Writes report.json and report.md, which is ready to be pasted into
docs/speed.md. Both are written after each row, so that an interrupted report
has what was measured until then. A section that fails or takes too long is an
entry in the report. The exit status is 1 if a comparison or a section failed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any, Dict, List

from swahr_mmpose.utils.cli import Argv, make_parser, user_errors

__all__ = ['main']

# Names of device_report.sections, repeated here so that --help needs no torch.
NAMES = (
    'correctness', 'decoding', 'train-w32', 'test-w32', 'train-w48', 'ranks',
    'loading', 'compiled-correctness', 'compiled-w32',
)  # fmt: skip
QUICK_NAMES = (
    'correctness', 'decoding', 'train-tiny', 'test-tiny', 'ranks', 'loading',
)  # fmt: skip


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--device',
        help='device, for example cuda:1, mps, xpu or cpu (default: a GPU if '
        'there is one, else the quick form on the CPU)',
    )
    parser.add_argument(
        '--out-dir', default='gpu_report', help='folder of the report'
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='small networks and few repetitions, within a minute',
    )
    parser.add_argument(
        '--sections',
        nargs='+',
        choices=list(dict.fromkeys([*NAMES, *QUICK_NAMES])),
        metavar='NAME',
        help=f'sections to run (default: all; {", ".join(NAMES)}; with '
        f'--quick {", ".join(QUICK_NAMES)})',
    )
    parser.add_argument(
        '--limit',
        type=float,
        default=470,
        help='seconds after which the report ends',
    )
    args = parser.parse_args(argv)
    known = QUICK_NAMES if args.quick else NAMES
    args.sections = args.sections or list(known)
    unknown = [name for name in args.sections if name not in known]
    if unknown:
        form = 'with' if args.quick else 'without'
        parser.error(
            f'no section {", ".join(unknown)} {form} --quick, expected some '
            f'of {", ".join(known)}'
        )
    return args


def choose_form(args: argparse.Namespace, device: str) -> None:
    """Choose the quick form if no accelerator was found, in place.

    Args:
        args (argparse.Namespace): Parsed options. A named device and named
            sections are kept.
        device (str): Device of the report.
    """
    named = args.device is not None or args.sections != list(NAMES)
    if device == 'cpu' and not args.quick and not named:
        print(
            'no accelerator was found: the quick form runs on the CPU; '
            '--device cpu runs the whole one, which takes much longer'
        )
        args.quick, args.sections = True, list(QUICK_NAMES)


def main(argv: Argv = None) -> None:
    """Run the sections and write the report.

    Raises:
        SystemExit: With status 1 if a comparison or a section failed.
    """
    args = parse_args(argv)
    from swahr_mmpose.utils.device import find_default_device, require_device

    from .device_report.environment import describe_environment
    from .device_report.supervisor import run_sections

    device = args.device or find_default_device()
    with user_errors():
        require_device(device)
        choose_form(args, device)
        os.makedirs(args.out_dir, exist_ok=True)
    report: Dict[str, Any] = dict(
        environment=describe_environment(device, args.quick),
        complete=False,
        sections={},
    )
    writer = _Writer(args.out_dir, report)
    started = time.monotonic()
    run_sections(
        args.sections, device, args.quick, args.limit, writer.add_event
    )
    report['complete'] = True
    report['seconds'] = round(time.monotonic() - started, 1)
    writer.write()
    problems = list_problems(report)
    for problem in problems:
        print(f'failed: {problem}')
    print(f'{report["seconds"]} s; the report is in {args.out_dir}/report.md')
    if problems:
        raise SystemExit(1)


class _Writer:
    """Write the report and the progress after each event."""

    def __init__(self, folder: str, report: Dict[str, Any]) -> None:
        self.folder, self.report = folder, report

    def add_event(self, results: Dict[str, Any], event: Dict) -> None:
        """Write the results; print what is new."""
        from .device_report.formatting import format_row

        self.report['sections'] = results
        self.write()
        if event['event'] == 'start':
            print(event['title'], flush=True)
        elif event['event'] == 'row':
            print(f'  {format_row(event["row"])}', flush=True)
        elif 'error' in event:
            last = event['error'].strip().splitlines()[-1]
            print(f'  {event["section"]} failed: {last}', flush=True)

    def write(self) -> None:
        """Write both files, atomically."""
        from swahr_mmpose.utils.atomic_write import replaced_file

        from .device_report.formatting import format_markdown

        for name, text in (
            ('report.json', json.dumps(self.report, indent=1) + '\n'),
            ('report.md', format_markdown(self.report)),
        ):
            path = os.path.join(self.folder, name)
            with user_errors(), replaced_file(path) as stream:
                stream.write(text.encode('utf-8'))


def list_problems(report: Dict[str, Any]) -> List[str]:
    """List what failed in a report.

    Args:
        report (dict): Report, see ``device_report.formatting``.

    Returns:
        list[str]: Sections and rows that raised, and comparisons that differ.
    """
    problems = []
    for name, section in report['sections'].items():
        if 'error' in section:
            problems.append(name)
        problems += [
            f'{name}, {row["name"]}'
            for row in section['rows']
            if 'error' in row or row.get('ok') is False
        ]
    return problems
