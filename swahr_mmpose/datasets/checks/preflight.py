# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of config, annotation files and images before a run starts.

Each check collects all problems in one error and states the remedy.
"""

from __future__ import annotations

import inspect
import json
import os.path as osp
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from mmpose.registry import KEYPOINT_CODECS

from .annotations import Problem, find_bad_annotations, summarize
from .image_files import check_record, find_broken_images, image_sizes

__all__ = ['check_before_run', 'check_config', 'check_dataset']

# Transforms whose ``unbiased`` must agree with the codec.
_UNBIASED_TRANSFORMS = ('BottomupGetLossMask', 'BottomupPyramidResize')
# Keys of annotations that evaluation requires, by dataset type.
_REQUIRED_KEYS = dict(
    CocoDataset=('area', 'iscrowd'),
    CrowdPoseDataset=('num_keypoints', 'iscrowd'),
)
_ANNOTATION_REMEDY = (
    'Correct the annotation file, or the dataset type in the config.'
)
_IMAGE_REMEDY = (
    'Set data_prefix in the config, download the image files again, remove '
    'them from the annotation file, or correct their size there (boxes are '
    'clipped to it, and people outside of it dropped).'
)


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
    check_config(cfg)
    for key, path in _collect_checkpoints(cfg, splits):
        known = not path or '://' in path
        if not (known or osp.isfile(osp.expanduser(str(path)))):
            raise FileNotFoundError(
                f'checkpoint {path} does not exist; correct {key} in the '
                'config'
            )
    checked: Set[tuple] = set()
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            _check_split(cfg, split, loader['dataset'], checked)


def _collect_checkpoints(
    cfg: Any, splits: Sequence[str]
) -> Iterator[Tuple[str, Any]]:
    """Yield the checkpoints that a run loads, as (config key, path)."""
    yield 'load_from', cfg.get('load_from')
    init = cfg.model.get('backbone', {}).get('init_cfg')
    if 'train' in splits and not cfg.get('resume') and isinstance(init, dict):
        yield 'model.backbone.init_cfg.checkpoint', init.get('checkpoint')


def _check_split(cfg: Any, split: str, dataset: Any, checked: set) -> None:
    """Check the dataset of a split, unless it is in ``checked``."""
    dataset_type, root = dataset['type'], dataset.get('data_root') or ''
    ann_file = osp.join(root, dataset.get('ann_file', ''))
    image_dir = osp.join(root, dataset.get('data_prefix', {}).get('img', ''))
    num_keypoints = _read_num_keypoints(dataset)
    key = (ann_file, image_dir, split == 'train')
    if num_keypoints is None or '://' in ann_file or key in checked:
        return
    checked.add(key)
    if num_keypoints != cfg.model.head.get('num_keypoints', num_keypoints):
        raise ValueError(
            f'{dataset_type} has {num_keypoints} keypoints, '
            'model.head.num_keypoints is '
            f'{cfg.model.head.num_keypoints}; give them the same value'
        )
    format_only = _is_format_only(cfg, split)
    evaluated = split != 'train' and not format_only
    sides = _collect_arguments(
        {f'{split}_dataloader': {'dataset': dataset}}, 'input_size'
    )
    counts = check_dataset(
        ann_file,
        image_dir,
        num_keypoints,
        crowd_index=evaluated and dataset_type == 'CrowdPoseDataset',
        required=_REQUIRED_KEYS.get(dataset_type, ()) if evaluated else (),
        test_side=next(
            (size[0] for size in sides.values() if split != 'train'), None
        ),
        needs_annotations=not format_only,
    )
    print(
        f'checked {ann_file}: {counts["images"]} images, '
        f'{counts["annotations"]} annotations'
    )


def _read_num_keypoints(dataset: dict) -> Optional[int]:
    """Read K of a dataset from its metainfo, or from that of its class."""
    from mmpose.datasets.datasets.utils import parse_pose_metainfo
    from mmpose.registry import DATASETS

    dataset_class = DATASETS.get(dataset['type'])
    metainfo = dataset.get('metainfo')
    metainfo = metainfo or getattr(dataset_class, 'METAINFO', None)
    if not metainfo:
        return None
    return parse_pose_metainfo(dict(metainfo))['num_keypoints']


def _is_format_only(cfg: Any, split: str) -> bool:
    """Return whether an evaluator of a split only writes results."""
    evaluators = cfg.get(f'{split}_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    return any(e.get('format_only', False) for e in evaluators)


def check_dataset(
    ann_file: str,
    image_dir: str,
    num_keypoints: int,
    *,
    crowd_index: bool,
    required: Sequence[str],
    test_side: Optional[int],
    needs_annotations: bool = True,
    max_shown: int = 5,
) -> Dict[str, int]:
    """Check an annotation file and the images that it names.

    Args:
        ann_file (str): COCO annotation file.
        image_dir (str): Folder of the images.
        num_keypoints (int): Keypoints per person, K.
        crowd_index (bool): Whether each image must have a ``crowdIndex``.
        required (Sequence[str]): Keys of annotations that the metric
            requires.
        test_side (int, optional): Short side of test images after resizing,
            in pixels.  ``None`` or 0: the images are not used for testing.
        needs_annotations (bool): Whether a file without annotations, as of a
            test set, is an error.  Defaults to ``True``.
        max_shown (int): Maximum number of problems of a kind that the error
            lists.  Defaults to 5.

    Returns:
        dict[str, int]: Counts of ``images`` and ``annotations``.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: With all problems, counted by kind.
    """
    content = _read_json(ann_file)
    problems = find_bad_annotations(
        content, num_keypoints, crowd_index, required
    )
    problems += _check_images(content, image_dir, test_side)
    people = content.get('annotations') if isinstance(content, dict) else None
    if needs_annotations and not people:
        subject = 'the annotation file'
        problems.append(Problem('file', subject, 'has no annotations'))
    if problems:
        raise ValueError(_format_problems(ann_file, problems, max_shown))
    return dict(images=len(content['images']), annotations=len(people or ()))


def _read_json(ann_file: str) -> Any:
    """Parse an annotation file; name the file in errors."""
    if not osp.isfile(ann_file):
        raise FileNotFoundError(
            f'annotation file {ann_file} does not exist; set data_root and '
            'ann_file in the config, or correct the path'
        )
    if not osp.getsize(ann_file):
        raise ValueError(
            f'annotation file {ann_file} is empty; download it again'
        )
    try:
        with open(ann_file, encoding='utf-8') as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'annotation file {ann_file} is not valid JSON '
            f'({error}); download it again'
        ) from error


def _check_images(
    content: Any, image_dir: str, test_side: Optional[int]
) -> List[Problem]:
    """Check names and sizes in image records, and the files."""
    images = content.get('images') if isinstance(content, dict) else None
    images = images if isinstance(images, list) else []
    images = [image for image in images if isinstance(image, dict)]
    problems = [
        Problem('image', f'image {image.get("id")}', message)
        for image in images
        for message in check_record(image, test_side)
    ]
    sizes = {
        osp.join(image_dir, name): size
        for name, size in image_sizes(images).items()
    }
    for path, message in find_broken_images(sizes).items():
        problems.append(Problem('image file', path, message))
    return problems


def _format_problems(
    ann_file: str, problems: Sequence[Problem], max_shown: int
) -> str:
    """Format the problems of a dataset, followed by the remedies."""
    count, *lines = summarize(problems, max_shown)
    if any(p.kind != 'image file' for p in problems):
        lines.append(_ANNOTATION_REMEDY)
    if any(p.kind == 'image file' for p in problems):
        lines.append(_IMAGE_REMEDY)
    return '\n'.join([f'{ann_file}: {count}', *lines])


def check_config(cfg: Any) -> None:
    """Check that sizes, keypoints and channels of a config agree.

    Args:
        cfg (Config): Config of a model with a ``HigherHRNetHead``; others are
            not checked.

    Raises:
        ValueError: With every value that disagrees and its config key, or if
            the type of a codec is not registered.
    """
    head = cfg.model.get('head') or {}
    if head.get('type') != 'HigherHRNetHead':
        return
    problems = [
        problem
        for settings in _collect_settings(cfg, head)
        for problem in _find_disagreements(settings)
    ]
    if problems:
        raise ValueError(
            '\n  '.join([f'config: {len(problems)} problem(s)', *problems])
            + '\nGive them the same value; a config that changes the codec '
            'must set the pipelines and the head again.'
        )


def _collect_settings(cfg: Any, head: Any) -> List[Dict[str, Any]]:
    """Collect groups of settings, by config key, that must be equal."""
    decoder = head.get('decoder') or {}
    codecs = {'model.head.decoder': decoder}
    if 'codec' in cfg:
        codecs['codec'] = cfg.codec
    codecs.update(_collect_arguments(cfg, 'encoder'))
    groups = _collect_encoding(codecs)
    groups.setdefault('input_size', {}).update(
        _collect_arguments(cfg, 'input_size')
    )
    groups.setdefault('unbiased', {}).update(_collect_unbiased(cfg))
    scales = _collect_arguments(cfg, 'scale')
    if 'scale_range' in cfg:
        scales['scale_range'] = cfg.scale_range
    order = decoder.get('decode_keypoint_order', ())
    num_keypoints = {
        'model.head.num_keypoints': head.get('num_keypoints'),
        'length of model.head.decoder.decode_keypoint_order': len(order),
    }
    return [*groups.values(), scales, num_keypoints, _collect_channels(cfg)]


def _collect_encoding(codecs: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Collect the arguments of codecs on which targets depend.

    Args:
        codecs (dict): Codec configs by config key.

    Returns:
        dict: Values by config key, by name of the argument.
    """
    defaults: Dict[str, Any] = {}
    for codec in codecs.values():
        if 'type' in codec:
            defaults.update(_read_encoding_defaults(codec['type']))
    return {
        name: {
            f'{key}.{name}': c.get(name, default) for key, c in codecs.items()
        }
        for name, default in defaults.items()
    }


