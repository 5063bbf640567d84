# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Mutation testing: which small changes of the code does no test notice?

  pip install mutmut==3.8.1
  python tools/mutation.py
  # only one module, with two processes
  python tools/mutation.py 'swahr_mmpose.peaks*' --workers 2
  # what the last run found, and one of the changes it found
  python tools/mutation.py --report
  mutmut show swahr_mmpose.peaks.x__window__mutmut_3

pyproject.toml, [tool.mutmut], names the modules and the tests that run on
them. About 1400 changes, a second or so each. A run that was stopped goes on
with --resume; without it everything is made anew, in mutants/. What survives
is explained in tests/MUTANTS.md.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from swahr_mmpose.cli import make_parser

ROOT = Path(__file__).resolve().parent.parent
MUTANTS = ROOT / 'mutants'
COLUMNS = ('killed', 'timeout', 'survived', 'no tests', 'not checked', 'other')
# What pytest, or the signal that ended it, left as exit code.
OUTCOMES = {
    None: 'not checked', 0: 'survived', 1: 'killed', 3: 'killed',
    5: 'no tests', 33: 'no tests',
    36: 'timeout', 24: 'timeout', -24: 'timeout', 152: 'timeout',
    255: 'timeout'
}  # fmt: skip


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'mutants', nargs='*', metavar='PATTERN', help='only these mutants'
    )
    parser.add_argument(
        '--workers', type=int, default=1, help='processes at a time'
    )
    parser.add_argument(
        '--resume', action='store_true', help='keep what the last run found'
    )
    parser.add_argument(
        '--report', action='store_true', help='run nothing, only report'
    )
    return parser.parse_args()


def run(patterns, workers):
    """Run mutmut, the same way each time."""
    if importlib.util.find_spec('mutmut') is None:
        raise SystemExit(
            'mutmut is not installed; pip install mutmut==3.8.1 (it wants '
            'Python 3.10 or newer)'
        )
    once = dict(
        OMP_NUM_THREADS='1', PYTHONHASHSEED='0', SWAHR_FUZZ_EXAMPLES='100'
    )
    command = [sys.executable, '-m', 'mutmut', 'run']
    command += ['--max-children', str(workers), *patterns]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **once}, check=True)


def outcomes():
    """Mutants by module and by what became of them."""
    found = {}
    for path in sorted(MUTANTS.glob('swahr_mmpose/*.meta')):
        codes = json.loads(path.read_text())['exit_code_by_key']
        if codes:
            found[path.name.split('.')[0]] = {
                name: OUTCOMES.get(code, 'other')
                for name, code in codes.items()
            }
    if not found:
        raise SystemExit(f'no results in {MUTANTS}; run without --report')
    return found


def print_report(found):
    """Print a table with a line per module, and the names of survivors."""
    print(f'{"module":<12}' + ''.join(f'{c:>12}' for c in (*COLUMNS, 'rate')))
    counts = {m: Counter(named.values()) for m, named in found.items()}
    counts['all'] = sum(counts.values(), Counter())
    for module, count in counts.items():
        noticed = count['killed'] + count['timeout']
        checked = sum(count.values()) - count['not checked']
        rate = f'{100 * noticed / max(checked, 1):.1f}%'
        cells = ''.join(f'{count[c]:>12}' for c in COLUMNS)
        print(f'{module:<12}{cells}{rate:>12}')
    for named in found.values():
        for name, outcome in named.items():
            if outcome not in ('killed', 'timeout', 'not checked'):
                print(f'{outcome}: {name}')


def main():
    """Run and report."""
    args = parse_args()
    if not args.report:
        if not args.resume:
            shutil.rmtree(MUTANTS, ignore_errors=True)
        run(args.mutants, args.workers)
    print_report(outcomes())


if __name__ == '__main__':
    main()
