# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Dataset configs of any nesting, as MMEngine and MMPose build them.

A wrapper has ``dataset`` (RepeatDataset, ClassBalancedDataset) or ``datasets``
(ConcatDataset, CombinedDataset); a leaf has an annotation file.
"""

from __future__ import annotations

import os.path as osp
from typing import Any, Iterator, NamedTuple, Optional, Sequence, Tuple

__all__ = [
    'Leaf',
    'get_type_name',
    'has_own_metainfo',
    'iter_leaves',
    'iter_pipelines',
]

# Transforms that load an image file, and their argument for its orientation.
_LOADERS = ('BottomupLoadImage', 'LoadImage', 'LoadImageFromFile')


class Leaf(NamedTuple):
    """Dataset config with an annotation file, inside of its wrappers.

    Attributes:
        key (str): Config key, e.g. ``'train_dataloader.dataset.datasets[1]'``.
        dataset (dict): Config of the dataset.
        wrappers (tuple[dict]): Configs around it, the nearest one first.
    """

    key: str
    dataset: Any
    wrappers: Tuple[Any, ...]

    @property
    def type_name(self) -> str:
        """Name of the dataset class."""
        return get_type_name(self.dataset['type'])

    @property
    def ann_file(self) -> str:
        """Path of the annotation file.

        Raises:
            ValueError: If the config has several files, or another value.
        """
        return self._join('ann_file', self.dataset.get('ann_file', ''))

    @property
    def image_dir(self) -> str:
        """Folder of the images."""
        prefix = self.dataset.get('data_prefix') or {}
        return self._join('data_prefix.img', prefix.get('img', ''))

    @property
    def link_dir(self) -> Optional[str]:
        """Folder to which links in the image folder may lead, if any."""
        value = (self.dataset.get('data_prefix') or {}).get('links')
        return (
            None if value is None else self._join('data_prefix.links', value)
        )

    @property
    def transforms(self) -> Sequence[Any]:
        """Transforms of the dataset, then those of its wrappers."""
        configs = (self.dataset, *self.wrappers)
        return [t for c in configs for t in c.get('pipeline') or ()]

    @property
    def ignore_orientation(self) -> Optional[bool]:
        """Whether the pipeline ignores the EXIF orientation.

        ``None``: its loader does not state it, and reads upright images.
        """
        for transform in self.transforms:
            name = get_type_name(transform.get('type'))
            if name == _LOADERS[0]:
                return transform.get('ignore_orientation')
            if name in _LOADERS:
                kind = str(transform.get('color_type', 'color'))
                stored = kind == 'unchanged' or 'ignore_orientation' in kind
                return True if stored else None
        return None

    def _join(self, key: str, value: Any) -> str:
        """Join a path of the config with ``data_root``."""
        if not isinstance(value, str):
            raise ValueError(
                f'config: {self.key}.{key} is {value!r}, expected one path; '
                'use one dataset per annotation file and combine them with '
                "type='ConcatDataset' or 'CombinedDataset'"
            )
        return osp.join(self.dataset.get('data_root') or '', value)


def get_type_name(registered: Any) -> str:
    """Return the name of a registered type, without its scope.

    Args:
        registered: Name, or a class as in MMEngine's Python-style configs.
    """
    if isinstance(registered, str):
        return registered.rpartition('.')[2]
    return getattr(registered, '__name__', str(registered))


def iter_leaves(
    dataset: Any, key: str, wrappers: Tuple[Any, ...] = ()
) -> Iterator[Leaf]:
    """Yield the datasets with an annotation file in a dataset config.

    Args:
        dataset (dict): Config of a dataset or wrapper.
        key (str): Config key of the dataset, for messages.
        wrappers (tuple): Configs around it.  Defaults to ().

    Yields:
        Leaf: Dataset, in the order of the config.
    """
    outer = (dataset, *wrappers)
    if dataset.get('dataset') is not None:
        yield from iter_leaves(dataset['dataset'], f'{key}.dataset', outer)
    elif dataset.get('datasets') is not None:
        for n, part in enumerate(dataset['datasets']):
            yield from iter_leaves(part, f'{key}.datasets[{n}]', outer)
    else:
        yield Leaf(key, dataset, wrappers)


def iter_pipelines(
    dataset: Any, key: str
) -> Iterator[Tuple[str, Sequence[Any]]]:
    """Yield the pipelines of a dataset config and of all nested ones.

    Args:
        dataset (dict): Config of a dataset or wrapper.
        key (str): Config key of the dataset.

    Yields:
        tuple[str, Sequence]: Config key of the dataset, and its pipeline.
    """
    yield key, dataset.get('pipeline') or ()
    if dataset.get('dataset') is not None:
        yield from iter_pipelines(dataset['dataset'], f'{key}.dataset')
    for n, part in enumerate(dataset.get('datasets') or ()):
        yield from iter_pipelines(part, f'{key}.datasets[{n}]')


def has_own_metainfo(dataset: Any) -> bool:
    """Whether a config states the keypoints, instead of a dataset class.

    Args:
        dataset (dict): Config of a dataset or wrapper.

    Returns:
        bool: True if any dataset with an annotation file has ``metainfo``, as
        in configs of custom datasets.
    """
    leaves = iter_leaves(dataset, '')
    return any(leaf.dataset.get('metainfo') for leaf in leaves)
