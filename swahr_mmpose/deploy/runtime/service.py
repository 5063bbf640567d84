# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The web service as an ASGI application, without a server.

=======  ============  ===================================================
method   path          answer
=======  ============  ===================================================
GET      ``/``         page that draws people on images and camera frames
GET      ``/healthz``  ``{"status": "ok"}``
GET      ``/model``    names of the keypoints, skeleton, uncertainty
POST     ``/detect``   people in an image file, the body or a form
=======  ============  ===================================================

POST to ``/`` is the same as to ``/detect``.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import (
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Dict,
    Iterator,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Tuple,
)
from urllib.parse import parse_qs

from .cli import ImageTooLargeError, read_image
from .forms import is_form, read_form
from .page import read_page
from .validation import parse_score_threshold

__all__ = ['Limits', 'Service']

_LOGGER = logging.getLogger(__name__)
# Maximum number of scans of a progressive JPEG; usual encoders write about
# 10. A scan may have 20 bytes, and costs a pass over all pixels.
_MAX_SCANS = 200

Scope = Dict[str, Any]
Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]


class Model(Protocol):
    """What the service needs of a :class:`.PoseModel`."""

    settings: Any

    def __call__(self, image: Any, channels: str) -> Any:
        """Detect people in an image, see :meth:`.PoseModel.__call__`."""


class Answer(NamedTuple):
    """Answer to a request.

    Attributes:
        status: HTTP status.
        content: Body.
        headers: Headers but the length.
    """

    status: int
    content: bytes
    headers: Mapping[str, str]


def _make_json(status: int, content: Mapping[str, Any]) -> Answer:
    """Make an answer of JSON."""
    headers = {'content-type': 'application/json'}
    return Answer(status, json.dumps(content).encode(), headers)


class Limits(NamedTuple):
    """Limits of the service.

    Attributes:
        max_bytes: Maximum size of a request body in bytes.
        max_pixels: Maximum number of pixels of an image.
        max_requests: Maximum number of requests at a time, received, waiting
            or running.
        timeout: Maximum duration of a request in seconds.
    """

    max_bytes: int = 20 << 20
    max_pixels: int = 25_000_000
    max_requests: int = 16
    timeout: float = 30


class DisconnectedError(Exception):
    """The client closed the connection."""


