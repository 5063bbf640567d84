# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure whether the learned scale follows the size of people.

  %(prog)s CONFIG CHECKPOINT --out-file scales.json
  # published weights, fetched at the first use
  %(prog)s swahr-w32 --max-images 200
  # with a figure
  %(prog)s CONFIG CHECKPOINT --plot scales.png

For every annotated person of the split: the scale s (Section 3.2 of the paper;
s = 1 keeps the Gaussians unchanged), the size, which is the square root of the
box area in pixels of the network's input, and the confidence, which is the
mean height of the predicted peaks. Levels are called 1/4 and 1/2, as in the
paper. Spearman's rank correlation of s and size is 1 if a larger person always
has a larger s; its 95-percent interval is of a bootstrap over people.

s is read where it acts: over the Gaussian H of each keypoint, with the weights
H |ln H|. At the keypoint itself H is 1 and no scale changes it. target_change
and error are root mean squares of H' - H and P - H, with the adapted target H'
and the predicted heatmap P: scales have little effect where the former is far
below the latter.
"""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, List

from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_measurement_arguments,
    make_parser,
    merge_options,
    read_samples,
    user_errors,
)

if TYPE_CHECKING:
    from swahr_mmpose.evaluation.scale_statistics import PersonScales

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_measurement_arguments(parser)
    parser.add_argument(
        '--plot', metavar='FILE', help='file to write a figure to (.png)'
    )
    return parser.parse_args(argv)


def _plot(
    path: str, people: PersonScales, strides: List[int], result: dict
) -> None:
    """Plot s against size and confidence, one row per level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2 * len(strides)), layout='constrained')
    axes = figure.subplots(len(strides), 2, squeeze=False)
    for level, stride in enumerate(strides):
        name = f'1/{stride}'
        for axis, values, key, label in (
            (axes[level][0], people.sizes, 'size', 'size (input px)'),
            (
                axes[level][1],
                people.confidences[level],
                'confidence',
                'mean height of the predicted peaks',
            ),
        ):
            axis.scatter(values, people.scales[level], s=8, alpha=0.5)
            axis.set_title(f'{name}: {_describe(result[name][key])}')
            axis.set_xlabel(label)
            axis.set_ylabel('scale s')
    with user_errors(), replaced_file(path) as stream:
        figure.savefig(stream, dpi=110, format='png')
    print(f'figure: {os.path.abspath(path)}')


def _describe(correlation: dict) -> str:
    """Describe a rank correlation with its interval."""
    if correlation['rank_correlation'] is None:
        return 'rank correlation not defined'
    low, high = correlation['interval']
    return (
        f'rank correlation {correlation["rank_correlation"]:.2f} '
        f'({low:.2f} to {high:.2f})'
    )


def main(argv: Argv = None) -> None:
    """Measure all people of a split and write the results."""
    args = parse_args(argv)
    from swahr_mmpose.apis.loading import load_dataset, load_model
    from swahr_mmpose.apis.measurements import list_strides, measure_scales
    from swahr_mmpose.checkpoints.model_zoo import resolve_model
    from swahr_mmpose.evaluation.scale_statistics import summarize_scales
    from swahr_mmpose.utils.device import find_default_device

    with user_errors():
        cfg, checkpoint = resolve_model(args.config, args.checkpoint)
        merge_options(cfg, args.cfg_options)
        device = args.device or find_default_device()
        model = load_model(cfg, checkpoint, device, output_scales=True)
        dataset = load_dataset(cfg, args.split)
    people = measure_scales(model, read_samples(dataset, args.max_images))
    result = summarize_scales(people, list_strides(model))
    text = json.dumps(result, indent=2)
    print(text)
    if args.out_file:
        with user_errors(), replaced_file(args.out_file) as stream:
            stream.write(f'{text}\n'.encode())
    if args.plot:
        _plot(args.plot, people, list_strides(model), result)
