# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
r"""Check annotation files and their images before training.

  %(prog)s --img-dir data/coco/val2017 \
      data/coco/annotations/person_keypoints_val2017.json
  # CrowdPose: 14 keypoints, a crowdIndex for each image
  %(prog)s --crowdpose --img-dir data/crowdpose/images \
      data/crowdpose/annotations/mmpose_crowdpose_test.json
  # all datasets of a config, as tools/train.py and tools/test.py check them
  %(prog)s CONFIG

Reports image files that are missing, truncated or of another size than in the
annotation file (some copies of CrowdPose have width and height swapped), file
names that leave the image folder, missing or duplicate ids, missing boxes and
crowdIndex, values that are not finite numbers, masks of another size, and
images too long for testing. All problems are found in one pass, counted by
kind, and the first ones of each kind are listed. The exit status is 1 if there
are any. The datasets of a config are checked one after another, up to the
first that has problems; the config itself, and images that are in more than
one split, are checked as well. A config states folders, keypoints and sizes
itself: of the options it accepts --cfg-options.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Dict, Iterator, Optional, Tuple

from swahr_mmpose.utils.annotation_paths import (
    require_annotation_file,
    require_image_dir,
)
from swahr_mmpose.utils.cli import (
    Argv,
    add_cfg_options,
    make_parser,
    merge_options,
    read_config,
    user_errors,
)
from swahr_mmpose.utils.config import describe_other_file, is_config_file

__all__ = ['check_args', 'main']

# Keys that `swahr dataset new` fills in, which annotations may lack.
_FILLABLE = ('id', 'category_id', 'bbox', 'keypoints')
_COCO = 'configs/_base_/datasets/coco.py'
_SPLITS = ('train', 'val', 'test')
# Options of annotation files; a config has settings in their place.
_FILE_OPTIONS = (
    'img_dir',
    'num_keypoints',
    'crowdpose',
    'input_size',
    'ignore_orientation',
    'max_shown',
)


def parse_args(argv: Argv = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'ann_file',
        metavar='FILE',
        help='COCO annotation file (.json), or config whose datasets are '
        'checked',
    )
    parser.add_argument(
        '--img-dir', help='folder of the images of an annotation file'
    )
    parser.add_argument(
        '--num-keypoints',
        type=int,
        help='number of keypoints per instance (default: that of the '
        'category in the file; without names in it 17, with --crowdpose 14)',
    )
    parser.add_argument(
        '--crowdpose',
        action='store_true',
        help='require a crowdIndex for each image, as CrowdPose has',
    )
    _add_check_arguments(parser)
    add_cfg_options(parser)
    parser.expected = (
        'expected an annotation file with --img-dir, or a config: '
        'ANNOTATIONS.json --img-dir DIR, or CONFIG'
    )
    defaults = {name: parser.get_default(name) for name in _FILE_OPTIONS}
    parser.check = partial(check_args, defaults=defaults)
    return parser.parse_args(argv)


def check_args(args: argparse.Namespace, defaults: Dict[str, Any]) -> None:
    """Check the file and the options that belong to it, without torch.

    Args:
        args (argparse.Namespace): Parsed command line.
        defaults (dict): Defaults of the options of annotation files.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is of another type, or an option does not belong to
            it.
    """
    given = [n for n, value in defaults.items() if getattr(args, n) != value]
    if _is_config(args):
        if given:
            option = given[0].replace('_', '-')
            raise ValueError(
                f'--{option} is for annotation files, got the config '
                f'{args.ann_file}; leave it out, and change settings of the '
                'config with --cfg-options'
            )
        return
    if args.num_keypoints is not None and args.num_keypoints < 1:
        raise ValueError(
            f'--num-keypoints is {args.num_keypoints}, expected 1 or more'
        )
    kind = describe_other_file(args.ann_file)
    expected = 'a COCO annotation file (.json) or a config (.py, .yml, .yaml)'
    if kind:
        raise ValueError(f'{args.ann_file} is {kind}, expected {expected}')
    require_annotation_file(
        args.ann_file,
        f'give the path of {expected}',
        [args.img_dir] if args.img_dir else [],
    )
    if args.img_dir is None:
        raise ValueError(
            f'no folder of the images of {args.ann_file}; give it with '
            '--img-dir DIR, or check a config in place of the file'
        )
    if args.cfg_options:
        raise ValueError(
            f'--cfg-options is for configs, got the annotation file '
            f'{args.ann_file}; leave it out'
        )
    require_image_dir(args.img_dir, 'correct --img-dir')


def _is_config(args: argparse.Namespace) -> bool:
    """Whether to check a config; a JSON file is an annotation file."""
    is_json = args.ann_file.lower().endswith('.json')
    return not is_json and is_config_file(args.ann_file)


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the checks."""
    parser.add_argument(
        '--input-size',
        type=int,
        default=512,
        help='short side of test images in pixels, by which overly long '
        'images are found; 0: the images are for training only',
    )
    parser.add_argument(
        '--ignore-orientation',
        choices=('auto', 'true', 'false'),
        default='auto',
        help='ignore_orientation of BottomupLoadImage in the config: true if '
        'keypoints refer to stored pixels, false if to the image as its EXIF '
        'orientation shows it; auto: not stated, read as false',
    )
    parser.add_argument(
        '--max-shown',
        type=int,
        default=5,
        help='number of problems of each kind to list',
    )


