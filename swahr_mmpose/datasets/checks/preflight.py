# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks before a run, so that nothing is found out hours later.

Each function collects all that is wrong in one error, with the remedy.
"""

from __future__ import annotations

import json
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Set

from .annotations import Problem, find_bad_annotations, summarize
from .image_files import check_record, find_broken_images, image_sizes

__all__ = ['check_before_run', 'check_config', 'check_dataset']

# What encoding depends on, with the defaults of the codec.
_ENCODING = dict(
    input_size=None,
    heatmap_sizes=None,
    sigma=2.0,
    person_scale=None,
    unbiased=False,
)
# Steps of the pipeline that have to know of the convention.
_UNBIASED = ('BottomupGetLossMask', 'BottomupPyramidResize')
# What evaluation needs of annotations, by data set.
_NEEDED = dict(
    CocoDataset=('area', 'iscrowd'),
    CrowdPoseDataset=('num_keypoints', 'iscrowd'),
)
# Of annotations, and of image files.
_REMEDIES = (
    'Correct the annotation file, or the data set type of the config.',
    'Set data_prefix in the config, fetch the image files again, take them '
    'out of the annotation file, or correct their size there (by which boxes '
    'are cut, and people dropped).',
)


def _check_images(
    content: Any, image_dir: str, test_side: Optional[int]
) -> List[Problem]:
    """Problems of names and sizes of images, and of their files."""
    images = content.get('images') if isinstance(content, dict) else None
    images = images if isinstance(images, list) else []
    images = [image for image in images if isinstance(image, dict)]
    problems = [
        ('image', f'image {image.get("id")}', what)
        for image in images
        for what in check_record(image, test_side)
    ]
    sizes = {
        osp.join(image_dir, name): size
        for name, size in image_sizes(images).items()
    }
    broken = find_broken_images(sizes, sizes)
    return problems + [('image file', p, what) for p, what in broken.items()]


def check_dataset(
    ann_file: str,
    image_dir: str,
    num_keypoints: int,
    needs_annotations: bool = True,
    crowd_index: bool = False,
    required: Sequence[str] = (),
    test_side: Optional[int] = None,
    shown: int = 5,
) -> Dict[str, int]:
    """Check an annotation file and the images that it names.

    Args:
        ann_file (str): COCO annotation file.
        image_dir (str): Folder of the images.
        num_keypoints (int): K.
        needs_annotations (bool): Whether a file without annotations, such as
            that of a test set, is an error.
        crowd_index (bool): Whether each image has to have a ``crowdIndex``.
        required (Sequence[str]): What a metric needs of each annotation.
        test_side (int, optional): The short side to which images are resized
            in testing; ``None`` if they are for training only.
        shown (int): How many problems of a kind an error writes out.

    Returns:
        dict[str, int]: Counts of ``images`` and ``annotations``.

    Raises:
        ValueError: With everything that is wrong, counted by kind.
    """
    content = _read_json(ann_file)
    problems = find_bad_annotations(
        content, num_keypoints, crowd_index, required
    )
    problems += _check_images(content, image_dir, test_side)
    people = content.get('annotations') if isinstance(content, dict) else None
    if needs_annotations and not people:
        problems.append(('file', 'the annotation file', 'has no annotations'))
    if problems:
        count, *lines = summarize(problems, shown)
        kinds = {record == 'image file' for record, *_ in problems}
        lines += [_REMEDIES[of_files] for of_files in sorted(kinds)]
        raise ValueError('\n'.join([f'{ann_file}: {count}', *lines]))
    return dict(images=len(content['images']), annotations=len(people or ()))


def _read_json(ann_file: str) -> Any:
    if not osp.isfile(ann_file):
        raise FileNotFoundError(
            f'annotation file {ann_file} does not exist; set data_root and '
            'ann_file in the config, or give the right path'
        )
    if not osp.getsize(ann_file):
        raise ValueError(
            f'annotation file {ann_file} is empty; fetch it again'
        )
    try:
        with open(ann_file, encoding='utf-8') as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'annotation file {ann_file} is not valid JSON '
            f'({error}); fetch it again'
        ) from error


def _pipelines(cfg: Any) -> Dict[str, Sequence[dict]]:
    found = {}
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            found[split] = loader['dataset'].get('pipeline') or ()
    return found


def _steps(cfg: Any, key: str) -> Dict[str, Any]:
    """The values of an argument in all pipelines."""
    return {
        f'{split}_dataloader: {step["type"]}.{key}': step[key]
        for split, pipeline in _pipelines(cfg).items()
        for step in pipeline
        if key in step
    }


def _conventions(cfg: Any) -> Dict[str, bool]:
    return {
        f'{split}_dataloader: {step["type"]}.unbiased': step.get(
            'unbiased', False
        )
        for split, pipeline in _pipelines(cfg).items()
        for step in pipeline
        if step['type'] in _UNBIASED
    }


def _disagreements(values: Dict[str, Any]) -> List[str]:
    plain = {name: _plain(value) for name, value in values.items()}
    if len({str(v) for v in plain.values()}) <= 1:
        return []
    return [f'{name} = {value}' for name, value in plain.items()]


def _plain(value: Any) -> Any:
    """Lists as tuples, or (64, 64) and [64, 64] would not be the same."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    return value


