# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Prepare a custom dataset: from COCO-style files to a folder for training.

:func:`prepare_dataset` reads the files, completes the annotations, chooses
the skeleton and the settings of the config; :func:`write_dataset` writes the
folder. K keypoints.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from swahr_mmpose.datasets.checks.image_files import is_inside
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.resources import find_resource

from .coco_json import choose_category, hold_out, read_coco
from .completion import complete_annotations, keep_empty_images
from .config_template import (
    BASES,
    ConfigRecipe,
    choose_epochs,
    format_config,
    format_metainfo,
)
from .metainfo import make_dataset_info
from .report import DatasetSummary, format_report, summarize
from .skeleton import (
    CustomSkeleton,
    SkeletonOptions,
    make_skeleton,
    read_keypoint_names,
)

__all__ = [
    'DatasetOptions',
    'PreparedDataset',
    'Sample',
    'prepare_dataset',
    'read_sample',
    'write_dataset',
]

SPLITS = ('train', 'val')


@dataclass(frozen=True)
class DatasetOptions:
    """Options of a custom dataset.

    Args:
        ann_file (str): COCO-style annotation file of the training images.
        img_dir (str): Folder of the training images.
        val_ann_file (str, optional): Annotation file of the validation
            images. Defaults to a part of ``ann_file``.
        val_img_dir (str, optional): Folder of the validation images. Defaults
            to ``img_dir``.
        val_share (float): Fraction of images held out for validation without
            ``val_ann_file``, in (0, 0.5]. Defaults to 0.1.
        keep_empty (bool): Whether to train on images without annotation, as
            background. Defaults to False.
        name (str, optional): Name of the dataset. Defaults to that of the
            category.
        category (str, optional): Name of the category; required if a file has
            several. Defaults to the only one.
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

    ann_file: str
    img_dir: str
    val_ann_file: Optional[str] = None
    val_img_dir: Optional[str] = None
    val_share: float = 0.1
    keep_empty: bool = False
    name: Optional[str] = None
    category: Optional[str] = None
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
    raw = _read_contents(options)
    image_dirs = _find_image_dirs(options)
    category = choose_category(raw[0], options.category)
    names = read_keypoint_names(category, options.keypoints)
    contents, completed = _complete_contents(raw, names, options)
    summaries = (
        summarize(contents[0], len(names)),
        summarize(contents[1], len(names)),
    )
    if not len(summaries[0].sides):
        raise ValueError(
            f'{options.ann_file} has no instance with a labelled keypoint, '
            'v > 0; expected at least one'
        )
    skeleton = make_skeleton(
        category, names, summaries[0].keypoints, options.skeleton_options
    )
    name = _choose_name(options, category)
    out_dir = Path(options.out_dir or f'my_datasets/{name}').resolve()
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
            name, skeleton, summaries, completed, recipe.input_side
        ),
    )


def _read_contents(options: DatasetOptions) -> Tuple[dict, dict]:
    """Read training and validation file, or split the training file."""
    train = read_coco(options.ann_file)
    if options.val_ann_file:
        return train, read_coco(options.val_ann_file)
    return hold_out(train, options.val_share)


def _find_image_dirs(options: DatasetOptions) -> Tuple[Path, Path]:
    """Find the folders of training and validation images."""
    train = val = options.img_dir
    if options.val_ann_file:
        val = options.val_img_dir or options.img_dir
    folders = Path(train).resolve(), Path(val).resolve()
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(
                f'image folder {folder} does not exist; correct --img-dir or '
                '--val-img-dir'
            )
    return folders


def _complete_contents(
    contents: Tuple[dict, dict], names: Sequence[str], options: DatasetOptions
) -> Tuple[Tuple[dict, dict], List[str]]:
    """Complete both files; return them and lines on what was filled in."""
    lines: List[str] = []
    completed: List[dict] = []
    for split, content in zip(SPLITS, contents):
        category = choose_category(content, options.category)
        actual = read_keypoint_names(category, options.keypoints)
        if actual != names:
            raise ValueError(
                f'the validation file has the keypoints {actual}, expected '
                f'those of the training file, {names}; correct '
                'categories[0].keypoints or give --keypoints'
            )
        several = len(content.get('categories') or []) > 1
        # Without several, annotations of any category_id are kept.
        complete, rules = complete_annotations(
            content, len(names), category['id'] if several else None
        )
        completed.append(complete)
        lines += [f'{split}: {n} x {rule}' for rule, n in rules.items()]
    train, val = completed
    if options.keep_empty:
        train, count = keep_empty_images(train, len(names))
        lines.append(f'train: {count} x image without annotation: background')
    return (train, val), lines or ['nothing missing']


def _choose_name(options: DatasetOptions, category: dict) -> str:
    """Choose the dataset's name: lower-case letters, digits and hyphens."""
    default = category.get('name') or Path(options.ann_file).stem
    name = (options.name or str(default)).lower()
    return re.sub(r'[^a-z0-9]+', '-', name).strip('-') or 'instances'


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
    batch_size = options.batch_size or base.batch_size
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
        input_side=options.input_side or base.input_side,
        batch_size=batch_size,
        epochs=options.epochs
        or choose_epochs(options.base, summaries[0].num_images, batch_size),
        max_instances=max(30, math.ceil(1.5 * most)),
    )


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
        Sample: Image and keypoints; of equal ones that with the largest area.

    Raises:
        ValueError: If the image is outside its folder or cannot be read.
    """
    content, folder = dataset.contents[0], dataset.image_dirs[0]
    images = {image['id']: image for image in content['images']}
    best = max(
        (a for a in content['annotations'] if a['image_id'] in images),
        key=lambda a: (a['num_keypoints'], a['area']),
    )
    name = images[best['image_id']]['file_name']
    if not is_inside(name):
        raise ValueError(
            f'image {name} is not in {folder}; do not trust a file that '
            'refers to images outside its folder'
        )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imread(str(folder / name), flags)
    if pixels is None:
        raise ValueError(
            f'image {folder / name} does not exist or cannot be decoded; '
            'check --img-dir'
        )
    keypoints = np.reshape(best['keypoints'], (-1, 3))
    return Sample(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), keypoints)


def write_dataset(
    dataset: PreparedDataset, figure: bytes, overwrite: bool = False
) -> Path:
    """Write the folder of a dataset; each file is written atomically.

    Args:
        dataset (PreparedDataset): Dataset to write.
        figure (bytes): Content of ``skeleton.png``.
        overwrite (bool): Whether to replace files that this function made.
            Defaults to False.

    Returns:
        Path: The config, which is written last.

    Raises:
        FileExistsError: If the folder is not empty and may not be replaced.
    """
    out = dataset.out_dir
    if out.exists() and any(out.iterdir()):
        if not overwrite or not (out / 'metainfo.py').is_file():
            raise FileExistsError(
                f'{out} is not empty; choose another --out-dir, or give '
                '--overwrite if this command made it'
            )
        for config in out.glob('swahr_*.py'):
            config.unlink()
    for split, content in zip(SPLITS, dataset.contents):
        _write_file(out / f'{split}.json', json.dumps(content).encode())
    _write_text(out / 'metainfo.py', format_metainfo(dataset.info))
    _write_text(out / 'report.txt', '\n'.join([*dataset.report, '']))
    _write_file(out / 'skeleton.png', figure)
    config = out / dataset.recipe.file_name
    _write_text(config, format_config(dataset.recipe))
    return config


def _write_text(path: Path, text: str) -> None:
    _write_file(path, text.encode('utf-8'))


def _write_file(path: Path, content: bytes) -> None:
    with replaced_file(str(path)) as stream:
        stream.write(content)
