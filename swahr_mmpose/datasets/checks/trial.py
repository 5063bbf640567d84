# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Trial of a dataset: build it on a few images of each kind and draw them.

Rules on annotations cannot foresee what MMPose, a converter or a transform of
the user does with them.  A trial takes seconds, because the annotation files
are replaced by small ones; the images are those of the dataset.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import os.path as osp
import random
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .annotations import select_records
from .nested import Leaf, iter_leaves
from .text import escape

__all__ = ['draw_samples', 'make_plain_dataset', 'select_sample']

# Number of images in a trial, at least one of each kind of annotation.
_MAX_IMAGES = 12
# Arguments that select images by number, and would leave none of a few.
_SELECTIONS = (
    'bbox_file',
    'filter_cfg',
    'indices',
    'lazy_init',
    'sample_interval',
    'sample_ratio_factor',
)


def select_sample(content: dict, max_images: int = _MAX_IMAGES) -> dict:
    """Select a few images, one of each kind of annotations first.

    Images are of one kind if their annotations have the same keys with the
    same types in the same order.

    Args:
        content (dict): Annotation file without problems.
        max_images (int): Maximum number of images.  Defaults to 12.

    Returns:
        dict: Annotation file of the selected images.
    """
    people: Dict[Any, List[dict]] = {}
    for person in select_records(content, 'annotations'):
        people.setdefault(person['image_id'], []).append(person)
    firsts: Dict[tuple, dict] = {}
    rest = []
    for image in content['images']:
        kind = _describe_kind(people.get(image['id'], ()))
        if kind in firsts:
            rest.append(image)
        else:
            firsts[kind] = image
    images = [*firsts.values(), *rest][:max_images]
    chosen = [p for i in images for p in people.get(i['id'], ())]
    return dict(content, images=images, annotations=chosen)


def _describe_kind(people: Sequence[dict]) -> tuple:
    """Describe keys and types of annotations; equal neighbours count once."""
    kinds: List[tuple] = []
    for person in people:
        kind = tuple(
            sorted((k, type(v).__name__, not v) for k, v in person.items())
        )
        if kind not in kinds[-1:]:
            kinds.append(kind)
    return tuple(kinds[:4])


def draw_samples(
    dataset: Any, key: str, samples: Sequence[dict], scope: Optional[str]
) -> int:
    """Build a dataset on small annotation files and draw all its samples.

    Args:
        dataset (dict): Config of a dataset or wrapper.
        key (str): Config key of the dataset, for messages.
        samples (Sequence[dict]): Small annotation file of each of its leaves,
            see :func:`select_sample`.
        scope (str, optional): Default scope of the config.

    Returns:
        int: Number of samples.

    Raises:
        ValueError: If building or drawing fails; names image and cause.
    """
    error = _try_dataset(dataset, key, samples, scope)
    if error is None:
        return sum(len(sample['images']) for sample in samples)
    place = _find_culprit(dataset, key, samples, scope)
    raise ValueError(
        f'config: {key} cannot be built, or a sample of it not be drawn'
        f'{place}: {type(error).__name__}: {escape(error, 400)}. Correct the '
        'annotation file or the pipeline in the config; leave out keys that '
        'only some annotations of an image have'
    ) from error


def _try_dataset(
    dataset: Any, key: str, samples: Sequence[dict], scope: Optional[str]
) -> Optional[Exception]:
    """Build a dataset and draw its samples; return the error, if any."""
    with tempfile.TemporaryDirectory() as folder, _keep_state(scope):
        small = _replace_files(dataset, key, samples, folder)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                _draw_all(small, sum(len(s['images']) for s in samples))
        except Exception as error:  # of MMPose, libraries, any transform
            return error
    return None


def _draw_all(dataset: Any, count: int) -> None:
    """Build a dataset and draw up to ``count`` samples."""
    from mmpose.registry import DATASETS

    built = DATASETS.build(dataset)
    for index in range(min(len(built), count)):
        built[index]


def _replace_files(
    dataset: Any, key: str, samples: Sequence[dict], folder: str
) -> Any:
    """Copy a config; write and set small annotation files."""
    small = copy.deepcopy(dataset)
    for config in _iter_configs(small):
        for name in _SELECTIONS:
            config.pop(name, None)
    for n, leaf in enumerate(iter_leaves(small, key)):
        path = osp.join(folder, str(n), osp.basename(leaf.ann_file))
        os.mkdir(osp.dirname(path))
        _link_side_files(leaf.ann_file, osp.dirname(path))
        with open(path, 'w', encoding='utf-8') as file:
            json.dump(samples[n], file)
        leaf.dataset['ann_file'] = path
    return small


