"""The doctor reports each conflict and nothing else."""

import ast
import copy
import importlib.util
import json
import os
import subprocess
import sys

import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
spec = importlib.util.spec_from_file_location(
    'doctor', ROOT / 'tools/doctor.py'
)
doctor = importlib.util.module_from_spec(spec)
spec.loader.exec_module(doctor)
environment = doctor.doctor_checks

OK = dict(ok=True, version='1.0')
LITE = '--no-deps --no-build-isolation mmcv-lite==2.1.0'
SWAP = f'pip uninstall -y mmcv mmcv-lite onedl-mmcv && pip install {LITE}'
ONE = f'pip uninstall -y mmcv mmcv-lite && pip install {LITE}'
FRESH = 'PYTHON=python3.11 bash tools/dev/setup_venv.sh'
TORCH = "'torch>=2.0' 'setuptools<81'"
AGAIN = 'pip install --force-reinstall'
VERSIONS = {
    'setuptools': '80.10.2', 'numpy': '1.26.4', 'torch': '2.13.0',
    'torchvision': '0.28.0', 'opencv-python': '4.11.0.86', 'munkres': '1.1.4',
    'pycocotools': '2.0.11', 'xtcocotools': '1.14.3', 'mmengine': '0.10.7',
    'mmcv': '2.1.0', 'mmdet': '3.3.0', 'mmpose': '1.3.2', 'chumpy': None,
    'swahr_mmpose': '0.1.0'
}  # fmt: skip
MMCV = {'mmdet': ('2.0.0rc4', '2.2.0'), 'mmpose': ('2.0.0rc4', '3.0.0')}
HEALTHY = dict(
    python=[3, 11, 7],
    versions=VERSIONS,
    imports={
        **{module: OK for module in doctor.MODULES},
        'torch': dict(OK, cuda='12.8', gpus=['Big GPU']),
    },
    bounds={'mmcv': MMCV, **doctor.BOUNDS},
    nvidia_driver=True,
)


def change(versions=(), errors=(), **others):
    """Healthy facts with other versions, and modules that fail."""
    facts = copy.deepcopy(HEALTHY)
    facts.update(others)
    facts['versions'].update(versions)
    for module, error in dict(errors).items():
        facts['imports'][module] = dict(ok=False, error=error)
    return facts


def sees(**torch):
    facts = change(nvidia_driver=torch.pop('nvidia_driver', True))
    facts['imports']['torch'].update(torch)
    return facts


def absent(name):
    return f"ModuleNotFoundError: No module named '{name}'"


