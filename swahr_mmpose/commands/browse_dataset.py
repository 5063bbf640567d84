# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Look at training samples: augmentation, masks, and targets of both levels.

  %(prog)s CONFIG --out-dir samples
  # image 139 in eight augmentations, half of them mirrored
  %(prog)s CONFIG --image-id 139 --repeat 8
  # the validation images, as training would see them, left wrists only
  %(prog)s CONFIG --split val --keypoint left_wrist

A picture has a row for each level, 1/4 and 1/2 of the input. Its left panel is
the network's input with its people, red where the loss mask takes it out:
crowds, people without keypoints, and what lies outside the photograph.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config
from tqdm import tqdm

from swahr_mmpose.apis.loading import keypoint_index, load_dataset
from swahr_mmpose.datasets.seeding import SeededIndex
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    user_errors,
)
from swahr_mmpose.visualization.inspection import inspect_targets, links_of
from swahr_mmpose.visualization.target_figures import target_figure


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--out-dir', default='samples', help='folder of the pictures'
    )
    parser.add_argument(
        '--split', choices=['train', 'val', 'test'], default='train'
    )
    parser.add_argument(
        '--num-images', type=int, default=8, help='how many, from the first on'
    )
    parser.add_argument('--image-id', type=int, help='this image alone')
    parser.add_argument(
        '--repeat', type=int, default=1, help='augmentations of each image'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the augmentations'
    )
    parser.add_argument(
        '--keypoint', help='name of the one to show (default: all)'
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


def choose(dataset, args):
    """Indices of the images to show."""
    if args.image_id is None:
        return range(min(args.num_images, len(dataset)))
    ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    if args.image_id not in ids:
        raise SystemExit(
            f'error: no image {args.image_id} among the {len(ids)} of the '
            f'{args.split} split; its first ids are {ids[:5]} (images without '
            'usable people are not part of training)'
        )
    return [ids.index(args.image_id)]


def main(argv: Argv = None) -> None:
    """Draw."""
    args = parse_args(argv)
    with user_errors():
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options)
        dataset = load_dataset(cfg, args.split, training=True)
        keypoint = keypoint_index(dataset.metainfo, args.keypoint)
    links = links_of(dataset.metainfo)
    shown = [(i, n) for i in choose(dataset, args) for n in range(args.repeat)]
    for index, turn in tqdm(shown):
        sample = dataset[SeededIndex(index, (args.seed, turn, index))]
        info = sample['data_samples'].metainfo
        found = inspect_targets(sample)
        name = f'{Path(info["img_path"]).stem}_{turn}'
        title = f'{name}, people: {len(found.keypoints)}'
        title += ', mirrored' if info.get('flip') else ''
        figure = target_figure(found, links, keypoint, title)
        path = os.path.join(args.out_dir, f'{name}.png')
        with replaced_file(path) as stream:
            figure.savefig(stream, dpi=100, format='png')
    print(f'pictures are in {os.path.abspath(args.out_dir)}')
