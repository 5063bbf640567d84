# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Batch sampler for test images of different sizes, and a seeded sampler.

Sizes are ``(w, h)`` in pixels.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

from mmengine import fileio
from mmengine.dataset import DefaultSampler
from mmpose.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from swahr_mmpose.datasets.transforms.bottomup_transforms import (
    BottomupPyramidResize,
)

from .seeding import SeededIndex

__all__ = ['EqualSizeBatchSampler', 'SeededSampler']

Size = Tuple[int, int]


@DATA_SAMPLERS.register_module()
class EqualSizeBatchSampler(Sampler[List[int]]):
    """Group images that have the same size after resizing into batches.

    Every image occurs once; batches of rare sizes are smaller.  With several
    processes, images that ``round_up`` of MMEngine's ``DefaultSampler`` would
    repeat are left out: MMEngine removes repeated results by their position,
    which differs after grouping.  Usage in a test dataloader, with any
    ``batch_size``::

        batch_sampler=dict(type='EqualSizeBatchSampler')

    Image sizes are read from the annotation file.

    Args:
        sampler (Sampler): Sampler of indices.  Its ``dataset`` must be
            COCO-style and have one ``BottomupPyramidResize`` in its pipeline.
        batch_size (int): Maximum number of images in a batch.
        drop_last (bool): Whether to drop incomplete batches.  Defaults to
            ``False``.

    Raises:
        ValueError: If ``batch_size`` is less than 1, if the dataset or its
            pipeline is of another kind, or if an image has no width or
            height in the annotation file.
    """

    def __init__(
        self, sampler: Any, batch_size: int, drop_last: bool = False
    ) -> None:
        if batch_size < 1:
            raise ValueError(
                f'batch_size must be at least 1, got {batch_size}'
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sizes = _compute_input_sizes(getattr(sampler, 'dataset', None))

    def __iter__(self) -> Iterator[List[int]]:
        """Yield complete batches first, then the incomplete ones."""
        pending: Dict[Size, List[int]] = {}
        for index in _list_indices(self.sampler):
            batch = pending.setdefault(self.sizes[index], [])
            batch.append(index)
            if len(batch) == self.batch_size:
                yield pending.pop(self.sizes[index])
        if not self.drop_last:
            yield from pending.values()

    def __len__(self) -> int:
        """Return the number of batches."""
        counts: Dict[Size, int] = {}
        for index in _list_indices(self.sampler):
            size = self.sizes[index]
            counts[size] = counts.get(size, 0) + 1
        extra = 0 if self.drop_last else self.batch_size - 1
        return sum((n + extra) // self.batch_size for n in counts.values())


def _list_indices(sampler: Any) -> List[int]:
    """List the indices of a process, without those that fill it up."""
    indices = list(sampler)
    if getattr(sampler, 'round_up', False):
        # The order of all processes is interleaved, and filled up at its end.
        own = range(sampler.rank, len(sampler.dataset), sampler.world_size)
        indices = indices[: len(own)]
    return indices


def _compute_input_sizes(dataset: Any) -> List[Size]:
    """Compute the input size of each sample, by index."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    resizes = [t for t in transforms if isinstance(t, BottomupPyramidResize)]
    if len(resizes) != 1 or not getattr(dataset, 'ann_file', None):
        raise ValueError(
            'EqualSizeBatchSampler: expected a COCO-style dataset with one '
            'BottomupPyramidResize in its pipeline, got '
            f'{type(dataset).__name__} with '
            f'{[type(t).__name__ for t in transforms]}; remove batch_sampler '
            'from the dataloader and set batch_size=1'
        )
    sizes = _read_image_sizes(dataset.ann_file)
    return [
        resizes[0].get_input_size(sizes[dataset.get_data_info(i)['img_id']])
        for i in range(len(dataset))
    ]


def _read_image_sizes(ann_file: str) -> Dict[Any, Size]:
    """Read the image sizes of an annotation file, by image id."""
    images = fileio.load(ann_file)['images']
    sizes = {i['id']: (i.get('width'), i.get('height')) for i in images}
    unknown = [i for i, size in sizes.items() if None in size]
    if unknown:
        raise ValueError(
            f'EqualSizeBatchSampler: {len(unknown)} images of {ann_file}, '
            f'e.g. image {unknown[0]}, have no width or height; add them, or '
            'remove batch_sampler from the dataloader and set batch_size=1'
        )
    return sizes


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler`` with a seed attached to each index.

    The random transforms of this package use the seed, see
    :func:`~swahr_mmpose.datasets.seeding.get_rng`; other transforms draw as
    before.  The arguments are those of ``DefaultSampler``.
    """

    def __iter__(self) -> Iterator[SeededIndex]:
        """Yield seeded indices in the order of ``DefaultSampler``."""
        for index in super().__iter__():
            yield SeededIndex(index, (self.seed, self.epoch, index))