ABI = 'ValueError: numpy.dtype size changed, may indicate binary incompat'
NMS = 'RuntimeError: operator torchvision::nms does not exist'
SYMBOL = 'ImportError: _ext.so: undefined symbol: _ZNK3c10'
KERNEL = 'RuntimeError: CUDA error: no kernel image is available'
INCOMPATIBLE = 'AssertionError: MMCV==2.2.0 is used but incompatible.'
VISION = 'torchvision.transforms'
MASK = 'xtcocotools.mask'
OURS = 'swahr_mmpose'
# What is changed; the one conflict: severity, words of it, command.
CONFLICTS = {
    'Python 3.7': (
        dict(python=[3, 7, 17], versions={}, imports={}),
        'error', 'Python 3.7.17', FRESH),
    'Python 3.13': (
        change(python=[3, 13, 0]),
        'warning', 'Python 3.13.0', FRESH),
    'no pkg_resources': (
        change({'setuptools': '82.0.0'},
               {m: absent('pkg_resources') for m in ('pkg_resources', OURS)}),
        'error', 'setuptools 82.0.0 does not import',
        f"{AGAIN} --no-deps 'setuptools<81'"),
    'xtcocotools for numpy 1': (
        change({'numpy': '2.4.6', 'opencv-python': '4.13.0.90'},
               {MASK: ABI, OURS: ABI}),
        'error', 'xtcocotools 1.14.3 does not import: ValueError: numpy.dtype',
        "pip install 'numpy<2' 'opencv-python<4.12'"),
    'xtcocotools broken otherwise': (
        change({}, {MASK: 'OSError: half a file'}),
        'error', 'half a file', f'{AGAIN} --no-deps xtcocotools'),
    'numpy broken, and all that needs it': (
        change({}, dict.fromkeys(['numpy', 'torch', 'cv2'], 'ImportError: x')),
        'error', 'numpy 1.26.4 does not import',
        f"{AGAIN} --no-deps 'numpy<2'"),
    'torch broken': (
        change({}, {'torch': 'OSError: libcudnn', VISION: 'OSError'}),
        'error', 'torch 2.13.0 does not import: OSError: libcudnn',
        f'{AGAIN} {TORCH}'),
    'mmengine without something of its own': (
        change({}, {'mmengine': absent('yaml')}),
        'error', "No module named 'yaml'", 'pip install pyyaml'),
    'operators of another torch': (
        change({}, {'mmcv._ext': SYMBOL, OURS: SYMBOL}),
        'error', 'undefined symbol', SWAP),
    'both mmcv and mmcv-lite': (
        change({'mmcv-lite': '2.1.0'}),
        'warning', 'mmcv and mmcv-lite are installed in one folder', ONE),
    'mmcv broken': (
        change({}, {'mmcv': 'ImportError: x', 'mmcv._ext': 'ImportError: x'}),
        'error', 'mmcv 2.1.0 does not import', SWAP),
    'mmcv too new for mmdet': (
        change({'mmcv': '2.2.0'}, {'mmdet': INCOMPATIBLE, OURS: INCOMPATIBLE}),
        'error', 'mmcv 2.2.0', SWAP),
    'mmcv too new for an old mmdet': (
        change(bounds={'mmcv': {'mmdet': ('2.0.0rc4', '2.1.0')}}),
        'error', 'mmcv 2.1.0',
        "pip install --no-deps 'mmcv>=2.0.0rc4,<2.1.0'"),
    'mmcv too old for mmpose': (
        change({'mmcv': '1.7.1'}, bounds={'mmcv': {'mmpose': MMCV['mmpose']}}),
        'error', 'mmcv 1.7.1', SWAP),
    'mmpose of the old series': (
        change({'mmpose': '0.29.0'}, {OURS: 'ImportError: x'}),
        'error', 'mmpose 0.29.0',
        "pip install --no-deps 'mmpose>=1.3.0,<1.4.0'"),
    'torch 1 with torchvision': (
        change({'torch': '1.13.1'}),
        'error', 'torch 1.13.1',
        f'pip install --upgrade {TORCH} torchvision'),
    'torch 1': (
        change({'torch': '1.13.1', 'torchvision': None}),
        'error', 'torch 1.13.1', f'pip install --upgrade {TORCH}'),
    'torch 1 in an old Python': (
        change({'torch': '1.13.1'}, python=[3, 8, 20]),
        'error', 'torch 1.13.1', FRESH),
    'torchvision of another torch': (
        change({'torchvision': '0.20.1'}, {VISION: NMS}),
        'warning', 'torchvision 0.20.1 does not import beside torch 2.13.0',
        "pip install 'torchvision==0.28.*'"),
    'torchvision of another build': (
        change({'torch': '2.13.0+cpu'}, {VISION: NMS}),
        'warning', '0.28.0 does not import beside torch 2.13.0+cpu',
        'pip uninstall -y torchvision'),
    'torch for the CPU beside a driver': (
        sees(cuda=None, gpus=[]),
        'warning', 'sees no GPU', f'{AGAIN} {TORCH}'),
    'a driver that serves no GPU': (
        sees(cuda='12.8', gpus=[]),
        'warning', 'sees no GPU', 'nvidia-smi'),
    'torch that is not built for the GPU': (
        change({}, {'torch.cuda': KERNEL}),
        'error', 'Big GPU does not compute', f'{AGAIN} {TORCH}'),
    'a GPU that is taken': (
        change({}, {'torch.cuda': 'OutOfMemoryError: CUDA out of memory'}),
        'error', 'Big GPU does not compute', 'nvidia-smi'),
    'the plugin is not installed': (
        change({OURS: None}, {OURS: absent(OURS)}),
        'error', 'no swahr_mmpose', 'pip install --no-deps -e .'),
    'a package that no check knows is missing': (
        change({}, {OURS: absent('shapely')}),
        'error', "No module named 'shapely'", 'pip install shapely'),
    'a failure that no check knows': (
        change({}, {OURS: 'TypeError: x'}),
        'error', 'swahr_mmpose does not import: TypeError: x', FRESH),
}  # fmt: skip
MISSING = {
    'pkg_resources': "'setuptools<81'", 'numpy': "'numpy<2'", 'torch': TORCH,
    'cv2': "'opencv-python-headless<4.12'", 'munkres': 'munkres==1.1.4',
    'pycocotools.mask': '--no-deps pycocotools',
    'xtcocotools.mask': '--no-deps xtcocotools',
    'mmengine': "mmengine==0.10.7 'opencv-python<4.12'", 'mmcv': LITE,
    'mmdet': '--no-deps mmdet==3.3.0', 'mmpose': '--no-deps mmpose==1.3.2'
}  # fmt: skip


