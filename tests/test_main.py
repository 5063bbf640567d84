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
        (['onnx'], "command 'onnx'; expected one of onnx export, onnx ev"),
        (['export'], "command 'export'; did you mean 'onnx export'?"),
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


SYNTHETIC = 'synthetic/swahr_higherhrnet-tiny_1xb2-14e_synthetic-192x192.py'
WRONG = {
    'infer': (2, 'expected a model and its inputs: NAME INPUT'),
    'infer photo.jpg': (2, 'expected a model and its inputs: NAME INPUT'),
    'infer higherhrnet-w32': (2, 'expected a model and its inputs'),
    'infer a.jpg b.jpg': (1, 'a.jpg is an image, expected a model'),
    'infer nonsense README.md': (1, "no model or config 'nonsense'"),
    'infer higherhrnet-w32 a.jpg': (1, 'input a.jpg does not exist'),
    'infer higherhrnet-w32 docs --every 0': (1, '--every is 0, expected 1'),
    'infer higherhrnet-w32 docs --out-file a': (1, 'ends with .json'),
    'infer higherhrnet-w32 docs --no-fill --draw-filled': (1, 'use one of'),
    f'infer {SYNTHETIC} a.pth docs': (1, 'checkpoint a.pth does not exist'),
    'serve': (2, 'expected a model: a name of "swahr fetch"'),
    'serve photo.jpg': (1, 'photo.jpg is no model; start the page with'),
    'serve a.onnx': (1, 'model file a.onnx does not exist'),
    'serve a.onnx b.pth': (1, 'a.onnx needs no checkpoint'),
    'serve a.onnx --device cuda': (1, '--device has no effect'),
    'serve a.onnx --port 99999': (1, '--port is 99999, expected 0 to'),
    'serve higherhrnet-w32 --threads 0': (1, '--threads is 0, expected 1'),
    'fetch higherhrnet-w23': (1, "did you mean 'higherhrnet-w32'?"),
    'fetch swahr-w32 --file a.pth': (1, 'published file a.pth does not'),
    'fetch --file a.pth': (1, 'no name for a.pth, expected `swahr fetch'),
    'train absent.py': (1, 'config absent.py does not exist'),
    'dataset new a.json --img-dir docs': (1, 'file a.json does not exist'),
    'train absent.py --work_dir a': (2, 'did you mean --work-dir?'),
    f'test {SYNTHETIC} a.pth': (1, 'checkpoint a.pth does not exist'),
    f'visualize {SYNTHETIC} a.pth': (1, 'checkpoint a.pth does not exist'),
    f'overfit {SYNTHETIC} --ann-file a.json': (
        1,
        'annotation file a.json does not exist; give another',
    ),
    f'overfit {SYNTHETIC} --max-images 0': (2, 'expected a number of images'),
    # Only commands whose checkpoint is optional accept a short name.
    'train higherhrnet-w32': (1, 'config higherhrnet-w32 does not exist'),
    'visualize higherhrnet-w32 a.pth': (1, 'checkpoint a.pth does not exist'),
    'scales higherhrnet-w33': (1, "did you mean 'higherhrnet-w32'"),
    f'dataset check {SYNTHETIC} --img-dir .': (1, '--img-dir is for annotati'),
    'dataset check': (2, 'expected an annotation file with --img-dir, or a c'),
    'onnx page a.pth --ort-dir .': (1, '`swahr onnx export CONFIG a.pth`'),
    f'onnx export {SYNTHETIC}': (1, f'no checkpoint for {SYNTHETIC}'),
    f'onnx evaluate {SYNTHETIC} a.onnx': (1, 'file a.onnx does not exist'),
    'convert a.pth b.pth': (1, 'checkpoint a.pth does not exist'),
    'publish a.pth b.pth': (1, 'checkpoint a.pth does not exist'),
}
CALLS = """
import sys
from swahr_mmpose import __main__ as command
for words in {calls!r}:
    sys.argv = ['swahr', *words.split()]
    try:
        command.main()
        end = 0
    except SystemExit as error:
        end = error.code
    status, text = (end, '') if isinstance(end, int) else (1, end)
    print('called:', words, '|', status, '|', text, file=sys.stderr)
print(sorted({{'torch', 'mmengine', 'mmpose'}} & set(sys.modules)))
"""


def test_wrong_arguments_are_reported_without_torch(tmp_path):
    (tmp_path / 'swahr').write_text(CALLS.format(calls=list(WRONG)))
    done = subprocess.run(
        [sys.executable, tmp_path / 'swahr'],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, '[]\n'), done.stderr
    before = done.stderr.split('called: ')
    for number, (words, (status, message)) in enumerate(WRONG.items()):
        line = before[number + 1].splitlines()[0]
        assert line.startswith(f'{words} | {status} | ')
        assert message in (line if status == 1 else before[number]), words
        assert status == 1 or 'usage: swahr ' in before[number]


def test_models_are_listed_without_torch(tmp_path):
    (tmp_path / 'swahr').write_text(CALLS.format(calls=['fetch']))
    done = subprocess.run(
        [sys.executable, tmp_path / 'swahr'],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert 'higherhrnet-w32 ' in done.stdout
    assert done.stdout.endswith('\n[]\n')


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


TOOLS = sorted(
    str(path.relative_to(ROOT))
    for folder in ('', 'analysis_tools', 'dataset_tools', 'deployment')
    for path in (ROOT / 'tools' / folder).glob('*.py')
    if path.name != 'doctor_checks.py'
)
HELP = """
import runpy, sys
for name in ('torch', 'mmengine', 'mmpose', 'matplotlib'):
    sys.modules[name] = None
path = list(sys.path)
for tool in sys.argv[1:]:
    for name in [n for n in sys.modules if n.split('.')[0] == 'swahr_mmpose']:
        del sys.modules[name]
    folder = tool.rpartition('/')[0]
    sys.path, sys.argv = [folder, *path], [tool, '--help']
    try:
        runpy.run_path(tool, run_name='__main__')
    except SystemExit as end:
        assert not end.code, (tool, end.code)
"""


def test_help_of_every_tool_needs_no_torch():
    done = subprocess.run(
        [sys.executable, '-c', HELP, *TOOLS],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.count('usage: ') == len(TOOLS)


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
    config = next((ROOT / 'configs/synthetic').glob('swahr_*.py'))
    (tmp_path / 'a.pth').touch()
    words = ['infer', str(config), str(tmp_path / 'a.pth'), str(tmp_path)]
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


def test_run_requires_a_script_alone(swahr, monkeypatch):
    monkeypatch.setattr(sys, 'excepthook', sys.excepthook)
    status, _, err = swahr('run')
    assert status == 2
    assert 'error: expected a script: SCRIPT [ARGUMENTS ...]' in err
    assert 'required' not in err


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
