# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Batches at test time, where images have different sizes."""

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
    """Batches of images that have one size once they are resized.

    Every image comes once; batches of sizes that are rare are smaller.  In a
    test dataloader, with any ``batch_size``::

        batch_sampler=dict(type='EqualSizeBatchSampler')

    Sizes are those that the annotation file gives for its images.

    Args:
        sampler (Sampler): Of indices, with a COCO-style data set whose
            pipeline resizes by ``BottomupPyramidResize``.
        batch_size (int): Images of a batch, at most.
        drop_last (bool): Leave out the batches that are not full.
    """

    def __init__(
        self, sampler: Any, batch_size: int, drop_last: bool = False
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size must be positive, got {batch_size}')
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sizes = _sizes_after_resize(getattr(sampler, 'dataset', None))

    def __iter__(self) -> Iterator[List[int]]:
        """Full batches first; what is left of each size at the end."""
        open_: Dict[Size, List[int]] = {}
        for index in self.sampler:
            batch = open_.setdefault(self.sizes[index], [])
            batch.append(index)
            if len(batch) == self.batch_size:
                yield open_.pop(self.sizes[index])
        if not self.drop_last:
            yield from open_.values()

    def __len__(self) -> int:
        """How many batches there will be."""
        counts: Dict[Size, int] = {}
        for index in self.sampler:
            size = self.sizes[index]
            counts[size] = counts.get(size, 0) + 1
        extra = 0 if self.drop_last else self.batch_size - 1
        return sum((n + extra) // self.batch_size for n in counts.values())


def _sizes_after_resize(dataset: Any) -> List[Size]:
    """The input size ``(w, h)`` of each sample."""
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    resizes = [t for t in transforms if isinstance(t, BottomupPyramidResize)]
    if len(resizes) != 1 or not getattr(dataset, 'ann_file', None):
        raise ValueError(
            'EqualSizeBatchSampler wants a COCO-style data set with one '
            f'BottomupPyramidResize in its pipeline, got {type(dataset)} with '
            f'{[type(t).__name__ for t in transforms]}; leave out '
            'batch_sampler and set batch_size=1'
        )
    images = fileio.load(dataset.ann_file)['images']
    known = {i['id']: (i.get('width'), i.get('height')) for i in images}
    unknown = [i for i, size in known.items() if None in size]
    if unknown:
        raise ValueError(
            f'{len(unknown)} images of {dataset.ann_file}, among them image '
            f'{unknown[0]}, have no width or height, by which batches are '
            'made; leave out batch_sampler and set batch_size=1'
        )
    resize = resizes[0]
    return [
        resize.input_size_of(known[dataset.get_data_info(i)['img_id']])
        for i in range(len(dataset))
    ]


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """MMEngine's ``DefaultSampler``, whose indices hold a seed each.

    Transforms of this package that draw at random use it (see
    :func:`random_of`); others draw as before.  Arguments are those of
    ``DefaultSampler``.
    """

    def __iter__(self) -> Iterator[SeededIndex]:
        """Indices in the order of ``DefaultSampler``."""
        for index in super().__iter__():
            yield SeededIndex(index, (self.seed, self.epoch, index))
