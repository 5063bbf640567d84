"""Public names, registered names and file sizes."""

import ast
import re
from pathlib import Path

import pytest
from helpers import ROOT
from mmengine.registry import WEIGHT_INITIALIZERS
from mmpose.registry import (
    DATA_SAMPLERS,
    HOOKS,
    KEYPOINT_CODECS,
    METRICS,
    MODELS,
    TRANSFORMS,
)

import swahr_mmpose

PACKAGE = Path(swahr_mmpose.__file__).parent
REGISTERED = {
    DATA_SAMPLERS: ['EqualSizeBatchSampler', 'SeededSampler'],
    HOOKS: [
        'BottomupVisualizationHook', 'CheckCheckpointHook', 'CheckLossHook',
        'CheckMetricHook', 'CheckPathsHook', 'SafeCheckpointHook',
        'ScheduleHook'
    ],
    KEYPOINT_CODECS: ['ScaleAwareAssociativeEmbedding'],
    METRICS: ['BottomupCocoMetric', 'CrowdPoseMetric'],
    MODELS: [
        'BottomupPyramidDataPreprocessor', 'BottomupPyramidPoseEstimator',
        'HigherHRNetHead', 'PullPushLoss', 'SWAHRLoss'
    ],
    TRANSFORMS: [
        'BottomupGetLossMask', 'BottomupLoadImage', 'BottomupPackInputs',
        'BottomupPyramidResize', 'BottomupRandomSquareAffine'
    ],
    WEIGHT_INITIALIZERS: ['PretrainedBackbone'],
}  # fmt: skip
NAMES = sorted(name for names in REGISTERED.values() for name in names)


def test_public_names_are_what_is_registered_and_two_more():
    public = [*NAMES, 'HeadOutput', '__version__']
    assert sorted(swahr_mmpose.__all__) == sorted(public)


@pytest.mark.parametrize('registry', REGISTERED, ids=lambda r: r.name)
def test_names_are_registered_and_public(registry):
    for name in REGISTERED[registry]:
        assert registry.get(name) is getattr(swahr_mmpose, name)


def test_files_stay_below_500_lines():
    long = {
        str(p.relative_to(PACKAGE)): n
        for p in PACKAGE.rglob('*.py')
        if (n := len(p.read_text().splitlines())) > 500
    }
    assert not long


@pytest.mark.parametrize(
    ('old', 'new', 'name'),
    [
        ('inference', 'apis.inferencer', 'Inferencer'),
        ('runtime', 'deploy.runtime', 'PoseModel'),
    ],
)
def test_old_names_work_with_a_warning(old, new, name, run_python):
    said = run_python(
        'import warnings; warnings.simplefilter("always")\n'
        f'from swahr_mmpose.{old} import {name}\n'
        f'import swahr_mmpose.{new} as new\n'
        f'assert {name} is new.{name}'
    )
    assert f'DeprecationWarning: swahr_mmpose.{old} is deprecated' in said


def modules():
    return [
        path.relative_to(PACKAGE)
        for path in sorted(PACKAGE.rglob('*.py'))
        if path.name != '__init__.py' and '.mim' not in path.parts
    ]


@pytest.mark.parametrize('module', modules(), ids=str)
def test_every_module_has_tests_of_its_name_or_a_line_that_says_where(module):
    folders = [f'test_{part}' for part in module.parts[:-1]]
    own = [
        ROOT.joinpath('tests', *folders[:n], f'test_{module.name}')
        for n in range(len(folders) + 1)
    ]
    readme = (ROOT / 'tests/README.md').read_text()
    named = [f'`{module}`', *(f'`{p}/`' for p in module.parents if p.name)]
    assert any(p.is_file() for p in own) or any(n in readme for n in named)


def test_files_that_the_table_of_tests_names_exist():
    readme = (ROOT / 'tests/README.md').read_text()
    paths = re.findall(r'`(test_\w+/[\w/.]*)`', readme)
    assert paths
    assert all((ROOT / 'tests' / path).exists() for path in paths)


def test_no_test_imports_another_test():
    for path in (ROOT / 'tests').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or '').startswith('test_'), path
