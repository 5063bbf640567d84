# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The losses of associative embedding (Newell et al., NIPS 2017).

B images, N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .heatmap_formulas import at_least_float32, sparse_zeros

__all__ = ['PullPushLoss', 'pull_push']


class _PullPush(torch.autograd.Function):
    """Both losses with their gradients written out.

    A person's mean follows its tags, but in pull that has no effect: the
    differences to a mean add up to 0.
    """

    @staticmethod
    def forward(
        ctx: Any, tags: Tensor, flat: Tensor, visible: Tensor
    ) -> Tuple[Tensor, Tensor]:
        index = _indices(tags, flat)  # (B, N, K, L)
        values = tags.reshape(-1)[index]
        weight = visible[..., None].to(tags.dtype)  # (B, N, K, 1)
        count = weight.sum(dim=2)  # (B, N, 1)
        share = weight / count.clamp(min=1)[:, :, None]
        mean = (values * share).sum(dim=2)  # (B, N, L)
        exists = (count[..., 0] > 0).to(tags.dtype)  # (B, N)
        people = exists.sum(dim=1)[:, None, None]  # (B, 1, 1)
        batch = len(tags)

        apart = values - mean[:, :, None]
        pulled = apart * share / (people.clamp(min=1) * batch)[..., None]
        pull = (apart * pulled).sum()

        gap = mean[:, :, None] - mean[:, None]  # (B, N, N, L)
        near = (-(gap**2).sum(dim=-1)).exp()
        near *= exists[:, :, None] * exists[:, None]
        near.diagonal(dim1=1, dim2=2).zero_()
        near /= (people * (people - 1)).clamp(min=1) * batch
        push = near.sum()
        pushed = (near[..., None] * gap).sum(dim=2)  # (B, N, L)
        pushed = -4 * pushed[:, :, None] * share

        ctx.save_for_backward(index, 2 * pulled, pushed)
        ctx.shape = tags.shape
        return pull, push

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, by_pull: Tensor, by_push: Tensor
    ) -> Tuple[Tensor, None, None]:
        index, pulled, pushed = ctx.saved_tensors
        grad = pulled * by_pull + pushed * by_push
        whole = sparse_zeros(ctx.shape, grad)
        # Cells of different people may be the same: their gradients add.
        whole.view(-1).index_add_(0, index.reshape(-1), grad.reshape(-1))
        return whole, None, None


def _indices(tags: Tensor, flat: Tensor) -> Tensor:
    """Where the tags of keypoints (B, N, K) lie, int64 (B, N, K, L)."""
    batch, _, num_keypoints = flat.shape
    area = tags.shape[2] * tags.shape[3]
    dims = tags.shape[1] // num_keypoints
    device = flat.device
    b = torch.arange(batch, device=device)[:, None, None, None]
    k = torch.arange(num_keypoints, device=device)[:, None]
    channel = k + num_keypoints * torch.arange(dims, device=device)  # (K, L)
    return (b * tags.shape[1] + channel) * area + flat[..., None]


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
    return _PullPush.apply(tags, flat, visible)


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
