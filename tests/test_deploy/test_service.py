"""Every request to the web service is answered, within its limits."""

import asyncio
import io
import json
import logging
import re
import struct
import sys
import threading
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from swahr_mmpose.deploy.runtime import Poses, cli
from swahr_mmpose.deploy.runtime.forms import read_form
from swahr_mmpose.deploy.runtime.page import read_page
from swahr_mmpose.deploy.runtime.service import Limits, Service

LIMITS = Limits(
    max_bytes=100_000, max_pixels=10_000, max_requests=2, timeout=1.5
)


class StubModel:
    """Model that finds one person, or waits, or fails."""

    settings = SimpleNamespace(keypoints=['nose', 'chin'], skeleton=[(0, 1)])

    def __init__(self):
        self.calls, self.error = 0, None
        self.release = threading.Event()
        self.release.set()

    def __call__(self, image, channels):
        self.calls += 1
        assert self.release.wait(20)
        if self.error:
            raise self.error
        height, width = image.shape[:2]
        points = np.array([[[width, height], [0, 0]]], np.float32)
        scores = np.array([[1, 0]], np.float32)
        return Poses(points, scores, np.ones(1, np.float32))


@pytest.fixture
def service():
    service = Service(StubModel(), LIMITS)
    yield service
    service.model.release.set()


def encode(kind='PNG', size=(30, 20)):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3))
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


async def send_request(
    service,
    body=b'',
    method='POST',
    query='',
    headers=(),
    size=1000,
    wait=0.0,
    path='/detect',
):
    """Send a request in parts; return start, body and what was read."""
    sent, read = [], []
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b'']

    async def receive():
        await asyncio.sleep(wait)
        if len(read) == len(parts):
            return dict(type='http.disconnect')
        read.append(parts[len(read)])
        return dict(
            type='http.request',
            body=read[-1],
            more_body=len(read) < len(parts),
        )

    async def send(message):
        sent.append(message)

    scope = dict(
        type='http',
        method=method,
        path=path,
        query_string=query.encode(),
        headers=list(headers),
    )
    await service(scope, receive, send)
    start, content = sent
    return start, content['body'], b''.join(read)


async def call(*args, **kwargs):
    """Send a request; return status, JSON and what was read."""
    start, content, read = await send_request(*args, **kwargs)
    return start['status'], json.loads(content), read


def ask(service, *args, **kwargs):
    return asyncio.run(call(service, *args, **kwargs))[:2]


def test_people_are_returned_and_the_status(service):
    status, content = ask(service, encode())
    assert status == 200
    (person,) = content['people']
    assert person['keypoints'] == {'nose': [30.0, 20.0, 1.0]}
    assert ask(service, encode(), query='score_thr=1')[1]['people'] == []


def test_the_model_is_described_and_the_service_is_healthy(service):
    assert ask(service, method='GET', path='/healthz') == (
        200, dict(status='ok')
    )  # fmt: skip
    assert ask(service, method='GET', path='/model') == (
        200,
        dict(keypoints=['nose', 'chin'], skeleton=[[0, 1]], uncertainty=False),
    )


@pytest.mark.parametrize('method', ['GET', 'HEAD'])
def test_the_page_runs_its_own_script_only(service, method):
    start, body, _ = asyncio.run(
        send_request(service, method=method, path='/')
    )
    headers = {k.decode(): v.decode() for k, v in start['headers']}
    assert start['status'] == 200
    assert headers['content-type'] == 'text/html; charset=utf-8'
    page, _ = read_page()
    assert int(headers['content-length']) == len(page)
    assert body == (page if method == 'GET' else b'')
    assert "default-src 'none'" in headers['content-security-policy']
    assert (
        "'unsafe-inline'"
        not in re.search(
            'script-src ([^;]*)', headers['content-security-policy']
        )[1]
    )
    assert not re.search(rb'(src|href)="?(http|//)', page)


def test_an_image_may_be_posted_to_the_root(service):
    status, content = ask(service, encode(), path='/')
    assert (status, len(content['people'])) == (200, 1)


