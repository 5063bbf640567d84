# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw training samples: augmentation, loss masks and targets of each level.

  %(prog)s CONFIG --out-dir samples
  # image 139 in eight augmentations, about half of them flipped
  %(prog)s CONFIG --image-id 139 --repeat 8
  # the validation images in the training pipeline, left wrists only
  %(prog)s CONFIG --split val --keypoint left_wrist

A figure has a row for each level, 1/4 and 1/2 of the input resolution. Its
left panel is the network's input with its people; regions outside of the loss
mask are red: crowds, people without keypoints, and pixels outside the image.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    merge_options,
    parse_count,
    read_config,
    user_errors,
)
from swahr_mmpose.utils.progress import track


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--out-dir', default='samples', help='folder of the figures'
    )
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='train',
        help='dataset split',
    )
    parser.add_argument(
        '--max-images',
        type=parse_count,
        default=8,
        help='number of images to draw, from the first one on',
    )
    parser.add_argument(
        '--image-id', type=int, help='draw only the image of this id'
    )
    parser.add_argument(
        '--repeat', type=int, default=1, help='augmentations per image'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the augmentation RNG'
    )
    parser.add_argument(
        '--keypoint', help='draw only the keypoint of this name'
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


def select_indices(
    dataset: Any, image_id: Optional[int], max_images: int
) -> Sequence[int]:
    """Select the samples to draw.

    Args:
        dataset (BaseDataset): Dataset of the split.
        image_id (int, optional): Id of a single image; ``None``: the first
            ``max_images``.
        max_images (int): Maximum number of images.

    Returns:
        Sequence[int]: Indices of the samples.

    Raises:
        ValueError: If the dataset has no image of this id.
    """
    if image_id is None:
        return range(min(max_images, len(dataset)))
    ids = [dataset.get_data_info(i)['img_id'] for i in range(len(dataset))]
    if image_id not in ids:
        raise ValueError(
            f'no image {image_id} among the {len(ids)} images of the split; '
            f'expected an id such as {ids[:5]} (images without usable people '
            'are not used for training)'
        )
    return [ids.index(image_id)]


def name_samples(dataset: Any, indices: Sequence[int]) -> Dict[int, str]:
    """Name samples by their image files.

    Args:
        dataset (BaseDataset): Dataset of the split.
        indices (Sequence[int]): Indices of the samples.

    Returns:
        dict[int, str]: File name without extension, by index. Where several
        samples have the same, the index is appended.
    """
    stems = {
        i: Path(dataset.get_data_info(i)['img_path']).stem for i in indices
    }
    counts = Counter(stems.values())
    return {
        i: stem if counts[stem] == 1 else f'{stem}_{i}'
        for i, stem in stems.items()
    }


def draw_sample(
    sample: dict, name: str, links: Sequence[Any], keypoint: Optional[int]
) -> Any:
    """Draw the input and the targets of a training sample.

    Args:
        sample (dict): Sample of the training pipeline.
        name (str): Name of the sample for the title.
        links (Sequence[tuple]): Skeleton edges, pairs of keypoint indices.
        keypoint (int, optional): Index of the keypoint to draw; ``None``:
            all.

    Returns:
        Figure: Matplotlib figure.
    """
    from swahr_mmpose.visualization.inspection import inspect_targets
    from swahr_mmpose.visualization.target_figures import target_figure

    inspection = inspect_targets(sample)
    title = f'{name}, people: {len(inspection.keypoints)}'
    if sample['data_samples'].metainfo.get('flip'):
        title += ', flipped'
    return target_figure(inspection, links, keypoint, title)


def main(argv: Argv = None) -> None:
    """Write a figure per image and augmentation."""
    args = parse_args(argv)
    from swahr_mmpose.apis.loading import keypoint_index, load_dataset
    from swahr_mmpose.datasets.seeding import SeededIndex
    from swahr_mmpose.visualization.inspection import links_of

    with user_errors():
        cfg = read_config(args.config)
        merge_options(cfg, args.cfg_options)
        dataset = load_dataset(cfg, args.split, training=True)
        keypoint = keypoint_index(dataset.metainfo, args.keypoint)
        indices = select_indices(dataset, args.image_id, args.max_images)
    links = links_of(dataset.metainfo)
    stems = name_samples(dataset, indices)
    draws = [(i, n) for i in indices for n in range(args.repeat)]
    for index, repetition in track(draws, unit='figures'):
        seed = (args.seed, repetition, index)
        with user_errors():
            sample = dataset[SeededIndex(index, seed)]
        name = f'{stems[index]}_{repetition}'
        figure = draw_sample(sample, name, links, keypoint)
        path = os.path.join(args.out_dir, f'{name}.png')
        with user_errors(), replaced_file(path) as stream:
            figure.savefig(stream, dpi=100, format='png')
    print(f'figures are in {os.path.abspath(args.out_dir)}')
