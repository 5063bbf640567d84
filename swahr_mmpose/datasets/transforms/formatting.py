# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Packing of samples for the model: image pyramids and sparse targets."""

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
    """Pack a sample; its image may be a pyramid.

    MMPose's ``PackPoseInputs`` calls ``torch.stack`` on the images of a
    pyramid, which have different sizes.  By default it also passes on
    ``category_id``, an array per image that MMPose's ``CocoMetric`` cannot
    handle.

    Targets are packed as :class:`~swahr_mmpose.structures.SparseFields`:
    about 1 % of the cells are non-zero, so that far less is copied between
    the worker and the model.

    Args:
        meta_keys (Sequence[str]): Keys of the results dict to store in the
            metainfo of the data sample.  Defaults to those that training and
            testing use.
        sparse (bool): Whether to pack targets as ``SparseFields``; ``False``
            keeps MMPose's dense fields.  Defaults to ``True``.
        **kwargs: Other arguments of ``PackPoseInputs``.
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
        """Pack a sample.

        Args:
            results (dict): Results dict of the pipeline.

        Returns:
            dict: ``inputs``, a uint8 tensor (3, h, w) or, for a pyramid, a
            list of them, and ``data_samples``, a ``PoseDataSample``.
        """
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
    """Replace the dense ``gt_fields`` of a data sample by sparse ones.

    Fields that :class:`SparseFields` cannot represent stay as they are: those
    with other keys, with heatmaps that are not a list of levels, or of
    another dtype (such as masks that hold weights).
    """
    fields = sample.gt_fields
    heatmaps, masks = fields.get('heatmaps'), fields.get('heatmap_mask')
    levels_and_dtypes = [(heatmaps, torch.float32)]
    if masks is not None:
        levels_and_dtypes.append((masks, torch.bool))
    packable = set(fields.keys()) <= {'heatmaps', 'heatmap_mask'} and all(
        isinstance(levels, list) and all(m.dtype == dtype for m in levels)
        for levels, dtype in levels_and_dtypes
    )
    if packable:
        sample.gt_fields = SparseFields.pack(heatmaps, masks)
