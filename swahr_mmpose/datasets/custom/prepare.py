# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Prepare a custom dataset from COCO-style files, in memory.

:func:`prepare_dataset` reads the files, completes and checks the annotations,
chooses the skeleton and the settings of the config;
:func:`.write_dataset` writes the folder. K keypoints.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Any,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import cv2
import numpy as np

from swahr_mmpose.datasets.checks.annotations import find_bad_annotations
from swahr_mmpose.datasets.checks.file_names import FolderIndex, is_inside
from swahr_mmpose.datasets.checks.image_files import find_file_problem
from swahr_mmpose.datasets.checks.text import escape
from swahr_mmpose.utils.resources import find_resource

from .coco_json import (
    choose_categories,
    hold_out,
    is_instance,
    require_labels,
    select_categories,
)
from .completion import complete_annotations, keep_empty_images
from .config_template import BASES, ConfigRecipe, choose_epochs
from .metainfo import make_dataset_info
from .reading import OneOrMore, Split, as_list, raise_problems, read_split
from .report import DatasetSummary, format_report, summarize
from .skeleton import (
    CustomSkeleton,
    SkeletonOptions,
    make_skeleton,
    merge_categories,
    read_keypoint_names,
)

__all__ = [
    'DatasetOptions',
    'PreparedDataset',
    'Sample',
    'prepare_dataset',
    'read_sample',
]

SPLITS = ('train', 'val')
# Keys that COCO's metric requires.
_REQUIRED = ('area', 'iscrowd', 'num_keypoints')
_MAX_NAME = 60  # characters of the dataset's name, part of file names


@dataclass(frozen=True)
class DatasetOptions:
    """Options of a custom dataset.

    Args:
        ann_file (str | Sequence[str]): COCO-style annotation files of the
            training images.
        img_dir (str | Sequence[str]): Folder of the training images, or one
            per annotation file.
        val_ann_file (str | Sequence[str], optional): Annotation files of the
            validation images. Defaults to a part of ``ann_file``.
        val_img_dir (str | Sequence[str], optional): Folder of the validation
            images, or one per file. Defaults to ``img_dir``.
        link_dir (str, optional): Folder outside of the image folders to which
            links in them may lead. Defaults to None, none.
        val_share (float): Fraction of images held out for validation without
            ``val_ann_file``, in (0, 0.5]. Defaults to 0.1.
        keep_empty (bool): Whether to train on images without annotation, as
            background. Defaults to False.
        name (str, optional): Name of the dataset. Defaults to that of the
            category.
        category (str | Sequence[str], optional): Names of categories with one
            skeleton, or ``'all'``; required if a file has several. Defaults
            to the only one.
        keypoints (Sequence[str], optional): Names of the K keypoints.
            Defaults to those of the category.
        out_dir (str, optional): Folder to make. Defaults to
            ``my_datasets/NAME``.
        base (str): Backbone, a key of :data:`.BASES`. Defaults to ``'w32'``.
        input_side (int, optional): Side of the input in px, a multiple of 64.
            Defaults to that of the backbone.
        epochs (int, optional): Number of epochs. Defaults to that of the
            backbone, more for small datasets.
        batch_size (int, optional): Images per GPU. Defaults to that of the
            backbone.
        skeleton_options (SkeletonOptions): Overrides of the skeleton.
            Defaults to none.
    """

    ann_file: OneOrMore
    img_dir: OneOrMore
    val_ann_file: Optional[OneOrMore] = None
    val_img_dir: Optional[OneOrMore] = None
    link_dir: Optional[str] = None
    val_share: float = 0.1
    keep_empty: bool = False
    name: Optional[str] = None
    category: Optional[OneOrMore] = None
    keypoints: Optional[Sequence[str]] = None
    out_dir: Optional[str] = None
    base: str = 'w32'
    input_side: Optional[int] = None
    epochs: Optional[int] = None
    batch_size: Optional[int] = None
    skeleton_options: SkeletonOptions = field(default_factory=SkeletonOptions)


@dataclass(frozen=True)
class PreparedDataset:
    """Custom dataset, ready to be written.

    Args:
        out_dir (Path): Folder to make, absolute.
        image_dirs (tuple[Path, Path]): Folders of training and validation
            images, absolute.
        contents (tuple[dict, dict]): Completed COCO files for training and
            validation.
        skeleton (CustomSkeleton): Skeleton of the instances.
        info (dict): ``dataset_info``, the metainfo in MMPose's format.
        recipe (ConfigRecipe): Settings of the config.
        report (list[str]): Lines of the report.
    """

    out_dir: Path
    image_dirs: Tuple[Path, Path]
    contents: Tuple[dict, dict]
    skeleton: CustomSkeleton
    info: Dict[str, Any]
    recipe: ConfigRecipe
    report: List[str]


class Sample(NamedTuple):
    """Training instance to show.

    Attributes:
        image (np.ndarray): RGB image, uint8 (h, w, 3).
        keypoints (np.ndarray): Keypoints ``(x, y, v)``, shape (K, 3).
    """

    image: np.ndarray
    keypoints: np.ndarray


