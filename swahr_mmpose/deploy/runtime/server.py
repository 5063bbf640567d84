# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Serve an exported model over HTTP, without MMPose and PyTorch.

  %(prog)s deploy/model.onnx --port 8000
  curl --data-binary @image.jpg 'http://localhost:8000/?score_thr=0.3'

Requires ONNX Runtime, NumPy, SciPy, Pillow and uvicorn. POST takes an image
file and answers with JSON: a list of people, each with a score and, for each
keypoint found, [x, y, score]. GET answers with the status and the keypoint
names. The service has no encryption and no authentication: run it behind a
proxy that has both.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
from typing import Any, Optional

from .cli import import_pillow, make_parser
from .pose_model import PoseModel
from .service import Limits, Service

__all__ = ['main', 'serve']

_LATE = b'{"error": "the request did not arrive in time"}'
_REQUEST_TIMEOUT = (
    b'HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n'
    b'Connection: close\r\nContent-Length: %d\r\n\r\n%b' % (len(_LATE), _LATE)
)
# Seconds between the timeout of the application, which answers, and that of
# the connection.
_GRACE = 2


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__, f'{__package__}.server')
    parser.add_argument(
        'model', help='ONNX file of tools/deployment/export_onnx.py'
    )
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
    args = parser.parse_args()
    if not 0 <= args.port < 1 << 16:
        parser.error(f'--port is {args.port}, expected 0 to 65535')
    for name in ('max_mib', 'max_pixels', 'max_requests', 'timeout'):
        if not 0 < getattr(args, name) < 1e12:
            option = name.replace('_', '-')
            parser.error(f'--{option} must be a positive number')
    return args


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
    """
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class DeadlineProtocol(H11Protocol):
        deadline: Optional[asyncio.TimerHandle] = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.deadline = asyncio.get_running_loop().call_later(
                seconds, self._expire
            )

        def connection_lost(self, exc: Optional[Exception]) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
            super().connection_lost(exc)

        def _expire(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.write(_REQUEST_TIMEOUT)
                self.transport.close()
            else:
                self.transport.abort()

    return DeadlineProtocol


def serve(service: Service, address: socket.socket) -> None:
    """Serve until interrupted.

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
        timeout_graceful_shutdown=_GRACE,
    )
    uvicorn.Server(config).run(sockets=[address])


def main() -> None:
    """Serve until interrupted."""
    args = parse_args()
    logging.basicConfig(format='%(levelname)s: %(message)s')
    limits = Limits(
        max_bytes=int(args.max_mib * 2**20),
        max_pixels=int(args.max_pixels),
        max_requests=args.max_requests,
        timeout=args.timeout,
    )
    family = socket.AF_INET6 if ':' in args.host else socket.AF_INET
    try:
        import_pillow()
        _import_uvicorn()
        model = PoseModel(args.model, threads=args.threads)
        address = socket.create_server((args.host, args.port), family=family)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    host, port = address.getsockname()[:2]
    host = f'[{host}]' if ':' in host else host
    print(f'http://{host}:{port}', flush=True)
    try:
        serve(Service(model, limits), address)
    except KeyboardInterrupt:
        pass


if __name__ == '__main__':
    main()
