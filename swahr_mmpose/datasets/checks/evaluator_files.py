# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Agreement of the annotation file of a metric with that of its dataset.

MMPose sets the two files separately. A config that changes the file of the
dataset alone would fail after its first epoch, or be evaluated against the
people of other images.
"""

from __future__ import annotations

import os.path as osp
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from swahr_mmpose.utils import annotation_paths

from .annotations import select_records
from .dataset_files import read_annotation_file
from .nested import Leaf, get_type_name
from .text import escape

__all__ = ['compare_evaluators']

# Arguments of datasets that select some images of their file.
_SELECTIONS = ('filter_cfg', 'indices', 'sample_interval')
# Share of images from which on other records are reported.
_MANY = 0.5


def compare_evaluators(
    cfg: Any, split: str, leaves: Sequence[Leaf]
) -> Iterator[str]:
    """Compare the files of the metrics with those of the datasets of a split.

    Annotation files are read only if the paths differ. Metrics are those
    derived from MMPose's ``CocoMetric``; ``MultiDatasetEvaluator``, whose
    metrics belong to a dataset each, is not checked.

    Args:
        cfg (Config): Complete config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        leaves (Sequence[Leaf]): Datasets of the split with a COCO file.

    Yields:
        str: Warning about a file whose images have the same ids, but other
        names or keypoints.

    Raises:
        OSError: If the file of a metric does not exist.
        ValueError: If the file of a metric lacks images of the datasets.
    """
    if split == 'train':
        return
    name = f'{split}_evaluator'
    for key, evaluator in _iter_evaluators(cfg.get(name), name):
        path = _get_ann_file(evaluator)
        if path is None:
            continue
        annotation_paths.require_annotation_file(
            path, f'set {key}.ann_file to the ann_file of its dataset'
        )
        if any(not _is_same_file(path, leaf.ann_file) for leaf in leaves):
            yield from _compare_contents(key, path, split, leaves)


def _iter_evaluators(evaluator: Any, key: str) -> Iterator[Tuple[str, Any]]:
    """Yield the metrics of an evaluator as (config key, config)."""
    if isinstance(evaluator, (list, tuple)):
        for n, metric in enumerate(evaluator):
            yield from _iter_evaluators(metric, f'{key}[{n}]')
    elif isinstance(evaluator, dict):
        name = get_type_name(evaluator.get('type'))
        if name == 'Evaluator':
            yield from _iter_evaluators(
                evaluator.get('metrics'), f'{key}.metrics'
            )
        elif name != 'MultiDatasetEvaluator':
            yield key, evaluator


def _get_ann_file(evaluator: Any) -> Optional[str]:
    """Get the local file of a COCO metric; None if it compares nothing."""
    from mmpose.evaluation.metrics import CocoMetric
    from mmpose.registry import METRICS

    metric = evaluator.get('type')
    if isinstance(metric, str):
        metric = METRICS.get(metric)
    path = evaluator.get('ann_file')
    is_coco = isinstance(metric, type) and issubclass(metric, CocoMetric)
    if not is_coco or evaluator.get('format_only'):
        return None
    return path if isinstance(path, str) and '://' not in path else None


def _is_same_file(path: str, other: str) -> bool:
    """Return whether two paths lead to one file."""
    return osp.realpath(path) == osp.realpath(other)


def _compare_contents(
    key: str, path: str, split: str, leaves: Sequence[Leaf]
) -> Iterator[str]:
    """Compare the images of the file of a metric with those of datasets."""
    known = _collect_images(read_annotation_file(path))
    tested: Dict[Any, tuple] = {}
    for leaf in leaves:
        tested.update(_collect_images(read_annotation_file(leaf.ann_file)))
    files = ', '.join(dict.fromkeys(leaf.ann_file for leaf in leaves))
    remedy = f'set {key}.ann_file = {files!r}'
    if len(leaves) > 1:
        remedy = f'set {key}.ann_file to a file of all their images'
    missing = [image_id for image_id in tested if image_id not in known]
    selects = any(_selects_images(leaf) for leaf in leaves)
    if missing and (len(missing) == len(tested) or not selects):
        raise ValueError(
            f'config: {key}.ann_file is {path}, which lacks {len(missing)} of '
            f'the {len(tested)} images of {split}_dataloader ({files}), e.g. '
            f'image {escape(missing[0], 40)}; {remedy}'
        )
    difference = _describe_difference(known, tested)
    if difference:
        yield (
            f'warning: {key}.ann_file is {path}, not the file of '
            f'{split}_dataloader ({files}): {difference}; unless this is '
            f'intended, {remedy}'
        )


def _describe_difference(
    known: Dict[Any, tuple], tested: Dict[Any, tuple]
) -> str:
    """Describe what differs in many images of equal ids; empty if nothing."""
    found = [i for i in tested if i in known]
    for n, what in enumerate(('names', 'sizes', 'keypoints')):
        others = [i for i in found if known[i][n] != tested[i][n]]
        if len(others) > _MANY * len(found):
            return (
                f'{len(others)} of {len(found)} images have other {what} in '
                f'it, e.g. image {escape(others[0], 40)}'
            )
    return ''


def _collect_images(content: Any) -> Dict[Any, tuple]:
    """Collect (name, size, keypoints) by id; names have no folder and type.

    Equal keypoints in another order are equal.
    """
    people: Dict[Any, List[str]] = {}
    for person in select_records(content, 'annotations'):
        values = people.setdefault(person.get('image_id'), [])
        values.append(str(person.get('keypoints')))
    images = select_records(content, 'images')
    return {
        image.get('id'): (
            osp.splitext(osp.basename(str(image.get('file_name'))))[0],
            (image.get('width'), image.get('height')),
            sorted(people.get(image.get('id'), [])),
        )
        for image in images
    }


def _selects_images(leaf: Leaf) -> bool:
    """Return whether a dataset tests a part of the images of its file."""
    configs = (leaf.dataset, *leaf.wrappers)
    return any(config.get(name) for config in configs for name in _SELECTIONS)
