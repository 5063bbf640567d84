# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measure whether the learned scale increases with the size of people.

  %(prog)s CONFIG CHECKPOINT --out-file scales.json
  # with a figure
  %(prog)s CONFIG CHECKPOINT --plot scales.png

For every annotated person of the split: the scale s predicted at the keypoints
(Section 3.2 of the paper; s = 1 keeps the Gaussians unchanged), and the size,
the square root of the box area in pixels of the network's input. Spearman's
rank correlation of both is 1 if a larger person always has a larger s.
"""

import json
import math
import os

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from swahr_mmpose.apis.loading import load_dataset, load_model
from swahr_mmpose.evaluation.scale_statistics import (
    person_scales,
    rank_correlation,
)
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    add_cfg_options,
    make_parser,
    read_config,
    user_errors,
)


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out-file', metavar='FILE', help='file to write results to (.json)'
    )
    parser.add_argument(
        '--plot', metavar='FILE', help='file to write a figure to (.png)'
    )
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='test',
        help='dataset split',
    )
    parser.add_argument(
        '--max-images', type=int, help='maximum number of images; None for all'
    )
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='torch device',
    )
    add_cfg_options(parser)
    return parser.parse_args()


@torch.no_grad()
def measure(model, sample):
    """Measure the sizes and scales of the annotated people of a sample.

    Args:
        model (nn.Module): Pose estimator with a scale branch.
        sample (dict): Sample of the test pipeline.

    Returns:
        tuple[np.ndarray, np.ndarray]: Sizes in input pixels, shape (N,), and
        scales by level, shape (levels, N).
    """
    data = model.data_preprocessor(pseudo_collate([sample]))
    images, info = data['inputs'], data['data_samples'][0].metainfo
    people = [
        a
        for a in info.get('raw_ann_info') or ()
        if a and not a.get('iscrowd') and a.get('num_keypoints')
    ]
    if not people:
        return np.zeros(0), np.zeros((len(model.head.scale_layers), 0))
    if isinstance(images, list):
        images = images[info['pyramid_scales'].index(1.0)]
    size = np.asarray(info['input_size'], float)
    zoom = size / info['input_scale']
    keypoints = np.array([a['keypoints'] for a in people], float)
    keypoints = keypoints.reshape(len(people), -1, 3)
    pixels = (keypoints[..., :2] - info['input_center']) * zoom + size / 2
    boxes = np.array([a['bbox'] for a in people], float)
    maps = model.head(model.extract_feat(images), with_scale_maps=True)
    scales = [
        person_scales(
            alpha[0].float().cpu().numpy(),
            pixels * alpha.shape[-1] / size[0] - 0.5,
            keypoints[..., 2],
        )
        for alpha in maps.scale_maps
    ]
    return np.sqrt(boxes[:, 2] * boxes[:, 3]) * zoom[0], np.stack(scales)


def summarize(sizes, scales):
    """Summarize scales by level: rank correlation, and means by size.

    Args:
        sizes (np.ndarray): Sizes in input pixels, shape (N,).
        scales (np.ndarray): Scales, shape (levels, N). People with a value
            that is not finite are left out.

    Returns:
        dict: JSON content.
    """
    known = np.isfinite(scales).all(axis=0)
    sizes, scales = sizes[known], scales[:, known]
    result = dict(people=int(known.sum()), left_out=int((~known).sum()))
    for level, s in enumerate(scales):
        correlation = rank_correlation(sizes, s)
        thirds = np.array_split(np.argsort(sizes), 3)
        result[f'level_{level}'] = dict(
            rank_correlation=None if math.isnan(correlation) else correlation,
            scale_of_thirds_by_size=[
                float(s[t].mean()) if len(t) else None for t in thirds
            ],
        )
    return result


def plot(path, sizes, scales, result):
    """Plot scale against size, one panel per level."""
    figure = Figure(figsize=(5 * len(scales), 4.2))
    axes = figure.subplots(1, len(scales), squeeze=False)[0]
    for level, (axis, s) in enumerate(zip(axes, scales)):
        axis.scatter(sizes, s, s=8, alpha=0.5)
        rho = result[f'level_{level}']['rank_correlation']
        axis.set_title(
            f'level {level}, rank correlation '
            + ('not defined' if rho is None else f'{rho:.2f}')
        )
        axis.set_xlabel('size of the person (input px)')
        axis.set_ylabel('scale s')
    figure.tight_layout()
    with replaced_file(path) as stream:
        figure.savefig(stream, dpi=110, format='png')
    print(f'figure: {os.path.abspath(path)}')


def main():
    """Measure all people of a split and write the results."""
    args = parse_args()
    with user_errors():
        cfg = read_config(args.config)
        cfg.merge_from_dict(args.cfg_options)
        model = load_model(cfg, args.checkpoint, args.device)
    if model.head.scale_layers is None:
        raise SystemExit(
            f'{args.config} has no scale branch (model.head.scale_maps); '
            'use a SAHR or SWAHR model'
        )
    dataset = load_dataset(cfg, args.split)
    count = min(args.max_images or len(dataset), len(dataset))
    parts = [measure(model, dataset[i]) for i in tqdm(range(count))]
    sizes = np.concatenate([sizes for sizes, _ in parts])
    scales = np.concatenate([scales for _, scales in parts], axis=1)
    result = summarize(sizes, scales)
    text = json.dumps(result, indent=2)
    print(text)
    if args.out_file:
        with replaced_file(args.out_file) as stream:
            stream.write(f'{text}\n'.encode())
    if args.plot:
        plot(args.plot, sizes, scales, result)


if __name__ == '__main__':
    main()