class RequestError(Exception):
    """A request that is refused, with HTTP status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Body:
    """Body of a request, received in parts.

    Args:
        receive (Callable): Function that returns the next part. After the
            last one it would wait until the client disconnects.
    """

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.has_more = True

    async def _iterate(self) -> AsyncIterator[bytes]:
        """Iterate over the parts that have not been received."""
        while self.has_more:
            message = await self.receive()
            if message['type'] == 'http.disconnect':
                raise DisconnectedError
            self.has_more = message.get('more_body', False)
            yield message.get('body', b'')

    async def join(self, max_bytes: int) -> bytes:
        """Receive all parts; raise RequestError for too many bytes."""
        content = bytearray()
        async for part in self._iterate():
            content += part
            if len(content) > max_bytes:
                raise RequestError(
                    413, f'the body has more than {max_bytes} bytes'
                )
        return bytes(content)

    async def discard(self) -> None:
        """Receive the remaining parts without keeping them."""
        async for _ in self._iterate():
            pass


class Service:
    """ASGI application that runs a model on posted images.

    Every request is answered: with people, or with the reason why not. One
    thread decodes images and runs the model, so that its memory does not grow
    with the number of requests.

    Args:
        model (PoseModel): Model.
        limits (Limits, optional): Limits. Defaults to None, the defaults of
            :class:`Limits`.
    """

    def __init__(self, model: Model, limits: Optional[Limits] = None) -> None:
        self.model, self.limits = model, limits or Limits()
        self.num_requests = 0
        self.is_running = False
        self._thread = ThreadPoolExecutor(1, 'swahr_runtime')

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request.

        Args:
            scope (dict): Method, query and headers.
            receive (Callable): Function that returns a part of the body.
            send (Callable): Function that sends a part of the answer.
        """
        try:
            answer = await self._answer(scope, receive)
        except DisconnectedError:
            return
        except asyncio.CancelledError:  # the server ends
            reason = 'the service is being stopped'
            answer = _make_json(503, dict(error=reason))
        except RequestError as error:
            answer = _make_json(error.status, dict(error=str(error)))
            if error.status == 503:
                headers = {**answer.headers, 'retry-after': '1'}
                answer = answer._replace(headers=headers)
        except Exception:
            _LOGGER.exception('internal error')
            reason = 'internal error; see the log'
            answer = _make_json(500, dict(error=reason))
        await _send(send, answer, scope['method'] == 'HEAD')

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        """Compute the answer."""
        deadline = time.monotonic() + self.limits.timeout
        body = _Body(receive)
        try:
            if scope['method'] in ('GET', 'HEAD'):
                return self._get(scope['path'])
            _check_post(scope)
            with self._count_request():
                content = await self._receive(scope, body, deadline)
                result = await self._run(scope, content, deadline)
                return _make_json(200, result)
        except RequestError:
            # A client that sends its whole body before it reads would get a
            # connection error instead of the answer.
            if b'expect' not in dict(scope['headers']):
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(
                        body.discard(), deadline - time.monotonic()
                    )
            raise

    def _get(self, path: str) -> Answer:
        """Answer a request of the method GET or HEAD."""
        if path == '/':
            return Answer(200, *read_page())
        if path == '/healthz':
            return _make_json(200, dict(status='ok'))
        if path == '/model':
            return _make_json(200, _describe_model(self.model.settings))
        if path == '/detect':
            raise RequestError(405, 'expected the method POST, with an image')
        raise RequestError(404, _NOT_FOUND)

    @contextmanager
    def _count_request(self) -> Iterator[None]:
        """Count a request, or refuse it if there are too many."""
        if self.num_requests >= self.limits.max_requests:
            raise RequestError(
                503,
                f'{self.num_requests} requests are in progress, the maximum; '
                'repeat the request later',
            )
        self.num_requests += 1
        try:
            yield
        finally:
            self.num_requests -= 1

    async def _receive(
        self, scope: Scope, body: _Body, deadline: float
    ) -> bytes:
        """Receive the body of a request."""
        limit = self.limits.max_bytes
        # The server checked that it is a number; a chunked body has none.
        size = int(dict(scope['headers']).get(b'content-length', 0))
        if size > limit:
            raise RequestError(
                413, f'the body has {size} bytes, expected at most {limit}'
            )
        try:
            content = await asyncio.wait_for(
                body.join(limit), deadline - time.monotonic()
            )
        except asyncio.TimeoutError as error:
            raise RequestError(
                408,
                'the body did not arrive within '
                f'{self.limits.timeout:g} seconds',
            ) from error
        if not content:
            raise RequestError(
                400, 'the body is empty, expected an image file'
            )
        return content

    async def _run(
        self, scope: Scope, content: bytes, deadline: float
    ) -> Dict[str, Any]:
        """Run the model in the thread, after earlier requests."""
        query = parse_qs(scope['query_string'].decode('latin-1'), True)
        fields = {name: values[0] for name, values in query.items()}
        kind = dict(scope['headers']).get(b'content-type', b'')
        if is_form(kind):
            content, fields = _unpack_form(kind, content, fields)
        score_thr = _read_score_thr(fields)
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(
            self._thread, self._detect_in_thread, content, score_thr
        )
        try:
            return await asyncio.wait_for(task, deadline - time.monotonic())
        except asyncio.TimeoutError as error:
            raise RequestError(
                503,
                f'no result within {self.limits.timeout:g} seconds; repeat '
                'the request later, or send a smaller image',
            ) from error

    def _detect_in_thread(
        self, content: bytes, score_thr: float
    ) -> Dict[str, Any]:
        """Detect people; note that an image is being processed."""
        self.is_running = True
        try:
            return self.detect(content, score_thr)
        finally:
            self.is_running = False

    def detect(self, content: bytes, score_thr: float) -> Dict[str, Any]:
        """Detect people in an image file.

        Args:
            content (bytes): Image file.
            score_thr (float): Instance score above which people are returned.

        Returns:
            dict: ``people``, see :meth:`.Poses.as_dicts`, and ``seconds``.

        Raises:
            RequestError: If it is not an image, or too large or too long.
        """
        started = time.perf_counter()
        name = f'the body ({len(content)} bytes)'
        _limit_scans(content)
        try:
            image = read_image(
                io.BytesIO(content),
                name,
                self.limits.max_pixels,
                getattr(self.model.settings, 'ignore_orientation', False),
            )
        except ImageTooLargeError as error:
            raise RequestError(413, str(error)) from error
        except ValueError as error:
            _LOGGER.warning('%s: %r', error, error.__cause__)
            raise RequestError(400, str(error)) from error
        try:
            poses = self.model(image, 'rgb')
        except ValueError as error:  # aspect ratio above the limit
            raise RequestError(413, str(error)) from error
        people = poses.as_dicts(self.model.settings.keypoints, score_thr)
        seconds = round(time.perf_counter() - started, 4)
        return dict(people=people, seconds=seconds)


