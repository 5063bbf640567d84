# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The ``swahr`` command, and ``python -m swahr_mmpose``.

Each subcommand is the ``main`` of a module; the scripts of ``tools/`` call the
same functions.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module
from typing import Dict, NoReturn, Tuple

from swahr_mmpose.utils.resources import find_resource

__all__ = ['COMMANDS', 'main']

# Subcommand: module of this package, and summary.
COMMANDS: Dict[str, Tuple[str, str]] = {
    'train': ('commands.train', 'train a model'),
    'test': ('commands.test', 'test a model and report its metrics'),
    'infer': ('commands.infer', 'find people in images, videos or a camera'),
    'doctor': ('', 'check whether SWAHR can train in this environment'),
    'dataset new': ('commands.new_dataset', 'config for your own keypoints'),
    'dataset check': (
        'commands.check_dataset',
        'check annotations and images',
    ),
    'dataset browse': ('commands.browse_dataset', 'draw training samples'),
    'dataset merge': ('commands.merge_annotations', 'merge annotation files'),
    'dataset synthetic': (
        'commands.make_synthetic_dataset',
        'make a small dataset',
    ),
    'onnx export': ('commands.export_onnx', 'export a model to ONNX'),
    'onnx evaluate': ('commands.evaluate_onnx', 'test an exported model'),
    'onnx serve': (
        'deploy.runtime.server',
        'serve an exported model over HTTP',
    ),
    'convert': ('commands.convert_checkpoint', 'convert a checkpoint'),
    'publish': ('commands.publish_model', 'make a file for a model zoo'),
}


def _usage() -> str:
    """Usage text: every subcommand with its summary."""
    width = max(map(len, COMMANDS))
    rows = [f'  {n:<{width}}  {text}' for n, (_, text) in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: swahr COMMAND [ARGUMENTS]',
            '',
            *rows,
            '',
            'swahr COMMAND --help describes a command and gives examples.',
        ]
    )


def _run_doctor() -> None:
    """Run ``tools/doctor.py``, which imports nothing of this package."""
    folder = find_resource('tools')
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / 'doctor.py'), run_name='__main__')


def _split(words: list[str]) -> Tuple[str, list[str]]:
    """Subcommand (of one or two words) and its arguments."""
    for count in (2, 1):
        name = ' '.join(words[:count])
        if name in COMMANDS:
            return name, words[count:]
    _refuse(words)


def _refuse(words: list[str]) -> NoReturn:
    """Print the usage; exit with 0 for ``--help``, else with 2."""
    if words[:1] in (['-h'], ['--help']):
        print(_usage())
        sys.exit(0)
    got = f'unknown command {" ".join(words[:2])!r}' if words else 'no command'
    print(f'{_usage()}\n\nerror: {got}', file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Run the subcommand that the command line names."""
    name, arguments = _split(sys.argv[1:])
    if name == 'doctor':
        sys.argv = ['swahr doctor', *arguments]
        _run_doctor()
        return
    module = import_module(f'swahr_mmpose.{COMMANDS[name][0]}')
    sys.argv = [f'swahr {name}', *arguments]
    module.main()


if __name__ == '__main__':
    main()