def conflicts(facts):
    return [f for f in environment.diagnose(facts) if f.severity != 'note']


def notes(facts):
    found = environment.diagnose(facts)
    assert all(f.remedy is None for f in found if f.severity == 'note')
    return [f'{f.got}: {f.expected}' for f in found if f.severity == 'note']


@pytest.mark.parametrize('name', CONFLICTS)
def test_each_conflict_is_reported_alone_with_its_command(name):
    facts, severity, words, remedy = CONFLICTS[name]
    (found,) = conflicts(facts)
    assert found.severity == severity
    assert words in found.got
    assert found.expected
    assert found.remedy == remedy


@pytest.mark.parametrize('name', CONFLICTS)
def test_errors_alone_forbid_training(name):
    facts, severity, *_ = CONFLICTS[name]
    assert doctor.make_report(facts)['can_train'] == (severity != 'error')


@pytest.mark.parametrize('module', environment.PACKAGES)
def test_a_missing_package_is_reported_alone_with_its_command(module):
    package = environment.PACKAGES[module]
    error = absent(module.split('.')[0])
    blamed = {
        m: error
        for m, p in environment.PACKAGES.items()
        if module in p.needs or m == module
    }
    facts = change(
        dict.fromkeys(package.names), {**blamed, 'swahr_mmpose': error}
    )
    (found,) = conflicts(facts)
    assert found.severity == 'error'
    assert found.got == f'{package.names[0]} is not installed'
    assert found.remedy == f'pip install {MISSING[module]}'


@pytest.mark.parametrize(
    ('versions', 'python'),
    [({'numpy': '2.4.6'}, [3, 11, 7]), ({}, [3, 12, 1])],
)
def test_xtcocotools_is_built_where_it_has_no_wheel(versions, python):
    build = (
        "pip install cython 'setuptools<81' && pip install --no-cache-dir "
        '--no-deps --no-build-isolation --no-binary xtcocotools xtcocotools'
    )
    error = {MASK: absent('xtcocotools'), OURS: absent('xtcocotools')}
    facts = change({'xtcocotools': None, **versions}, error, python=python)
    (found,) = conflicts(facts)
    assert found.remedy == build


def test_several_conflicts_are_reported_errors_first():
    facts = change(
        {'mmcv-lite': '2.1.0', 'torch': '1.13.1', 'munkres': None},
        {'munkres': absent('munkres')},
    )
    severities = [f.severity for f in environment.diagnose(facts)]
    assert severities == ['error', 'error', 'warning', 'note']


def test_another_opencv_is_noted_and_no_conflict():
    facts = change({'opencv-python': '5.0.0.93'})
    assert not conflicts(facts)
    said = 'opencv-python 5.0.0.93 interpolates differently from OpenCV 4'
    assert any(said in note for note in notes(facts))
    assert not any('interpolates' in note for note in notes(HEALTHY))


def test_a_healthy_environment_has_no_conflict():
    assert not conflicts(HEALTHY)


def test_the_forks_of_onedl_are_healthy():
    facts = change(
        {
            **dict.fromkeys(['mmengine', 'mmcv', 'mmdet']),
            'onedl-mmengine': '0.10.12',
            'onedl-mmcv': '2.3.6',
            'onedl-mmdetection': '3.5.1',
        },
        bounds={
            'mmcv': {'mmpose': ('2.0.0rc4', '3.0.0')},
            'mmengine': {'mmpose': ('0.6.0', '1.0.0')},
            **doctor.BOUNDS,
        },
    )
    assert not conflicts(facts)
    assert doctor.list_packages(facts)['onedl-mmengine'] == '0.10.12'