_NOT_FOUND = 'not found; expected /, /healthz, /model or /detect'


def _check_post(scope: Scope) -> None:
    """Refuse other methods than POST, and other paths."""
    if scope['path'] not in ('/', '/detect'):
        raise RequestError(404, _NOT_FOUND)
    if scope['method'] != 'POST':
        raise RequestError(405, 'expected the method GET or POST')


def _describe_model(settings: Any) -> Dict[str, Any]:
    """Describe a model for the page."""
    return dict(
        keypoints=list(settings.keypoints),
        skeleton=[list(edge) for edge in settings.skeleton],
        uncertainty=bool(getattr(settings, 'output_scales', False)),
    )


def _unpack_form(
    kind: bytes, body: bytes, fields: Mapping[str, str]
) -> Tuple[bytes, Dict[str, str]]:
    """Get the image of a form; its fields extend those of the query."""
    try:
        form = read_form(kind, body)
    except ImportError as error:
        raise RequestError(415, str(error)) from error
    except ValueError as error:
        raise RequestError(400, str(error)) from error
    if not form.image:
        raise RequestError(400, 'the file of the form is empty')
    return form.image, {**form.fields, **fields}


def _limit_scans(content: bytes) -> None:
    """Raise for more scans of a JPEG than an encoder writes.

    A TIFF may contain a JPEG. In data of other formats, the two bytes of the
    marker occur by chance, once in 65536 bytes.
    """
    is_jpeg = content[:2] == b'\xff\xd8'
    limit = _MAX_SCANS + (0 if is_jpeg else len(content) // 16384)
    if content.count(b'\xff\xda') > limit:
        raise RequestError(
            413,
            f'the body has more than {limit} scans of a progressive JPEG, '
            'expected about 10; save the image again',
        )


def _read_score_thr(fields: Mapping[str, str]) -> float:
    """Read the minimum instance score; refuse fields of other names."""
    for name in fields:
        if name != 'score_thr':
            raise RequestError(
                400, f'unknown name {ascii(name)[:40]}, expected score_thr'
            )
    try:
        return parse_score_threshold(
            'score_thr', fields.get('score_thr', '0.2')
        )
    except ValueError as error:
        raise RequestError(400, str(error)) from error


async def _send(send: Send, answer: Answer, is_head: bool) -> None:
    """Send an answer, after which the connection is closed."""
    headers = {
        **answer.headers,
        'content-length': str(len(answer.content)),
        'connection': 'close',
    }
    start = dict(
        type='http.response.start',
        status=answer.status,
        headers=[(k.encode(), v.encode()) for k, v in headers.items()],
    )
    await send(start)
    content = b'' if is_head else answer.content
    await send(dict(type='http.response.body', body=content))
