# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of config, annotation files and images before a run starts.

Each check collects all problems in one error and states the remedy.
"""

from __future__ import annotations

import os.path as osp
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple

from swahr_mmpose.utils.argument_checks import describe_wrong_checkpoint

from .config_agreement import check_config
from .dataset_files import NO_LABELS, DatasetReport, check_dataset
from .evaluator_files import compare_evaluators
from .nested import Leaf, get_type_name, iter_leaves
from .run_settings import check_run_settings
from .text import count, escape
from .trial import draw_samples

__all__ = [
    'check_before_run',
    'check_config',
    'check_dataset',
    'check_evaluators',
]

# Keys of annotations that evaluation requires, by dataset type.
_REQUIRED_KEYS = dict(
    CocoDataset=('area', 'iscrowd'),
    CrowdPoseDataset=('num_keypoints', 'iscrowd'),
)
# Reports by (annotation file, image folder, settings).
Reports = Dict[tuple, DatasetReport]


def check_before_run(cfg: Any, splits: Sequence[str]) -> None:
    """Check the config, the datasets and the checkpoint files of a run.

    Prints a line per annotation file.

    Args:
        cfg (Config): Complete config.
        splits (Sequence[str]): Splits of the run, among ``'train'``,
            ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError: If a checkpoint or annotation file is missing.
        ValueError: If the config or a dataset has problems.
    """
    check_run_settings(cfg, splits)
    check_config(cfg)
    for key, path in _collect_checkpoints(cfg, splits):
        known = not path or '://' in path
        problem = '' if known else describe_wrong_checkpoint(str(path))
        if problem:
            raise ValueError(f'{key}: {problem}')
        if not (known or osp.isfile(osp.expanduser(str(path)))):
            raise FileNotFoundError(
                f'checkpoint {path} does not exist; give another path, or '
                f'correct {key} in the config'
            )
    reports: Reports = {}
    paths: Dict[str, Dict[str, str]] = {}
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            paths[split] = _check_split(cfg, split, loader['dataset'], reports)
    for line in _find_leaks(paths):
        print(line)


def _find_leaks(paths: Dict[str, Dict[str, str]]) -> Iterator[str]:
    """Yield warnings about images of training in another split."""
    trained = paths.get('train', {})
    for split, tested in paths.items():
        both = [path for path in tested if path in trained]
        if split == 'train' or not both:
            continue
        path = both[0]
        same = ' (the same annotation file)' * (trained[path] == tested[path])
        yield (
            f'warning: {len(both)} of {len(tested)} images of '
            f'{split}_dataloader are training images{same}, e.g. '
            f'{escape(path)}; the AP on them says nothing about other '
            'images. Hold out images, e.g. with new_dataset --val-share'
        )


def _collect_checkpoints(
    cfg: Any, splits: Sequence[str]
) -> Iterator[Tuple[str, Any]]:
    """Yield the checkpoints that a run loads, as (config key, path)."""
    yield 'load_from', cfg.get('load_from')
    init = cfg.model.get('backbone', {}).get('init_cfg')
    if 'train' in splits and not cfg.get('resume') and isinstance(init, dict):
        yield 'model.backbone.init_cfg.checkpoint', init.get('checkpoint')


def _check_split(
    cfg: Any, split: str, dataset: Any, reports: Reports
) -> Dict[str, str]:
    """Check all datasets of a split, then draw samples of it.

    Args:
        cfg (Config): Complete config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        dataset (dict): Config of its dataset, nested or not.
        reports (dict): Reports of the splits before; extended.

    Returns:
        dict[str, str]: Annotation file by path of an image.
    """
    key = f'{split}_dataloader.dataset'
    leaves = list(iter_leaves(dataset, key))
    single = len(leaves) == 1
    done = [_check_leaf(cfg, split, leaf, reports, single) for leaf in leaves]
    found = [report for report in done if report]
    if len(found) == len(leaves):
        _check_complete(cfg, split, found)
        if all(report.images for report in found):
            samples = [report.sample for report in found]
            draw_samples(dataset, key, samples, cfg.get('default_scope'))
    return {
        path: osp.abspath(leaf.ann_file)
        for leaf, report in zip(leaves, done)
        for path in (report.paths if report else ())
    }


def _check_complete(
    cfg: Any, split: str, reports: Sequence[DatasetReport]
) -> None:
    """Check a split whose datasets have all been checked.

    Datasets of background images are valid beside others.
    """
    annotated = any(report.annotations for report in reports)
    if annotated and not any(report.labelled for report in reports):
        if not _is_format_only(cfg, split):
            raise ValueError(
                f'config: {split}_dataloader.dataset: {NO_LABELS}'
            )
    check_evaluators(cfg, split)


def check_evaluators(cfg: Any, split: str) -> None:
    """Compare the files of the metrics of a split with those of its datasets.

    Prints warnings; datasets without a local COCO file are not compared.

    Args:
        cfg (Config): Complete config.
        split (str): ``'val'`` or ``'test'``.

    Raises:
        OSError: If a file does not exist.
        ValueError: If the file of a metric lacks images of the datasets.
    """
    key = f'{split}_dataloader.dataset'
    leaves = list(iter_leaves(cfg[f'{split}_dataloader']['dataset'], key))
    if all(map(_is_local_coco, leaves)):
        for line in compare_evaluators(cfg, split, leaves):
            print(line)


def _check_leaf(
    cfg: Any, split: str, leaf: Leaf, reports: Reports, needs_labels: bool
) -> Optional[DatasetReport]:
    """Check a dataset with an annotation file; print a line about it."""
    num_keypoints = _read_num_keypoints(leaf.dataset)
    if num_keypoints is None or not _is_local_coco(leaf):
        print(f'not checked: {leaf.key}, a {leaf.type_name}')
        return None
    _compare_num_keypoints(cfg, leaf, num_keypoints)
    settings = _collect_settings(cfg, split, leaf)
    settings['needs_labels'] = needs_labels
    key = (leaf.ann_file, leaf.image_dir, num_keypoints, str(settings))
    if key in reports:
        return reports[key]
    report = check_dataset(
        leaf.ann_file, leaf.image_dir, num_keypoints, **settings
    )
    reports[key] = report
    print(
        f'checked {leaf.ann_file}: {count(report.images, "image")}, '
        f'{count(report.annotations, "annotation")}'
    )
    for warning in report.warnings:
        print(f'warning: {leaf.ann_file}: {warning.strip()}')
    return report


def _collect_settings(cfg: Any, split: str, leaf: Leaf) -> Dict[str, Any]:
    """Collect the arguments of :func:`check_dataset` from the config."""
    format_only = _is_format_only(cfg, split)
    evaluated = split != 'train' and not format_only
    name = leaf.type_name
    sides = [t['input_size'] for t in leaf.transforms if 'input_size' in t]
    return dict(
        crowd_index=evaluated and name == 'CrowdPoseDataset',
        required=_REQUIRED_KEYS.get(name, ()) if evaluated else (),
        test_side=sides[0][0] if sides and split != 'train' else None,
        needs_annotations=not format_only,
        ignore_orientation=leaf.ignore_orientation,
        link_dir=leaf.link_dir,
    )


def _is_local_coco(leaf: Leaf) -> bool:
    """Return whether a dataset has a local file in COCO's format."""
    from mmpose.datasets.datasets.base import BaseCocoStyleDataset

    dataset_class = _get_dataset_class(leaf.dataset)
    return (
        isinstance(dataset_class, type)
        and issubclass(dataset_class, BaseCocoStyleDataset)
        and '://' not in leaf.ann_file
    )


