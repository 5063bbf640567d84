# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Diagnose an environment: conflicts that stop training, and their fixes.

Part of ``tools/doctor.py``, which collects the facts; requires nothing but
Python.  Facts are a dict:

* ``python``: version, ``[3, 11, 7]``
* ``versions``: name of a distribution to its version, or None
* ``imports``: module to ``ok`` and, if False, ``error``, else ``version`` (for
  torch also ``cuda`` and ``gpus``)
* ``bounds``: package to ``{requiring package: (lowest, first too high)}``
* ``nvidia_driver``: whether nvidia-smi is installed
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

__all__ = ['diagnose', 'is_healthy', 'version_of']

Facts = Dict[str, Any]
UNUSED = 'not needed; swahr_mmpose provides a placeholder'
# MMPose imports mmcv.ops before a script reads its config.
SCRIPTS = (
    'Start scripts that import MMPose first (get_flops, demos) with '
    '"swahr run SCRIPT", or import swahr_mmpose in them'
)
SEVERITIES = ('error', 'warning', 'note')
FRESH = 'PYTHON=python3.11 bash tools/dev/setup_venv.sh'
SETUPTOOLS = "'setuptools<81'"  # later ones have no pkg_resources
TORCH = f"'torch>=2.0' {SETUPTOOLS}"  # torch alone fetches any setuptools
LITE = '--no-deps --no-build-isolation mmcv-lite==2.1.0'
SWAP = f'pip uninstall -y mmcv mmcv-lite onedl-mmcv && pip install {LITE}'
BUILD = f'pip install cython {SETUPTOOLS} && pip install --no-cache-dir '
BUILD += '--no-deps --no-build-isolation --no-binary xtcocotools xtcocotools'
CV2 = ['opencv-python', 'opencv-python-headless']
CV2 += ['opencv-contrib-python', 'opencv-contrib-python-headless']


class Finding(NamedTuple):
    """A conflict: ``error`` (SWAHR cannot train), ``warning`` or ``note``."""

    severity: str
    got: str
    expected: str
    remedy: Optional[str]  # one command; None where nothing need be done


class Package(NamedTuple):
    """What must be there."""

    names: List[str]  # of the distributions, any of which serves
    needs: List[str]  # modules it imports
    install: str  # for pip
    why: str = ''


# Under the module that is imported to see whether it works.
PACKAGES = {
    'pkg_resources': Package(
        ['setuptools'], [], SETUPTOOLS, ' with pkg_resources, for mmengine'
    ),
    'numpy': Package(['numpy'], [], "'numpy<2'"),
    'torch': Package(['torch'], ['numpy'], TORCH),
    'cv2': Package(CV2, ['numpy'], "'opencv-python-headless<4.12'"),
    'munkres': Package(['munkres'], [], 'munkres==1.1.4', ', for mmpose'),
    'pycocotools.mask': Package(
        ['pycocotools'], ['numpy'], '--no-deps pycocotools', ', for mmdet'
    ),
    'xtcocotools.mask': Package(
        ['xtcocotools'],
        ['numpy'],
        '--no-deps xtcocotools',
        ' built for the installed numpy, for mmpose',
    ),
    'mmengine': Package(
        ['mmengine', 'onedl-mmengine'],
        ['torch', 'cv2'],
        "mmengine==0.10.7 'opencv-python<4.12'",
    ),
    'mmcv': Package(['mmcv', 'mmcv-lite', 'onedl-mmcv'], ['mmengine'], LITE),
    'mmdet': Package(
        ['mmdet', 'onedl-mmdetection'],
        ['mmcv', 'pycocotools.mask'],
        '--no-deps mmdet==3.3.0',
        ', for mmpose',
    ),
    'mmpose': Package(['mmpose'], ['mmcv'], '--no-deps mmpose==1.3.2'),
}
INSTALLED_AS = dict(PIL='pillow', pkg_resources=SETUPTOOLS, yaml='pyyaml')


def number(version: Optional[str]) -> Tuple[int, ...]:
    """Parse a version into comparable numbers: ``(2, 13, 0)``."""
    return tuple(int(n) for n in re.findall(r'\d+', version or '')[:3])


def version_of(facts: Facts, module: str) -> Tuple[str, Optional[str]]:
    """Find name and version of a package; None if not installed."""
    for name in PACKAGES[module].names:
        if facts['versions'].get(name):
            return name, facts['versions'][name]
    built = facts['imports'][module].get('version')  # without pip
    return PACKAGES[module].names[0], built or None