def _read_encoding_defaults(codec_type: str) -> Dict[str, Any]:
    """Read the arguments of a codec class, except those of decoding.

    Arguments of decoding begin with ``decode_``, as in MMPose's
    ``AssociativeEmbedding``.  The default of a required argument is ``None``.
    """
    codec_class = KEYPOINT_CODECS.get(codec_type)
    if codec_class is None:
        raise ValueError(
            f'config: codec type {codec_type!r} is not registered, expected a '
            'name in KEYPOINT_CODECS; correct it, or import its module by '
            'custom_imports'
        )
    return {
        name: None if p.default is p.empty else p.default
        for name, p in inspect.signature(codec_class).parameters.items()
        if not name.startswith('decode_')
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _collect_arguments(cfg: Any, key: str) -> Dict[str, Any]:
    """Collect the values of an argument of all pipeline transforms."""
    return {
        f'{split}_dataloader: {transform["type"]}.{key}': transform[key]
        for split, transform in _iter_transforms(cfg)
        if key in transform
    }


def _collect_unbiased(cfg: Any) -> Dict[str, bool]:
    """Collect ``unbiased`` of the transforms that depend on it."""
    return {
        f'{split}_dataloader: {transform["type"]}.unbiased': transform.get(
            'unbiased', False
        )
        for split, transform in _iter_transforms(cfg)
        if transform['type'] in _UNBIASED_TRANSFORMS
    }


def _iter_transforms(cfg: Any) -> Iterator[Tuple[str, Any]]:
    """Yield the transforms of all pipelines as (split, config)."""
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader:
            for transform in loader['dataset'].get('pipeline') or ():
                yield split, transform


def _collect_channels(cfg: Any) -> Dict[str, Any]:
    """Collect the channels at 1/4 resolution of head and HRNet."""
    channels = {'model.head.in_channels': cfg.model.head.get('in_channels')}
    backbone = cfg.model.backbone
    if backbone.get('type') == 'HRNet' and 'extra' in backbone:
        stage = backbone['extra']['stage4']
        key = 'model.backbone.extra.stage4.num_channels[0]'
        channels[key] = stage['num_channels'][0]
    return channels


def _find_disagreements(values: Dict[str, Any]) -> List[str]:
    """List values that should be equal, as ``key = value``, if they differ."""
    plain = {key: _to_tuple(value) for key, value in values.items()}
    if len({str(value) for value in plain.values()}) <= 1:
        return []
    return [f'{key} = {value}' for key, value in plain.items()]


def _to_tuple(value: Any) -> Any:
    """Convert lists to tuples, so that [64, 64] and (64, 64) are equal."""
    if isinstance(value, (list, tuple)):
        return tuple(_to_tuple(v) for v in value)
    return value
