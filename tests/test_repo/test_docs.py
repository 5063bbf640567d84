"""The commands of the documentation, run as they are written."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

DOCS = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Above each block of commands: whether it is run, perhaps with more
# arguments, and if not, why not.
MARK = re.compile(r'<!-- (run|run with: .+|GPU|full data.*|by hand: .+) -->')
PLAIN = re.compile(r'^ {4}(?:python|bash|pip|[A-Z]+=)\b.*', re.MULTILINE)
BLOCK = re.compile(r'([^\n]*)\n```bash\n(.*?)```', re.DOTALL)
# In this order; later ones use what earlier ones made.
RUN_FIRST = ['tutorial']


def blocks(path):
    """Marks and commands of a page."""
    return BLOCK.findall(path.read_text())


def script_of(path):
    """What of a page is run, as one script."""
    lines = ['set -euo pipefail']
    for mark, commands in blocks(path):
        found = MARK.fullmatch(mark)
        if found and found[1].startswith('run'):
            more = found[1].partition(': ')[2]
            lines.append(f'{commands.strip()} {more}')
    return '\n'.join(lines) + '\n'


PAGES = [p for p in DOCS if script_of(p).count('\n') > 1]
PAGES.sort(key=lambda p: (p.stem not in RUN_FIRST, p.stem))


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A folder like the repository, in which data and results are new."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools', 'swahr_mmpose', 'docs', 'setup.py'):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize('path', DOCS, ids=lambda p: p.stem)
def test_every_command_is_run_or_says_why_not(path):
    unmarked = [c for mark, c in blocks(path) if not MARK.fullmatch(mark)]
    assert not unmarked
    assert not PLAIN.findall(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize('path', PAGES, ids=lambda p: p.stem)
def test_commands_do_what_the_page_says(path, clone):
    scripts = os.path.dirname(sys.executable)
    env = dict(
        os.environ,
        PATH=os.pathsep.join([scripts, os.environ['PATH']]),
        OMP_NUM_THREADS='1',
        PYTHONWARNINGS='ignore',
    )
    bash = shutil.which('bash')
    done = subprocess.run(
        [bash, '-c', script_of(path)],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.slow
def test_the_documentation_is_built_without_a_warning(tmp_path):
    command = [sys.executable, '-m', 'sphinx', '--fail-on-warning']
    done = subprocess.run(
        [*command, '--keep-going', '-q', 'docs', str(tmp_path)],
        cwd=ROOT,
        env=dict(os.environ, PYTHONWARNINGS='ignore'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'index.html').is_file()