def diagnose(facts: Facts) -> List[Finding]:
    """List all conflicts in the order in which to fix them."""
    found = list(_check_python(facts))
    if tuple(facts['python']) < (3, 8):
        return found  # no required package supports it
    for check in (
        _check_packages,
        _check_doubles,
        _check_mmcv,
        _check_bounds,
        _check_torch,
        _check_torchvision,
        _check_gpus,
        _check_others,
    ):
        found += check(facts)
    found += _check_plugin(facts, is_healthy(found))
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


def is_healthy(found: List[Finding]) -> bool:
    """Whether SWAHR can train despite the findings."""
    return not any(f.severity == 'error' for f in found)


def _check_python(facts: Facts) -> Iterator[Finding]:
    python = tuple(facts['python'])
    if not (3, 8) <= python < (3, 13):
        severity = 'error' if python < (3, 8) else 'warning'
        got = 'Python ' + '.'.join(map(str, python))
        yield Finding(severity, got, 'Python 3.8 to 3.12', FRESH)


def _check_packages(facts: Facts) -> Iterator[Finding]:
    """Check for packages that are missing or do not import."""
    for module, package in PACKAGES.items():
        answer = facts['imports'][module]
        name, version = version_of(facts, module)
        if answer['ok'] or 'is used but incompatible' in answer['error']:
            continue  # the latter is reported by _check_bounds
        if version is None:
            got = f'{name} is not installed'
            remedy = f'pip install {package.install}'
            numpy = number(version_of(facts, 'numpy')[1])
            new = numpy >= (2,) or facts['python'] >= [3, 12]
            if name == 'xtcocotools' and new:
                remedy = BUILD  # there are wheels for the others alone
        elif all(facts['imports'][need]['ok'] for need in package.needs):
            got = f'{name} {version} does not import: {answer["error"]}'
            remedy = _suggest_fix(facts, module)
        else:
            continue  # a package that it needs is reported
        expected = ' or '.join(package.names[:2]) + package.why
        yield Finding('error', got, expected, remedy)


def _suggest_fix(facts: Facts, module: str) -> str:
    """Suggest a command for an installed package that does not import."""
    error = facts['imports'][module]['error']
    missing = _missing_module(error)
    if missing and missing != module.split('.')[0]:
        return f'pip install {INSTALLED_AS.get(missing, missing)}'
    numpy = version_of(facts, 'numpy')[1]
    if module == 'xtcocotools.mask' and 'numpy' in error and number(numpy):
        return f'pip install {_format_numpy_1(facts)}'
    if module == 'mmcv':
        return SWAP
    flags = '--force-reinstall'
    if module != 'torch':  # its CUDA libraries are packages too
        flags += ' --no-deps'
    install = PACKAGES[module].install.replace('--no-deps ', '')
    return f'pip install {flags} {install}'


def _missing_module(error: str) -> str:
    found = re.search(r"No module named '(\w+)'", error)
    return found.group(1) if found else ''


def _format_numpy_1(facts: Facts) -> str:
    """Format requirements for NumPy 1 and an OpenCV that supports it."""
    newer = [n for n in CV2 if number(facts['versions'].get(n)) >= (4, 12)]
    return ' '.join(["'numpy<2'", *(f"'{name}<4.12'" for name in newer)])


def _check_doubles(facts: Facts) -> Iterator[Finding]:
    """Check for distributions that install into the same folder."""
    for module, package in PACKAGES.items():
        there = [n for n in package.names if facts['versions'].get(n)]
        if len(there) < 2 or module == 'cv2':
            continue
        got = f'{" and ".join(there)} are installed in one folder'
        remedy = f'pip uninstall -y {" ".join(there)} && pip install '
        remedy += package.install
        expected = 'only one of them; each is enough'
        yield Finding('warning', got, expected, remedy)


def _check_mmcv(facts: Facts) -> Iterator[Finding]:
    """Check which mmcv is installed, and its compiled operators."""
    operators = facts['imports']['mmcv._ext']
    if operators['ok'] or not facts['imports']['mmcv']['ok']:
        return
    if "No module named 'mmcv._ext'" in operators['error']:
        got = f'{version_of(facts, "mmcv")[0]} has no compiled operators'
        expected = f'{UNUSED} for mmcv._ext. {SCRIPTS}'
        yield Finding('note', got, expected, None)
    else:
        got = f'mmcv._ext does not import: {operators["error"]}'
        expected = 'an mmcv built for this torch, or mmcv-lite'
        yield Finding('error', got, expected, SWAP)