def main(argv: Argv = None) -> None:
    """Check datasets and print their counts, or exit with the problems."""
    args = parse_args(argv)
    with user_errors():
        if _is_config(args):
            _check_config(args)
        else:
            _check_file(args)


def _check_config(args: argparse.Namespace) -> None:
    """Check a config and the datasets of all splits that it has."""
    from swahr_mmpose.datasets.checks.preflight import check_before_run

    cfg = read_config(args.ann_file)
    merge_options(cfg, args.cfg_options)
    splits = [s for s in _SPLITS if cfg.get(f'{s}_dataloader')]
    if not splits or 'model' not in cfg:
        lacks = 'model' if splits else 'train_, val_ or test_dataloader'
        raise ValueError(
            f'{args.ann_file} has no {lacks}, expected a complete config; '
            'give one that inherits from it'
        )
    check_before_run(cfg, splits)
    print(f'{args.ann_file}: no error found in {", ".join(splits)}')


def _check_file(args: argparse.Namespace) -> None:
    """Check an annotation file and print its counts and warnings."""
    from swahr_mmpose.datasets.checks.dataset_files import (
        check_dataset,
        read_annotation_file,
    )
    from swahr_mmpose.datasets.checks.text import count as plural

    content = read_annotation_file(args.ann_file)
    num_keypoints, is_own = _choose_keypoints(args, content)
    ignore = dict(auto=None, true=True, false=False)[args.ignore_orientation]
    report = check_dataset(
        args.ann_file,
        args.img_dir,
        num_keypoints,
        crowd_index=args.crowdpose,
        required=('num_keypoints',) if args.crowdpose else (),
        test_side=args.input_size,
        max_shown=args.max_shown,
        ignore_orientation=ignore,
        fillable=_FILLABLE if is_own else (),
        content=content,
    )
    drawn = _draw_samples(args, report.sample, num_keypoints, ignore)
    count = len(report.warnings)
    print(
        f'{args.ann_file}: {plural(report.images, "image")}, '
        f'{plural(report.annotations, "annotation")}, '
        f'{plural(drawn, "sample")} drawn, '
        + (f'{count} warning(s)' if count else 'no problem found')
    )
    for warning in report.warnings:
        print(f'warning: {warning.strip()}')
    if is_own:
        for note in _describe_missing(content):
            print(note)


def _choose_keypoints(
    args: argparse.Namespace, content: Any
) -> Tuple[int, bool]:
    """Choose the number of keypoints, and whether they are one's own.

    Own keypoints are trained with the config and the complete file that
    ``swahr dataset new`` makes.

    Raises:
        ValueError: If the categories of the file have different numbers.
    """
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    from swahr_mmpose.datasets.checks.annotations import read_keypoint_lists

    given = args.num_keypoints
    if args.crowdpose:
        return (14 if given is None else given), False
    lists = read_keypoint_lists(content)
    counts = sorted({len(names) for names in lists})
    if given is None and len(counts) > 1:
        raise ValueError(
            f'{args.ann_file} has categories with different numbers of '
            f'keypoints, {", ".join(map(str, counts))}; give the number of '
            'those to check, --num-keypoints, in a file of their annotations'
        )
    number = given or next(iter(counts), 17)
    info = parse_pose_metainfo(dict(from_file=_COCO))
    coco = list(info['keypoint_name2id'])
    return number, counts == [number] and lists[0] != coco


def _describe_missing(content: Any) -> Iterator[str]:
    """Describe keys that are missing from annotations of own keypoints."""
    people = content['annotations']
    keys = [k for k in _FILLABLE if any(p.get(k) is None for p in people)]
    count = sum(any(p.get(k) is None for k in keys) for p in people)
    if count:
        yield (
            f'note: {count} of {len(people)} annotations have no '
            f'{", ".join(keys)}; `swahr dataset new` fills this in and makes '
            'the config for the training'
        )


def _draw_samples(
    args: argparse.Namespace,
    sample: Dict[str, Any],
    num_keypoints: int,
    ignore_orientation: Optional[bool],
) -> int:
    """Draw samples of a file, complete as `swahr dataset new` makes it."""
    from swahr_mmpose.datasets.checks.trial import (
        draw_samples,
        make_plain_dataset,
    )
    from swahr_mmpose.datasets.custom.completion import (
        clean_keypoints,
        complete_annotations,
    )

    if any(a.get(k) is None for a in sample['annotations'] for k in _FILLABLE):
        cleaned, _ = clean_keypoints(sample)
        sample, _ = complete_annotations(cleaned, num_keypoints)
    dataset = make_plain_dataset(
        args.ann_file, args.img_dir, num_keypoints, ignore_orientation
    )
    return draw_samples(dataset, 'dataset', [sample], 'mmpose')
