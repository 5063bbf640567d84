# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Sparse targets of a sample and the output of the head.

:class:`SparseFields` carries heatmap targets and loss masks from the data
worker to the model. About 99 % of a target heatmap is zero, so non-zero cells
are stored as indices and values, masks as bits. The codec makes the targets
in this form (:class:`SparseHeatmap`). :func:`stack_levels` collects the cells
of a batch (:class:`SparseTargets`) and unpacks its masks for the heatmap loss,
on the model's device and without dense maps.
:class:`HeadOutput` carries predicted maps from the head to the losses and to
decoding.

B images, K keypoints, L tag dimensions, maps of h x w cells. Level 0 is the
coarsest.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from swahr_mmpose.utils.sparse_heatmap import SparseHeatmap
from swahr_mmpose.utils.sparse_targets import SparseTargets
from swahr_mmpose.utils.transfer import upload

__all__ = [
    'HeadOutput',
    'SparseFields',
    'SparseHeatmap',
    'SparseTargets',
    'mask_keypoints',
    'stack_annotated',
    'stack_heatmaps',
    'stack_levels',
    'stack_masks',
    'stack_targets',
]


class SparseFields(BaseDataElement):
    """Sparse heatmap targets and loss masks of one sample.

    Drop-in for MMPose's ``MultilevelPixelData``: the attributes ``heatmaps``
    and ``heatmap_mask`` are lists of dense tensors, one per level. Build it
    with :meth:`pack`.

    Cells that the loss mask excludes follow the others of a level. Metainfo:
    ``shapes`` (K, h, w), ``counts`` of cells and how many are ``inside`` the
    mask, lists with one entry per level; whether there are masks (``masked``)
    and whether they exclude nothing (``full``).
    """

    @classmethod
    def pack(
        cls, heatmaps: Sequence[Any], masks: Optional[Sequence[Any]] = None
    ) -> SparseFields:
        """Pack heatmaps and masks.

        Args:
            heatmaps (Sequence[SparseHeatmap | np.ndarray | Tensor]): Target
                heatmaps, (K, h, w), one per level; dense ones float32.
            masks (Sequence[np.ndarray | Tensor], optional): Loss masks, bool
                (h, w), one per level. Defaults to ``None``, no masks.

        Returns:
            SparseFields: The same maps, packed.
        """
        levels = [
            level
            if isinstance(level, SparseHeatmap)
            else SparseHeatmap.from_dense(level)
            for level in heatmaps
        ]
        arrays = [np.asarray(mask) for mask in masks or ()]
        full = all(mask.all() for mask in arrays)
        counts = [len(level.cells) for level in levels]
        inside = counts
        if not full:
            pairs = [_sort_by_mask(*x) for x in zip(levels, arrays)]
            levels, inside = [p[0] for p in pairs], [p[1] for p in pairs]
        packed = cls(
            metainfo=dict(
                shapes=[level.shape for level in levels],
                counts=counts,
                inside=inside,
                masked=masks is not None,
                full=full,
            )
        )
        packed.cells = _concatenate([x.cells for x in levels], np.int32)
        packed.cell_values = _concatenate(
            [x.values for x in levels], np.float32
        )
        bits = [np.packbits(mask) for mask in arrays]
        packed.bits = _concatenate(bits, np.uint8)
        return packed

    def level(self, level: int) -> Tuple[Tensor, Tensor]:
        """Get the non-zero cells of one level.

        Args:
            level (int): Index of the level.

        Returns:
            tuple[Tensor, Tensor]: Flat indices into (K, h, w), int64 (M,),
            and their values, float32 (M,).
        """
        cells = self.cells.split(self.counts)[level]
        return cells.long(), self.cell_values.split(self.counts)[level]

    @property
    def heatmaps(self) -> List[Tensor]:
        """Dense target heatmaps, float32 (K, h, w), one per level."""
        levels = range(len(self.shapes))
        return [stack_heatmaps([self], level)[0] for level in levels]

    @property
    def heatmap_mask(self) -> List[Tensor]:
        """Dense loss masks, bool (h, w), one per level.

        Raises:
            AttributeError: If the sample has no masks.
        """
        if not self.masked:
            raise AttributeError(
                'SparseFields has no heatmap_mask: it was packed without '
                'masks; add BottomupGetLossMask to the pipeline'
            )
        return [self.mask(level) for level in range(len(self.shapes))]

    def mask(self, level: int) -> Tensor:
        """Unpack the loss mask of one level.

        Args:
            level (int): Index of the level.

        Returns:
            Tensor: Mask, bool (h, w).
        """
        _, height, width = self.shapes[level]
        flags = _unpack_bits(self.level_bits(level)[None])[0]
        return flags[: height * width].view(height, width)

    def level_bits(self, level: int) -> Tensor:
        """Get the packed loss mask of one level, uint8 (ceil(h * w / 8),).

        Args:
            level (int): Index of the level.

        Returns:
            Tensor: View of the bits, rows first, highest bit first.
        """
        sizes = [-(-h * w // 8) for _, h, w in self.shapes]
        return self.bits.split(sizes)[level]


def _sort_by_mask(
    level: SparseHeatmap, mask: np.ndarray
) -> Tuple[SparseHeatmap, int]:
    """Move cells outside a mask (h, w) to the end; count those inside."""
    if mask.all():
        return level, len(level.cells)
    flags = mask.reshape(-1)[level.cells % mask.size]
    order = np.concatenate([np.flatnonzero(flags), np.flatnonzero(~flags)])
    cells, values = level.cells[order], level.values[order]
    number = int(np.count_nonzero(flags))
    return SparseHeatmap(cells, values, level.shape), number


def _concatenate(parts: Sequence[np.ndarray], dtype: Any) -> Tensor:
    """Concatenate arrays, possibly none, to a tensor of a NumPy dtype."""
    empty = np.zeros(0, dtype)
    return torch.from_numpy(np.concatenate([empty, *parts]).astype(dtype))


def stack_targets(
    fields: Sequence[Any], level: int
) -> Union[SparseTargets, Tensor]:
    """Stack the target heatmaps of a batch at one level, sparse if they are.

    Args:
        fields (Sequence[SparseFields | MultilevelPixelData]): Targets of B
            images.
        level (int): Index of the level.

    Returns:
        SparseTargets | Tensor: Cells of :class:`SparseFields`; dense
        heatmaps, float32 (B, K, h, w), of other fields.

    Raises:
        ValueError: If shapes differ between the samples, or only some of them
            have masks.
    """
    if not isinstance(fields[0], SparseFields):
        return torch.stack([f.heatmaps[level] for f in fields])
    _check_kinds(fields)
    return _stack_cells(fields, [level], False)[0]


def stack_levels(
    fields: Sequence[Any],
) -> List[Tuple[Union[SparseTargets, Tensor], Optional[Tensor]]]:
    """Stack what the heatmap loss of a batch needs, all levels at once.

    Args:
        fields (Sequence[SparseFields | MultilevelPixelData]): Targets of B
            images.

    Returns:
        list[tuple]: Targets and mask of each level as from
        :func:`stack_targets` and :func:`stack_masks`. Of
        :class:`SparseFields`, cells that the masks exclude are left out, and
        there is no mask if none excludes anything.

    Raises:
        ValueError: See :func:`stack_targets`.
    """
    if not isinstance(fields[0], SparseFields):
        levels = range(len(fields[0].heatmaps))
        return [
            (stack_targets(fields, n), stack_masks(fields, n)) for n in levels
        ]
    _check_kinds(fields)
    shapes = fields[0].shapes
    targets = _stack_cells(fields, range(len(shapes)), True)
    if all(field.full for field in fields):
        return [(target, None) for target in targets]
    flags = _unpack_bits(torch.stack([field.bits for field in fields]))
    masks, end = [], 0
    for _, height, width in shapes:
        mask = flags[:, end : end + height * width]
        masks.append(mask.view(len(fields), height, width))
        end += -(-height * width // 8) * 8
    return list(zip(targets, masks))


def _check_kinds(fields: Sequence[SparseFields]) -> None:
    """Raise ValueError if fields cannot be stacked."""
    kinds = {(tuple(map(tuple, f.shapes)), f.masked) for f in fields}
    if len(kinds) > 1:
        raise ValueError(
            'expected equal target shapes, and masks in all samples of a '
            f'batch or in none, got (shapes, masked) {sorted(kinds)}; check '
            'codec and pipeline'
        )


def _stack_cells(
    fields: Sequence[SparseFields], levels: Sequence[int], masked: bool
) -> List[SparseTargets]:
    """Stack the cells of a batch, few operations for all levels.

    Args:
        fields (Sequence[SparseFields]): Targets of B images.
        levels (Sequence[int]): Levels to stack.
        masked (bool): Whether to leave out cells that the masks exclude.

    Returns:
        list[SparseTargets]: Targets, one for each of the levels.
    """
    shapes = [(len(fields), *fields[0].shapes[level]) for level in levels]
    numbers = [f.inside if masked else f.counts for f in fields]
    counts = torch.tensor([[n[level] for n in numbers] for level in levels])
    sizes = torch.tensor([shape[1:] for shape in shapes]).prod(dim=1)
    starts = sizes[:, None] * torch.arange(len(fields))
    cells, values = (
        torch.cat(
            [
                part.split(f.counts)[level][: n[level]]
                for level in levels
                for f, n, part in zip(fields, numbers, parts)
            ]
        )
        for parts in (
            [f.cells for f in fields],
            [f.cell_values for f in fields],
        )
    )
    starts, repeats = upload([starts.view(-1), counts.view(-1)], cells.device)
    index = torch.repeat_interleave(repeats, output_size=len(cells))
    cells = cells + starts.index_select(0, index)  # int64
    ends = counts.sum(dim=1).tolist()
    return [
        SparseTargets(index, heights, shape, masked)
        for index, heights, shape in zip(
            cells.split(ends), values.split(ends), shapes
        )
    ]


def stack_heatmaps(fields: Sequence[Any], level: int) -> Tensor:
    """Stack the target heatmaps of a batch at one level, as dense maps.

    Args:
        fields (Sequence[SparseFields | MultilevelPixelData]): Targets of B
            images.
        level (int): Index of the level.

    Returns:
        Tensor: Dense heatmaps, float32 (B, K, h, w).

    Raises:
        ValueError: See :func:`stack_targets`.
    """
    targets = stack_targets(fields, level)
    return targets if isinstance(targets, Tensor) else targets.dense()


def stack_masks(fields: Sequence[Any], level: int) -> Optional[Tensor]:
    """Stack the loss masks of a batch at one level.

    Args:
        fields (Sequence[SparseFields | MultilevelPixelData]): Targets of B
            images.
        level (int): Index of the level.

    Returns:
        Tensor | None: Masks, bool (B, h, w); ``None`` if there are none.
    """
    if isinstance(fields[0], SparseFields):
        if not fields[0].masked:
            return None
        _, height, width = fields[0].shapes[level]
        bits = torch.stack([f.level_bits(level) for f in fields])
        flags = _unpack_bits(bits)[:, : height * width]
        return flags.reshape(len(fields), height, width)
    if 'heatmap_mask' not in fields[0]:
        return None
    return torch.stack([f.heatmap_mask[level] for f in fields])


def _unpack_bits(bits: Tensor) -> Tensor:
    """Unpack uint8 bits (B, N), highest first, to bool (B, 8 * N)."""
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device='cpu')
    (places,) = upload([1 << places], bits.device)
    return (bits[..., None] & places).ne(0).flatten(1)


def stack_annotated(
    labels: Sequence[Any], num_keypoints: int
) -> Optional[Tensor]:
    """Stack which keypoints the annotations of each image include.

    Datasets that MMPose's ``KeypointConverter`` maps to another skeleton lack
    some of its keypoints: the people have them, but without a label.

    Args:
        labels (Sequence[InstanceData]): Labels of B images, with
            ``keypoints_visible_weights`` (N, K), 0 for keypoints that are not
            annotated, or without.
        num_keypoints (int): K.

    Returns:
        Tensor | None: bool (B, K), ``False`` where a keypoint of a person in
        the image is not annotated; ``None`` if no image has weights.
    """
    weights = [getattr(x, 'keypoints_visible_weights', None) for x in labels]
    given = [w for w in weights if w is not None]
    if not given:
        return None
    everything = given[0].new_ones(0, num_keypoints)
    rows = [everything if w is None else w for w in weights]
    return torch.stack([(row > 0).all(dim=0) for row in rows])


def mask_keypoints(
    mask: Optional[Tensor], annotated: Optional[Tensor], size: Sequence[int]
) -> Optional[Tensor]:
    """Exclude keypoints that are not annotated from a loss mask.

    Args:
        mask (Tensor, optional): Loss mask, (B, h, w); ``None``: 1.
        annotated (Tensor, optional): bool (B, K), see
            :func:`stack_annotated`; ``None``: all keypoints.
        size (Sequence[int]): Size ``(h, w)`` of the maps.

    Returns:
        Tensor | None: Loss mask, (B, K, h, w), or ``mask`` if all keypoints
        are annotated.
    """
    if annotated is None:
        return mask
    by_keypoint = annotated[:, :, None, None].expand(-1, -1, *size)
    return by_keypoint if mask is None else mask[:, None] * by_keypoint


class HeadOutput(NamedTuple):
    """Output of ``HigherHRNetHead``; lists have one entry per level.

    Attributes:
        heatmaps (list[Tensor]): Heatmaps (B, K, h, w), coarse to fine.
        tags (Tensor): Tags (B, L*K, h, w) at level 0; L is 1, or 2 after
            ``merge_flipped``.
        scale_maps (list[Tensor], optional): Scale maps ``alpha = 1 / s - 1``
            (SWAHR, Section 3.2), shapes of the heatmaps; ``None`` if the
            scale branch is not run.
    """

    heatmaps: List[Tensor]
    tags: Tensor
    scale_maps: Optional[List[Tensor]]