def _check_bounds(facts: Facts) -> Iterator[Finding]:
    """Check the version bounds of mmdet, mmpose and swahr_mmpose."""
    for module, asked in facts['bounds'].items():
        name, version = version_of(facts, module)
        low = max((b[0] for b in asked.values()), key=number)
        high = min((b[1] for b in asked.values()), key=number)
        here = number(version)
        if not here or number(low) <= here < number(high):
            continue
        wanted = f'{name}>={low},<{high}'
        expected = f'{wanted}, required by {" and ".join(sorted(asked))}'
        remedy = f"pip install --no-deps '{wanted}'"
        if module == 'mmcv' and number(low) <= (2, 1, 0) < number(high):
            expected += '; mmcv-lite is enough, mmcv may take long to build'
            remedy = SWAP
        yield Finding('error', f'{name} {version}', expected, remedy)


def _check_torch(facts: Facts) -> Iterator[Finding]:
    _, version = version_of(facts, 'torch')
    if not number(version) or number(version) >= (2, 0):
        return
    remedy = f'pip install --upgrade {TORCH}'
    remedy += ' torchvision' if facts['versions'].get('torchvision') else ''
    if tuple(facts['python']) < (3, 9):
        remedy = FRESH
    yield Finding('error', f'torch {version}', 'torch 2.0 or later', remedy)


def _check_torchvision(facts: Facts) -> Iterator[Finding]:
    answer = facts['imports']['torchvision.transforms']
    if answer['ok'] or not facts['imports']['torch']['ok']:
        return
    _, torch = version_of(facts, 'torch')
    vision = facts['versions'].get('torchvision')
    if vision is None:
        got = 'torchvision is not installed'
        yield Finding('note', got, UNUSED, None)
        return
    # torch 2.13 goes with torchvision 0.28. A suffix (+cpu) means a build that
    # the default index of pip lacks.
    pair = f'0.{number(torch)[1] + 15}' if number(torch)[:1] == (2,) else ''
    remedy = 'pip uninstall -y torchvision'
    if pair and number(pair) != number(vision)[:2] and '+' not in str(torch):
        remedy = f"pip install 'torchvision=={pair}.*'"
    got = f'torchvision {vision} does not import beside torch {torch}: '
    got += answer['error']
    expected = f'torchvision {pair} of the same build (CPU or CUDA), or none; '
    yield Finding('warning', got, expected + UNUSED, remedy)


def _check_gpus(facts: Facts) -> Iterator[Finding]:
    torch, test = facts['imports']['torch'], facts['imports']['torch.cuda']
    reinstall = f'pip install --force-reinstall {TORCH}'
    if not torch['ok'] or (torch['gpus'] and test['ok']):
        return
    if torch['gpus']:
        got = f'{torch["gpus"][0]} does not compute: {test["error"]}'
        mend = ('a GPU that is free', 'nvidia-smi')
        if 'kernel image' in test['error']:
            mend = ('torch for this GPU', reinstall)
        yield Finding('error', got, *mend)
        return
    got = f'torch {version_of(facts, "torch")[1]} sees no GPU; CPUs are slow'
    if facts['nvidia_driver'] and not torch['cuda']:
        yield Finding('warning', got, 'torch built for CUDA', reinstall)
    elif facts['nvidia_driver']:
        expected = f'a driver for CUDA {torch["cuda"]}, or a torch for it'
        yield Finding('warning', got, expected, 'nvidia-smi')
    else:
        yield Finding('note', got, 'enough for a first try', None)


def _check_others(facts: Facts) -> Iterator[Finding]:
    """Report what is harmless but often asked about."""
    got = f'chumpy {facts["versions"].get("chumpy") or "is not installed"}'
    why = 'mmpose requires it, SWAHR never imports it; numpy 1.24 broke it'
    yield Finding('note', got, why, None)
    name, version = version_of(facts, 'cv2')
    if number(version) >= (5,):
        got = f'{name} {version} interpolates differently from OpenCV 4'
        yield Finding('note', got, 'a few gray levels of 255', None)


def _check_plugin(facts: Facts, healthy: bool) -> Iterator[Finding]:
    """Check the plugin itself, and with it what no other check covers."""
    answer = facts['imports']['swahr_mmpose']
    if answer['ok']:
        return
    name = _missing_module(answer['error'])
    if name == 'swahr_mmpose':
        remedy = 'pip install --no-deps -e .'
        yield Finding('error', f'no {name}', 'this repository', remedy)
    elif healthy:
        remedy = f'pip install {INSTALLED_AS.get(name, name)}'
        got = f'swahr_mmpose does not import: {answer["error"]}'
        expected = 'tested versions (requirements/*.txt)'
        yield Finding('error', got, expected, remedy if name else FRESH)