def _compare_num_keypoints(cfg: Any, leaf: Leaf, num_keypoints: int) -> None:
    """Compare the keypoints of a dataset, once converted, with the head's."""
    name = leaf.type_name
    for config in leaf.wrappers:
        if config.get('metainfo'):
            name = get_type_name(config['type'])
            num_keypoints = _read_num_keypoints(config) or num_keypoints
    for transform in leaf.transforms:
        if get_type_name(transform.get('type')) == 'KeypointConverter':
            num_keypoints = transform['num_keypoints']
    expected = cfg.model.head.get('num_keypoints', num_keypoints)
    if num_keypoints != expected:
        raise ValueError(
            f'{name} has {num_keypoints} keypoints, '
            f'model.head.num_keypoints is {expected}; give them the same '
            'value'
        )


def _get_dataset_class(dataset: Any) -> Any:
    """Get the class of a dataset config; ``None`` if it is unknown."""
    from mmpose.registry import DATASETS

    registered = dataset['type']
    if isinstance(registered, str):
        return DATASETS.get(registered)
    return registered


def _read_num_keypoints(dataset: Any) -> Optional[int]:
    """Read K of a dataset from its metainfo, or from that of its class."""
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    metainfo = dataset.get('metainfo')
    metainfo = metainfo or getattr(
        _get_dataset_class(dataset), 'METAINFO', None
    )
    if not metainfo:
        return None
    return parse_pose_metainfo(dict(metainfo))['num_keypoints']


def _is_format_only(cfg: Any, split: str) -> bool:
    """Return whether an evaluator of a split only writes results."""
    evaluators = cfg.get(f'{split}_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    return any(e.get('format_only', False) for e in evaluators)
