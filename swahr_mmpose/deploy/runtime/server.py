# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A web service that finds people, without MMPose and PyTorch: an example.

  python tools/deployment/serve_onnx.py deploy/model.onnx --port 8000
  curl --data-binary @image.jpg 'http://localhost:8000/?min_score=0.3'

Needs the model, the folder swahr_runtime beside it, ONNX Runtime, NumPy, SciPy
and Pillow. The answer is JSON: a list of people, each with a score and for
each keypoint that was found [x, y, score]. GET tells that the service lives.
It has neither encryption nor users: keep it behind something that has.
"""

import argparse
import io
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from .pose_model import PoseModel


def parse_args():
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'model', help='file of tools/deployment/export_onnx.py'
    )
    parser.add_argument(
        '--host', default='127.0.0.1', help='default: this machine alone'
    )
    parser.add_argument('--port', type=int, default=8000)
    parser.add_argument('--threads', type=int, help='of the network')
    parser.add_argument(
        '--max-mib', type=float, default=20, help='largest image file taken'
    )
    parser.add_argument(
        '--max-pixels', type=float, default=5e7, help='largest image taken'
    )
    return parser.parse_args()


class Refused(Exception):
    """A request that cannot be answered: a status and the reason."""


class Service(ThreadingHTTPServer):
    """The model, and what it takes."""

    def __init__(self, args, model):
        self.model = model
        self.max_bytes = int(args.max_mib * 2**20)
        self.max_pixels = int(args.max_pixels)
        super().__init__((args.host, args.port), Handler)

    def people(self, content, min_score):
        """The people in an image file."""
        try:
            with Image.open(io.BytesIO(content)) as file:
                pixels = file.width * file.height
                if pixels > self.max_pixels:
                    raise Refused(413, f'the image has {pixels} pixels')
                image = np.asarray(file.convert('RGB'))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise Refused(
                400, f'no complete image file ({len(content)} bytes)'
            ) from error
        try:
            poses = self.model(image, 'rgb')
        except ValueError as error:  # it is too long for its width
            raise Refused(413, str(error)) from error
        return poses.as_dicts(self.model.settings.keypoints, min_score)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = 30  # seconds to wait for the image

    def do_GET(self):  # noqa: N802
        """Say that the service lives."""
        keypoints = self.server.model.settings.keypoints
        self._answer(200, dict(status='ok', keypoints=keypoints))

    def do_POST(self):  # noqa: N802
        """Find the people in the image that is the body."""
        try:
            content, min_score = self._read()
            started = time.perf_counter()
            people = self.server.people(content, min_score)
        except Refused as refused:
            status, reason = refused.args
            self.close_connection = True
            self._answer(status, dict(error=reason))
            return
        seconds = round(time.perf_counter() - started, 4)
        self._answer(200, dict(people=people, seconds=seconds))

    def _read(self):
        query = parse_qs(urlsplit(self.path).query)
        try:
            size = int(self.headers.get('Content-Length', ''))
            min_score = float(query.get('min_score', ['0.2'])[0])
        except ValueError as error:
            raise Refused(
                400, f'Content-Length and min_score are numbers: {error}'
            ) from error
        if size < 1:
            raise Refused(400, 'no image: the body of the request is empty')
        if size > self.server.max_bytes:
            raise Refused(
                413, f'{size} bytes, expected up to {self.server.max_bytes}'
            )
        return self.rfile.read(size), min_score

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main():
    """Serve until interrupted."""
    args = parse_args()
    try:
        model = PoseModel(args.model, threads=args.threads)
        service = Service(args, model)
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    host, port = service.server_address[:2]
    print(f'http://{host}:{port}', flush=True)
    try:
        service.serve_forever()
    except KeyboardInterrupt:
        service.server_close()


if __name__ == '__main__':
    main()