def check_config(cfg: Any) -> None:
    """Check that a config's sizes, keypoints and channels agree.

    Args:
        cfg (Config): Config of a model with a ``HigherHRNetHead``; others
            are not checked.

    Raises:
        ValueError: With every value that disagrees and where it stands.
    """
    head = cfg.model.get('head') or {}
    if head.get('type') != 'HigherHRNetHead':
        return
    codec = head.get('decoder') or {}
    codecs = {'model.head.decoder': codec}
    if 'codec' in cfg:
        codecs['codec'] = cfg.codec
    codecs.update(_steps(cfg, 'encoder'))
    ranges = _steps(cfg, 'scale')
    if 'scale_range' in cfg:
        ranges['scale_range'] = cfg.scale_range
    tables = [
        {f'{n}.{key}': c.get(key, default) for n, c in codecs.items()}
        for key, default in _ENCODING.items()
    ]
    tables[0].update(_steps(cfg, 'input_size'))
    tables[-1].update(_conventions(cfg))
    tables.append(ranges)
    tables.append(
        {
            'model.head.num_keypoints': head.get('num_keypoints'),
            'length of model.head.decoder.decode_keypoint_order': len(
                codec.get('decode_keypoint_order', ())
            ),
        }
    )
    tables.append(_channels(cfg))
    problems = [p for table in tables for p in _disagreements(table)]
    if problems:
        raise ValueError(
            '\n  '.join([f'config: {len(problems)} problem(s)', *problems])
            + '\nGive them the same value; a config that changes the codec '
            'must set the pipelines and the head again.'
        )


def _channels(cfg: Any) -> Dict[str, Any]:
    """Channels at 1/4, where the backbone is an HRNet."""
    channels = {'model.head.in_channels': cfg.model.head.get('in_channels')}
    backbone = cfg.model.backbone
    if backbone.get('type') == 'HRNet' and 'extra' in backbone:
        stage = backbone['extra']['stage4']
        channels['model.backbone.extra.stage4.num_channels[0]'] = stage[
            'num_channels'
        ][0]
    return channels


def _dataset_keypoints(dataset: dict) -> Optional[int]:
    """K of a data set, from its metainfo or that of its class."""
    from mmpose.datasets.datasets.utils import parse_pose_metainfo
    from mmpose.registry import DATASETS

    kind = DATASETS.get(dataset['type'])
    metainfo = dataset.get('metainfo') or getattr(kind, 'METAINFO', None)
    if not metainfo:
        return None
    return parse_pose_metainfo(dict(metainfo))['num_keypoints']


def _formats_only(cfg: Any, split: str) -> bool:
    evaluators = cfg.get(f'{split}_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    return any(e.get('format_only', False) for e in evaluators)


def check_before_run(cfg: Any, splits: Sequence[str]) -> None:
    """Check config, data sets and the checkpoint file of a run.

    Args:
        cfg (Config): The whole config.
        splits (Sequence[str]): Of ``train``, ``val``, ``test``.
    """
    check_config(cfg)
    init = cfg.model.get('backbone', {}).get('init_cfg') or {}
    init = init if isinstance(init, dict) else {}
    starts = 'train' in splits and not cfg.get('resume')
    for path in (cfg.get('load_from'), starts and init.get('checkpoint')):
        known = not path or '://' in path
        if not (known or osp.isfile(osp.expanduser(str(path)))):
            raise FileNotFoundError(f'checkpoint {path} does not exist')
    checked: Set[tuple] = set()
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            _check_split(cfg, split, loader['dataset'], checked)


def _check_split(cfg: Any, split: str, dataset: Any, checked: set) -> None:
    kind, root = dataset['type'], dataset.get('data_root') or ''
    ann_file = osp.join(root, dataset.get('ann_file', ''))
    images = osp.join(root, dataset.get('data_prefix', {}).get('img', ''))
    num_keypoints = _dataset_keypoints(dataset)
    key = (ann_file, images, split == 'train')
    if num_keypoints is None or '://' in ann_file or key in checked:
        return
    checked.add(key)
    if num_keypoints != cfg.model.head.get('num_keypoints', num_keypoints):
        raise ValueError(
            f'{kind} has {num_keypoints} keypoints, model.head.num_keypoints '
            f'is {cfg.model.head.num_keypoints}; give them the same value'
        )
    sides = _steps({f'{split}_dataloader': {'dataset': dataset}}, 'input_size')
    evaluated = split != 'train' and not _formats_only(cfg, split)
    counts = check_dataset(
        ann_file,
        images,
        num_keypoints,
        not _formats_only(cfg, split),
        evaluated and kind == 'CrowdPoseDataset',
        _NEEDED.get(kind, ()) if evaluated else (),
        next((s[0] for s in sides.values() if split != 'train'), None),
    )
    print(
        f'checked {ann_file}: {counts["images"]} images, '
        f'{counts["annotations"]} annotations'
    )
