"""What is built can be installed, and mim finds configs and tools in it."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from helpers.tools import CONFIG, LEAVES
from mmengine.config import Config

BUILD = """
from setuptools import build_meta
build_meta.build_{kind}({folder!r})
"""


def run(*command, cwd, **variables):
    result = subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        env=variables or None,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def build(kind, source, folder):
    folder.mkdir(exist_ok=True)
    script = BUILD.format(kind=kind, folder=str(folder))
    run(sys.executable, '-W', 'ignore', '-c', script, cwd=source)


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """The package, installed from a wheel, made from a source archive."""
    folder = tmp_path_factory.mktemp('packaging')
    copy = folder / 'copy'
    copy.mkdir()
    files = run(
        'git', 'ls-files', '-co', '--exclude-standard', cwd=ROOT
    ).split('\n')
    present = [f for f in files if f and (ROOT / f).is_file()]
    subprocess.run(
        ['cp', '--parents', *present, str(copy)], cwd=ROOT, check=True
    )
    build('sdist', copy, folder / 'sdist')
    (archive,) = (folder / 'sdist').iterdir()
    with tarfile.open(archive) as content:
        content.extractall(folder / 'source')
    (source,) = (folder / 'source').iterdir()
    build('wheel', source, folder / 'wheel')
    (wheel,) = (folder / 'wheel').iterdir()
    target = folder / 'site'
    run(
        sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps',
        '--no-index', '--target', str(target), str(wheel), cwd=folder,
    )  # fmt: skip
    return target


@pytest.mark.slow
def test_configs_tools_and_index_are_where_mim_looks(installed):
    mim = installed / 'swahr_mmpose/.mim'
    index = yaml.safe_load((mim / 'model-index.yml').read_text())
    for path in index['Import']:
        for model in yaml.safe_load((mim / path).read_text())['Models']:
            assert (mim / model['Config']).is_file()
    for path in LEAVES:
        Config.fromfile(mim / path)
    tools = {str(p.relative_to(ROOT)) for p in (ROOT / 'tools').rglob('*.py')}
    shipped = {str(p.relative_to(mim)) for p in mim.rglob('tools/**/*.py')}
    assert shipped == {t for t in tools if not t.startswith('tools/dev/')}
    assert (installed / 'swahr_mmpose/py.typed').is_file()


@pytest.mark.slow
def test_an_installed_tool_runs_outside_the_repository(installed, tmp_path):
    tool = (
        installed / 'swahr_mmpose/.mim/tools/deployment/convert_checkpoint.py'
    )
    script = (
        f'import sys; sys.path.insert(0, {str(installed)!r}); '
        f'import swahr_mmpose; print(swahr_mmpose.__file__); '
        f'import runpy; sys.argv = ["x", "--help"]; '
        f'runpy.run_path({str(tool)!r}, run_name="__main__")'
    )
    said = run(sys.executable, '-W', 'ignore', '-c', script, cwd=tmp_path)
    assert said.startswith(str(installed))
    assert re.search(r'--to \{.*\bofficial\b.*\}', said)


@pytest.mark.slow
def test_the_swahr_command_trains_outside_the_repository(
    installed, synthetic, tmp_path
):
    """With the wheel first on the path: config, training, inference."""
    variables = dict(
        os.environ,
        PYTHONPATH=str(installed),
        PYTHONWARNINGS='ignore',
        OMP_NUM_THREADS='1',
    )

    def swahr(*words):
        command = [sys.executable, installed / 'bin/swahr', *words]
        return run(*map(str, command), cwd=tmp_path, **variables)

    assert 'SWAHR can train here' in swahr('doctor')
    name = Path(CONFIG).name
    swahr(
        'train', f'synthetic/{name}', '--work-dir', 'run', '--no-validate',
        '--cfg-options', 'train_cfg.max_epochs=1',
        'param_scheduler.1.end=2', 'default_hooks.checkpoint.interval=1',
        f'train_dataloader.dataset.data_root={synthetic}/',
    )  # fmt: skip
    images = str(synthetic / 'images/val')
    swahr(
        'infer', f'synthetic/{name}', 'run/epoch_1.pth', images,
        '--out-file', 'people.json', '--device', 'cpu',
    )  # fmt: skip
    assert (tmp_path / 'people.json').is_file()
