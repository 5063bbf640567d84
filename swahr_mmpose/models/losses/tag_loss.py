# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Pull and push losses of associative embedding (Newell et al., NIPS 2017).

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


def pull_push(
    tags: Tensor, keypoint_indices: Sequence[Tensor]
) -> Tuple[Tensor, Tensor]:
    """Compute the pull and push losses (Newell et al., 2017).

    With t_n the mean tag of person n, over the N people of an image that have
    a keypoint::

        pull = sum_n mean_k (tag_nk - t_n)^2 / N
        push = sum_{n != m} exp(-(t_n - t_m)^2) / (N (N - 1))

    Both are 0 for N = 0, and push is 0 for N = 1; they stay attached to the
    graph. The push loss of the official implementation is half of this one;
    here (and in MMPose) the factor belongs to the weight.

    Args:
        tags (Tensor): Tag maps, L groups of K channels, shape (B, L*K, H, W).
        keypoint_indices (Sequence[Tensor]): Cells of keypoints: B integer
            tensors (N, K, 2) of ``[y * W + x, visible]``. Indices of visible
            keypoints must lie within the map; the others are not read.

    Returns:
        tuple[Tensor, Tensor]: Pull and push losses, means over the B images,
        scalars.
    """
    if not len(keypoint_indices):
        return tags.sum() * 0, tags.sum() * 0
    padded = _pad_people([i.to(tags.device) for i in keypoint_indices])
    if padded.numel() == 0:
        return tags.sum() * 0, tags.sum() * 0
    return _PullPushFunction.apply(tags, padded)


def _pad_people(people: Sequence[Tensor]) -> Tensor:
    """Pad B tensors (N, K, 2) with 0 to int64 (B, N, K, 2)."""
    most = max(len(person) for person in people)
    zeros = people[0].new_zeros(most, *people[0].shape[1:])
    parts = [x for p in people for x in (p, zeros[len(p) :])]
    return torch.cat(parts).long().view(len(people), *zeros.shape)


class _Losses(NamedTuple):
    """Pull and push losses, and factors of their gradients.

    The gradients by the tags are ``2 * pulled`` and
    ``-4 * pushed[:, :, None] * share``.

    Attributes:
        pull (np.ndarray | Tensor): Pull loss, scalar.
        push (np.ndarray | Tensor): Push loss, scalar.
        pulled (np.ndarray | Tensor): Weighted deviations, (B, N, K, L).
        pushed (np.ndarray | Tensor): Weighted differences, (B, N, L).
        share (np.ndarray | Tensor): Shares in the mean tag, (B, N, K, 1).
    """

    pull: Any
    push: Any
    pulled: Any
    pushed: Any
    share: Any


def _compute_losses(values: Any, visible: Any, exp: Callable) -> _Losses:
    """Compute both losses and gradients of NumPy arrays or tensors.

    The mean tag of a person depends on the tags, but contributes nothing to
    the pull gradient: differences from a mean sum to 0.

    Args:
        values (np.ndarray | Tensor): Tags of keypoints, (B, N, K, L).
        visible (np.ndarray | Tensor): 1 or 0, same type, (B, N, K, 1).
        exp (Callable): ``np.exp`` or ``torch.exp``.

    Returns:
        _Losses: Means over the B images, and factors of their gradients.
    """
    num_visible = visible.sum(2)  # (B, N, 1)
    share = visible / num_visible.clip(1)[:, :, None]
    mean = (values * share).sum(2)  # (B, N, L)
    exists = num_visible.clip(0, 1)  # (B, N, 1)
    num_people = exists.sum(1)[:, None]  # (B, 1, 1)
    weight = exists / (num_people.clip(1) * len(values))

    deviation = values - mean[:, :, None]
    pulled = deviation * (share * weight[:, :, None])

    difference = mean[:, :, None] - mean[:, None]  # (B, N, N, L)
    similarity = exp(-(difference * difference).sum(3))
    others = exists / (num_people - 1).clip(1)
    similarity = similarity * (weight * others.swapaxes(1, 2))
    # The diagonal (n = m) has no push, and no gradient: its difference is 0.
    push = similarity.sum() - similarity.diagonal(0, 1, 2).sum()
    pushed = (similarity[..., None] * difference).sum(2)  # (B, N, L)
    return _Losses((deviation * pulled).sum(), push, pulled, pushed, share)


