# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Run the fast tests in fresh environments: Pythons, torch, NumPy, mmcv.

  python tools/matrix.py --list
  # all rows whose Python is on the PATH, one after the other
  python tools/matrix.py
  # two rows, with interpreters by path; the environments are not deleted
  python tools/matrix.py py3.9-torch2.0-numpy1-lite \
      py3.12-torch2.14-numpy2-lite --keep \
      --python ~/python3.9/bin/python --python ~/python3.12/bin/python
  # the full mmcv, of which PyPI has no build: a wheel for the row's Python
  python tools/matrix.py py3.11-torch2.13-numpy1-mmcv --mmcv-wheel FILE
  # put the results into docs/stacks.json, docs/stacks.md and the README
  python tools/matrix.py --write-tables

Rows are in tools/stacks/rows.json. For each, pip makes an environment in the
work directory, tools/doctor.py judges it, and pytest runs on a copy of the
repository. A row's result (.json) is written when it ends, also where pip
failed; a second run goes on after the last one. Torch from PyPI is large (3 GB
to fetch, 6 to 8 on the disk), so an environment is deleted before the next.
This needs Python alone. The exit status is 1 where a row failed.
"""

import argparse
import datetime
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from stacks import recipe, tables
from stacks.pythons import find_pythons, obstacle
from stacks.reading import read_doctor, read_junit

ROOT = Path(__file__).resolve().parent.parent
PARTS = ('configs', 'docs', 'swahr_mmpose', 'tests', 'tools')


class RowFailedError(Exception):
    """A command of a row failed; the row ends, its result says so."""


def parse_args():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('rows', nargs='*', metavar='ROW', help='names (default: all)')
    add('--list', action='store_true', help='show the rows and stop')
    add(
        '--python', action='append', default=[], metavar='PATH',
        help='an interpreter, any number of times; its version is asked of '
        'it (default: python3.X of the PATH)'
    )  # fmt: skip
    add(
        '--mmcv-wheel', default=os.environ.get('MMCV_WHEEL'), metavar='FILE',
        help='mmcv 2.1.0 for rows with the full mmcv (default: $MMCV_WHEEL)'
    )  # fmt: skip
    add(
        '--work-dir', default='work_dirs/matrix', type=Path,
        help='environments, logs and results (default: work_dirs/matrix)'
    )  # fmt: skip
    add('--select', default='not slow', help='pytest -m (default: not slow)')
    add('--keep', action='store_true', help='do not delete environments')
    add('--again', action='store_true', help='repeat rows that are done')
    add(
        '--tests-only', action='store_true', help='do not install where '
        '--keep has left an environment'
    )  # fmt: skip
    add(
        '--timeout', type=float, default=3600, metavar='SECONDS',
        help='for each command (default: 3600)'
    )  # fmt: skip
    add(
        '--write-tables', action='store_true', help='of the results in the '
        'work directory; runs nothing'
    )  # fmt: skip
    args = parser.parse_args()
    unknown = sorted(set(args.rows) - set(recipe.read_rows()))
    if unknown:
        parser.error(f'no row {", ".join(unknown)}; --list shows them')
    return args


def fingerprint(row, python, select, wheel):
    """What a result is of; another one makes a row be run again."""
    about = {k: v for k, v in row.items() if k not in tables.REMARKS}
    if row['mmcv'] == 'mmcv':
        about['wheel'] = Path(wheel or '').name
    return dict(about, python=python, select=select)


def is_done(path, asked):
    """Whether the result of this very row is there."""
    try:
        return json.loads(path.read_text())['asked'] == asked
    except (OSError, ValueError, KeyError):
        return False


def run(command, log, timeout, **options):
    """Run a command into a log; returns its status, None: out of time."""
    text = ' '.join(shlex.quote(str(part)) for part in command)
    print(f'    {text}', flush=True)
    with open(log, 'a') as file:
        file.write(f'\n$ {text}\n')
        file.flush()
        try:
            return subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                **options,
            ).returncode
        except subprocess.TimeoutExpired:
            return None


def must(command, log, timeout):
    """Run a command that the rest of a row needs."""
    status = run(command, log, timeout)
    if status != 0:
        said = Path(log).read_text(errors='replace').splitlines()
        errors = [line for line in said[-200:] if 'error' in line.lower()][-3:]
        why = f'no end after {timeout:g} s' if status is None else status
        wanted = ' '.join(map(str, command[2:]))  # without python -m
        raise RowFailedError(f'{wanted}: {why}: {" / ".join(errors)}')


def copy_project(folder):
    """The repository as it is now, without data and results."""
    ignored = shutil.ignore_patterns('.*', '__pycache__', '*.egg-info')
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, folder / path.name)


def install(row, python, folder, log, args):
    """Make the environment of a row."""
    must([python, '-m', 'venv', '--clear', folder / 'venv'], log, 600)
    inside = folder / 'venv/bin/python'
    pip = [inside, '-m', 'pip', '--disable-pip-version-check', 'install']
    wheel = args.mmcv_wheel and Path(args.mmcv_wheel).resolve()
    commands = recipe.install_commands(row, folder / 'project', wheel)
    for command in commands:
        must([*pip, '--progress-bar', 'off', *command], log, args.timeout)


def list_packages(inside):
    """Every installed distribution and its version."""
    command = [inside, '-m', 'pip', 'list', '--format=json']
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return {p['name']: p['version'] for p in json.loads(said.decode())}


def examine(inside, folder, log, args):
    """What doctor and the tests say of an environment."""
    report, junit = folder / 'doctor.json', folder / 'junit.xml'
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE='1')
    env.pop('PYTHONPATH', None)
    env.setdefault('OMP_NUM_THREADS', '1')
    options = dict(cwd=folder / 'project', env=env)
    doctor = [inside, 'tools/doctor.py', '--json', report]
    run(doctor, log, args.timeout, **options)
    found = dict(packages=list_packages(inside), doctor=read_doctor(report))
    if folder.joinpath('installed').exists():
        tests = [inside, '-m', 'pytest', '-m', args.select, '-p']
        tests += ['no:cacheprovider', f'--junit-xml={junit}']
        status = run(tests, log, args.timeout, **options)
        found['tests'] = read_junit(junit, status)
    return found


def run_row(row, python, args):
    """Install and examine a row; returns its result."""
    folder = args.work_dir / row['name']
    log = args.work_dir / f'{row["name"]}.log'
    kept = args.tests_only and (folder / 'installed').exists()
    if not kept:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log.write_text('')
        check_disk(row, folder)
    copy_project(folder / 'project')
    path, version = python
    result = dict(python=version)
    try:
        if not kept:
            install(row, path, folder, log, args)
            folder.joinpath('installed').touch()
    except RowFailedError as error:
        result['failed_step'] = str(error)
    inside = folder / 'venv/bin/python'
    if inside.exists():
        result.update(examine(inside, folder, log, args))
    if not args.keep:
        shutil.rmtree(folder)
    text = json.dumps(result)
    for place in (str(folder), str(ROOT), os.path.expanduser('~')):
        text = text.replace(place, '...')
    return json.loads(text)


def check_disk(row, folder):
    """End where the disk is too small for a row."""
    need, free = row.get('gigabytes', 3), shutil.disk_usage(folder).free / 1e9
    if free < need:
        sys.exit(f'error: {free:.0f} GB are free in {folder}; needs {need}')


def verdict(result):
    """A line for people."""
    if 'failed_step' in result:
        return f'not installed: {result["failed_step"][:300]}'
    tests = result['tests']
    doctor = 'healthy' if result['doctor']['can_train'] else 'ill'
    return (
        f'{tests["passed"]} passed, {len(tests["failed"])} failed, '
        f'{tests["skipped"]} skipped in {tests["seconds"]} s; '
        f'doctor: {doctor}'
    )


def is_good(result):
    """Whether a row is installed, healthy and without failed tests."""
    tests = result.get('tests', {})
    healthy = result.get('doctor', {}).get('can_train')
    return bool(healthy and tests.get('passed') and not tests['failed'])


def run_rows(rows, pythons, args):
    """All rows in turn; returns whether each is good."""
    good = True
    for row in rows:
        print(f'== {row["name"]}: {row["why"]}', flush=True)
        path = args.work_dir / f'{row["name"]}.json'
        hindrance = obstacle(row, pythons, args.mmcv_wheel)
        if hindrance:
            print(f'    not run: {hindrance}')
            continue
        python = pythons[row['python']]
        asked = fingerprint(row, python[1], args.select, args.mmcv_wheel)
        if args.again or not is_done(path, asked):
            result = run_row(row, python, args)
            result['date'] = datetime.date.today().isoformat()
            result['asked'] = asked
            path.write_text(json.dumps(result, indent=1) + '\n')
        result = json.loads(path.read_text())
        print(f'    {verdict(result)}', flush=True)
        good = good and is_good(result)
    return good


def main():
    """List, run, or write the tables."""
    args = parse_args()
    args.work_dir = args.work_dir.resolve()
    known = recipe.read_rows()
    rows = [known[name] for name in args.rows or known]
    if args.write_tables:
        tables.write(ROOT, args.work_dir, known)
        return
    pythons = find_pythons(args.python)
    if args.list:
        for row in rows:
            hindrance = obstacle(row, pythons, args.mmcv_wheel)
            print(f'{row["name"]:<36} {hindrance or row["why"]}')
        return
    args.work_dir.mkdir(parents=True, exist_ok=True)
    sys.exit(not run_rows(rows, pythons, args))


if __name__ == '__main__':
    main()
