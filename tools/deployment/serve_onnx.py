# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Serve an exported model over HTTP, without MMPose and PyTorch.

The code is ``swahr_mmpose/deploy/runtime/server.py``. It is loaded by its
path, since importing the package would import PyTorch.
"""

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HERE = Path(__file__).resolve()
# In a checkout, and in swahr_mmpose/.mim of an installed package.
PACKAGES = (HERE.parents[2] / 'swahr_mmpose', HERE.parents[3])


def load_server():
    """Load the server as part of a package ``swahr_runtime``."""
    for package in PACKAGES:
        folder = package / 'deploy/runtime'
        if folder.is_dir():
            break
    spec = spec_from_file_location(
        'swahr_runtime',
        folder / '__init__.py',
        submodule_search_locations=[str(folder)],
    )
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return importlib.import_module('swahr_runtime.server')


if __name__ == '__main__':
    load_server().main()
