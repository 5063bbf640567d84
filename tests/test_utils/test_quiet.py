"""Warnings and messages of others are not printed, those of this one are."""

import subprocess
import sys

import pytest
from helpers import ROOT

from swahr_mmpose.utils.quiet import hide_coco_messages

PROGRAM = """
import sys, warnings
{start}
def warn(name):
    code = compile('import warnings; warnings.warn("from " + __name__)',
                   name, 'exec')
    exec(code, dict(__name__=name))
with {context}:
    warn('pkg_resources')
    warn('swahr_mmpose.codecs.peaks')
warn('later.package')
"""


def run(*options, start, context='quiet.import_quietly()'):
    program = PROGRAM.format(start=start, context=context)
    return subprocess.run(
        [sys.executable, *options, '-c', program],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stderr


@pytest.fixture(scope='module')
def stand_alone():
    """The module without the package, which imports MMPose."""
    path = ROOT / 'swahr_mmpose/utils/quiet.py'
    return (
        'import importlib.util as u\n'
        f's = u.spec_from_file_location("quiet", {str(path)!r})\n'
        'quiet = u.module_from_spec(s); s.loader.exec_module(quiet)'
    )


def test_imports_are_quiet_and_what_follows_is_not(stand_alone):
    text = run(start=stand_alone)
    assert 'from pkg_resources' not in text
    assert 'from swahr_mmpose.codecs.peaks' in text
    assert 'from later.package' in text


def test_commands_print_no_warnings_of_others(stand_alone):
    start = f'{stand_alone}\nquiet.ignore_warnings_of_others()'
    text = run(start=start, context='open("/dev/null")')
    assert 'from pkg_resources' not in text
    assert 'from later.package' not in text
    assert 'from swahr_mmpose.codecs.peaks' in text


def test_options_of_python_take_precedence(stand_alone):
    text = run('-W', 'default', start=stand_alone)
    assert 'from pkg_resources' in text
    start = f'{stand_alone}\nquiet.ignore_warnings_of_others()'
    text = run('-W', 'default', start=start, context='open("/dev/null")')
    assert 'from pkg_resources' in text


def test_importing_the_package_prints_nothing():
    done = subprocess.run(
        [sys.executable, '-c', 'from swahr_mmpose.apis import Inferencer'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_the_stream_without_messages_is_the_stream_otherwise(capfd):
    stream = sys.stdout
    with hide_coco_messages():
        assert sys.stdout.encoding == stream.encoding
        subprocess.run(['echo', 'of a process'], stdout=sys.stdout)
    assert capfd.readouterr().out == 'of a process\n'


def test_a_program_without_standard_output_is_accepted(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', None)
    with hide_coco_messages():
        assert sys.stdout is None


def test_messages_of_pycocotools_are_hidden_and_other_lines_are_not(
    tmp_path, capsys
):
    from pycocotools.coco import COCO
    from xtcocotools.coco import COCO as XTCOCO

    path = tmp_path / 'a.json'
    path.write_text('{"images": [], "annotations": [], "categories": []}')
    COCO(str(path))
    assert 'loading annotations' in capsys.readouterr().out
    with hide_coco_messages():
        print('of a dataset class')
        COCO(str(path))
        XTCOCO(str(path))
        print('without an end', end='')
    print('; after')
    out = capsys.readouterr().out
    assert out == 'of a dataset class\nwithout an end; after\n'