def test_a_package_that_pip_does_not_know_is_no_conflict():
    facts = change({'opencv-python': None})
    assert not conflicts(facts)
    assert doctor.list_packages(facts)['opencv-python'] == '1.0'


@pytest.mark.parametrize(
    ('facts', 'words'),
    [
        (
            change(
                {'mmcv': None, 'mmcv-lite': '2.1.0'},
                {'mmcv._ext': absent('mmcv._ext')},
            ),
            'mmcv-lite has no compiled operators: not needed; swahr_mmpose '
            'provides a placeholder',
        ),
        (
            change({}, {'mmcv._ext': absent('mmcv._ext')}),
            'mmcv has no compiled operators',
        ),
        (
            change({'torchvision': None}, {VISION: absent('torchvision')}),
            'torchvision is not installed',
        ),
        (sees(cuda=None, gpus=[], nvidia_driver=False), 'sees no GPU'),
        (HEALTHY, 'chumpy is not installed: mmpose requires it'),
        (change({'chumpy': '0.70'}), 'chumpy 0.70'),
    ],
)
def test_what_does_no_harm_is_a_note(facts, words):
    assert not conflicts(facts)
    assert any(words in note for note in notes(facts))


def test_commands_are_for_the_python_that_runs():
    fixed = doctor.complete_command(SWAP)
    assert fixed.count(f'{sys.executable} -m pip ') == 2
    assert doctor.complete_command('nvidia-smi') == 'nvidia-smi'


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        ('raise RuntimeError("a\\nb")', 'RuntimeError: a b'),
        ('import sys; sys.exit(3)', 'SystemExit: 3'),
        ('import os; os._exit(3)', 'Python died with status 3'),
        ('import os, signal; os.kill(os.getpid(), signal.SIGKILL)', '-9'),
        ('import time; time.sleep(99)', 'no answer within 2 seconds'),
    ],
)
def test_whatever_an_import_does_it_is_an_answer(
    tmp_path, monkeypatch, code, words
):
    (tmp_path / 'harmful.py').write_text(code)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    answer = doctor.try_import('harmful', 2 if 'sleep' in code else 60)
    assert not answer['ok']
    assert words in answer['error']


def test_bounds_are_those_that_the_installed_packages_assert():
    import mmdet
    import mmpose

    bounds = doctor.read_bounds()
    stated = [p for p in (mmdet, mmpose) if hasattr(p, 'mmcv_minimum_version')]
    assert mmpose in stated  # the fork of mmdet has no bounds
    for package in stated:
        low, high = bounds['mmcv'][package.__name__]
        assert low == package.mmcv_minimum_version
        assert high == package.mmcv_maximum_version
        assert package.__name__ in bounds['mmengine']


def run(*args, **env):
    return subprocess.run(
        [sys.executable, 'tools/doctor.py', *map(str, args)],
        cwd=ROOT,
        env=dict(os.environ, **env),
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_it_says_that_swahr_can_train_here(tmp_path):
    done = run('--out-file', tmp_path / 'a.json')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'SWAHR can train here.' in done.stdout
    report = json.loads((tmp_path / 'a.json').read_text())
    assert report['can_train'] is True
    assert report['verdict'] in done.stdout
    for name, version in report['installed'].items():
        assert name in done.stdout
        assert version in done.stdout
    for finding in report['findings']:
        assert f'{finding["severity"]}: {finding["got"]}' in done.stdout


@pytest.mark.slow
def test_it_survives_broken_packages_and_says_how_to_fix_them(tmp_path):
    for name in ('xtcocotools', 'mmpose'):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(
            f"raise RuntimeError('{name} is broken')"
        )
    done = run(PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert not done.stderr
    assert 'RuntimeError: xtcocotools is broken' in done.stdout
    for name in ('xtcocotools', 'mmpose==1.3.2'):
        remedy = f'-m pip install --force-reinstall --no-deps {name}\n'
        assert remedy in done.stdout
    assert 'SWAHR cannot train here: 2 error(s).' in done.stdout


def test_help_has_examples():
    done = run('--help')
    assert done.returncode == 0
    assert 'python tools/doctor.py --out-file report.json' in done.stdout


def test_the_tool_is_read_by_old_pythons():
    for path in ('tools/doctor.py', 'tools/doctor_checks.py'):
        source = (ROOT / path).read_text()
        ast.parse(source, feature_version=(3, 7))
