# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What is installed for a row of the matrix: pip's arguments, in order.

A row is a dict of ``rows.json``: ``name``, ``why``, ``python`` (3.11), and as
requirements ``torch``, ``numpy``, ``opencv`` and a list ``more``; ``mmcv`` is
mmcv-lite or mmcv; ``pinned`` takes the versions of tools/requirements*.txt,
which are for Python 3.11, else each Python gets the newest that it can have;
``build`` lists what is compiled against the installed NumPy; ``gigabytes`` of
disk are needed; ``note`` is told below the tables.
"""

import json
import re
from pathlib import Path

__all__ = ['TOOLS', 'install_commands', 'read_rows', 'requirements']

TOOLS = Path(__file__).resolve().parent.parent
SETUPTOOLS = 'setuptools>=64,<81'  # later ones have no pkg_resources
NOT_FOR_TESTS = ('furo', 'mypy', 'myst-parser', 'ruff', 'sphinx')
# Whatever the Python: another release of these is another program.
ALWAYS_PINNED = ('munkres', 'mmdet', 'mmengine', 'mmpose')


def read_rows():
    """The rows, by name."""
    rows = json.loads((TOOLS / 'stacks/rows.json').read_text())
    return {row['name']: row for row in rows}


def requirements(file, row):
    """Lines of tools/``file`` that the tests need, as the row asks for them.

    Args:
        file (str): ``requirements.txt`` or ``requirements-openmmlab.txt``.
        row (dict): a row of ``rows.json``.

    Returns:
        list[str]: ``name==version``, or ``name`` alone.  NumPy is as the row
        says, and OpenCV if it says, else what goes with that NumPy.
    """
    found = []
    for line in (TOOLS / file).read_text().splitlines():
        line = line.partition('#')[0].strip()
        name = re.split('[=<>]', line)[0]
        if not name or name in NOT_FOR_TESTS:
            continue
        if name == 'numpy':
            line = row['numpy']
        elif name == 'opencv-python-headless' and 'opencv' in row:
            line = row['opencv']
        elif not row.get('pinned') and name not in ALWAYS_PINNED:
            line = name
        found.append(line)
    return found


def install_commands(row, project, mmcv_wheel=None):
    """What follows ``pip install``, command by command.

    Args:
        row (dict): a row of ``rows.json``.
        project (Path): the copy of the repository to install.
        mmcv_wheel (str): file of the full mmcv, for rows that have it.
    """
    build = row.get('build', [])
    plain = requirements('requirements-openmmlab.txt', row)
    built = [r for r in plain if re.split('=', r)[0] in build]
    plain = [r for r in plain if r not in built]
    here = ['--no-deps', '--no-build-isolation']
    commands = [
        [SETUPTOOLS, 'wheel'],
        ['--no-cache-dir', row['torch'], row['numpy'], SETUPTOOLS]
        + row.get('more', []),
        [*requirements('requirements.txt', row), row['torch'], SETUPTOOLS],
        ['--no-deps', *plain],
    ]
    if built:
        commands.append(['cython'])
        for name in built:
            binary = re.split('=', name)[0]
            build = ['--no-cache-dir', '--no-binary', binary, name]
            commands.append([*here, *build])
    if row['mmcv'] == 'mmcv':
        commands.append(['--no-deps', str(mmcv_wheel)])
    else:
        commands.append([*here, 'mmcv-lite==2.1.0'])
    commands.append([*here, '--editable', str(project)])
    return commands
