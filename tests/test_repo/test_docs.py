"""Commands of the documentation, its API pages, and the build."""

import ast
import os
import re
import shutil
import subprocess
import sys

import pytest
from helpers import ROOT

DOCS = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Mark above each block of commands: whether the test runs it, perhaps with
# more arguments, and if not, why.
MARK = re.compile(r'<!-- (run|run with: .+|GPU|full data.*|manual: .+) -->')
PLAIN = re.compile(r'^ {4}(?:python|bash|pip|[A-Z]+=)\b.*', re.MULTILINE)
BLOCK = re.compile(r'([^\n]*)\n```bash\n(.*?)```', re.DOTALL)
# Pages that write files for the others.
RUN_FIRST = ['tutorial']
# Modules without a page: commands are documented by --help.
NOT_PUBLIC = re.compile(r'(^|\.)_|commands\.|^inference$|^runtime$')

# Values in a quoted message, and ends of its parts.
VALUE = re.compile(
    r"\.\.\.|\bN\b|\d+|True|False|loss_kpt\.0|'[^']*'?|\([^)]*\)|\[[^\]]*\]"
    r'|[;,:] '
)


def find_blocks(path):
    """Marks and commands of a page."""
    return BLOCK.findall(path.read_text())


def make_script(path):
    """Commands of a page that the test runs, as one script."""
    lines = ['set -euo pipefail']
    for mark, commands in find_blocks(path):
        match = MARK.fullmatch(mark)
        if match and match[1].startswith('run'):
            more = match[1].partition(': ')[2]
            lines.append(f'{commands.strip()} {more}')
    return '\n'.join(lines) + '\n'


PAGES = [p for p in DOCS if make_script(p).count('\n') > 1]
PAGES.sort(key=lambda p: (p.stem not in RUN_FIRST, p.stem))


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """A folder like a fresh clone, with its own data and results."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools', 'swahr_mmpose', 'docs', 'setup.py'):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize('path', DOCS, ids=lambda p: p.stem)
def test_every_command_is_run_or_says_why_not(path):
    unmarked = [c for mark, c in find_blocks(path) if not MARK.fullmatch(mark)]
    assert not unmarked
    assert not PLAIN.findall(BLOCK.sub('', path.read_text()))


@pytest.mark.parametrize('path', DOCS, ids=lambda p: p.stem)
def test_scripts_in_commands_exist(path):
    commands = ' '.join(c for _, c in find_blocks(path))
    scripts = set(re.findall(r'tools/[\w/]+\.(?:py|sh)', commands))
    assert not [s for s in scripts if not (ROOT / s).is_file()]


def test_api_pages_list_every_public_module():
    package = ROOT / 'swahr_mmpose'
    names = {
        '.'.join(p.relative_to(package).with_suffix('').parts)
        for p in package.rglob('*.py')
        if '.mim' not in p.parts
    }
    public = {n for n in names if not NOT_PUBLIC.search(n)}
    listed = []
    for page in (ROOT / 'docs/api').glob('*.md'):
        listed += re.findall(
            r'^   ~swahr_mmpose\.(\S+)$', page.read_text(), re.M
        )
    assert sorted(listed) == sorted(public)


def test_registered_names_are_explained():
    page = (ROOT / 'docs/how_it_works.md').read_text()
    names = []
    for path in (ROOT / 'swahr_mmpose').rglob('*.py'):
        names += re.findall(
            r'register_module\(.*\)\nclass (\w+)', path.read_text()
        )
    assert len(names) > 10
    assert not [n for n in names if f'`{n}`' not in page]


def read_messages():
    """Text of the package: its string literals, without placeholders."""
    for path in (ROOT / 'swahr_mmpose').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(v, 'value', '') for v in node.values)
                yield '\0'.join(p for p in parts if isinstance(p, str))
            elif isinstance(node, ast.Constant):
                yield str(node.value)


def test_quoted_messages_are_in_the_source():
    page = (ROOT / 'docs/troubleshooting.md').read_text()
    ours = page[page.index('## Configs') : page.index('## Warnings')]
    # The text in backticks before the first colon outside of it.
    quoted = re.findall(
        r'^\* ((?:[^`:]*`[^`]*`)+?)[^`:]*:', ours.replace('\n  ', ' '), re.M
    )
    fragments = set()
    for message in re.findall(r'`([^`]+)`', ' '.join(quoted)):
        parts = re.split(VALUE, message)
        fragments |= {part for part in parts if len(part) > 3}
    text = '\n'.join(read_messages())
    assert len(fragments) > 10
    assert not [f for f in fragments if f not in text]


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
        [bash, '-c', make_script(path)],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.slow
def test_the_documentation_is_built_without_a_warning(tmp_path):
    source = tmp_path / 'clone'
    source.mkdir()
    for path in ROOT.iterdir():
        if path.name != 'docs' and not path.name.startswith('.'):
            (source / path.name).symlink_to(path)
    # A copy: autosummary writes its pages into the source folder.
    ignored = shutil.ignore_patterns('_build', 'generated')
    shutil.copytree(ROOT / 'docs', source / 'docs', ignore=ignored)
    command = [sys.executable, '-m', 'sphinx', '--fail-on-warning']
    done = subprocess.run(
        [*command, '--keep-going', '-q', 'docs', str(tmp_path / 'html')],
        cwd=source,
        env=dict(os.environ, PYTHONWARNINGS='ignore'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'html/index.html').is_file()
