import runpy
import sys

import pytest
from helpers import ROOT

from swahr_mmpose.deploy.requirements import require_packages


def test_missing_packages_are_named_together():
    require_packages('numpy', 'torch')
    message = 'nothere, other not installed.*pip install nothere other'
    with pytest.raises(SystemExit, match=message):
        require_packages('numpy', 'nothere', 'other')


@pytest.mark.parametrize(
    ('tool', 'model'), [('export_onnx', 'a.pth'), ('evaluate_onnx', 'a.onnx')]
)
def test_tools_name_a_missing_package(monkeypatch, tmp_path, tool, model):
    path = str(ROOT / f'tools/deployment/{tool}.py')
    for name in ('c.py', model):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', [path, 'c.py', model])
    monkeypatch.setattr(
        'swahr_mmpose.deploy.requirements.find_spec', lambda name: None
    )
    with pytest.raises(SystemExit, match='onnxruntime.* not installed'):
        runpy.run_path(path, run_name='__main__')


def test_a_missing_scipy_is_named_before_the_service_starts(monkeypatch):
    server = pytest.importorskip('swahr_mmpose.deploy.runtime.server')
    monkeypatch.setitem(sys.modules, 'scipy.optimize', None)
    with pytest.raises(ImportError, match='pip install scipy'):
        server.require_packages()
