# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Serve an exported model as a page and over HTTP, without PyTorch.

  %(prog)s deploy/model.onnx --port 8000
  # the page for images and the camera: http://localhost:8000
  curl --data-binary @image.jpg 'http://localhost:8000/detect?score_thr=0.3'
  curl -F image=@image.jpg -F score_thr=0.3 http://localhost:8000/detect

Requires ONNX Runtime, NumPy, SciPy, Pillow and uvicorn, and python-multipart
for forms (curl -F). POST /detect takes an image file and answers with JSON: a
list of people, each with a score and, for each keypoint found, [x, y, score].
GET /healthz answers with the status, GET /model with keypoints and skeleton.
The service has no encryption and no authentication: run it behind a proxy that
has both.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, Dict, Optional, Tuple

from .cli import import_pillow, make_parser
from .pose_model import PoseModel
from .service import Limits, Service

__all__ = [
    'add_arguments',
    'main',
    'make_limits',
    'open_socket',
    'require_packages',
    'serve',
]


def _format_error(status: bytes, reason: bytes) -> bytes:
    """Format an answer to a client whose request is not complete."""
    content = b'{"error": "%b"}' % reason
    return (
        b'HTTP/1.1 %b\r\nContent-Type: application/json\r\n'
        b'Connection: close\r\nContent-Length: %d\r\n\r\n%b'
        % (status, len(content), content)
    )


_REQUEST_TIMEOUT = _format_error(
    b'408 Request Timeout', b'the request did not arrive in time'
)
_TOO_MANY = _format_error(
    b'503 Service Unavailable',
    b'too many connections are open; repeat the request later',
)
# Maximum number of open connections; systems allow 256 to 1024 files.
_MAX_CONNECTIONS = 128
# Seconds between the timeout of the application, which answers, and that of
# the connection.
_GRACE = 2
# Seconds for requests in progress after Ctrl-C.
_STOP_TIMEOUT = 0.25


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__, f'{__package__}.server')
    parser.add_argument(
        'model', help='ONNX file of tools/deployment/export_onnx.py'
    )
    add_arguments(parser)
    return parser.parse_args()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the server.

    Args:
        parser (argparse.ArgumentParser): Parser to extend.
    """
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen on; 0.0.0.0 accepts other machines',
    )
    parser.add_argument(
        '--port', type=int, default=8000, help='port; 0 chooses a free one'
    )
    parser.add_argument(
        '--threads',
        type=int,
        metavar='N',
        help='number of CPU threads of the network',
    )
    _add_limits(parser)


def make_limits(args: argparse.Namespace) -> Limits:
    """Make the limits from the options.

    Args:
        args (argparse.Namespace): Options of :func:`add_arguments`.

    Returns:
        Limits: Limits.

    Raises:
        ValueError: If an option is out of range.
    """
    if not 0 <= args.port < 1 << 16:
        raise ValueError(f'--port is {args.port}, expected 0 to 65535')
    for name in ('max_mib', 'max_pixels', 'max_requests', 'timeout'):
        value = getattr(args, name)
        if not 0 < value < 1e12:
            option = name.replace('_', '-')
            raise ValueError(
                f'--{option} is {value}, expected a positive number'
            )
    return Limits(
        max_bytes=int(args.max_mib * 2**20),
        max_pixels=int(args.max_pixels),
        max_requests=args.max_requests,
        timeout=args.timeout,
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options of the limits."""
    limits = Limits()
    parser.add_argument(
        '--max-mib',
        type=float,
        default=limits.max_bytes / 2**20,
        help='maximum size of an image file in MiB',
    )
    parser.add_argument(
        '--max-pixels',
        type=float,
        default=limits.max_pixels,
        help='maximum number of pixels of an image',
    )
    parser.add_argument(
        '--max-requests',
        type=int,
        default=limits.max_requests,
        help='maximum number of requests at a time; others get status 503',
    )
    parser.add_argument(
        '--timeout',
        type=float,
        default=limits.timeout,
        help='maximum duration of a request in seconds',
    )


