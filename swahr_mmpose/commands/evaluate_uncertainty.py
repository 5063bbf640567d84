# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure how the estimated standard deviations order the true errors.

  %(prog)s CONFIG CHECKPOINT
  # published weights, fetched at the first use
  %(prog)s swahr-w32 --max-images 200
  # more resamples for the intervals, and all numbers in a file
  %(prog)s CONFIG CHECKPOINT --resamples 5000 --out-file uncertainty.json

For each keypoint that a SAHR or SWAHR model finds in an annotated person of
the split: the distance to the annotation in pixels of the network input, and
three estimates: sigma, the standard deviation from the scale branch
(test_cfg.output_scales); 1 - score, from the heatmap; and size, the square
root of the person's area. Spearman's rank correlation is 1 if larger estimates
always have larger errors. Intervals are 95-percent bootstrap intervals over
images.
"""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any, Dict, List, Optional

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
    import numpy as np

    from swahr_mmpose.evaluation.uncertainty import KeypointErrors

__all__ = ['main']


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_measurement_arguments(parser)
    parser.add_argument(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='number of bootstrap resamples',
    )
    return parser.parse_args(argv)


def measure_image(
    model: Any, sample: dict, image: int, oks_sigmas: np.ndarray
) -> Optional[KeypointErrors]:
    """Measure the keypoints of one image, in pixels of the network input.

    Args:
        model (nn.Module): Pose estimator with ``output_scales``.
        sample (dict): Sample of the test pipeline.
        image (int): Index of the image.
        oks_sigmas (np.ndarray): OKS sigmas, shape (K,).

    Returns:
        KeypointErrors, optional: Keypoints; None without annotated people.
    """
    import numpy as np
    import torch
    from mmengine.dataset import pseudo_collate

    from swahr_mmpose.evaluation.sample_people import read_people
    from swahr_mmpose.evaluation.uncertainty import (
        KeypointErrors,
        match_keypoints,
    )

    with torch.no_grad():
        result = model.test_step(pseudo_collate([sample]))[0]
    info, people = result.metainfo, result.pred_instances
    annotated = read_people(info, len(oks_sigmas))
    if not len(annotated.areas):
        return None
    scores = np.asarray(people.keypoint_scores)
    n, g, k, distances = match_keypoints(
        np.asarray(people.keypoints),
        (scores > 0) & ~np.asarray(people.keypoints_filled),
        annotated.keypoints,
        annotated.visible > 0,
        annotated.areas,
        oks_sigmas,
    )
    zoom = np.divide(info['input_size'], info['input_scale']).mean()
    estimates = {
        'sigma': np.asarray(people.keypoint_sigmas)[n, k] * zoom,
        '1 - score': 1 - scores[n, k],
        'size': np.sqrt(annotated.areas[g]) * zoom,
    }
    images = np.full(len(distances), image)
    return KeypointErrors(distances * zoom, estimates, images)


def evaluate(
    keypoints: KeypointErrors, num_resamples: int
) -> Dict[str, Dict[str, Any]]:
    """Summarize all estimates, with intervals.

    Args:
        keypoints (KeypointErrors): Keypoints of all images.
        num_resamples (int): Number of bootstrap resamples.

    Returns:
        dict: For each estimate the values of
        :func:`~swahr_mmpose.evaluation.uncertainty.summarize_order`, pairs of
        a value (None for NaN) and its interval.
    """
    from swahr_mmpose.evaluation.uncertainty import (
        bootstrap_intervals,
        summarize_order,
    )

    summaries: Dict[str, Dict[str, Any]] = {}
    for name, values in keypoints.estimates.items():
        intervals = bootstrap_intervals(keypoints, name, num_resamples)
        summaries[name] = {
            key: dict(
                value=None if math.isnan(value) else value,
                interval=intervals[key],
            )
            for key, value in summarize_order(keypoints.errors, values).items()
        }
    return summaries


def main(argv: Argv = None) -> None:
    """Measure all images of a split, print a table and write the results."""
    args = parse_args(argv)
    from swahr_mmpose.apis.loading import load_dataset, load_model
    from swahr_mmpose.checkpoints.model_zoo import resolve_model
    from swahr_mmpose.utils.device import find_default_device

    with user_errors():
        cfg, checkpoint = resolve_model(args.config, args.checkpoint)
        merge_options(cfg, args.cfg_options)
        device = args.device or find_default_device()
        model = load_model(cfg, checkpoint, device, output_scales=True)
        dataset = load_dataset(cfg, args.split)
        parts = _measure(model, dataset, args.max_images)
    if not parts:
        raise SystemExit(
            f'error: no annotated person in the {args.split} split; choose '
            'another --split or a larger --max-images'
        )
    result = _summarize(parts, args.resamples)
    print('\n'.join(_format_table(result)))
    if args.out_file:
        with user_errors(), replaced_file(args.out_file) as stream:
            stream.write(json.dumps(result, indent=2).encode() + b'\n')


def _summarize(
    parts: List[KeypointErrors], num_resamples: int
) -> Dict[str, Any]:
    """Summarize the keypoints of all images."""
    import numpy as np

    from swahr_mmpose.evaluation.uncertainty import concatenate_errors

    keypoints = concatenate_errors(parts)
    sigmas = keypoints.estimates['sigma']
    quantiles = []
    if len(sigmas):
        quantiles = np.quantile(sigmas, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return dict(
        images=len(parts),
        keypoints=len(sigmas),
        sigma_quantiles=quantiles,
        estimates=evaluate(keypoints, num_resamples),
    )


def _measure(
    model: Any, dataset: Any, max_images: Optional[int]
) -> List[KeypointErrors]:
    """Measure the images of a dataset that have annotated people."""
    import numpy as np

    oks_sigmas = np.asarray(dataset.metainfo['sigmas'])
    parts = (
        measure_image(model, sample, n, oks_sigmas)
        for n, sample in enumerate(read_samples(dataset, max_images))
    )
    return [part for part in parts if part is not None]


def _format_table(result: Dict[str, Any]) -> List[str]:
    """Format the lines of the table."""
    quantiles = ' '.join(f'{q:.3f}' for q in result['sigma_quantiles'])
    lines = [
        f'{result["keypoints"]} keypoints of {result["images"]} images; '
        f'quartiles of sigma: {quantiles} input px',
        f'{"estimate":<10} {"rank correlation":<22} '
        'mean error (median) of the surest half and of the others, input px',
    ]
    for name, values in result['estimates'].items():
        numbers = [
            math.nan if values[key]['value'] is None else values[key]['value']
            for key in (
                'rank_correlation', 'mean_surest', 'median_surest',
                'mean_others', 'median_others'
            )
        ]  # fmt: skip
        low, high = values['rank_correlation']['interval'] or 2 * (math.nan,)
        correlation = f'{numbers[0]:.2f} ({low:.2f} to {high:.2f})'
        lines.append(
            f'{name:<10} {correlation:<22} '
            '{:.2f} ({:.2f}) and {:.2f} ({:.2f})'.format(*numbers[1:])
        )
    return lines
