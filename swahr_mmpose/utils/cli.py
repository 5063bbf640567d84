# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Argument parsing and config loading of the commands."""

from __future__ import annotations

import argparse
import os
import os.path as osp
import shlex
import sys
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional

from swahr_mmpose.utils.command_parser import (
    Argv,
    CommandParser,
    HelpFormatter,
    make_parser,
    user_errors,
)
from swahr_mmpose.utils.config import find_config, read_config
from swahr_mmpose.utils.config_options import (
    ConfigAction,
    check_option_values,
    find_misspelt_keys,
)
from swahr_mmpose.utils.input_size import parse_input_size, set_input_size
from swahr_mmpose.utils.launchers import (
    get_local_rank,
    is_first_process,
    require_launcher,
)
from swahr_mmpose.utils.progress import track
from swahr_mmpose.utils.screen import require_screen

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    'Argv',
    'CommandParser',
    'HelpFormatter',
    'add_cfg_options',
    'add_common_arguments',
    'add_input_size',
    'add_measurement_arguments',
    'add_model_arguments',
    'find_config',
    'format_next_steps',
    'is_first_process',
    'load_config',
    'make_parser',
    'merge_options',
    'name_command',
    'override_config',
    'parse_count',
    'read_config',
    'read_samples',
    'user_errors',
]


# Scripts of the commands, for users without the command ``swahr``.
_SCRIPTS = {
    'infer': 'tools/infer.py',
    'test': 'tools/test.py',
    'train': 'tools/train.py',
    'onnx export': 'tools/deployment/export_onnx.py',
    'dataset new': 'tools/dataset_tools/new_dataset.py',
}


def name_command(name: str) -> str:
    """Name another command in the form in which this one was typed.

    Args:
        name (str): Subcommand of ``swahr``, such as ``'infer'``.

    Returns:
        str: ``'swahr infer'``, ``'python tools/infer.py'``, ...
    """
    if sys.argv[0].endswith('.py'):
        return f'python {_SCRIPTS[name]}'
    is_module = sys.argv[0].startswith('python -m')
    return f'{"python -m swahr_mmpose" if is_module else "swahr"} {name}'


def format_next_steps(
    config: str,
    checkpoint: str,
    tested: bool = True,
    own_keypoints: bool = False,
) -> List[str]:
    """Format commands that use a trained model.

    Args:
        config (str): Config of the model.
        checkpoint (str): Checkpoint of the model.
        tested (bool): Whether the model has been tested. Defaults to True.
        own_keypoints (bool): Whether the model is of keypoints of the user.
            Defaults to False.

    Returns:
        list[str]: Lines to print.
    """
    model = f'{shlex.quote(config)} {shlex.quote(checkpoint)}'
    steps = [
        ('your own image', 'infer', f'{model} your.jpg --out-dir poses'),
        ('metrics', 'test', model),
        ('without PyTorch', 'onnx export', model),
        ('your own keypoints', 'dataset new', '--help'),
    ]
    done = {'test': tested, 'dataset new': own_keypoints}
    steps = [step for step in steps if not done.get(step[1])]
    width = max(len(title) for title, *_ in steps)
    return ['next:'] + [
        f'  {title:<{width}}  {name_command(name)} {arguments}'
        for title, name, arguments in steps
    ]