class _PullPushFunction(torch.autograd.Function):
    """Both losses; gradients are computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, tags: Tensor, padded: Tensor
    ) -> Tuple[Tensor, Tensor]:
        hidden = padded[..., 1] <= 0  # (B, N, K)
        # (B, N, K, L)
        index = _index_tags(tags, padded[..., 0].masked_fill(hidden, 0))
        hidden = hidden[..., None]
        values = tags.reshape(-1).index_select(0, index.reshape(-1))
        values = values.view(index.shape).masked_fill_(hidden, 0)
        weight = hidden.logical_not().to(tags.dtype)
        if tags.device.type == 'cpu':  # NumPy is faster with small arrays
            with np.errstate(over='ignore'):  # exp(-inf) is 0
                arrays = _compute_losses(
                    values.numpy(), weight.numpy(), np.exp
                )
            losses = _Losses(*(torch.as_tensor(array) for array in arrays))
        else:
            losses = _compute_losses(values, weight, torch.exp)
        ctx.save_for_backward(index, *losses[2:])
        ctx.shape = tags.shape
        return losses.pull, losses.push

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g_pull: Tensor, g_push: Tensor
    ) -> Tuple[Tensor, None]:
        index, pulled, pushed, share = ctx.saved_tensors
        half = (pulled * g_pull).addcmul_(
            (pushed * g_push)[:, :, None], share, value=-2
        )
        grad = torch.zeros(ctx.shape, dtype=half.dtype, device=half.device)
        # Added, not assigned: keypoints of different people may share a cell.
        grad.view(-1).index_add_(
            0, index.reshape(-1), half.reshape(-1), alpha=2
        )
        return grad, None


def _index_tags(tags: Tensor, flat: Tensor) -> Tensor:
    """Get the flat indices of keypoint tags in the tag maps.

    Args:
        tags (Tensor): Tag maps, shape (B, L*K, H, W).
        flat (Tensor): Cells of keypoints ``y * W + x``, int64 (B, N, K).

    Returns:
        Tensor: Indices into the flattened tag maps, int64 (B, N, K, L).
    """
    batch, _, num_keypoints = flat.shape
    area = tags.shape[2] * tags.shape[3]
    first = torch.arange(
        0, batch * tags.shape[1] * area, area, device=flat.device
    )
    first = first.view(batch, 1, -1, num_keypoints).transpose(2, 3)
    return flat[..., None] + first


@MODELS.register_module()
class PullPushLoss(nn.Module):
    """Weighted pull and push losses, see :func:`pull_push`.

    Args:
        pull_weight (float): Factor of the pull loss. Defaults to 1e-3.
        push_weight (float): Factor of the push loss. Defaults to 5e-4, the
            1e-3 of the official implementation times its factor 1/2.
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
        """Compute weighted losses, in float32 at least.

        Args:
            tags (Tensor): Tag maps, shape (B, L*K, H, W).
            keypoint_indices (list[Tensor]): Cells of keypoints, B integer
                tensors (N, K, 2), see :func:`pull_push`.

        Returns:
            tuple[Tensor, Tensor]: Weighted pull and push losses, scalars.

        Raises:
            ValueError: If the numbers of images differ.
        """
        if len(tags) != len(keypoint_indices):
            raise ValueError(
                f'expected keypoint_indices of {len(tags)} images, one tensor '
                f'per image in tags, got {len(keypoint_indices)}'
            )
        pull, push = pull_push(at_least_float32(tags), keypoint_indices)
        return self.pull_weight * pull, self.push_weight * push
