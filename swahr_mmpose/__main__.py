# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The command ``swahr``, also ``python -m swahr_mmpose``.

Each subcommand is the ``main`` of a module, which the scripts of ``tools/``
call as well. Arguments are parsed before torch and MMPose are imported: see
``is_command`` in ``swahr_mmpose/__init__.py``. ``swahr doctor`` also works
where importing them fails.
"""

from __future__ import annotations

import os.path as osp
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Dict, List, NoReturn, Optional, Tuple

from swahr_mmpose import __version__
from swahr_mmpose.utils.resources import find_resource

__all__ = ['COMMANDS', 'main']

# Subcommand: module of this package, and summary.
COMMANDS: Dict[str, Tuple[str, str]] = {
    'train': ('commands.train', 'train a model'),
    'test': ('commands.test', 'evaluate a model on its test set'),
    'report': (
        'commands.report',
        'test a model and write an HTML report of the evaluation',
    ),
    'infer': (
        'commands.infer',
        'detect people in images, a video or a camera stream',
    ),
    'uncertainty': (
        'commands.evaluate_uncertainty',
        'measure how estimated standard deviations order the true errors',
    ),
    'scales': (
        'commands.scale_statistics',
        'measure whether the learned scale follows the size of people',
    ),
    'localization': (
        'commands.measure_localization',
        'measure position errors of keypoints and false peaks',
    ),
    'visualize': (
        'commands.visualize',
        'draw predicted poses and scale maps of a dataset',
    ),
    'overfit': (
        'commands.overfit',
        'overfit a few images to test data, model and decoding',
    ),
    'memory': (
        'commands.estimate_memory',
        'estimate the GPU memory of a training, without a GPU',
    ),
    'doctor': ('', 'check whether SWAHR can train in this environment'),
    'gpu-report': (
        'commands.gpu_report',
        'check and measure a GPU or another accelerator',
    ),
    'dataset new': (
        'commands.new_dataset',
        'make a config for your own keypoints',
    ),
    'dataset check': (
        'commands.check_dataset',
        'check annotations and image files',
    ),
    'dataset browse': ('commands.browse_dataset', 'draw training samples'),
    'dataset merge': ('commands.merge_annotations', 'merge annotation files'),
    'dataset synthetic': (
        'commands.make_synthetic_dataset',
        'make a small synthetic dataset',
    ),
    'serve': (
        'commands.serve',
        'open a page that shows poses in images and camera frames',
    ),
    'onnx export': ('commands.export_onnx', 'export a model to ONNX'),
    'onnx evaluate': (
        'commands.evaluate_onnx',
        'evaluate and time an exported model',
    ),
    'onnx page': (
        'commands.make_page',
        'make a static page that runs an exported model in the browser',
    ),
    'onnx serve': (
        'deploy.runtime.server',
        'serve an exported model over HTTP',
    ),
    'run': (
        'commands.run_script',
        'run a script of MMPose after importing swahr_mmpose',
    ),
    'fetch': (
        'commands.fetch',
        'fetch published weights: download, verify and convert',
    ),
    'convert': (
        'commands.convert_checkpoint',
        'convert checkpoints from and to other layouts',
    ),
    'publish': (
        'commands.publish_model',
        'make a checkpoint file for a model zoo',
    ),
}


def main() -> None:
    """Run the subcommand of the command line.

    Raises:
        SystemExit: With status 0 for ``--help`` and ``--version``, and 2 for
            an unknown or missing subcommand.
    """
    program = _get_program_name()
    words = sys.argv[1:]
    name = _find_command(words)
    if name is None:
        _exit_with_usage(program, words)
    arguments = words[len(name.split()) :]
    sys.argv = [f'{program} {name}', *arguments]
    if name == 'doctor':
        _run_doctor()
    else:
        import_module(f'swahr_mmpose.{COMMANDS[name][0]}').main()


def _get_program_name() -> str:
    """Get the name of the program as typed, for messages."""
    is_module = osp.basename(sys.argv[0]) == '__main__.py'
    return 'python -m swahr_mmpose' if is_module else 'swahr'


def _find_command(words: List[str]) -> Optional[str]:
    """Find the subcommand of one or two words."""
    for count in (2, 1):
        name = ' '.join(words[:count])
        if name in COMMANDS:
            return name
    return None


def _exit_with_usage(program: str, words: List[str]) -> NoReturn:
    """Handle ``--help`` and ``--version``; refuse anything else."""
    group = [n for n in COMMANDS if words and n.split()[0] == words[0]]
    option = words[1:2] if group else words[:1]
    if option in (['-h'], ['--help']):
        print(_format_usage(program, group or list(COMMANDS)))
        sys.exit(0)
    if option == ['--version'] and not group:
        print(f'swahr_mmpose {__version__}')
        sys.exit(0)
    got = ' '.join(words[:2] if group else words[:1])
    problem = f'unknown command {got!r}' if words else 'no command'
    similar = _find_similar(got)
    if len(words) == 1 and group:
        problem += f'; expected one of {", ".join(group)}'
    elif words and similar:
        problem += f'; did you mean {similar!r}?'
    usage = _format_usage(program, group or list(COMMANDS))
    print(f'{usage}\n\nerror: {problem}', file=sys.stderr)
    sys.exit(2)


def _find_similar(got: str) -> Optional[str]:
    """Find the command that ends with a word, or the nearest name."""
    for name in COMMANDS:
        if name.split()[-1] == got:
            return name
    return next(iter(get_close_matches(got, COMMANDS, 1)), None)


def _format_usage(program: str, names: List[str]) -> str:
    """Format usage and summaries of subcommands."""
    width = max(map(len, names))
    rows = [f'  {name:<{width}}  {COMMANDS[name][1]}' for name in names]
    return '\n'.join(
        [
            f'usage: {program} COMMAND [ARGUMENTS]',
            '',
            *rows,
            '',
            f'{program} COMMAND --help prints the options and examples of a '
            'command.',
        ]
    )


def _run_doctor() -> None:
    """Run ``tools/doctor.py``, which imports nothing of this package."""
    sys.path.insert(0, str(find_resource('tools')))
    import_module('doctor').main()


if __name__ == '__main__':
    main()