@pytest.mark.parametrize(
    ('status', 'message', 'kwargs'),
    [
        (400, 'the body is empty', dict()),
        (400, 'of no known format, expected BMP', dict(body=b'no image')),
        (400, 'not a complete image', dict(body=encode()[:60])),
        (400, '5 % use 0.05', dict(body=b'a', query='score_thr=5')),
        (400, "'-1', expected", dict(body=b'a', query='score_thr=-1')),
        (400, "'', expected", dict(body=b'a', query='score_thr=')),
        (
            400,
            "unknown name 'threshold', expected score_thr",
            dict(body=b'a', query='threshold=0.5'),
        ),
        (400, "'high', expected", dict(body=b'a', query='score_thr=high')),
        (400, "'nan', expected", dict(body=b'a', query='score_thr=nan')),
        (405, 'method GET or POST', dict(method='PUT', body=b'x')),
        (405, 'expected the method POST', dict(method='GET')),
        (404, 'expected /, /healthz', dict(method='GET', path='/a')),
        (404, 'expected /, /healthz', dict(body=b'x', path='/../etc')),
        (404, 'expected /, /healthz', dict(method='PUT', path='/a')),
        (413, 'more than 100000 bytes', dict(body=bytes(100_001))),
        (
            413,
            'has 200000 bytes, expected at most 100000',
            dict(
                body=bytes(200_000), headers=[(b'content-length', b'200000')]
            ),
        ),
        (413, '10100 pixels, expected', dict(body=encode(size=(101, 100)))),
        (408, 'did not arrive within 1.5 s', dict(body=bytes(9000), wait=0.4)),
    ],
)
def test_other_requests_are_refused_with_a_reason(
    service, status, message, kwargs
):
    code, content = ask(service, **kwargs)
    assert code == status
    assert message in content['error']
    assert service.num_requests == 0
    assert service.model.calls == 0


def test_a_body_is_read_to_its_end_before_an_early_refusal(service):
    body, headers = bytes(200_000), [(b'content-length', b'200000')]
    status, _, read = asyncio.run(call(service, body, headers=headers))
    assert (status, read) == (413, body)
    # A client that waits for "100 Continue" has not sent the body.
    headers.append((b'expect', b'100-continue'))
    status, _, read = asyncio.run(call(service, body, headers=headers))
    assert (status, read) == (413, b'')


def test_requests_at_a_time_are_limited_and_run_one_by_one(service):
    model, image = service.model, encode()
    model.release.clear()

    async def main():
        started = time.monotonic()
        running = [asyncio.ensure_future(call(service, image))]
        running.append(asyncio.ensure_future(call(service, image)))
        await asyncio.sleep(0.2)
        status, content, _ = await call(service, image)
        assert status == 503
        assert '2 requests are in progress' in content['error']
        assert model.calls == 1
        assert time.monotonic() - started < 1
        model.release.set()
        return [(await task)[0] for task in running]

    assert asyncio.run(main()) == [200, 200]
    assert service.num_requests == 0


def test_a_slow_model_is_answered_in_time(service):
    service.model.release.clear()
    started = time.monotonic()
    status, content = ask_without_end(service, encode())
    assert status == 503
    assert 'no result within 1.5 seconds' in content['error']
    assert time.monotonic() - started < 5


def ask_without_end(service, body):
    """Ask; let the model end afterwards, since the loop waits for it."""

    async def main():
        try:
            return (await call(service, body))[:2]
        finally:
            service.model.release.set()

    return asyncio.run(main())


def test_an_internal_error_is_answered_and_logged(service, caplog):
    service.model.error = RuntimeError('secret path')
    with caplog.at_level(logging.ERROR):
        status, content = ask(service, encode())
    assert status == 500
    assert 'secret' not in content['error']
    assert 'secret path' in caplog.text
    service.model.error = ValueError('aspect ratio')
    assert ask(service, encode())[0] == 413


def test_a_client_that_leaves_is_not_answered(service):
    sent = []

    async def receive():
        return dict(type='http.disconnect')

    async def send(message):
        sent.append(message)

    scope = dict(method='POST', path='/detect', query_string=b'', headers=[])
    asyncio.run(service(scope, receive, send))
    assert sent == []
    assert service.num_requests == 0


@pytest.mark.parametrize('kind', ['BMP', 'JPEG', 'PNG', 'PPM', 'TIFF', 'WEBP'])
def test_mutated_images_are_always_answered(kind):
    # Slow machines: the time limit is not what is tested.
    service = Service(StubModel(), LIMITS._replace(timeout=60))
    rng = np.random.default_rng(0)
    original = np.frombuffer(encode(kind), np.uint8)
    seen = set()
    for _ in range(100):
        content = original.copy()
        for _ in range(rng.integers(1, 8)):
            content[rng.integers(0, len(content))] = rng.integers(0, 256)
        cut = rng.integers(1, len(content) + 1)
        for body in (content, content[:cut]):
            status, answer = ask(service, body.tobytes(), size=1 << 20)
            assert status in (200, 400, 413), answer
            seen.add(status)
    assert 400 in seen


def make_bomb(side):
    """A PNG of side x side pixels that compress to nothing."""

    def chunk(name, data):
        crc = zlib.crc32(name + data)
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', crc)
        )

    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(bytes(1000)))
        + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize('side', [101, 7000, 15_000, 60_000])
