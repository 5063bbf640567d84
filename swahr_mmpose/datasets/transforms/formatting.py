# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Pack samples of the bottom-up pipeline for the model."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import torch
from mmpose.datasets.transforms.formatting import (
    PackPoseInputs,
    image_to_tensor,
)
from mmpose.registry import TRANSFORMS

from swahr_mmpose.structures import SparseFields

__all__ = ['BottomupPackInputs']


@TRANSFORMS.register_module()
class BottomupPackInputs(PackPoseInputs):
    """Pack a sample, also one whose image is a pyramid.

    MMPose's packer stacks the images of a pyramid, which have different
    sizes, and by default passes on ``category_id``, an array per image that
    its CocoMetric cannot take.

    Targets are packed as :class:`SparseFields`: a hundredth of their cells is
    not 0, so that between the worker and the model far less is to be copied.

    Args:
        meta_keys (Sequence[str]): What goes into the sample's metainfo.
        sparse (bool): Pack targets sparsely; ``False`` for dense ones, as in
            MMPose. Defaults to ``True``.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = (
            'id',
            'img_id',
            'img_path',
            'crowd_index',
            'ori_shape',
            'img_shape',
            'input_size',
            'input_center',
            'input_scale',
            'pyramid_scales',
            'flip',
            'flip_direction',
            'flip_indices',
            'raw_ann_info',
            'dataset_name',
        ),
        sparse: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(meta_keys=meta_keys, **kwargs)
        self.sparse = sparse

    def transform(self, results: Dict[str, Any]) -> Dict[str, Any]:
        """Pack; ``inputs`` is a tensor (3, h, w), or a list of them."""
        images = results['img']
        if isinstance(images, list):
            packed = super().transform(dict(results, img=images[0]))
            packed['inputs'] = [image_to_tensor(image) for image in images]
        else:
            packed = super().transform(results)
        if self.sparse and 'gt_fields' in packed['data_samples']:
            _pack_fields(packed['data_samples'])
        return packed


def _pack_fields(sample: Any) -> None:
    """Replace dense targets; other kinds of fields stay as they are."""
    fields = sample.gt_fields
    heatmaps, masks = fields.get('heatmaps'), fields.get('heatmap_mask')
    kinds = [(heatmaps, torch.float32)]
    if masks is not None:
        kinds.append((masks, torch.bool))
    plain = set(fields.keys()) <= {'heatmaps', 'heatmap_mask'} and all(
        isinstance(levels, list) and all(m.dtype == dtype for m in levels)
        for levels, dtype in kinds
    )
    if plain:
        sample.gt_fields = SparseFields.pack(heatmaps, masks)
