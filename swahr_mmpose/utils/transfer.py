# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Copies between the host and an accelerator."""

from __future__ import annotations

from typing import List, Sequence

import torch
from torch import Tensor

__all__ = ['upload']

# Alignment of each tensor in the packed bytes: the largest element.
_ALIGNMENT = 8


def upload(tensors: Sequence[Tensor], device: torch.device) -> List[Tensor]:
    """Copy tensors of any types to a device at once, without waiting.

    Args:
        tensors (Sequence[Tensor]): Tensors on the host.
        device (torch.device): Device.

    Returns:
        list[Tensor]: The same tensors on the device, views of one buffer; the
        tensors themselves if the device is the CPU.
    """
    if device.type == 'cpu':
        return list(tensors)
    padding = torch.zeros(_ALIGNMENT, dtype=torch.uint8, device='cpu')
    parts, starts, end = [], [], 0
    for tensor in tensors:
        data = _view_bytes(tensor)
        gap = -len(data) % _ALIGNMENT
        parts += [data, padding[:gap]]
        starts.append((end, end + len(data)))
        end += len(data) + gap
    packed = torch.cat(parts)
    if device.type == 'cuda':
        packed = packed.pin_memory()
    packed = packed.to(device, non_blocking=True)
    return [
        packed[start:stop].view(tensor.dtype).view(tensor.shape)
        for tensor, (start, stop) in zip(tensors, starts)
    ]


def _view_bytes(tensor: Tensor) -> Tensor:
    """View a tensor as uint8 (N,), contiguous."""
    if not tensor.numel():  # its strides may be 0
        return torch.zeros(0, dtype=torch.uint8, device='cpu')
    return tensor.contiguous().view(-1).view(torch.uint8)
