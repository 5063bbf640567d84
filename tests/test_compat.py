import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmpose.visualization import PoseLocalVisualizer

from swahr_mmpose import compat
from swahr_mmpose.checkpoints import io as checkpoint_io
from swahr_mmpose.checkpoints.io import read_checkpoint

CHECK = """
from mmpose.registry import (HOOKS, KEYPOINT_CODECS, MODELS, TRANSFORMS)
assert MODELS.get('HigherHRNetHead') and MODELS.get('HRNet')
assert KEYPOINT_CODECS.get('ScaleAwareAssociativeEmbedding')
assert TRANSFORMS.get('BottomupPackInputs')
assert HOOKS.get('CheckCheckpointHook')
from mmengine.utils.dl_utils import collect_env
print(collect_env().get('TorchVision'))
"""


def run(code, *paths):
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, paths)))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    'order',
    [
        'import swahr_mmpose, mmpose.models',
        'import mmpose, swahr_mmpose',
        # With mmcv-lite this fails half-way, and must have no effect.
        'try:\n import mmpose.models\nexcept ImportError: pass\n'
        'import swahr_mmpose',
        'from mmengine.config import Config\n'
        "Config.fromfile('configs/coco/higherhrnet-w32_8xb20-300e_coco-"
        "512x512.py')",
    ],
)
def test_everything_is_registered_in_any_order_of_imports(order):
    assert run(f'{order}\n{CHECK}')  # version of torchvision


def test_a_broken_torchvision_is_treated_as_missing(tmp_path):
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    said = run(f'import swahr_mmpose\n{CHECK}', tmp_path)
    assert said.splitlines()[-1] == 'None'


def test_a_torchvision_that_works_is_used(tmp_path):
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text("__version__ = '0.0.test'")
    (package / 'transforms.py').write_text('class ToPILImage: pass')
    code = (
        f'import swahr_mmpose\n{CHECK}\n'
        'from mmpose.visualization.simcc_vis import ToPILImage\n'
        'assert ToPILImage.__module__ == "torchvision.transforms"'
    )
    assert run(code, tmp_path).splitlines()[-1] == '0.0.test'


def test_placeholders_are_removed_from_sys_modules():
    run(
        'import sys, swahr_mmpose\n'
        'assert not isinstance(sys.modules.get("mmcv._ext"), '
        'swahr_mmpose.compat._Placeholder)\n'
        'assert not isinstance(sys.modules.get("torchvision"), '
        'swahr_mmpose.compat._Placeholder)'
    )


def test_a_called_placeholder_reports_what_to_install():
    module = compat._Placeholder('mmcv._ext', 'Install mmcv.')
    with pytest.raises(RuntimeError, match=r'mmcv._ext.nms .* Install mmcv\.'):
        module.nms(1)
    assert not hasattr(module, '__path__')


def test_applying_twice_changes_nothing():
    before = set(sys.modules)
    compat.apply()
    assert set(sys.modules) == before


@pytest.fixture(params=['torch', 'old torch'])
def _reader(request, monkeypatch):
    """Allow-list of torch (>= 2.6), and of our unpickler."""
    if request.param == 'old torch':
        monkeypatch.setattr(checkpoint_io, 'TORCH_VERSION', (2, 0))


@pytest.mark.usefixtures('_reader')
def test_training_checkpoints_are_read(tmp_path):
    buffer = HistoryBuffer()
    buffer.update(1.5)
    content = dict(
        loss=buffer,
        array=np.arange(3, dtype=np.uint8),
        names=np.array(['nose']),
        scalar=np.float32(2),
        weights=torch.ones(2),
    )
    torch.save(content, tmp_path / 'a.pth')
    loaded = read_checkpoint(tmp_path / 'a.pth')
    assert loaded['loss'].current() == 1.5
    assert loaded['array'].tolist() == [0, 1, 2]
    assert loaded['scalar'] == 2


class Harmful:
    def __reduce__(self):
        return print, ('this ran',)


class HarmfulByAttribute:
    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


@pytest.mark.usefixtures('_reader')
@pytest.mark.parametrize('content', [Harmful(), HarmfulByAttribute()])
def test_a_checkpoint_that_runs_code_is_refused(tmp_path, capsys, content):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='is refused'):
        read_checkpoint(tmp_path / 'a.pth')
    assert not capsys.readouterr().out


@pytest.mark.filterwarnings('error::DeprecationWarning')
@pytest.mark.parametrize('alpha', [1.0, 0.5])
def test_mmpose_draws_circles_with_any_numpy(alpha):
    visualizer = PoseLocalVisualizer(name=f'circles {alpha}')
    visualizer.set_image(np.zeros((20, 20, 3), np.uint8))
    visualizer.draw_circles(
        np.array([10, 10]),
        radius=np.array([3]),
        face_colors=(255, 0, 0),
        alpha=alpha,
    )
    assert visualizer.get_image()[10, 10, 0] == round(255 * alpha + 0.1)


@pytest.mark.parametrize(
    ('name', 'version'), [('mmengine', '0.9.1'), ('mmpose', '0.29.0')]
)
def test_other_versions_are_refused_with_the_remedy(
    name, version, monkeypatch
):
    module = importlib.import_module(name)
    monkeypatch.setattr(module, '__version__', version)
    with pytest.raises(ImportError, match=f'{name} {version} .*swahr doctor'):
        compat.check_versions()
