# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Which interpreters are here, and what hinders a row."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .recipe import read_rows

__all__ = ['find_pythons', 'obstacle']


def find_pythons(given):
    """Interpreters by version (``3.11``): those given, then the PATH's."""
    wanted = {row['python'] for row in read_rows().values()}
    on_path = [f'python{v}' for v in sorted(wanted)]
    found = {}
    for name in [*given, *on_path]:
        path = shutil.which(os.path.expanduser(name))
        ask = 'import sys; print("%d.%d.%d" % sys.version_info[:3])'
        said = ''
        if path:  # a shim of pyenv may be there for a Python that is not
            command = [path, '-c', ask]
            done = subprocess.run(command, capture_output=True, text=True)
            said = done.stdout.strip()
        if re.match(r'\d+\.\d+\.\d+$', said):
            found.setdefault(said.rpartition('.')[0], (path, said))
        elif name in given:
            sys.exit(f'error: --python {name} is no interpreter that runs')
    return found


def obstacle(row, pythons, wheel):
    """Why a row cannot be run here, or an empty text."""
    version = row['python']
    if version not in pythons:
        return f'no Python {version}; give --python PATH'
    if row['mmcv'] == 'mmcv':
        if not wheel:
            return 'no mmcv; give --mmcv-wheel FILE'
        if not Path(wheel).is_file():
            return f'no file {wheel}'
        tag = f'-cp{version.replace(".", "")}-'
        if tag not in Path(wheel).name:
            return f'{Path(wheel).name} is not for Python {version} ({tag})'
    return ''
