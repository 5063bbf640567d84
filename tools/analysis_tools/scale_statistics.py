# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Does the learned scale go with the size of people?

  python tools/analysis_tools/scale_statistics.py CONFIG CHECKPOINT --out scales.json
  # with a picture
  python tools/analysis_tools/scale_statistics.py CONFIG CHECKPOINT --plot scales.png

For every annotated person of the split: the scale s that the network gives to
its keypoints (Section 3.2 of the paper; 1 leaves the Gaussians as they are),
and its size, the square root of its box in pixels of the network's input. The
rank correlation of the two is 1 where larger people always get a larger s.
"""

import io
import json
import math
import os
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from tqdm import tqdm

from swahr_mmpose.apis.loading import load_dataset, load_model
from swahr_mmpose.evaluation.scale_statistics import (
    person_scales,
    rank_correlation,
)
from swahr_mmpose.utils.cli import add_cfg_options, make_parser


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', metavar='FILE', help='write results (.json)')
    parser.add_argument('--plot', metavar='FILE', help='draw them (.png)')
    parser.add_argument(
        '--split', choices=['train', 'val', 'test'], default='test'
    )
    parser.add_argument(
        '--max-images', type=int, help='only the first so many'
    )
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    add_cfg_options(parser)
    return parser.parse_args()


@torch.no_grad()
def measure(model, sample):
    """Sizes and, by level, scales of the annotated people of a sample."""
    data = model.data_preprocessor(pseudo_collate([sample]))
    images, info = data['inputs'], data['data_samples'][0].metainfo
    people = [
        a
        for a in info.get('raw_ann_info') or ()
        if a and not a.get('iscrowd') and a.get('num_keypoints')
    ]
    if isinstance(images, list):
        images = images[info['pyramid_scales'].index(1.0)]
    if not people:
        return np.zeros(0), np.zeros((2, 0))
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


def summarise(sizes, scales):
    """Rank correlation, and what scales small and large people get."""
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
    """Size against scale, a panel for each level."""
    figure = Figure(figsize=(10, 4.2))
    axes = figure.subplots(1, len(scales))
    for level, (axis, s) in enumerate(zip(axes, scales)):
        axis.scatter(sizes, s, s=8, alpha=0.5)
        rho = result[f'level_{level}']['rank_correlation']
        axis.set_title(
            f'level {level}, rank correlation '
            + ('not defined' if rho is None else f'{rho:.2f}')
        )
        axis.set_xlabel('size of the person (px of the input)')
        axis.set_ylabel('scale s')
    figure.tight_layout()
    whole = io.BytesIO()
    figure.savefig(whole, dpi=110, format='png')
    Path(path).write_bytes(whole.getvalue())
    print(f'picture: {os.path.abspath(path)}')


def main():
    """Measure."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    model = load_model(cfg, args.checkpoint, args.device)
    if model.head.scale_layers is None:
        raise SystemExit(
            f'{args.config} has no scale branch (model.head.scale_maps); '
            'take a SAHR or SWAHR model'
        )
    dataset = load_dataset(cfg, args.split)
    count = min(args.max_images or len(dataset), len(dataset))
    found = [measure(model, dataset[i]) for i in tqdm(range(count))]
    sizes = np.concatenate([f[0] for f in found])
    scales = np.concatenate([f[1] for f in found], axis=1)
    result = summarise(sizes, scales)
    text = json.dumps(result, indent=2)
    print(text)
    if args.out:
        Path(args.out).write_text(text + '\n')
    if args.plot:
        plot(args.plot, sizes, scales, result)


if __name__ == '__main__':
    main()