def _import_uvicorn() -> Any:
    """Import ``uvicorn``, or raise ImportError with the command for pip."""
    try:
        import uvicorn
    except ImportError as error:
        raise ImportError(
            'the web service runs on uvicorn, which is not installed: '
            'pip install uvicorn'
        ) from error
    return uvicorn


def _make_protocol(seconds: float) -> Any:
    """Make an HTTP protocol that ends connections after some seconds.

    uvicorn has no timeout for headers, nor for clients that do not read.
    Where too many connections are open, the oldest one without a complete
    request is closed.
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    opened: Dict[Any, None] = {}  # connections, the oldest first

    class DeadlineProtocol(H11Protocol):
        deadline: Optional[asyncio.TimerHandle] = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            opened[self] = None
            if len(opened) > _MAX_CONNECTIONS:
                next(c for c in opened if c.cycle is None)._refuse(_TOO_MANY)
            self.deadline = self.loop.call_later(seconds, self._expire)

        def connection_lost(self, exc: Optional[Exception]) -> None:
            opened.pop(self, None)
            if self.deadline is not None:
                self.deadline.cancel()
            super().connection_lost(exc)

        def _expire(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self._refuse(_REQUEST_TIMEOUT)
            else:
                self.transport.abort()

        def _refuse(self, answer: bytes) -> None:
            opened.pop(self, None)
            self.transport.write(answer)
            self.transport.close()

    return DeadlineProtocol


def serve(service: Service, address: socket.socket) -> None:
    """Serve until interrupted.

    Ctrl-C ends the function within a second. Requests in progress are
    answered with status 503. If an image is being processed, which nothing
    can stop, the process ends with status 0 instead.

    Args:
        service (Service): Application.
        address (socket.socket): Socket that listens.

    Raises:
        ImportError: If uvicorn is not installed.
    """
    uvicorn = _import_uvicorn()
    config = uvicorn.Config(
        service,
        http=_make_protocol(service.limits.timeout + _GRACE),
        ws='none',
        lifespan='off',
        log_config=None,
        log_level='warning',
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_TIMEOUT,
    )
    logging.getLogger('uvicorn.error').addFilter(_is_no_cancellation)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[address])
    print('stopped', file=sys.stderr, flush=True)
    if service.is_running:
        sys.stdout.flush()
        os._exit(0)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Leave out uvicorn's error about requests that Ctrl-C ends."""
    return not str(record.msg).startswith('Cancel ')


def open_socket(host: str, port: int) -> Tuple[socket.socket, str]:
    """Open a socket that listens.

    Args:
        host (str): Address.
        port (int): Port; 0 chooses a free one.

    Returns:
        tuple[socket.socket, str]: Socket, and the URL of the service.

    Raises:
        OSError: If the port is in use or must not be used, or the address is
            not one of this machine.
    """
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    try:
        address = socket.create_server((host, port), family=family)
    except OSError as error:
        # Newer versions of Python append the address.
        reason = (error.strerror or str(error)).partition(' (while ')[0]
        remedy = (
            'choose another with --port, or a free one with --port 0'
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else 'pass an address of this machine as --host'
        )
        raise OSError(
            f'cannot listen on {host}, port {port} ({reason}); {remedy}'
        ) from error
    name, number = address.getsockname()[:2]
    name = f'[{name}]' if ':' in name else name
    return address, f'http://{name}:{number}'


def require_packages() -> None:
    """Raise if a package of the service is not installed.

    Raises:
        ImportError: If SciPy, Pillow or uvicorn is absent.
    """
    try:
        import_module('scipy.optimize')
    except ImportError as error:
        raise ImportError(
            'keypoints are grouped with SciPy, which is not installed: '
            'pip install scipy'
        ) from error
    import_pillow()
    _import_uvicorn()


def main() -> None:
    """Serve until interrupted."""
    args = parse_args()
    logging.basicConfig(format='%(levelname)s: %(message)s')
    try:
        limits = make_limits(args)
        require_packages()
        address, url = open_socket(args.host, args.port)
        model = PoseModel(args.model, threads=args.threads)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(url, flush=True)
    serve(Service(model, limits), address)


if __name__ == '__main__':
    main()
