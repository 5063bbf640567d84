# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Make a static page that runs an exported model in the browser.

  npm pack onnxruntime-web && tar xzf onnxruntime-web-*.tgz
  %(prog)s deploy/model.onnx --ort-dir package --out-dir page
  # look at it; any static web server can serve the folder
  python -m http.server --directory page

The page is that of "swahr serve". Images do not leave the device: the network
runs on onnxruntime-web and WebAssembly, decoding in JavaScript. Nothing is
downloaded by this command. The folder holds the model, so whoever can open the
page can download it.
"""

from __future__ import annotations

import argparse
import os.path as osp

from swahr_mmpose.utils.argument_checks import require_onnx
from swahr_mmpose.utils.cli import Argv, make_parser, user_errors

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('model', help='ONNX file of "swahr onnx export"')
    parser.add_argument(
        '--ort-dir',
        required=True,
        metavar='DIR',
        help='folder of the npm package onnxruntime-web, unpacked or '
        'installed, or of its files',
    )
    parser.add_argument(
        '--out-dir',
        default='page',
        metavar='DIR',
        help='folder to write; files of the same names are replaced',
    )
    parser.check = check_args
    parser.needs_torch = lambda args: False
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check that the inputs exist.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        FileNotFoundError: If the model or the folder does not exist.
        ValueError: If the model is a file of another type.
    """
    require_onnx(args.model)
    if not osp.isdir(args.ort_dir):
        raise FileNotFoundError(
            f'folder {args.ort_dir} does not exist; get onnxruntime-web with '
            '`npm pack onnxruntime-web`, unpack the file and give the folder'
        )


def main(argv: Argv = None) -> None:
    """Write the page."""
    args = parse_args(argv)
    with user_errors(ImportError, OSError, ValueError):
        from swahr_mmpose.deploy.static_page import make_page

        index = make_page(args.model, args.out_dir, args.ort_dir)
    folder = osp.dirname(osp.abspath(index))
    print(f'the page is {osp.abspath(index)}')
    print(f'next: python -m http.server --directory {folder}')