def prepare_dataset(options: DatasetOptions) -> PreparedDataset:
    """Read annotations, complete them, and choose skeleton and settings.

    Args:
        options (DatasetOptions): Options of the dataset.

    Returns:
        PreparedDataset: The dataset; nothing is written.

    Raises:
        OSError: If a file cannot be read or an image folder does not exist.
        ValueError: If a file or an option is invalid.
    """
    splits, category, table = _select_instances(_read_splits(options), options)
    names = read_keypoint_names(category, options.keypoints)
    contents, completed = _complete_contents(splits, names, options)
    summaries = (
        summarize(contents[0], len(names)),
        summarize(contents[1], len(names)),
    )
    skeleton = make_skeleton(
        category, names, summaries[0].keypoints, options.skeleton_options
    )
    name = _choose_name(options, category)
    out_dir = Path(options.out_dir or f'my_datasets/{name}').resolve()
    image_dirs = splits[0].folder, splits[1].folder
    recipe = _make_recipe(
        options, name, skeleton, summaries, image_dirs, out_dir
    )
    return PreparedDataset(
        out_dir=out_dir,
        image_dirs=image_dirs,
        contents=contents,
        skeleton=skeleton,
        info=_make_info(name, skeleton),
        recipe=recipe,
        report=format_report(
            name, skeleton, summaries, completed, recipe.input_side, table
        ),
    )


def _read_splits(options: DatasetOptions) -> List[Split]:
    """Read the training files, and those for validation if given."""
    folders = as_list(options.img_dir)
    splits = [read_split(as_list(options.ann_file), folders)]
    if options.val_ann_file:
        folders = as_list(options.val_img_dir) or folders
        splits.append(read_split(as_list(options.val_ann_file), folders))
    return splits


def _select_instances(
    splits: Sequence[Split], options: DatasetOptions
) -> Tuple[Tuple[Split, Split], dict, List[str]]:
    """Select the categories of each split; then hold out images if needed.

    Returns:
        tuple: Training and validation, the merged category, and lines on the
        number of instances by category.
    """
    wanted = as_list(options.category) or None
    edges = options.skeleton_options.skeleton
    chosen: List[Split] = []
    merged = []
    for split in splits:
        categories = choose_categories(split.content, wanted)
        content, dropped = select_categories(split.content, categories)
        split.rules['other category: dropped'] = dropped
        if not chosen:  # the training file
            require_labels(content, split.name, dropped)
        chosen.append(split._replace(content=content))
        merged.append(merge_categories(categories, options.keypoints, edges))
    if len(chosen) == 1:
        parts = hold_out(chosen[0].content, options.val_share)
        chosen = [
            chosen[0]._replace(content=parts[0]),
            chosen[0]._replace(content=parts[1], rules=Counter()),
        ]
    elif not options.keypoints:
        _compare_keypoints(*merged)
    train, val = chosen
    lines = _count_categories(train, val)
    if merged[0]:
        for split in (train, val):
            split.content['categories'] = merged[:1]
    return (train, val), merged[0], lines


def _compare_keypoints(train: dict, val: dict) -> None:
    """Raise if the keypoints of training and validation file differ."""
    expected, actual = map(read_keypoint_names, (train, val))
    if actual != expected:
        raise ValueError(
            f'the validation file has the keypoints {actual}, expected '
            f'those of the training file, {expected}; correct '
            'categories[0].keypoints or give --keypoints'
        )


def _count_categories(train: Split, val: Split) -> List[str]:
    """Count the instances of several categories; none for a single one."""
    names = [
        {c.get('id'): str(c.get('name')) for c in split.content['categories']}
        for split in (train, val)
    ]
    if len(names[0]) < 2:
        return []
    counts = [
        Counter(
            table.get(a.get('category_id'))
            for a in split.content['annotations']
            if is_instance(a)
        )
        for table, split in zip(names, (train, val))
    ]
    return [
        f'category {escape(name)}: {counts[0][name]} training and '
        f'{counts[1][name]} validation instances'
        for name in dict.fromkeys([*names[0].values(), *names[1].values()])
    ]


def _complete_contents(
    splits: Sequence[Split], names: Sequence[str], options: DatasetOptions
) -> Tuple[Tuple[dict, dict], List[str]]:
    """Complete and check both files; return them and lines on the rules."""
    lines: List[str] = []
    completed: List[dict] = []
    for kind, split in zip(SPLITS, splits):
        try:
            content, rules = complete_annotations(split.content, len(names))
        except ValueError as error:
            raise ValueError(f'{split.name}: {error}') from error
        problems = find_bad_annotations(
            content, len(names), required=_REQUIRED
        )
        raise_problems(split.name, problems)
        given = {rule: count for rule, count in split.rules.items() if count}
        applied = {**given, **rules}
        content['info']['completed'] = applied
        completed.append(content)
        lines += [f'{kind}: {n} x {rule}' for rule, n in applied.items()]
    train, val = completed
    if options.keep_empty:
        train, count = keep_empty_images(train, len(names))
        lines.append(f'train: {count} x image without annotation: background')
    return (train, val), lines or ['nothing missing']


