"""The copied runtime: alone, as a command and as a web service."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
from helpers import ROOT
from helpers.deploy import make_image, torch_people

from swahr_mmpose.checkpoints.io import TORCH_VERSION

if TORCH_VERSION < (2, 6):
    pytest.skip('the exporter requires torch 2.6', allow_module_level=True)
pytest.importorskip('onnx')
pytest.importorskip('uvicorn')
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


LIMITS = (
    '--port 0 --threads 1 --max-pixels 10000 --max-mib 2 --max-requests 1 '
    '--timeout 4'
).split()
SERVERS = {
    'tool': [str(ROOT / 'tools/deployment/serve_onnx.py')],
    'module': ['-m', 'swahr_runtime.server'],
}


@pytest.mark.parametrize('server', SERVERS)
def test_the_web_service_needs_no_torch(inside, tmp_path, server):
    env = without_torch(tmp_path)
    onnx_export.copy_runtime(str(tmp_path))
    image = cv2.imencode('.png', make_image())[1].tobytes()
    with subprocess.Popen(
        [sys.executable, *SERVERS[server], inside, *LIMITS],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as service:
        try:
            url = service.stdout.readline().strip()
            check_service(url, image)
            check_limits(url, image)
        finally:
            service.kill()


def check_service(url, image):
    def post(query, body):
        return json.load(urllib.request.urlopen(url + query, body, timeout=30))

    status = json.load(urllib.request.urlopen(f'{url}/healthz', timeout=30))
    assert status == dict(status='ok')
    assert b'<title>' in urllib.request.urlopen(url, timeout=30).read()
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


STUB = """
import time
from types import SimpleNamespace
from swahr_runtime import server

class Slow:
    settings = SimpleNamespace(keypoints=['nose'], skeleton=[])

    def __call__(self, image, channels):
        time.sleep(60)

address, url = server.open_socket('127.0.0.1', 0)
print(url, flush=True)
server.serve(server.Service(Slow()), address)
"""


def test_ctrl_c_ends_the_service_at_once(tmp_path):
    onnx_export.copy_runtime(str(tmp_path))
    (tmp_path / 'serve.py').write_text(STUB)
    image = cv2.imencode('.png', make_image())[1].tobytes()
    post = b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n'
    with subprocess.Popen(
        [sys.executable, 'serve.py'],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        url = service.stdout.readline().strip()
        with connect(url) as idle, connect(url) as body, connect(url) as busy:
            idle.sendall(b'POST / HTTP/1.1\r\nHost: ')
            body.sendall(post % 1000 + b'x')
            busy.sendall(post % len(image) + image)
            time.sleep(0.5)
            started = time.monotonic()
            service.send_signal(signal.SIGINT)
            errors = service.communicate(timeout=20)[1]
            # 0.4 s on an idle machine.
            assert time.monotonic() - started < 3
            answers = [read_all(c).partition(b'\r\n')[0] for c in (body, busy)]
    assert (service.returncode, errors) == (0, 'stopped\n')
    assert [line.split()[1] for line in answers] == [b'503', b'503']


def test_idle_connections_do_not_keep_others_from_the_service(tmp_path):
    """More than are allowed: the oldest are closed, with status 503."""
    onnx_export.copy_runtime(str(tmp_path))
    (tmp_path / 'serve.py').write_text(STUB)
    with subprocess.Popen(
        [sys.executable, 'serve.py'],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as service, ExitStack() as stack:
        stack.callback(service.kill)
        url = service.stdout.readline().strip()
        oldest = idle = stack.enter_context(connect(url))
        for i in range(200):
            idle = stack.enter_context(connect(url))
            idle.sendall(b'POST / HTTP/1.1\r\nHost: ' if i % 2 else b'')
        started = time.monotonic()
        with urllib.request.urlopen(f'{url}/healthz', timeout=20) as answer:
            assert answer.status == 200
        assert b' 503 ' in read_all(oldest).splitlines()[0]
        assert time.monotonic() - started < 10
        idle.settimeout(0.2)
        with pytest.raises(socket.timeout):  # the last one may still send
            idle.recv(1)


@pytest.mark.parametrize('command', ['swahr_runtime', 'server', 'tool'])
def test_modules_beside_a_model_are_not_run(inside, tmp_path, command):
    onnx_export.copy_runtime(str(tmp_path))
    names = 'onnxruntime numpy scipy PIL uvicorn json site sysconfig typing'
    for name in names.split():
        (tmp_path / f'{name}.py').write_text("open('ran', 'w').close()\n")
    shutil.copy(inside, tmp_path / 'model.onnx')
    cv2.imwrite(str(tmp_path / 'a.png'), make_image())
    arguments = {
        'swahr_runtime': ['-m', 'swahr_runtime', 'model.onnx', 'a.png'],
        'server': [*SERVERS['module'], '--help'],
        'tool': [*SERVERS['tool'], '--help'],
    }[command]
    for env in ({}, dict(PYTHONPATH=str(tmp_path))):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, 'OMP_NUM_THREADS': '1', **env},
            capture_output=True,
            text=True,
        )
        if command == 'tool' and env:
            continue  # the user put the folder on the path
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / 'ran').exists()


def connect(url):
    host, port = url[len('http://') :].split(':')
    return socket.create_connection((host, int(port)), timeout=20)


def read_all(connection):
    return b''.join(iter(lambda: connection.recv(1 << 16), b''))


def check_limits(url, image):
    """Requests that trickle, write first or come at once are answered."""
    post = b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n'
    large = bytes(3 << 20)
    with connect(url) as first:
        first.sendall(post % len(large) + large)
        assert b' 413 ' in read_all(first).splitlines()[0]
    # A body in chunks, without Content-Length.
    with connect(url) as chunked:
        chunked.sendall(
            b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
            b'%x\r\n%b\r\n0\r\n\r\n' % (len(image), image)
        )
        assert b' 200 ' in read_all(chunked).splitlines()[0]
    started = time.monotonic()
    with connect(url) as headers, connect(url) as body, connect(url) as more:
        headers.sendall(b'POST / HTTP/1.1\r\nHost: ')
        body.sendall(post % 1000 + b'x')
        time.sleep(0.5)  # the first request is in progress
        more.sendall(post % len(image) + image)
        assert b' 503 ' in read_all(more).splitlines()[0]
        assert time.monotonic() - started < 3
        assert b' 408 ' in read_all(body).splitlines()[0]
        assert b' 408 ' in read_all(headers).splitlines()[0]
    assert time.monotonic() - started < 10
    url += '/?score_thr=0'
    assert json.load(urllib.request.urlopen(url, image, timeout=30))['people']


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
