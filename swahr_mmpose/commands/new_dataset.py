# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Make a config for your own keypoints from a COCO-style annotation file.

Required are images and, for each annotation, image_id, category_id and
keypoints (x, y, v). Missing boxes, areas, num_keypoints and iscrowd are filled
in; crowds and instances without labelled keypoint get a segmentation. The
rules applied are printed and counted in "info" of the written files. Nothing
is written before all annotations and images have been checked.

The folder gets train.json, val.json, metainfo.py (MMPose's dataset_info), the
config, report.txt (the printed report) and skeleton.png: check it first. Flip
pairs are derived from names with left and right; twins that may be alike by
chance, as load and road, have to be confirmed. Keypoints are grouped from
the most stable one outwards along the skeleton.

Examples:
  %(prog)s beetles/train.json --img-dir beetles/images
  # a separate validation file, and a network for a first run on a CPU
  %(prog)s beetles/train.json --img-dir beetles/train \
      --val beetles/val.json --val-img-dir beetles/val --base tiny
  # two exports of an annotation tool, and every species in them
  %(prog)s task0/annotations.json task1/annotations.json \
      --img-dir task0/images --img-dir task1/images --category all
  # what cannot be derived from the file
  %(prog)s fish.json --img-dir fish --flip off \
      --skeleton nose:dorsal dorsal:tail --sigmas 0.03 0.05 0.08
"""

from __future__ import annotations

import argparse
import io
import shlex
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import Any, Callable, Sequence

from swahr_mmpose.datasets.checks.text import escape
from swahr_mmpose.datasets.custom.config_template import BASES
from swahr_mmpose.datasets.custom.prepare import (
    DatasetOptions,
    PreparedDataset,
    prepare_dataset,
    read_sample,
)
from swahr_mmpose.datasets.custom.reading import as_list
from swahr_mmpose.datasets.custom.skeleton import SkeletonOptions
from swahr_mmpose.datasets.custom.writing import check_target, write_dataset
from swahr_mmpose.utils.annotation_paths import (
    require_annotation_file,
    require_image_dir,
)
from swahr_mmpose.utils.cli import Argv, make_parser, name_command, user_errors

# Options without a fixed default: absent unless given.
COMPUTED = argparse.SUPPRESS


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add(
        'ann_file',
        nargs='+',
        help='COCO-style annotation files of the training images',
    )
    add(
        '--img-dir',
        required=True,
        action='append',
        default=argparse.SUPPRESS,
        help='folder of the training images; repeat it to give one per '
        'annotation file',
    )
    _add_data_options(add)
    _add_selection_options(add)
    _add_config_options(add)
    _add_skeleton_options(add)
    _add_grouping_options(add)
    add(
        '--overwrite',
        action='store_true',
        help='replace a folder made by this command',
    )
    add(
        '--skip-checks',
        action='store_true',
        help='skip the checks of the written config, annotations and images',
    )
    parser.check = _check_files
    return parser.parse_args(argv)


def _check_files(args: argparse.Namespace) -> None:
    """Raise for annotation files and image folders that do not exist."""
    val_dirs = getattr(args, 'val_img_dir', [])
    for files, folders, option in (
        (args.ann_file, args.img_dir, '--img-dir'),
        (getattr(args, 'val_ann_file', []), val_dirs, '--val-img-dir'),
    ):
        for path in files:
            require_annotation_file(path, 'give another path', folders)
        for path in folders:
            require_image_dir(path, f'correct {option}')


def _add_data_options(add: Callable[..., Any]) -> None:
    """Add options on the validation images."""
    add(
        '--val',
        metavar='ANN_FILE',
        dest='val_ann_file',
        action='append',
        default=COMPUTED,
        help='annotation file of the validation images; may be repeated '
        '(default: part of the training images)',
    )
    add(
        '--val-img-dir',
        action='append',
        default=COMPUTED,
        help='folder of the images of --val; may be repeated (default: '
        '--img-dir)',
    )
    add(
        '--link-dir',
        default=COMPUTED,
        help='folder to which links in --img-dir may lead, as the cache of '
        'DVC (default: links out of --img-dir are refused)',
    )
    add(
        '--val-share',
        type=float,
        default=DatasetOptions.val_share,
        help='fraction of images held out for validation without --val, above '
        '0 up to 0.5',
    )


def _add_selection_options(add: Callable[..., Any]) -> None:
    """Add options on what is selected, and on names."""
    add(
        '--keep-empty',
        action='store_true',
        help='train on images without annotation, too, as background',
    )
    add(
        '--name',
        default=COMPUTED,
        help='name of the dataset (default: that of the category)',
    )
    add(
        '--category',
        nargs='+',
        metavar='NAME',
        default=COMPUTED,
        help='names of categories with the same keypoints, or all; required '
        'if the file has several',
    )
    add(
        '--out-dir',
        default=COMPUTED,
        help='folder to make (default: my_datasets/NAME)',
    )


def _add_config_options(add: Callable[..., Any]) -> None:
    """Add options on network and schedule."""
    add(
        '--base',
        choices=sorted(BASES),
        default=DatasetOptions.base,
        help='backbone; tiny is for a CPU',
    )
    add(
        '--input-size',
        type=int,
        metavar='PX',
        dest='input_side',
        default=COMPUTED,
        help='side of the square input in px, a multiple of 64 (default: 512; '
        'w48: 640; tiny: 256)',
    )
    add(
        '--epochs',
        type=int,
        default=COMPUTED,
        help='number of epochs (default: 300; tiny: 15 or those of 960 steps)',
    )
    add(
        '--batch-size',
        type=int,
        default=COMPUTED,
        help='images per GPU (default: 20; w48: 10; tiny: 4)',
    )


def _add_skeleton_options(add: Callable[..., Any]) -> None:
    """Add options that override the skeleton of the file."""
    add(
        '--keypoints',
        nargs='+',
        metavar='NAME',
        default=COMPUTED,
        help='keypoint names in the order of the annotations (default: those '
        'of the category)',
    )
    add(
        '--skeleton',
        nargs='+',
        metavar='NAME:NAME',
        default=COMPUTED,
        help='skeleton edges, or none (default: those of the file)',
    )
    add(
        '--flip-pairs',
        nargs='+',
        metavar='LEFT:RIGHT',
        default=COMPUTED,
        help='pairs that a horizontal flip exchanges, or none; '
        'this also confirms proposed pairs (default: derived from names)',
    )
    add(
        '--flip',
        choices=['auto', 'on', 'off'],
        default=SkeletonOptions.flip,
        help='horizontal flip in training and testing; auto: if there are '
        'flip pairs',
    )


def _add_grouping_options(add: Callable[..., Any]) -> None:
    """Add options on grouping and metric."""
    add(
        '--keypoint-order',
        nargs='+',
        metavar='NAME',
        default=COMPUTED,
        help='grouping order (default: by stability)',
    )
    add(
        '--sigmas',
        nargs='+',
        type=float,
        metavar='SIGMA',
        default=COMPUTED,
        help="OKS sigmas, one for all or one per keypoint (default: COCO's "
        'if all names are, else 0.05)',
    )


def make_options(args: argparse.Namespace) -> DatasetOptions:
    """Make the options of the dataset from the command line.

    Args:
        args (argparse.Namespace): Result of :func:`parse_args`.

    Returns:
        DatasetOptions: Options; absent ones have their defaults.
    """
    values = vars(args)

    def select(kind: type) -> dict:
        names = [f.name for f in fields(kind)]
        return {name: values[name] for name in names if name in values}

    skeleton_options = SkeletonOptions(**select(SkeletonOptions))
    return DatasetOptions(
        **select(DatasetOptions), skeleton_options=skeleton_options
    )


def draw_skeleton(dataset: PreparedDataset) -> bytes:
    """Draw a training instance and the mean pose.

    Args:
        dataset (PreparedDataset): Dataset with at least one instance.

    Returns:
        bytes: PNG file; keypoints are labelled with grouping rank and name.
    """
    from swahr_mmpose.visualization.drawing import skeleton_figure

    skeleton, sample = dataset.skeleton, read_sample(dataset)
    rank = {k: n for n, k in enumerate(skeleton.order, 1)}
    figure = skeleton_figure(
        sample.image,
        sample.keypoints,
        skeleton.statistics.mean,
        [
            _format_label(rank[k], name)
            for k, name in enumerate(skeleton.names)
        ],
        skeleton.links,
        [k['color'] for k in dataset.info['keypoint_info'].values()],
    )
    stream = io.BytesIO()
    figure.savefig(stream, format='png', dpi=100)
    return stream.getvalue()


def _format_label(rank: int, name: str) -> str:
    r"""Format a label of characters that the font of figures has.

    Matplotlib reads text between ``$`` as a formula.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    glyphs = get_font(findfont(FontProperties())).get_charmap()
    text = ''.join(
        c if ord(c) in glyphs else c.encode('unicode_escape').decode()
        for c in escape(name, 40)
    )
    return f'{rank} {text}'.replace('$', r'\$')


class FolderCheck:
    """Check of a dataset in its temporary folder, before it is moved.

    Args:
        dataset (PreparedDataset): Dataset to write.
        names (Sequence[str]): Names of the given training and validation
            files, for errors.
    """

    def __init__(self, dataset: PreparedDataset, names: Sequence[str]) -> None:
        self.out_dir = dataset.out_dir
        self.names = names
        self.printed = ''

    def __call__(self, config: Path) -> None:
        """Check a config, its annotations and images; collect the output.

        Args:
            config (Path): Config in the temporary folder.

        Raises:
            ValueError: If there are problems; names the given file.
        """
        from mmengine.config import Config

        from swahr_mmpose.datasets.checks.preflight import check_before_run

        output = io.StringIO()
        try:
            with redirect_stdout(output):
                check_before_run(Config.fromfile(config), ('train', 'val'))
        except (OSError, ValueError) as error:
            text = str(error)
            for split, name in zip(('train', 'val'), self.names):
                text = text.replace(str(config.parent / f'{split}.json'), name)
            raise ValueError(f'{text}\nNothing was written.') from error
        self.printed = output.getvalue().replace(
            str(config.parent), str(self.out_dir)
        )


def main(argv: Argv = None) -> None:
    """Prepare, report, check and write a custom dataset."""
    args = parse_args(argv)
    with user_errors():
        options = make_options(args)
        dataset = prepare_dataset(options)
        check_target(dataset.out_dir, args.overwrite)
        figure = draw_skeleton(dataset)
        print('\n'.join(dataset.report))
        train = ', '.join(as_list(options.ann_file))
        val = ', '.join(as_list(options.val_ann_file)) or train
        check = FolderCheck(dataset, (train, val))
        config = write_dataset(
            dataset,
            figure,
            args.overwrite,
            None if args.skip_checks else check,
        )
    print(check.printed, end='')
    command = name_command('train')
    print(f'Wrote {dataset.out_dir}; check skeleton.png, then train:')
    print(f'  {command} {shlex.quote(_shorten_path(config))}')


def _shorten_path(path: Path) -> str:
    """Make a path relative to the working directory if it is below it."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here) if here in path.parents else path)