def _choose_name(options: DatasetOptions, category: dict) -> str:
    """Choose the dataset's name: lower-case letters, digits and hyphens."""
    default = category.get('name') or Path(as_list(options.ann_file)[0]).stem
    name = (options.name or str(default)).lower()
    name = re.sub(r'[^a-z0-9]+', '-', name).strip('-')
    return name[:_MAX_NAME].strip('-') or 'instances'


def _make_recipe(
    options: DatasetOptions,
    name: str,
    skeleton: CustomSkeleton,
    summaries: Sequence[DatasetSummary],
    image_dirs: Tuple[Path, Path],
    out_dir: Path,
) -> ConfigRecipe:
    """Make the settings of the config from options and statistics."""
    base = BASES[options.base]
    batch_size = _get_given(options.batch_size, base.batch_size)
    epochs = _get_given(
        options.epochs,
        choose_epochs(
            options.base, summaries[0].num_images, max(batch_size, 1)
        ),
    )
    most = max(summary.max_instances for summary in summaries)
    return ConfigRecipe(
        name=name,
        base=options.base,
        num_keypoints=len(skeleton.names),
        order=skeleton.order,
        flip=skeleton.flip,
        image_dirs=(
            f'{image_dirs[0].as_posix()}/',
            f'{image_dirs[1].as_posix()}/',
        ),
        base_folder=_locate_base_configs(out_dir),
        input_side=_get_given(options.input_side, base.input_side),
        batch_size=batch_size,
        epochs=epochs,
        max_instances=max(30, math.ceil(1.5 * most)),
        link_dir=_resolve_link_dir(options.link_dir),
    )


def _get_given(value: Optional[int], default: int) -> int:
    """Return the value of an option, also 0; the default for None."""
    return default if value is None else value


def _resolve_link_dir(link_dir: Optional[str]) -> Optional[str]:
    """Resolve the folder of the files that links lead to."""
    if link_dir is None:
        return None
    if not Path(link_dir).is_dir():
        raise NotADirectoryError(
            f'--link-dir is {link_dir}, expected an existing folder, that of '
            'the files to which links in --img-dir lead'
        )
    return f'{Path(link_dir).resolve().as_posix()}/'


def _locate_base_configs(out_dir: Path) -> str:
    """Locate ``configs/_base_`` for a config in a folder.

    Relative if the folder is in the same checkout, so that both can be moved
    together; else absolute. MMEngine's ``package::config`` syntax knows
    OpenMMLab's own packages only.
    """
    configs = find_resource('configs')
    folder = configs / '_base_'
    if configs.parent in out_dir.parents:
        return Path(os.path.relpath(folder, out_dir)).as_posix()
    return folder.as_posix()


def _make_info(name: str, skeleton: CustomSkeleton) -> Dict[str, Any]:
    """Make the metainfo of a skeleton."""
    return make_dataset_info(
        name,
        skeleton.names,
        skeleton.links,
        skeleton.pairs,
        skeleton.sigmas,
        [bool(y < 0) for y in skeleton.statistics.mean[:, 1]],
    )


def read_sample(dataset: PreparedDataset) -> Sample:
    """Read the training instance with the most labelled keypoints.

    Args:
        dataset (PreparedDataset): Dataset with at least one instance.

    Returns:
        Sample: Image, upright, and keypoints; of equal ones that with the
        largest area. Instances of unreadable images are skipped.

    Raises:
        ValueError: If no image is inside its folder and readable.
    """
    content, folder = dataset.contents[0], dataset.image_dirs[0]
    names = {image['id']: image['file_name'] for image in content['images']}
    problems: Dict[str, str] = {}
    for best in sorted(
        content['annotations'],
        key=lambda a: (a['num_keypoints'], a['area']),
        reverse=True,
    ):
        name = names[best['image_id']]
        pixels = None if name in problems else _read_image(folder, name)
        if isinstance(pixels, np.ndarray):
            return Sample(pixels, np.reshape(best['keypoints'], (-1, 3)))
        problems.setdefault(name, pixels or '')
    name, problem = next(iter(problems.items()))
    raise ValueError(
        f'none of {len(problems)} annotated images can be used, e.g. image '
        f'{escape(name)} of {folder}: {problem}; check --img-dir'
        f'{FolderIndex(str(folder)).suggest(name)}'
    )


def _read_image(folder: Path, name: str) -> Union[np.ndarray, str]:
    """Read an RGB image, or return what is wrong with it."""
    if not is_inside(name):
        return (
            'leaves the folder; do not trust a file that refers to images '
            'outside its folder'
        )
    path = folder / name
    problem = find_file_problem(str(path), None)
    if problem:
        return problem
    # cv2.imread fails on names that are not ASCII on Windows.
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return 'cannot be decoded'
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
