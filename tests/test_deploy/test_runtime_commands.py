"""The copied runtime: alone, as a command and as a web service."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
from helpers import ROOT
from helpers.deploy import make_image, torch_people

from swahr_mmpose.checkpoints.io import TORCH_VERSION

if TORCH_VERSION < (2, 6):
    pytest.skip('the exporter requires torch 2.6', allow_module_level=True)
pytest.importorskip('onnx')
onnx_export = pytest.importorskip('swahr_mmpose.deploy.onnx_export')
pytestmark = pytest.mark.slow

ALONE = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {
            'torch', 'cv2', 'mmcv', 'mmengine', 'mmpose', 'onnx', 'PIL',
            'swahr_mmpose', 'matplotlib', 'pycocotools', 'xtcocotools'
        }:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
import numpy as np
from swahr_runtime import PoseModel
image = np.load('image.npy')
poses = PoseModel(sys.argv[1], threads=1)(image)
np.save('keypoints.npy', poses.keypoints)
"""


def test_the_copied_runtime_works_alone(inside, model, tmp_path):
    onnx_export.copy_runtime(str(tmp_path))
    onnx_export.copy_runtime(str(tmp_path))  # replaces existing files
    np.save(tmp_path / 'image.npy', make_image())
    subprocess.run(
        [sys.executable, '-c', ALONE, inside],
        cwd=tmp_path,
        env=dict(OMP_NUM_THREADS='1', PATH=''),
        check=True,
    )
    expected = torch_people(model, make_image()).pred_instances.keypoints
    found = np.load(tmp_path / 'keypoints.npy')
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


BROKEN_TORCH = "raise RuntimeError('torch is broken')\n"


def without_torch(folder):
    """Environment in which importing torch fails."""
    (folder / 'torch.py').write_text(BROKEN_TORCH)
    return dict(os.environ, PYTHONPATH=str(folder), OMP_NUM_THREADS='1')


SERVERS = {
    'tool': [str(ROOT / 'tools/deployment/serve_onnx.py')],
    'module': ['-m', 'swahr_runtime.server'],
}


@pytest.mark.parametrize('server', SERVERS)
def test_the_web_service_needs_no_torch(inside, tmp_path, server):
    env = without_torch(tmp_path)
    onnx_export.copy_runtime(str(tmp_path))
    image = cv2.imencode('.png', make_image())[1].tobytes()
    command = [sys.executable, *SERVERS[server], inside, '--max-pixels']
    with subprocess.Popen(
        [*command, '10000', '--port', '0', '--threads', '1'],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as service:
        try:
            check_service(service.stdout.readline().strip(), image)
        finally:
            service.kill()


def check_service(url, image):
    def post(query, body):
        return json.load(urllib.request.urlopen(url + query, body, timeout=30))

    status = json.load(urllib.request.urlopen(url, timeout=30))
    assert status['status'] == 'ok'
    people = post('/?score_thr=0', image)['people']
    assert people
    # Halfway between two values, since the scores are rounded.
    threshold = np.mean(sorted({person['score'] for person in people})[-2:])
    fewer = post(f'/?score_thr={threshold}', image)['people']
    assert fewer == [p for p in people if p['score'] > threshold]
    assert 0 < len(fewer) < len(people)
    large = cv2.imencode('.png', make_image((101, 100)))[1].tobytes()
    for query, body, code in (
        ('', b'not an image', 400),
        ('', b'', 400),
        ('/?score_thr=high', image, 400),
        ('', large, 413),
    ):
        with pytest.raises(urllib.error.HTTPError, match=str(code)):
            post(query, body)


def test_the_runtime_command_writes_people(inside, tmp_path):
    env = without_torch(tmp_path)
    onnx_export.copy_runtime(str(tmp_path))
    cv2.imwrite(str(tmp_path / 'a.png'), make_image())
    done = subprocess.run(
        [sys.executable, '-m', 'swahr_runtime', inside, 'a.png', '--score-thr',
         '0', '--out-file', 'people.json'],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    people = json.loads((tmp_path / 'people.json').read_text())
    assert done.stdout.startswith(f'{len(people)} people in ')
    assert people
