# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The losses of associative embedding (Newell et al., NIPS 2017).

B images, N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .heatmap_formulas import at_least_float32

__all__ = ['PullPushLoss', 'pull_push']


class _TagsAt(torch.autograd.Function):
    """Tags at some cells; the gradient is written, not added up, elsewhere 0.

    Cells of different people may be the same: their gradients add.
    """

    @staticmethod
    def forward(ctx: Any, tags: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = tags.shape
        return tags.reshape(-1)[index]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        if grad.device.type == 'cpu' and grad.dtype == torch.float32:
            # Zero pages of the system: most of them are never written to.
            whole = torch.from_numpy(np.zeros(ctx.shape, np.float32))
        else:
            whole = grad.new_zeros(ctx.shape)
        whole.view(-1).index_add_(0, index.reshape(-1), grad.reshape(-1))
        return whole, None


def _gather_tags(tags: Tensor, flat: Tensor) -> Tensor:
    """Tags at the keypoints, shape (B, N, K, L)."""
    batch, _, num_keypoints = flat.shape
    area = tags.shape[2] * tags.shape[3]
    dims = tags.shape[1] // num_keypoints
    device = flat.device
    b = torch.arange(batch, device=device)[:, None, None, None]
    k = torch.arange(num_keypoints, device=device)[:, None]
    channel = k + num_keypoints * torch.arange(dims, device=device)  # (K, L)
    index = (b * tags.shape[1] + channel) * area + flat[..., None]
    return _TagsAt.apply(tags, index)


def pull_push(
    tags: Tensor, keypoint_indices: Sequence[Tensor]
) -> Tuple[Tensor, Tensor]:
    """Pull and push losses of associative embedding (Newell et al., 2017).

    With t_n the mean tag of person n, over the N people of an image that have
    a keypoint::

        pull = sum_n mean_k (tag_nk - t_n)^2 / N
        push = sum_{n != m} exp(-(t_n - t_m)^2) / (N (N - 1))

    Both are 0 for N = 0, and push is for N = 1; they stay attached to the
    graph.  The official push loss is half of this one, a factor that belongs
    to the weight here (and in MMPose).

    Args:
        tags (Tensor): L groups of K channels, shape (B, L*K, H, W).
        keypoint_indices (Sequence[Tensor]): B integer tensors (N_i, K, 2) of
            ``[y * W + x, visible]``.

    Returns:
        tuple[Tensor, Tensor]: Means over the B images, scalars.
    """
    padded = nn.utils.rnn.pad_sequence(
        [i.to(tags.device).long() for i in keypoint_indices], batch_first=True
    )
    flat, visible = padded[..., 0], padded[..., 1] > 0  # (B, N, K)
    if flat.numel() == 0:
        return tags.sum() * 0, tags.sum() * 0
    values = _gather_tags(tags, flat)  # (B, N, K, L)
    weight = visible[..., None].to(values.dtype)
    count = weight.sum(dim=2)  # (B, N, 1)
    mean = (values * weight).sum(dim=2) / count.clamp(min=1)  # (B, N, L)
    spread = ((values - mean[:, :, None]) ** 2 * weight).sum(dim=(2, 3))
    per_person = spread / count[..., 0].clamp(min=1)  # (B, N)
    exists = (count[..., 0] > 0).to(values.dtype)
    people = exists.sum(dim=1)  # (B,)
    pull = per_person.sum(dim=1) / people.clamp(min=1)
    gap = ((mean[:, :, None] - mean[:, None]) ** 2).sum(dim=-1)  # (B, N, N)
    pairs = exists[:, :, None] * exists[:, None] - torch.diag_embed(exists)
    push = ((-gap).exp() * pairs).sum(dim=(1, 2))
    return pull.mean(), (push / (people * (people - 1)).clamp(min=1)).mean()


@MODELS.register_module()
class PullPushLoss(nn.Module):
    """Module form of :func:`pull_push`.

    Args:
        pull_weight (float): Factor of the pull loss.
        push_weight (float): Factor of the push loss; 5e-4 is the official
            1e-3 times the official 1/2.
    """

    def __init__(
        self, pull_weight: float = 1e-3, push_weight: float = 5e-4
    ) -> None:
        super().__init__()
        self.pull_weight = pull_weight
        self.push_weight = push_weight

    def forward(
        self, tags: Tensor, keypoint_indices: List[Tensor]
    ) -> Tuple[Tensor, Tensor]:
        """Weighted pull and push, see :func:`pull_push` for the arguments."""
        if len(tags) != len(keypoint_indices):
            got = f'{len(tags)} images and indices of {len(keypoint_indices)}'
            raise ValueError(f'got tags of {got}')
        pull, push = pull_push(at_least_float32(tags), keypoint_indices)
        return self.pull_weight * pull, self.push_weight * push
