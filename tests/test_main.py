"""The command ``swahr`` and its subcommands."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT

from swahr_mmpose import __main__ as command
from swahr_mmpose import __version__


@pytest.fixture
def swahr(monkeypatch, capsys):
    """Run ``swahr`` in this process; return status, output and errors."""

    def call(*words):
        monkeypatch.setattr(sys, 'argv', ['/usr/bin/swahr', *words])
        monkeypatch.setattr(sys, 'path', list(sys.path))
        with pytest.raises(SystemExit) as exit_info:
            command.main()
        return (exit_info.value.code, *capsys.readouterr())

    return call


@pytest.mark.parametrize('name', command.COMMANDS)
def test_every_subcommand_has_help(swahr, name):
    if name == 'onnx serve':
        pytest.importorskip('onnxruntime')
    status, out, err = swahr(*name.split(), '--help')
    assert (status, err) == (0, '')
    assert out.startswith(f'usage: swahr {name} ')
    assert f'\n  swahr {name}' in out  # an example
    assert '%' not in out


@pytest.mark.parametrize('option', ['-h', '--help'])
def test_help_lists_all_subcommands(swahr, option):
    status, out, err = swahr(option)
    assert (status, err) == (0, '')
    assert out.startswith('usage: swahr COMMAND')
    for name, (_, summary) in command.COMMANDS.items():
        assert any(
            line.split('  ')[1:2] == [name] and line.endswith(f'  {summary}')
            for line in out.splitlines()
        )


def test_help_of_a_group_lists_its_subcommands(swahr):
    status, out, _ = swahr('dataset', '--help')
    assert status == 0
    assert 'dataset merge' in out
    assert 'onnx export' not in out


def test_version(swahr):
    assert swahr('--version') == (0, f'swahr_mmpose {__version__}\n', '')


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ([], 'error: no command'),
        (['trian', 'CONFIG'], "error: unknown command 'trian'"),
        (['--quick'], "error: unknown command '--quick'"),
        (['onnx'], "error: unknown command 'onnx'"),
        (['onnx', 'x'], "error: unknown command 'onnx x'"),
        (['onnx', '--version'], "error: unknown command 'onnx --version'"),
    ],
)
def test_an_unknown_command_exits_with_2_and_the_usage(swahr, words, message):
    status, out, err = swahr(*words)
    assert (status, out) == (2, '')
    assert err.startswith('usage: swahr COMMAND')
    assert message in err


IMPORTS = """
import sys
from swahr_mmpose import __main__ as command
for name in command.COMMANDS:
    sys.argv = ['swahr', *name.split(), '--help']
    try:
        command.main()
    except SystemExit as end:
        assert not end.code, end.code
    heavy = {'torch', 'mmengine', 'mmcv', 'mmpose', 'matplotlib'}
    print('imported:', name, sorted(heavy & set(sys.modules)))