def _link_side_files(ann_file: str, folder: str) -> None:
    """Link files whose name begins with that of an annotation file.

    A dataset class may read e.g. ``train_scores.npy`` beside ``train.json``.
    """
    source = osp.dirname(osp.abspath(ann_file))
    stem = osp.splitext(osp.basename(ann_file))[0]
    names = [] if stem == '' else os.listdir(source)
    for name in names:
        if name.startswith(stem) and name != osp.basename(ann_file):
            with contextlib.suppress(OSError):  # Windows without the right
                os.symlink(osp.join(source, name), osp.join(folder, name))


def _iter_configs(dataset: Any) -> Iterator[Any]:
    """Yield a dataset config and all nested ones."""
    for leaf in iter_leaves(dataset, ''):
        yield from (leaf.dataset, *leaf.wrappers)


@contextlib.contextmanager
def _keep_state(scope: Optional[str]) -> Iterator[None]:
    """Restore random states and MMEngine's notes of the annotation file."""
    import torch
    from mmengine.logging import MessageHub
    from mmengine.registry import DefaultScope

    hub = MessageHub.get_current_instance()
    notes = dict(hub.runtime_info)
    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(
            devices=[]
        ), DefaultScope.overwrite_default_scope(scope or 'mmpose'):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name in set(hub.runtime_info) - set(notes):
            hub.pop_info(name)
        hub.runtime_info.update(notes)


def _find_culprit(
    dataset: Any, key: str, samples: Sequence[dict], scope: Optional[str]
) -> str:
    """Name the first image that alone makes the trial fail."""
    for n, leaf in enumerate(iter_leaves(dataset, key)):
        for image, alone in _iter_images(samples[n]):
            if _try_leaf(leaf, alone, scope):
                name = escape(image['file_name'])
                return f' (image {image["id"]}, {name}, of {leaf.key})'
    return ''


def _try_leaf(leaf: Leaf, sample: dict, scope: Optional[str]) -> bool:
    """Return whether a dataset fails without its wrappers."""
    return _try_dataset(leaf.dataset, leaf.key, [sample], scope) is not None


def _iter_images(sample: dict) -> Iterator[Tuple[dict, dict]]:
    """Yield each image that has annotations, and a file of it alone."""
    for image in sample['images']:
        people = [
            p for p in sample['annotations'] if p['image_id'] == image['id']
        ]
        if people:
            yield image, dict(sample, images=[image], annotations=people)


def make_plain_dataset(
    ann_file: str,
    image_dir: str,
    num_keypoints: int,
    ignore_orientation: Optional[bool],
) -> Dict[str, Any]:
    """Make the config of a training dataset without names of keypoints.

    Args:
        ann_file (str): Annotation file.
        image_dir (str): Folder of the images.
        num_keypoints (int): Keypoints per person, K.
        ignore_orientation (bool, optional): Setting of the loader.

    Returns:
        dict: Config for ``DATASETS.build``.
    """
    side = 128
    codec = dict(
        type='ScaleAwareAssociativeEmbedding',
        input_size=(side, side),
        heatmap_sizes=[(side // 4, side // 4), (side // 2, side // 2)],
    )
    points = {
        n: dict(name=str(n), id=n, color=[0, 0, 0], type='', swap='')
        for n in range(num_keypoints)
    }
    ones = [1.0] * num_keypoints
    return dict(
        type='CocoDataset',
        data_mode='bottomup',
        ann_file=osp.abspath(ann_file),
        data_prefix=dict(img=osp.abspath(image_dir)),
        metainfo=dict(
            dataset_name='checked',
            keypoint_info=points,
            skeleton_info={},
            joint_weights=ones,
            sigmas=ones,
        ),
        pipeline=[
            dict(
                type='BottomupLoadImage', ignore_orientation=ignore_orientation
            ),
            dict(type='BottomupRandomSquareAffine', input_size=(side, side)),
            dict(type='GenerateTarget', encoder=codec),
            dict(type='BottomupGetLossMask'),
            dict(type='BottomupPackInputs'),
        ],
    )
