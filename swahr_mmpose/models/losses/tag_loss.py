# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The losses of associative embedding (Newell et al., NIPS 2017).

B images, N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .functional import at_least_float32

__all__ = ['PullPushLoss', 'pull_push']


class _Sums(NamedTuple):
    """Pull and push, and their derivatives by the tags (B, N, K, L)."""

    pull: Any
    push: Any
    by_pull: Any
    by_push: Any


def _sums(values: Any, visible: Any, exp: Callable) -> _Sums:
    """Both losses and their gradients, of NumPy arrays or of tensors.

    A person's mean follows its tags, but in pull that has no effect: the
    differences to a mean add up to 0.

    Args:
        values (np.ndarray | Tensor): Tags of keypoints, (B, N, K, L).
        visible (np.ndarray | Tensor): 1 or 0, same type, (B, N, K, 1).
        exp (Callable): Of this kind of array.
    """
    batch = len(values)
    count = visible.sum(2)  # (B, N, 1)
    share = visible / count.clip(1)[:, :, None]
    mean = (values * share).sum(2)  # (B, N, L)
    exists = (count > 0) * visible[:, :, 0] ** 0  # (B, N, 1), of its dtype
    people = exists.sum(1)[:, None]  # (B, 1, 1)

    apart = values - mean[:, :, None]
    pulled = apart * (share / (people.clip(1) * batch)[..., None])

    gap = mean[:, :, None] - mean[:, None]  # (B, N, N, L)
    near = exp(-(gap**2).sum(3))
    near = near * (exists * exists.swapaxes(1, 2))
    near = near / ((people * (people - 1)).clip(1) * batch)
    # To itself the distance is 0: that is no push, and no gradient.
    push = near.sum() - near.diagonal(0, 1, 2).sum()
    pushed = (near[..., None] * gap).sum(2)  # (B, N, L)
    return _Sums(
        (apart * pulled).sum(),
        push,
        2 * pulled,
        -4 * pushed[:, :, None] * share,
    )


class _PullPush(torch.autograd.Function):
    """Both losses with their gradients written out."""

    @staticmethod
    def forward(
        ctx: Any, tags: Tensor, flat: Tensor, visible: Tensor
    ) -> Tuple[Tensor, Tensor]:
        index = _indices(tags, flat.where(visible, 0))  # (B, N, K, L)
        values = torch.take(tags, index).where(visible[..., None], 0.0)
        weight = visible[..., None].to(tags.dtype)
        if tags.device.type == 'cpu':  # NumPy is faster with small arrays
            with np.errstate(over='ignore'):  # exp(-inf) is 0
                of_arrays = _sums(values.numpy(), weight.numpy(), np.exp)
            sums = _Sums(*(torch.as_tensor(part) for part in of_arrays))
        else:
            sums = _sums(values, weight, torch.exp)
        ctx.save_for_backward(index, sums.by_pull, sums.by_push)
        ctx.shape = tags.shape
        return sums.pull, sums.push

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, by_pull: Tensor, by_push: Tensor
    ) -> Tuple[Tensor, None, None]:
        index, pulled, pushed = ctx.saved_tensors
        grad = pulled * by_pull + pushed * by_push
        whole = grad.new_zeros(ctx.shape)
        # Cells of different people may be the same: their gradients add.
        whole.view(-1).index_add_(0, index.reshape(-1), grad.reshape(-1))
        return whole, None, None


def _indices(tags: Tensor, flat: Tensor) -> Tensor:
    """Where the tags of keypoints (B, N, K) lie, int64 (B, N, K, L)."""
    batch, _, num_keypoints = flat.shape
    area = tags.shape[2] * tags.shape[3]
    channels = torch.arange(batch * tags.shape[1], device=flat.device) * area
    first = channels.view(batch, 1, -1, num_keypoints).transpose(2, 3)
    return flat[..., None] + first


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
            ``[y * W + x, visible]``, within the map where visible.

    Returns:
        tuple[Tensor, Tensor]: Means over the B images, scalars.
    """
    if not len(keypoint_indices):
        return tags.sum() * 0, tags.sum() * 0
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
