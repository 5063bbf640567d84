# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Serve an exported model over HTTP: an example without MMPose and PyTorch.

  %(prog)s deploy/model.onnx --port 8000
  curl --data-binary @image.jpg 'http://localhost:8000/?score_thr=0.3'

Requires ONNX Runtime, NumPy, SciPy and Pillow. POST takes an image file and
answers with JSON: a list of people, each with a score and, for each keypoint
found, [x, y, score]. GET answers with the status and the keypoint names. The
service has no encryption and no authentication: run it behind a proxy that
has both.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Tuple, cast
from urllib.parse import parse_qs, urlsplit

from .cli import ImageTooLargeError, import_pillow, make_parser, read_image
from .pose_model import PoseModel

__all__ = ['Service', 'main']


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
    parser.add_argument(
        '--max-mib',
        type=float,
        default=20,
        help='maximum size of an image file in MiB',
    )
    parser.add_argument(
        '--max-pixels',
        type=float,
        default=50_000_000,
        help='maximum number of pixels of an image',
    )
    return parser.parse_args()


class RequestError(Exception):
    """A request that is refused, with HTTP status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Service(ThreadingHTTPServer):
    """HTTP server that runs a model on posted images.

    Args:
        address (tuple): Host and port.
        model (PoseModel): Model, shared by all threads.
        max_bytes (int): Maximum size of a request body in bytes.
        max_pixels (int): Maximum number of pixels of an image.
    """

    def __init__(
        self,
        address: Tuple[str, int],
        model: PoseModel,
        max_bytes: int,
        max_pixels: int,
    ) -> None:
        self.model = model
        self.max_bytes, self.max_pixels = max_bytes, max_pixels
        super().__init__(address, Handler)

    def detect(self, content: bytes, score_thr: float) -> List[Dict[str, Any]]:
        """Detect people in an image file.

        Args:
            content (bytes): Image file.
            score_thr (float): Instance score above which people are returned.

        Returns:
            list[dict]: People, see :meth:`.Poses.as_dicts`.

        Raises:
            RequestError: If it is not an image, or too large or too long.
        """
        name = f'the body ({len(content)} bytes)'
        try:
            image = read_image(io.BytesIO(content), name, self.max_pixels)
        except ImageTooLargeError as error:
            raise RequestError(413, str(error)) from error
        except ValueError as error:
            raise RequestError(400, str(error)) from error
        try:
            poses = self.model(image, 'rgb')
        except ValueError as error:  # aspect ratio above the limit
            raise RequestError(413, str(error)) from error
        return poses.as_dicts(self.model.settings.keypoints, score_thr)


class Handler(BaseHTTPRequestHandler):
    """Handler of one request."""

    timeout = 30  # seconds to wait for the body

    @property
    def service(self) -> Service:
        """Server of the request."""
        return cast(Service, self.server)

    def do_GET(self) -> None:  # noqa: N802
        """Answer with the status and the keypoint names."""
        keypoints = self.service.model.settings.keypoints
        self._answer(200, dict(status='ok', keypoints=keypoints))

    def do_POST(self) -> None:  # noqa: N802
        """Answer with the people in the posted image."""
        try:
            content, score_thr = self._read_request()
            started = time.perf_counter()
            people = self.service.detect(content, score_thr)
        except RequestError as error:
            self.close_connection = True
            self._answer(error.status, dict(error=str(error)))
            return
        seconds = round(time.perf_counter() - started, 4)
        self._answer(200, dict(people=people, seconds=seconds))

    def _read_request(self) -> Tuple[bytes, float]:
        """Read the body and the query parameter ``score_thr``."""
        query = parse_qs(urlsplit(self.path).query)
        try:
            size = int(self.headers.get('Content-Length', ''))
            score_thr = float(query.get('score_thr', ['0.2'])[0])
        except ValueError as error:
            raise RequestError(
                400, f'Content-Length and score_thr must be numbers: {error}'
            ) from error
        if size < 1:
            raise RequestError(
                400, 'the body is empty, expected an image file'
            )
        if size > self.service.max_bytes:
            raise RequestError(
                413,
                f'the body has {size} bytes, expected at most '
                f'{self.service.max_bytes}',
            )
        return self.rfile.read(size), score_thr

    def _answer(self, status: int, content: Dict[str, Any]) -> None:
        """Send JSON."""
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main() -> None:
    """Serve until interrupted."""
    args = parse_args()
    try:
        import_pillow()
        model = PoseModel(args.model, threads=args.threads)
        service = Service(
            (args.host, args.port),
            model,
            max_bytes=int(args.max_mib * 2**20),
            max_pixels=int(args.max_pixels),
        )
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    host, port = service.server_address[:2]
    print(f'http://{str(host)}:{port}', flush=True)
    try:
        service.serve_forever()
    except KeyboardInterrupt:
        service.server_close()


if __name__ == '__main__':
    main()
