# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Transfer of data samples to the device of the model."""

from __future__ import annotations

from typing import Any, List, Sequence

import torch
from mmengine.structures import BaseDataElement

from swahr_mmpose.structures import SparseFields
from swahr_mmpose.utils.transfer import upload

__all__ = ['move_samples']

# Labels of which the losses must know values on the host.
_HOST_LABELS = ('keypoint_indices', 'keypoints_visible_weights')


def move_samples(
    samples: Sequence[BaseDataElement],
    device: torch.device,
    non_blocking: bool = False,
) -> List[BaseDataElement]:
    """Move the tensors of data samples to a device.

    As the method ``to`` of the samples, but metainfo is not copied (a deep
    copy of the annotations takes longer than all tensors), all
    :class:`.SparseFields` are copied at once, from page-locked memory on CUDA,
    and keypoint indices and weights stay on the host: the losses need them
    there.

    Args:
        samples (Sequence[PoseDataSample]): Samples of a batch.
        device (torch.device): Device.
        non_blocking (bool): Whether to copy page-locked tensors
            asynchronously. Defaults to False.

    Returns:
        list[PoseDataSample]: New samples, with the metainfo of the given ones.
    """
    moved = [_copy_element(sample) for sample in samples]
    for sample in moved:
        for name, value in sample.items():
            if name == 'gt_instance_labels':
                value = _move_labels(value, device, non_blocking)
            elif isinstance(value, SparseFields):
                value = _copy_element(value)
            elif hasattr(value, 'to'):
                value = value.to(device, non_blocking=non_blocking)
            setattr(sample, name, value)
    _upload_fields([s.gt_fields for s in moved if 'gt_fields' in s], device)
    return moved


def _copy_element(element: BaseDataElement) -> BaseDataElement:
    """Copy a data element; values and metainfo are the same objects."""
    copied = type(element)()
    for name, value in element.metainfo_items():
        copied.set_field(value, name, field_type='metainfo')
    copied.set_data(dict(element.items()))
    return copied


def _move_labels(
    labels: BaseDataElement, device: torch.device, non_blocking: bool
) -> BaseDataElement:
    """Move labels to a device, except those that the host must know."""
    moved = _copy_element(labels)
    for name, value in labels.items():
        if hasattr(value, 'to') and name not in _HOST_LABELS:
            setattr(moved, name, value.to(device, non_blocking=non_blocking))
    return moved


def _upload_fields(fields: Sequence[Any], device: torch.device) -> None:
    """Replace the tensors of sparse fields by copies on a device."""
    places = [
        (field, name, value)
        for field in fields
        if isinstance(field, SparseFields)
        for name, value in field.items()
    ]
    if not places:
        return
    uploaded = upload([value for _, _, value in places], device)
    for (field, name, _), value in zip(places, uploaded):
        setattr(field, name, value)
