# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Open a page that shows poses in images and in the frames of a camera.

  # published weights, a checkpoint, or a model that was exported to ONNX
  %(prog)s higherhrnet-w32
  %(prog)s CONFIG CHECKPOINT
  %(prog)s deploy/model.onnx
  # with circles for the uncertainty of the keypoints
  %(prog)s CONFIG CHECKPOINT --output-scales
  # for other machines, which open http://NAME_OF_THIS_ONE:8000
  %(prog)s deploy/model.onnx --host 0.0.0.0 --no-browser
  curl -F image=@photo.jpg http://localhost:8000/detect

The page and the HTTP service are those of "swahr onnx serve": requests are
answered one after another, without encryption and authentication.
"""

from __future__ import annotations

import argparse
import logging
import threading
import webbrowser
from types import SimpleNamespace
from typing import Any

from swahr_mmpose.deploy.runtime import server
from swahr_mmpose.utils.argument_checks import require_model, require_onnx
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    user_errors,
)
from swahr_mmpose.utils.config import describe_other_file
from swahr_mmpose.utils.screen import require_screen

__all__ = ['CheckpointModel', 'main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'model', help='config file, ONNX file, or a name of "swahr fetch"'
    )
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file or URL')
    server.add_arguments(parser)
    parser.add_argument(
        '--no-browser',
        action='store_true',
        help='do not open the page in a browser',
    )
    parser.add_argument(
        '--device', help='device of a checkpoint (default: a GPU if available)'
    )
    parser.add_argument(
        '--output-scales',
        action='store_true',
        help='estimate the standard deviation of each keypoint (checkpoints '
        'of SAHR and SWAHR)',
    )
    add_cfg_options(parser)
    parser.expected = (
        'expected a model: a name of "swahr fetch", such as higherhrnet-w32, '
        'CONFIG CHECKPOINT, or a file .onnx'
    )
    parser.check = check_args
    parser.needs_torch = lambda args: not _is_onnx(args)
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the options, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If a file does not exist, or options are out of
            range or contradict each other.
    """
    server.make_limits(args)
    if args.threads is not None and args.threads < 1:
        raise ValueError(f'--threads is {args.threads}, expected 1 or more')
    if _is_onnx(args):
        _check_onnx(args)
    elif describe_other_file(args.model) in ('an image', 'a video'):
        raise ValueError(
            f'{args.model} is no model; start the page with a model, for '
            'example swahr serve higherhrnet-w32, and drop images there'
        )
    else:
        require_model(args.model, args.checkpoint)


def _check_onnx(args: argparse.Namespace) -> None:
    """Raise for options that an exported model does not have."""
    if args.checkpoint:
        raise ValueError(
            f'{args.model} needs no checkpoint, got {args.checkpoint}; '
            'expected a file .onnx, or CONFIG CHECKPOINT'
        )
    for name in ('device', 'output_scales', 'cfg_options'):
        if getattr(args, name):
            option = name.replace('_', '-')
            raise ValueError(
                f'--{option} has no effect on an exported model; serve CONFIG '
                'CHECKPOINT instead'
            )
    require_onnx(args.model)


def _is_onnx(args: argparse.Namespace) -> bool:
    """Whether the model is an exported one."""
    return str(args.model).lower().endswith('.onnx')


class CheckpointModel:
    """A checkpoint with the interface of the exported model.

    Args:
        inferencer (Inferencer): Inferencer of the checkpoint.
    """

    def __init__(self, inferencer: Any) -> None:
        self.inferencer = inferencer
        names = inferencer.metainfo['keypoint_id2name']
        self.settings = SimpleNamespace(
            keypoints=[names[k] for k in sorted(names)],
            skeleton=inferencer.metainfo['skeleton_links'],
            output_scales=bool(
                inferencer.model.test_cfg.get('output_scales', False)
            ),
            ignore_orientation=inferencer.ignore_orientation,
        )

    def __call__(self, image: Any, channels: str = 'bgr') -> Any:
        """Detect people.

        Args:
            image (np.ndarray): uint8, shape (h, w, 3).
            channels (str): ``'rgb'`` or ``'bgr'``. Defaults to
                ``'bgr'``.

        Returns:
            Poses: People, see ``swahr_mmpose.deploy.runtime``.
        """
        from swahr_mmpose.deploy.runtime import Poses

        if channels == 'rgb':
            image = image[..., ::-1].copy()
        (result,) = self.inferencer(image)
        return Poses(
            result.keypoints,
            result.keypoint_scores,
            result.scores,
            result.filled,
            result.sigmas,
        )


def _load_model(args: argparse.Namespace) -> Any:
    """Load the exported model or the checkpoint."""
    if _is_onnx(args):
        from swahr_mmpose.deploy.runtime import PoseModel

        return PoseModel(args.model, threads=args.threads)
    import torch

    from swahr_mmpose.apis.inferencer import Inferencer
    from swahr_mmpose.checkpoints.model_zoo import resolve_model

    cfg, checkpoint = resolve_model(args.model, args.checkpoint)
    if args.threads:
        torch.set_num_threads(args.threads)
    return CheckpointModel(
        Inferencer(
            cfg,
            checkpoint,
            args.device,
            threshold=0.0,
            ahead=0,
            output_scales=args.output_scales or None,
            cfg_options=args.cfg_options,
        )
    )


def _open_browser(url: str) -> None:
    """Open the page, where there is a screen, while the server starts."""
    try:
        require_screen()
    except OSError:
        return
    timer = threading.Timer(1.0, webbrowser.open, (url,))
    timer.daemon = True
    timer.start()


def main(argv: Argv = None) -> None:
    """Load the model and serve until interrupted."""
    args = parse_args(argv)
    logging.basicConfig(format='%(levelname)s: %(message)s')
    with user_errors(ImportError, OSError, ValueError):
        limits = server.make_limits(args)
        server.require_packages()
        address, url = server.open_socket(args.host, args.port)
        model = _load_model(args)
    print(f'{url}   (Ctrl-C ends the service)', flush=True)
    if not args.no_browser:
        _open_browser(url)
    server.serve(server.Service(model, limits), address)
