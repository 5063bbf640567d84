"""The installation script, with an interpreter that installs nothing."""

import os
import subprocess

import pytest
from helpers import ROOT

# Records its calls; `-m venv` makes a folder, as the module does.
PYTHON = """#!/usr/bin/env bash
case "$1 ${2:-}" in
"-m venv")
    echo "venv ${*:3}" >> "$LOG"
    rm -rf "$4" && mkdir -p "$4/bin"
    cp "$0" "$4/bin/python" && touch "$4/bin/activate" ;;
"-m pip") echo "pip ${*:4}" >> "$LOG"; exit "${STATUS:-0}" ;;
"-c import sys"*) echo "${VERSION:-3.11}" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with what the script reads."""
    folder = tmp_path / 'checkout'
    for name in ('tools/dev', 'requirements', 'bin'):
        (folder / name).mkdir(parents=True)
    script = folder / 'tools/dev/setup_venv.sh'
    script.write_bytes((ROOT / 'tools/dev/setup_venv.sh').read_bytes())
    for name in ('requirements/pinned.txt', 'setup.py'):
        (folder / name).write_text('first\n')
    (folder / 'bin/python3').write_text(PYTHON)
    (folder / 'bin/python3').chmod(0o755)
    return folder


def install(folder, **variables):
    """Run the script; return its exit status and the recorded calls."""
    log = folder / 'log'
    log.write_text('')
    env = dict(os.environ, LOG=str(log), **variables)
    env['PATH'] = f'{folder / "bin"}:{env["PATH"]}'
    for name in {'PYTHON', 'TORCH', 'TORCH_INDEX_URL'} - set(variables):
        env.pop(name, None)
    done = subprocess.run(
        ['bash', folder / 'tools/dev/setup_venv.sh'],
        env=env,
        capture_output=True,
        text=True,
    )
    return done.returncode, log.read_text().splitlines()


def add_file(folder):
    """Add a file to the environment, which is lost if it is made again."""
    path = folder / '.venv/mine'
    path.touch()
    return path


@pytest.mark.parametrize(('argument', 'status'), [('--help', 0), ('x', 2)])
def test_arguments_do_not_start_the_installation(checkout, argument, status):
    done = subprocess.run(
        ['bash', checkout / 'tools/dev/setup_venv.sh', argument],
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert 'TORCH_INDEX_URL' in done.stdout
    assert done.stdout.rstrip().endswith('a training that uses it goes on.')
    assert ('got the argument x' in done.stderr) == (status == 2)
    assert not list(checkout.glob('.venv*'))


def test_an_environment_is_made_once(checkout):
    status, calls = install(checkout)
    assert status == 0
    assert calls[0] == f'venv --clear {checkout}/.venv'
    assert any('torch==' in call for call in calls)
    assert calls[-1].endswith(f'-e {checkout}')
    assert install(checkout) == (0, [])


@pytest.mark.parametrize('name', ['requirements/pinned.txt', 'setup.py'])
def test_new_requirements_are_installed_without_clearing(checkout, name):
    _, made = install(checkout)
    mine = add_file(checkout)
    (checkout / name).write_text('second\n')
    assert install(checkout) == (0, made[1:])
    assert mine.exists()
    assert install(checkout) == (0, [])


def test_an_update_that_fails_is_repeated(checkout):
    install(checkout)
    mine = add_file(checkout)
    (checkout / 'setup.py').write_text('second\n')
    assert install(checkout, STATUS='1')[0] == 1
    assert mine.exists()
    assert len(install(checkout)[1]) > 1
    assert mine.exists()


def test_a_variable_that_is_not_set_keeps_its_value(checkout):
    index = 'https://host.invalid/cpu'
    install(checkout, TORCH='torch==2.8.0', TORCH_INDEX_URL=index)
    assert install(checkout) == (0, [])
    (checkout / 'setup.py').write_text('second\n')
    _, calls = install(checkout, VERSION='3.12')
    assert [c for c in calls if 'torch==2.8.0' in c and index in c]
    assert not [c for c in calls if c.startswith('venv')]


@pytest.mark.parametrize('torch', ['torch==2.13.0', 'torch==2.8.0'])
def test_an_environment_of_an_earlier_version_keeps_its_torch(checkout, torch):
    install(checkout)
    mine = add_file(checkout)
    stamp = checkout / '.venv/.complete'
    stamp.write_text(f'1 2 python3 {torch} https://host.invalid/cpu\n')
    _, calls = install(checkout)
    index = 'https://host.invalid/cpu'
    assert [c for c in calls if torch in c and index in c]
    assert mine.exists()
    assert install(checkout) == (0, [])


def test_another_value_makes_it_again(checkout):
    install(checkout)
    mine = add_file(checkout)
    _, calls = install(checkout, TORCH='torch==2.8.0')
    assert calls[0].startswith('venv --clear')
    assert not mine.exists()


def test_an_environment_without_its_interpreter_is_made_again(checkout):
    install(checkout)
    (checkout / '.venv/bin/python').unlink()
    assert install(checkout)[1][0].startswith('venv --clear')


def test_an_installation_that_failed_is_begun_again(checkout):
    assert install(checkout, STATUS='1')[0] == 1
    assert install(checkout)[1][0].startswith('venv --clear')


def test_another_version_of_python_is_refused(checkout):
    assert install(checkout, VERSION='3.12') == (1, [])
    assert not (checkout / '.venv').exists()
