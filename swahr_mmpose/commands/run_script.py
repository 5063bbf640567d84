# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Run a script of MMPose or your own after importing swahr_mmpose.

  %(prog)s tools/analysis_tools/get_flops.py CONFIG --shape 512 512
  %(prog)s demo/inferencer_demo.py photos/ --pose2d CONFIG \
      --pose2d-weights CHECKPOINT

Scripts that import MMPose before they read the config fail with mmcv-lite:
"No module named 'mmcv._ext'". The import of swahr_mmpose prevents it. A path
that does not exist is searched in the installed MMPose.
"""

from __future__ import annotations

import argparse
import os
import os.path as osp
import runpy
import sys
from importlib.util import find_spec
from typing import List

from swahr_mmpose.utils.cli import Argv, make_parser, user_errors

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'script', help='Python file, or its path within MMPose'
    )
    parser.add_argument(
        'arguments', nargs=argparse.REMAINDER, help='arguments of the script'
    )
    parser.expected = 'expected a script: SCRIPT [ARGUMENTS ...]'
    return parser.parse_args(argv)


def main(argv: Argv = None) -> None:
    """Run the script as Python would."""
    args = parse_args(argv)
    with user_errors():
        script = _find_script(args.script)
    sys.argv = [script, *args.arguments]
    sys.path.insert(0, osp.dirname(osp.abspath(script)))
    runpy.run_path(script, run_name='__main__')


def _find_script(path: str) -> str:
    """Find a script by its path, or in the installed MMPose."""
    folders = _list_mmpose_folders()
    for candidate in (path, *(osp.join(f, path) for f in folders)):
        if osp.isfile(candidate):
            return candidate
    raise FileNotFoundError(
        f'script {path} does not exist, neither here nor in '
        f'{" or ".join(folders)}; give the path of a Python file'
    )


def _list_mmpose_folders() -> List[str]:
    """List the folders in which MMPose ships its scripts."""
    spec = find_spec('mmpose')
    if spec is None or spec.origin is None:
        return []
    package = osp.dirname(spec.origin)
    return [osp.join(package, '.mim'), os.fspath(osp.dirname(package))]
