# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Make a small COCO keypoint dataset of synthetic people or beetles.

Images contain up to six people of very different sizes, partly hidden by each
other, by bars or by the border; some contain none, and some also a crowd,
annotated as one region to ignore. Beetles have nine keypoints and no crowds.
Nothing is downloaded, and the same options give the same files.

The folder is written atomically: dataset.json, images/{train,val}/*.jpg and
annotations/person_keypoints_{train,val}.json (beetle_keypoints_... for
beetles). If OUT already holds this dataset, nothing is done.

Examples:
  # people with markers on their joints: 304 images, about 15 s and 25 MB
  %(prog)s data/synthetic
  # the dataset of the quick start: people in clothes
  %(prog)s data/quickstart --kind clothed_people --num-train 512 \
      --min-height 48 --max-height 220 --max-people 3
  # a few images to look at
  %(prog)s /tmp/few --num-train 8 --num-val 4
  # larger people, in place of the dataset made before
  %(prog)s data/big --overwrite --min-height 96
  # noisy training labels, as OKS assumes them, and small people hard to see
  %(prog)s data/noisy --annotation-noise 1 --small-difficulty 1
  # beetles, annotated with keypoints only
  %(prog)s data/beetles --kind beetles --bare
"""

from __future__ import annotations

import argparse
from typing import Mapping

from swahr_mmpose.datasets.synthetic import (
    KINDS,
    SyntheticConfig,
    is_complete,
    make_synthetic_dataset,
)
from swahr_mmpose.utils.cli import Argv, make_parser, user_errors
from swahr_mmpose.utils.progress import Progress


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.needs_torch = lambda args: False
    add = parser.add_argument
    add('out_dir', metavar='OUT', help='folder to make')
    add(
        '--num-train',
        type=int,
        default=SyntheticConfig.num_train,
        metavar='N',
        help='number of training images',
    )
    add(
        '--num-val',
        type=int,
        default=SyntheticConfig.num_val,
        metavar='N',
        help='number of validation images',
    )
    _add_scene_arguments(parser)
    add(
        '--bare',
        action='store_true',
        help='annotate keypoints only: no bbox, area, segmentation, '
        'num_keypoints, iscrowd',
    )
    add(
        '--overwrite',
        action='store_true',
        help='replace another dataset made by this command',
    )
    return parser.parse_args(argv)


def _add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of what the images show."""
    add = parser.add_argument
    add(
        '--image-size',
        type=int,
        nargs=2,
        default=SyntheticConfig.image_size,
        metavar=('WIDTH', 'HEIGHT'),
        help='size of the images in px',
    )
    add(
        '--seed',
        type=int,
        default=SyntheticConfig.seed,
        help='seed of the random number generator, 0 or more',
    )
    add(
        '--kind',
        choices=sorted(KINDS),
        default=SyntheticConfig.kind,
        help='kind of instances',
    )
    _add_people_arguments(parser)
    _add_difficulty_arguments(parser)


def _add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sizes and the number of people."""
    add = parser.add_argument
    add(
        '--min-height',
        type=int,
        default=SyntheticConfig.min_height,
        metavar='PX',
        help='minimum standing height in px',
    )
    add(
        '--max-height',
        type=int,
        default=SyntheticConfig.max_height,
        metavar='PX',
        help='maximum standing height in px',
    )
    add(
        '--max-people',
        type=int,
        default=SyntheticConfig.max_people,
        metavar='N',
        help='maximum number of people or beetles in an image, 1 to 6',
    )


def _add_difficulty_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of label noise and of small people."""
    add = parser.add_argument
    add(
        '--annotation-noise',
        type=float,
        default=SyntheticConfig.annotation_noise,
        metavar='FACTOR',
        help='standard deviation of the training labels in x and in y, '
        'relative to the sigma_k * sqrt(area) of OKS',
    )
    add(
        '--small-difficulty',
        type=float,
        default=SyntheticConfig.small_difficulty,
        metavar='AMOUNT',
        help='loss of contrast and sharpness of the smallest people, 0 to 1',
    )


def format_counts(counts: Mapping[str, int], instances: str) -> str:
    """Format the counts of a split.

    Args:
        counts (Mapping[str, int]): Numbers of ``images``, ``people`` and
            ``crowds``.
        instances (str): Word for the instances, ``'people'`` or ``'beetles'``.

    Returns:
        str: Text such as ``'512 images, 1630 annotations (1566 people, 64
        crowds)'``; in COCO files a crowd is an annotation as well.
    """
    images, people, crowds = (
        counts[key] for key in ('images', 'people', 'crowds')
    )
    if not crowds:
        return f'{images} images, {people} {instances}'
    noun = 'crowd' if crowds == 1 else 'crowds'
    return (
        f'{images} images, {people + crowds} annotations '
        f'({people} {instances}, {crowds} {noun})'
    )


def main(argv: Argv = None) -> None:
    """Make the dataset unless it exists, and print what it contains."""
    arguments = vars(parse_args(argv))
    out_dir = arguments.pop('out_dir')
    overwrite = arguments.pop('overwrite')
    with user_errors():
        if is_complete(out_dir, **arguments):
            print(f'{out_dir} already holds this dataset; nothing to do.')
            return
        total = arguments['num_train'] + arguments['num_val']
        with Progress(total) as bar:
            summary = make_synthetic_dataset(
                out_dir,
                overwrite=overwrite,
                **arguments,
                progress=lambda done, total: bar.update(),
            )
    instances = 'beetles' if arguments['kind'] == 'beetles' else 'people'
    for split in ('train', 'val'):
        print(f'{split}: {format_counts(summary[split], instances)}')
    print(f'Wrote {summary["out_dir"]}')
