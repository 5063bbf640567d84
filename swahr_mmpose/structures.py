# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Sparse targets of a sample and the output of the head.

:class:`SparseFields` carries heatmap targets and loss masks from the data
worker to the model. About 99 % of a target heatmap is zero, so non-zero cells
are stored as indices and values, masks as bits. The codec makes the targets
in this form (:class:`SparseHeatmap`). :func:`stack_targets` collects the
cells of a batch (:class:`SparseTargets`) for the heatmap loss, without dense
maps; :func:`stack_masks` unpacks the masks of a batch on the model's device.
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

__all__ = [
    'HeadOutput',
    'SparseFields',
    'SparseHeatmap',
    'SparseTargets',
    'mask_keypoints',
    'stack_annotated',
    'stack_heatmaps',
    'stack_masks',
    'stack_targets',
]


class SparseFields(BaseDataElement):
    """Sparse heatmap targets and loss masks of one sample.

    Drop-in for MMPose's ``MultilevelPixelData``: the attributes ``heatmaps``
    and ``heatmap_mask`` are lists of dense tensors, one per level. Build it
    with :meth:`pack`.
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
        packed = cls(
            metainfo=dict(
                shapes=[level.shape for level in levels],
                counts=[len(level.cells) for level in levels],
                masked=masks is not None,
            )
        )
        packed.cells = _concatenate([x.cells for x in levels], np.int32)
        packed.cell_values = _concatenate(
            [x.values for x in levels], np.float32
        )
        bits = [np.packbits(np.asarray(mask)) for mask in masks or ()]
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
        return _unpack_bits(
            self.level_bits(level)[None], self.shapes[level][1:]
        )[0]

    def level_bits(self, level: int) -> Tensor:
        """Get the packed loss mask of one level, uint8 (ceil(h * w / 8),).

        Args:
            level (int): Index of the level.

        Returns:
            Tensor: View of the bits, rows first, highest bit first.
        """
        sizes = [-(-h * w // 8) for _, h, w in self.shapes]
        return self.bits.split(sizes)[level]


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
    kinds = {(tuple(map(tuple, f.shapes)), f.masked) for f in fields}
    if len(kinds) > 1:
        raise ValueError(
            'expected equal target shapes, and masks in all samples of a '
            f'batch or in none, got (shapes, masked) {sorted(kinds)}; check '
            'codec and pipeline'
        )
    num_keypoints, height, width = fields[0].shapes[level]
    cells = torch.cat([f.cells.split(f.counts)[level] for f in fields])
    counts = torch.tensor([f.counts[level] for f in fields])
    images = torch.repeat_interleave(
        counts.to(cells.device, non_blocking=True), output_size=len(cells)
    )
    size = num_keypoints * height * width
    return SparseTargets(
        torch.add(cells, images, alpha=size),  # int64, as images
        torch.cat([f.cell_values.split(f.counts)[level] for f in fields]),
        (len(fields), num_keypoints, height, width),
    )


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
        bits = torch.stack([f.level_bits(level) for f in fields])
        return _unpack_bits(bits, fields[0].shapes[level][1:])
    if 'heatmap_mask' not in fields[0]:
        return None
    return torch.stack([f.heatmap_mask[level] for f in fields])


def _unpack_bits(bits: Tensor, size: Sequence[int]) -> Tensor:
    """Unpack uint8 bits (B, ceil(h * w / 8)) to bool (B, h, w)."""
    shifts = torch.arange(7, -1, -1, dtype=torch.uint8, device=bits.device)
    flags = (bits[..., None] >> shifts).bitwise_and_(1).bool()
    area = size[0] * size[1]
    return flags.flatten(1)[:, :area].reshape(len(bits), *size)


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