"""


def test_help_imports_neither_torch_nor_openmmlab(tmp_path):
    (tmp_path / 'swahr').write_text(IMPORTS)
    done = subprocess.run(
        [sys.executable, tmp_path / 'swahr'],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    lines = [x for x in done.stdout.splitlines() if x[:9] == 'imported:']
    assert len(lines) == len(command.COMMANDS)
    assert not [line for line in lines if not line.endswith(' []')]


@pytest.mark.parametrize('words', [['train'], ['infer', '--nonsense', 'c']])
def test_usage_errors_need_no_torch(tmp_path, words):
    done = run_broken(tmp_path, '-m', 'swahr_mmpose', *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f'usage: python -m swahr_mmpose {words[0]}')


MODULES = [module for module, _ in command.COMMANDS.values() if module]
SCRIPTS = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / 'tools').rglob('*.py'))
    if any(f'swahr_mmpose.{m} import' in path.read_text() for m in MODULES)
]


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_of_commands_parse_before_they_import_torch(script):
    text = (ROOT / script).read_text()
    assert '__swahr_command__ = True' in text
    assert text.index('__swahr_command__') < text.index('from swahr_mmpose')


@pytest.mark.slow
def test_processes_that_a_command_starts_register_everything(tmp_path):
    (tmp_path / 'swahr').write_text(
        'import multiprocessing, sys\n'
        'from swahr_mmpose import IS_COMMAND\n'
        'def look():\n'
        '    import swahr_mmpose\n'
        '    print(swahr_mmpose.IS_COMMAND, "mmpose" in sys.modules)\n'
        'if __name__ == "__main__":\n'
        '    print(IS_COMMAND, "mmpose" in sys.modules)\n'
        '    sys.stdout.flush()\n'
        '    sys.argv[0] = "swahr train"\n'
        '    p = multiprocessing.get_context("spawn").Process(target=look)\n'
        '    p.start(); p.join()\n'
    )
    done = subprocess.run(
        [sys.executable, tmp_path / 'swahr'],
        env=dict(os.environ, PYTHONPATH=str(ROOT), PYTHONWARNINGS='ignore'),
        capture_output=True,
        text=True,
    )
    assert done.stdout == 'True False\nFalse True\n', done.stderr


def test_options_of_a_subcommand_are_checked_by_argparse(swahr):
    status, out, err = swahr('infer', '--nonsense')
    assert (status, out) == (2, '')
    assert err.startswith('usage: swahr infer ')


def run_broken(folder, *arguments):
    """Run Python where importing torch fails."""
    (folder / 'torch.py').write_text("raise RuntimeError('torch is broken')")
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=f'{folder}:{ROOT}'),
        capture_output=True,
        text=True,
    )


DOCTORS = {
    'module': (['-m', 'swahr_mmpose', 'doctor'], 'python -m swahr_mmpose'),
    'tool': (['tools/doctor.py'], 'python tools/doctor.py'),
}


@pytest.mark.slow
@pytest.mark.parametrize('doctor', DOCTORS)
def test_the_doctor_works_where_torch_does_not_import(tmp_path, doctor):
    arguments, program = DOCTORS[doctor]
    done = run_broken(tmp_path, *arguments)
    assert done.returncode == 1, done.stderr
    assert 'RuntimeError: torch is broken' in done.stdout
    assert 'SWAHR cannot train here' in done.stdout
    assert not done.stderr
    done = run_broken(tmp_path, *arguments, '--help')
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f'usage: {program}')


@pytest.mark.slow
def test_other_commands_report_the_broken_import(tmp_path):
    words = ['infer', 'CONFIG.py', 'CHECKPOINT', 'a.jpg']
    done = run_broken(tmp_path, '-m', 'swahr_mmpose', *words)
    assert done.returncode == 1
    assert 'torch is broken' in done.stderr


def test_a_script_runs_with_its_arguments(monkeypatch, tmp_path, capsys):
    (tmp_path / 'beside.py').write_text('VALUE = 7\n')
    (tmp_path / 'script.py').write_text(
        'import sys, beside\nprint(__name__, beside.VALUE, sys.argv)\n'
    )
    path = str(tmp_path / 'script.py')
    words = ['swahr', 'run', path, '--help', '-x', 'a b']
    monkeypatch.setattr(sys, 'argv', words)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
    command.main()
    expected = [path, '--help', '-x', 'a b']
    assert capsys.readouterr().out == f'__main__ 7 {expected}\n'


def test_a_missing_script_is_named(swahr, monkeypatch):
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
    status, _, _ = swahr('run', 'tools/nowhere.py')
    assert 'script tools/nowhere.py does not exist, neither here' in status


@pytest.mark.slow
@pytest.mark.parametrize(
    'script', ['tools/analysis_tools/get_flops.py', 'demo/inferencer_demo.py']
)
def test_scripts_of_mmpose_start_without_compiled_operators(script):
    program = 'import sys; sys.modules["mmcv._ext"] = None\n'
    program += 'from swahr_mmpose.__main__ import main; main()'
    done = subprocess.run(
        [sys.executable, '-c', program, 'run', script, '--help'],
        cwd=ROOT / 'tests',
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'usage: ' in done.stdout
