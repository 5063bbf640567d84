# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Make a config that trains, of a COCO-style file with keypoints of any kind.

  %(prog)s beetles/train.json --img-dir beetles/images
  python tools/train.py my_datasets/beetle/swahr_higherhrnet-w32_*.py
  # a validation file of its own, and a network for a first look on a CPU
  %(prog)s beetles/train.json --img-dir beetles/train \
      --val beetles/val.json --val-img-dir beetles/val --base tiny
  # what names and numbers do not tell
  %(prog)s fish.json --img-dir fish --flip off \
      --skeleton nose:dorsal dorsal:tail --sigmas 0.03 0.05 0.08

Needed are images and, for each annotation, image_id, category_id and
keypoints (x, y, v). Boxes, areas, outlines, num_keypoints and iscrowd are
filled in where they are missing, by rules that are told and that the files
name in their "info".

Written are train.json, val.json, metainfo.py (as MMPose spells it), the
config, report.txt (what was printed) and skeleton.png: look at it first.
Mirror pairs come from names with left and right; keypoints are grouped from
the most stable one outwards along the skeleton.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from swahr_mmpose.datasets.checks.image_files import is_inside
from swahr_mmpose.datasets.checks.preflight import check_before_run
from swahr_mmpose.datasets.custom.coco_json import (
    choose_category,
    hold_out,
    read_coco,
)
from swahr_mmpose.datasets.custom.completion import (
    complete_annotations,
    keep_empty_images,
)
from swahr_mmpose.datasets.custom.config_template import (
    BASES,
    Recipe,
    config_text,
    default_epochs,
    metainfo_text,
)
from swahr_mmpose.datasets.custom.metainfo import dataset_info
from swahr_mmpose.datasets.custom.report import contents_of, report
from swahr_mmpose.datasets.custom.skeleton import (
    Overrides,
    keypoint_names,
    make_skeleton,
)
from swahr_mmpose.utils.cli import Argv, make_parser
from swahr_mmpose.utils.resources import find_resource
from swahr_mmpose.visualization.drawing import skeleton_figure

CONFIGS = find_resource('configs')


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add('ann_file', help='COCO-style annotation file of the training images')
    add('--img-dir', required=True, help='its images')
    add('--val', metavar='ANN_FILE', help='annotations of validation images')
    add('--val-img-dir', help='their images; default: those of --img-dir')
    add(
        '--val-share',
        type=float,
        default=0.1,
        help='share of images held out for validation where there is no --val',
    )
    add(
        '--keep-empty',
        action='store_true',
        help='train on images without annotation too, as background',
    )
    add('--name', help='of the data set; default: of the category')
    add('--category', help='its name, if the file has more than one')
    add('--out-dir', help='folder to make; default: my_datasets/NAME')
    add('--base', choices=sorted(BASES), default='w32', help='the network')
    add('--input-size', type=int, help='default: 512, w48 640, tiny 256')
    add('--epochs', type=int, help='default: 300, tiny 960 steps or 15')
    add('--batch-size', type=int, help='default: 20, w48 10, tiny 4')
    _add_skeleton_arguments(add)
    add(
        '--overwrite', action='store_true', help='replace what was made before'
    )
    add('--skip-checks', action='store_true', help='do not check images')
    return parser.parse_args(argv)


def _add_skeleton_arguments(add):
    add('--keypoints', nargs='+', help='names, if the file has none')
    add(
        '--skeleton',
        nargs='+',
        metavar='NAME:NAME',
        help='links, in place of those of the file; none: there are none',
    )
    add(
        '--flip-pairs',
        nargs='+',
        metavar='LEFT:RIGHT',
        help='mirror pairs, in place of those that names tell; none: no pairs',
    )
    add(
        '--flip',
        choices=['auto', 'on', 'off'],
        default='auto',
        help='mirror images in training and testing; auto: if there are pairs',
    )
    add('--keypoint-order', nargs='+', metavar='NAME', help='of grouping')
    add('--sigmas', nargs='+', type=float, help='of OKS, one or one for each')


def read_files(args):
    """Training and validation content, and where its images are."""
    train = read_coco(args.ann_file)
    if args.val:
        val, folder = read_coco(args.val), args.val_img_dir or args.img_dir
    else:
        (train, val), folder = hold_out(train, args.val_share), args.img_dir
    folders = [Path(f).resolve() for f in (args.img_dir, folder)]
    for path in folders:
        if not path.is_dir():
            raise FileNotFoundError(f'image folder {path} does not exist')
    return (train, val), folders


def complete(contents, args):
    """Completed contents, and what was filled in, as lines.

    A file of one category is taken whole.
    """
    names = read_names(contents[0], args)
    completed, lines = [], []
    for split, content in zip(('train', 'val'), contents):
        if read_names(content, args) != names:
            raise ValueError(
                'the keypoints of the validation file are '
                f'{read_names(content, args)}, those of training {names}'
            )
        several = len(content.get('categories') or []) > 1
        chosen = choose_category(content, args.category)
        whole, rules = complete_annotations(
            content, len(names), chosen['id'] if several else None
        )
        completed.append(whole)
        lines += [f'{split}: {n} x {rule}' for rule, n in rules.items()]
    if args.keep_empty:
        completed[0], n = keep_empty_images(completed[0], len(names))
        lines.append(f'train: {n} x image without annotation: an empty one')
    return completed, lines or ['nothing was missing']


