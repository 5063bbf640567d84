# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Serve an exported model over HTTP, without MMPose and PyTorch.

The code is in ``swahr_mmpose/deploy/runtime/server.py``. It is loaded by path,
since importing the package would import PyTorch.
"""

import importlib
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HERE = Path(__file__).resolve()
# The package in a checkout, and in a wheel, where this is swahr_mmpose/.mim.
PACKAGES = (HERE.parents[2] / 'swahr_mmpose', HERE.parents[3])


def find_runtime():
    """Find the folder of the runtime.

    Returns:
        Path: ``deploy/runtime`` of the package.

    Raises:
        SystemExit: If it does not exist.
    """
    folders = [package / 'deploy/runtime' for package in PACKAGES]
    for folder in folders:
        if folder.is_dir():
            return folder
    sys.exit(
        f'error: the runtime is in neither of {list(map(str, folders))}; '
        'install swahr_mmpose again'
    )


def load_server():
    """Load the server as part of a package ``swahr_runtime``.

    Returns:
        module: ``swahr_runtime.server``.
    """
    folder = find_runtime()
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