def parse_count(text: str) -> int:
    """Parse the value of an option that is a number of images.

    Args:
        text (str): Value.

    Returns:
        int: Number.

    Raises:
        argparse.ArgumentTypeError: If it is no integer of 1 or more.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f'got {text!r}, expected a number of images of 1 or more; leave '
            'the option out for all'
        )
    return int(text)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that :func:`.model_zoo.resolve_model` resolves.

    Args:
        parser (argparse.ArgumentParser): Parser to extend.
    """
    parser.add_argument(
        'config',
        help='config file, or a name of "swahr fetch", such as '
        'higherhrnet-w32, without a checkpoint',
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file or URL')


def add_measurement_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that measure a model on a dataset split.

    Args:
        parser (argparse.ArgumentParser): Parser to extend.
    """
    add_model_arguments(parser)
    parser.add_argument(
        '--out-file', metavar='FILE', help='results file (.json)'
    )
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='test',
        help='dataset split',
    )
    parser.add_argument(
        '--max-images',
        type=parse_count,
        metavar='N',
        help='maximum number of images (default: all)',
    )
    parser.add_argument(
        '--device',
        help='device, for example cpu, cuda:1 or mps (default: a GPU if there '
        'is one)',
    )
    add_cfg_options(parser)


def read_samples(dataset: Any, max_images: Optional[int]) -> Iterator[Any]:
    """Read the samples of a dataset, with a progress bar.

    Args:
        dataset (BaseDataset): Dataset.
        max_images (int, optional): Number of samples, the first ones; None:
            all.

    Yields:
        dict: Sample.

    Raises:
        SystemExit: If the dataset is empty, or an image cannot be read.
    """
    total = len(dataset)
    if total == 0:
        raise SystemExit(
            'error: the dataset split has no images; choose another --split, '
            'or correct ann_file in the config'
        )
    for index in track(range(min(max_images or total, total))):
        with user_errors():
            sample = dataset[index]
        yield sample


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--cfg-options``.

    Args:
        parser (argparse.ArgumentParser): Parser to extend.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigAction,
        default={},
        metavar='KEY=VALUE',
        help='config settings to override, e.g. '
        "train_dataloader.batch_size=4 'model.test_cfg.flip_test=False'",
    )


def add_input_size(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--input-size``.

    Args:
        parser (argparse.ArgumentParser): Parser to extend.
    """
    parser.add_argument(
        '--input-size',
        type=parse_input_size,
        metavar='PX',
        help='side of the network input in pixels, a multiple of 64, or '
        'WIDTH,HEIGHT: sets codec, pipelines and head of the config',
    )


def override_config(cfg: Config, args: argparse.Namespace) -> None:
    """Apply ``--input-size`` and ``--cfg-options``.

    Args:
        cfg (Config): Complete config; changed in place.
        args (argparse.Namespace): Options of :func:`add_input_size` and
            :func:`add_cfg_options`.

    Raises:
        ValueError: If the config does not accept the input size or a key.
    """
    if getattr(args, 'input_size', None):
        set_input_size(cfg, args.input_size)
    merge_options(cfg, args.cfg_options)


def merge_options(cfg: Config, options: Dict[str, Any]) -> None:
    """Merge options into a config; warn of keys that look misspelt.

    Args:
        cfg (Config): Complete config; changed in place.
        options (dict): Values by dotted key, of ``--cfg-options``.

    Raises:
        ValueError: If a key goes through a value that is no dict, or through
            an index that a list does not have, or a text replaces a number.
    """
    check_option_values(cfg, options)
    for key, part, similar in find_misspelt_keys(cfg, options):
        if is_first_process():
            print(
                f'warning: --cfg-options {key}: the config has no {part!r}; '
                f'did you mean {similar!r}?',
                file=sys.stderr,
            )
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'--cfg-options does not fit the config: {error.args[0]}'
        ) from error


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of MMPose's ``tools/train.py`` and ``tools/test.py``.

    Args:
        parser (argparse.ArgumentParser): Parser to extend.
    """
    parser.add_argument(
        '--work-dir',
        help='folder of logs and results (default: '
        './work_dirs/NAME_OF_CONFIG)',
        default=argparse.SUPPRESS,
    )
    add_input_size(parser)
    add_cfg_options(parser)
    parser.add_argument(
        '--verbose',
        action='store_true',
        help="print all messages of MMEngine, as MMPose's tools do; they are "
        'in the log file in any case',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    _add_visualization_arguments(parser)
    parser.add_argument(
        '--skip-checks',
        action='store_true',
        help='skip the checks of annotation and image files before the run',
    )
    # torchrun sets LOCAL_RANK; torch.distributed.launch passes this option.
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,
    )


def _add_visualization_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the visualization hook."""
    parser.add_argument(
        '--show-dir', help='folder for images with predicted poses'
    )
    parser.add_argument(
        '--show', action='store_true', help='show predicted poses in a window'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='draw every n-th sample'
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=1,
        help='display time of a window in seconds',
    )


def load_config(
    args: argparse.Namespace, cfg: Optional[Config] = None
) -> Config:
    """Load the config file and apply the common options.

    Args:
        args (argparse.Namespace): Options of :func:`add_common_arguments`,
            and ``config``, the path of the config file.
        cfg (Config, optional): Content of the file, if it has been read.

    Returns:
        Config: Config to run.
    """
    tool = 'test' if hasattr(args, 'checkpoint') else 'train'
    require_launcher(args.launcher, tool)
    local_rank = args.local_rank or get_local_rank()
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    cfg = read_config(args.config) if cfg is None else cfg
    cfg.launcher = args.launcher
    if getattr(args, 'work_dir', None):
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    if args.show or args.show_dir:
        _enable_visualization(cfg, args)
    override_config(cfg, args)
    if args.launcher == 'pytorch' and not _has_process_group():
        _init_cpu_process_group(cfg)
    return cfg


def _has_process_group() -> bool:
    """Whether MMEngine's launcher supports the device of the training."""
    from swahr_mmpose.utils.device import supports_distributed

    return supports_distributed()


def _enable_visualization(cfg: Any, args: argparse.Namespace) -> None:
    """Enable the visualization hook with the options of the command."""
    hooks = cfg.setdefault('default_hooks', {})
    hook = hooks.setdefault(
        'visualization', dict(type='PoseVisualizationHook')
    )
    hook.update(enable=True, show=args.show, interval=args.interval)
    if args.show:
        require_screen()
        hook.wait_time = args.wait_time
    if args.show_dir:
        # Absolute: MMPose joins a relative folder again for every image.
        hook.out_dir = osp.abspath(args.show_dir)


def _init_cpu_process_group(cfg: Any) -> None:
    """Initialize gloo for CPU training; MMEngine's launcher requires a GPU."""
    import torch

    torch.distributed.init_process_group('gloo')
    if cfg.pop('sync_bn', None):
        print('no GPU available: SyncBN, which requires one, is turned off')
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    cfg.setdefault('model_wrapper_cfg', wrapper)
    cfg.model_wrapper_cfg.device_ids = None