def read_names(content, args):
    """The names of the keypoints."""
    category = choose_category(content, args.category)
    return keypoint_names(category, args.keypoints)


def make_recipe(args, name, skeleton, held, folders, out):
    """The recipe of the config."""
    base = BASES[args.base]
    batch = args.batch_size or base.batch_size
    most = max(contents.most for contents in held)
    inside = CONFIGS.parent in out.parents
    folder = CONFIGS / '_base_'
    return Recipe(
        name=name,
        base=args.base,
        names=skeleton.names,
        order=skeleton.order,
        flip=skeleton.flip,
        image_dirs=tuple(f'{f.as_posix()}/' for f in folders),
        # A checkout may move with what is in it, another folder without it.
        base_folder=Path(
            os.path.relpath(folder, out) if inside else folder
        ).as_posix(),
        input_side=args.input_size or base.input_side,
        batch_size=batch,
        epochs=args.epochs
        or default_epochs(args.base, held[0].num_images, batch),
        max_people=max(30, math.ceil(1.5 * most)),
    )


def draw(skeleton, info, content, folder):
    """Draw the instance that shows most, and the mean pose."""
    best = max(
        content['annotations'], key=lambda a: (a['num_keypoints'], a['area'])
    )
    (image,) = (i for i in content['images'] if i['id'] == best['image_id'])
    if not is_inside(image['file_name']):
        raise ValueError(
            f'image {image["file_name"]} is not in {folder}; do not trust a '
            'file that names others than its own images'
        )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imread(str(folder / image['file_name']), flags)
    if pixels is None:
        raise ValueError(
            f'{folder / image["file_name"]} is no image that can be read; '
            'check --img-dir'
        )
    rank = {k: n for n, k in enumerate(skeleton.order, 1)}
    return skeleton_figure(
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB),
        np.reshape(best['keypoints'], (-1, 3)),
        skeleton.statistics.mean,
        [f'{rank[k]} {name}' for k, name in enumerate(skeleton.names)],
        skeleton.links,
        [k['color'] for k in info['keypoint_info'].values()],
    )


def prepare(args):
    """Everything that is to be written, and the folder for it."""
    contents, folders = read_files(args)
    category = choose_category(contents[0], args.category)
    names = keypoint_names(category, args.keypoints)
    contents, filled = complete(contents, args)
    held = [contents_of(c, len(names)) for c in contents]
    if not len(held[0].sides):
        raise ValueError(f'{args.ann_file} has no labelled instance')
    given = Overrides(
        args.skeleton,
        args.flip_pairs,
        args.flip,
        args.keypoint_order,
        args.sigmas,
    )
    skeleton = make_skeleton(category, names, held[0].keypoints, given)
    name = args.name or str(category.get('name') or Path(args.ann_file).stem)
    name = re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'instances'
    out = Path(args.out_dir or f'my_datasets/{name}').resolve()
    recipe = make_recipe(args, name, skeleton, held, folders, out)
    upper = skeleton.statistics.mean[:, 1] < 0
    info = dataset_info(
        name, names, skeleton.links, skeleton.pairs, skeleton.sigmas, upper
    )
    lines = report(name, skeleton, held, filled, recipe.input_side)
    figure = draw(skeleton, info, contents[0], folders[0])
    return out, recipe, info, contents, lines, figure


def write(out, recipe, info, contents, lines, figure, overwrite):
    """Write the folder; returns the path of the config."""
    if out.exists() and any(out.iterdir()):
        if not overwrite or not (out / 'metainfo.py').is_file():
            raise FileExistsError(
                f'{out} is not empty; choose another --out-dir, or replace '
                'what this tool made there with --overwrite'
            )
        for old in out.glob('swahr_*.py'):
            old.unlink()
    out.mkdir(parents=True, exist_ok=True)
    for name, content in zip(('train', 'val'), contents):
        text = json.dumps(content)
        (out / f'{name}.json').write_text(text, encoding='utf-8')
    (out / 'metainfo.py').write_text(metainfo_text(info), encoding='utf-8')
    (out / 'report.txt').write_text('\n'.join([*lines, '']), encoding='utf-8')
    figure.savefig(out / 'skeleton.png', dpi=100)
    config = out / recipe.file_name
    config.write_text(config_text(recipe), encoding='utf-8')
    return config


def main(argv: Argv = None) -> None:
    """Read, decide, write, check."""
    args = parse_args(argv)
    try:
        out, recipe, info, contents, lines, figure = prepare(args)
        print('\n'.join(lines))
        config = write(
            out, recipe, info, contents, lines, figure, args.overwrite
        )
        if not args.skip_checks:
            check_before_run(Config.fromfile(config), ('train', 'val'))
    except (OSError, ValueError) as error:
        sys.exit(f'error: {error}')
    print(f'Wrote {out}; look at skeleton.png, then train:')
    print(f'  python tools/train.py {os.path.relpath(config)}')