def test_pixels_are_limited_before_decoding(service, monkeypatch, side):
    def fail(*_):
        raise AssertionError('decoded')

    monkeypatch.setattr(Image.Image, 'load', fail)
    monkeypatch.setattr(Image.Image, 'convert', fail)
    status, content = ask(service, make_bomb(side))
    assert status == 413
    assert 'pixels' in content['error']


@pytest.mark.parametrize(('count', 'status'), [(9, 200), (250, 413)])
def test_scans_are_limited_before_decoding(service, count, status):
    """Each scan of a few bytes costs a pass over all pixels."""
    stream = io.BytesIO()
    Image.new('L', (64, 64), 128).save(stream, 'JPEG', progressive=True)
    head, *scans = stream.getvalue().split(b'\xff\xda')
    parts = [head, *scans[:1], *scans[1:2] * count, *scans[1:]]
    body = b'\xff\xda'.join(parts)
    answer = ask(service, body)
    assert answer[0] == status
    assert ('scans' in str(answer[1])) == (status == 413)


@pytest.mark.parametrize('kind', ['EPS', 'PDF', 'GIF', 'TGA', 'ICO'])
def test_formats_that_are_not_listed_are_refused(service, kind):
    body = encode(kind)
    status, content = ask(service, body)
    assert status == 400
    assert 'BMP, JPEG, JPEG2000, PNG, PPM, TIFF, WEBP' in content['error']
    assert kind not in cli.FORMATS


def make_form(*parts, boundary='xyz', end='--'):
    """Body and headers of a form of (name, file name, content)."""
    lines = []
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename else ''
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        lines.append(f'{head}{file}\r\n\r\n'.encode() + content + b'\r\n')
    lines.append(f'--{boundary}{end}\r\n'.encode())
    kind = f'multipart/form-data; boundary={boundary}'.encode()
    return dict(body=b''.join(lines), headers=[(b'content-type', kind)])


@pytest.mark.parametrize('size', [7, 1000])
def test_a_form_is_an_image_with_fields(service, size):
    file = ('photo', 'a \u00e4.png', encode())
    form = make_form(file, ('score_thr', None, b'0.3'))
    status, content = ask(service, **form, size=size)
    assert (status, len(content['people'])) == (200, 1)
    form = make_form(('score_thr', None, b'1'), file)
    assert ask(service, **form)[1]['people'] == []
    other = ('notes', 'a.txt', b'no image')
    form = make_form(other, ('image', 'b.png', encode()))
    assert ask(service, **form)[0] == 200


def test_any_bytes_pass_through_a_form():
    rng = np.random.default_rng(0)
    for _ in range(50):
        content = rng.bytes(rng.integers(0, 400))
        content = content.replace(b'a', b'\r\n--x')
        form = make_form(('image', 'a', content), boundary='xyz')
        assert read_form(form['headers'][0][1], form['body']).image == content


@pytest.mark.parametrize(
    ('message', 'form'),
    [
        ('the form has no file', make_form(('a', None, b'1'))),
        ('malformed form', dict(make_form(), body=b'no form')),
        ('incomplete', make_form(('image', 'a', b'1'), end='')),
        ('is empty', make_form(('image', 'a', b''))),
        ('more than 20 parts', make_form(*[('a', 'a', b'1')] * 21)),
        (
            'no boundary',
            dict(
                body=b'x', headers=[(b'content-type', b'multipart/form-data')]
            ),
        ),
        ('of no known format', make_form(('image', 'a.png', b'no image'))),
        (
            "unknown name 'thr', expected score_thr",
            make_form(('image', 'a', b'1'), ('thr', None, b'1')),
        ),
    ],
)
def test_what_is_no_form_is_refused(service, message, form):
    status, content = ask(service, **form)
    assert status == 400
    assert message in content['error']
    assert service.model.calls == 0


def test_without_the_form_library_the_answer_has_the_remedy(
    service, monkeypatch
):
    monkeypatch.setitem(sys.modules, 'python_multipart.multipart', None)
    status, content = ask(service, **make_form(('image', 'a', encode())))
    assert status == 415
    assert 'curl --data-binary' in content['error']


@pytest.mark.parametrize('phase', ['body', 'model'])
def test_a_request_in_progress_is_answered_when_the_server_ends(
    service, phase
):
    async def interrupt():
        service.model.release.clear()
        wait = 60 if phase == 'body' else 0
        task = asyncio.ensure_future(call(service, encode(), wait=wait))
        await asyncio.sleep(0.2)
        assert service.is_running == (phase == 'model')
        task.cancel()
        return await task

    status, content, _ = asyncio.run(interrupt())
    assert status == 503
    assert content == dict(error='the service is being stopped')
