# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure position errors of found keypoints and false peaks of heatmaps.

  %(prog)s CONFIG CHECKPOINT
  # published weights, fetched at the first use
  %(prog)s higherhrnet-w32 --max-images 200
  # peaks above 0.2, results in a file
  %(prog)s CONFIG CHECKPOINT --peak-thr 0.2 --out-file localization.json

A labelled keypoint is found if a person of OKS 0.5 or more has it with a
similarity, the summand of OKS, of 0.5 or more. Jitter is the mean distance of
found keypoints to their annotation in pixels of the image. A peak is false if
no labelled keypoint of its kind is within three standard deviations of the
finest level, nor at a similarity of 0.5; peaks in crowds are not counted.
"""

from __future__ import annotations

import argparse
import json
import math

from swahr_mmpose.utils.argument_checks import (
    require_fraction,
    require_model,
    require_output,
)
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_measurement_arguments,
    make_parser,
    merge_options,
    read_samples,
    user_errors,
)

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_measurement_arguments(parser)
    parser.add_argument(
        '--peak-thr',
        type=float,
        default=0.1,
        help='height from which a peak of a heatmap counts, 0 to 1',
    )
    parser.check = check_args
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace) -> None:
    """Check the options, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.

    Raises:
        OSError, ValueError: If the model does not exist, the height is out of
            range, or the results cannot be written.
    """
    require_model(args.config, args.checkpoint)
    require_fraction('--peak-thr', args.peak_thr, 'a height')
    require_output('--out-file', args.out_file)


def main(argv: Argv = None) -> None:
    """Measure all images of a split and write the results."""
    args = parse_args(argv)
    import numpy as np

    from swahr_mmpose.apis.loading import load_dataset, load_model
    from swahr_mmpose.apis.measurements import measure_localization
    from swahr_mmpose.checkpoints.model_zoo import resolve_model
    from swahr_mmpose.evaluation.localization import summarize_localization
    from swahr_mmpose.utils.device import find_default_device

    with user_errors():
        cfg, checkpoint = resolve_model(args.config, args.checkpoint)
        merge_options(cfg, args.cfg_options)
        cfg.model.test_cfg['output_heatmaps'] = True
        model = load_model(
            cfg, checkpoint, args.device or find_default_device()
        )
        dataset = load_dataset(cfg, args.split)
    sigmas = np.asarray(dataset.metainfo['sigmas'])
    result = summarize_localization(
        [
            measure_localization(model, sample, sigmas, args.peak_thr)
            for sample in read_samples(dataset, args.max_images)
        ]
    )
    content = {
        key: None if math.isnan(value) else value
        for key, value in result.items()
    }
    text = json.dumps(content, indent=2)
    print(text)
    if args.out_file:
        with user_errors(), replaced_file(args.out_file) as stream:
            stream.write(f'{text}\n'.encode())
