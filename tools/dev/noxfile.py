# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Run the fast tests in other environments, with nox.

  pip install nox
  nox -f tools/dev/noxfile.py --list
  # one environment, kept for the next run
  nox -f tools/dev/noxfile.py -r -s 'tests(py39-torch2.0)'
  # the full mmcv, which PyPI has no wheel of
  MMCV_WHEEL=mmcv.whl nox -f tools/dev/noxfile.py -s 'tests(py311-mmcv)'

Each session needs its Python on the PATH and, for torch from PyPI, 8 GB of
disk. Results of real runs are listed in docs/compatibility.md.
"""

import os
import re
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = 'setuptools>=64,<81'  # later ones have no pkg_resources
NOT_FOR_TESTS = ('furo', 'mypy', 'myst-parser', 'ruff', 'sphinx')
# Pinned in all environments: other releases differ in behaviour.
ALWAYS_PINNED = ('mmdet', 'mmengine', 'mmpose', 'munkres')
# Session: Python, torch, NumPy, further requirements.
ENVIRONMENTS = {
    'py39-torch2.0': ('3.9', 'torch==2.0.1', 'numpy<2'),
    'py310-torch2.6': ('3.10', 'torch==2.6.0', 'numpy==1.26.4'),
    'py311-numpy2': ('3.11', 'torch==2.13.0', 'numpy>=2.3'),
    'py311-mmcv': ('3.11', 'torch==2.13.0', 'numpy==1.26.4'),
    'py311-torchvision': ('3.11', 'torch==2.14.1', 'numpy>=2.3'),
    'py312-torch2.14': ('3.12', 'torch==2.14.1', 'numpy>=2.3'),
}

nox.options.default_venv_backend = 'venv'


def read_requirements(name, numpy, pinned):
    """Read the requirements of the tests from ``requirements/``.

    Args:
        name (str): File name.
        numpy (str): Requirement of NumPy in this environment.
        pinned (bool): Whether to keep all pinned versions.
    """
    requirements = []
    for line in (ROOT / 'requirements' / name).read_text().splitlines():
        line = line.partition('#')[0].strip()
        package = re.split('[=<>]', line)[0]
        if package == 'numpy':
            line = numpy
        elif not pinned and package not in ALWAYS_PINNED:
            line = package
        if package and package not in NOT_FOR_TESTS:
            requirements.append(line)
    return requirements


@nox.session
@nox.parametrize(
    ('python', 'torch', 'numpy'),
    list(ENVIRONMENTS.values()),
    ids=list(ENVIRONMENTS),
)
def tests(session, torch, numpy):
    """Install an environment, run the doctor and the fast tests."""
    session.chdir(ROOT)
    pinned = numpy == 'numpy==1.26.4' and '2.13' in torch
    vision = ['torchvision'] if 'torchvision' in session.name else []
    session.install(SETUPTOOLS, 'wheel')
    session.install(torch, numpy, SETUPTOOLS, *vision)
    # torch again: a dependency must not replace it.
    files = read_requirements('pinned.txt', numpy, pinned)
    session.install(*files, torch, SETUPTOOLS)
    local = ['--no-deps', '--no-build-isolation']
    session.install(
        *local, *read_requirements('pinned-openmmlab.txt', numpy, pinned)
    )
    if numpy.startswith('numpy>=2'):  # its wheels are built for NumPy 1
        session.install('cython')
        source = ['--no-cache-dir', '--no-binary', 'xtcocotools']
        session.install(*local, '--force-reinstall', *source, 'xtcocotools')
    mmcv = os.environ.get('MMCV_WHEEL') if 'mmcv' in session.name else None
    session.install(*local, mmcv or 'mmcv-lite==2.1.0')
    session.install(*local, '--editable', '.')
    session.run('python', 'tools/doctor.py')
    session.run('pytest', '-m', 'not slow', *session.posargs)
