# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Pull and push losses of associative embedding (Newell et al., NIPS 2017).

B images, N people, K keypoints, L tag dimensions, map size H x W.
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from swahr_mmpose.utils.transfer import upload

from .functional import at_least_float32

__all__ = ['PullPushLoss', 'pull_push']


def pull_push(
    tags: Tensor,
    keypoint_indices: Sequence[Tensor],
    pull_weight: float = 1.0,
    push_weight: float = 1.0,
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
            keypoints must lie within the map; the others are not read. With
            tags on an accelerator, fewer operations run there if these
            tensors are on the CPU.
        pull_weight (float): Factor of the pull loss. Defaults to 1.
        push_weight (float): Factor of the push loss. Defaults to 1.

    Returns:
        tuple[Tensor, Tensor]: Pull and push losses, means over the B images,
        scalars, in float32 at least.
    """
    tags = at_least_float32(tags)
    if not sum(len(people) for people in keypoint_indices):
        return tags.sum() * 0, tags.sum() * 0
    devices = {people.device for people in keypoint_indices}
    if devices != {keypoint_indices[0].device}:
        keypoint_indices = [i.to(tags.device) for i in keypoint_indices]
    padded = _pad_people(keypoint_indices)
    return _PullPushFunction.apply(tags, padded, pull_weight, push_weight)


def _pad_people(people: Sequence[Tensor]) -> Tensor:
    """Pad B tensors (N, K, 2) with 0 to int64 (B, N, K, 2)."""
    most = max(len(person) for person in people)
    zeros = people[0].new_zeros(most, *people[0].shape[1:])
    parts = [x for p in people for x in (p, zeros[len(p) :])]
    return torch.cat(parts).long().view(len(people), *zeros.shape)


class _People(NamedTuple):
    """What the losses need of the people, NumPy arrays or tensors.

    Attributes:
        index (np.ndarray | Tensor): Flat indices into the tag maps, int64
            (B, N, K, L); of some tag where the keypoint is hidden.
        hidden (np.ndarray | Tensor): Bool (B, N, K, 1), True where a keypoint
            is not visible.
        share (np.ndarray | Tensor): Shares in the mean tag, (B, N, K, 1).
        pull (np.ndarray | Tensor): Weights of squared deviations,
            (B, N, K, 1).
        push (np.ndarray | Tensor): Weights of pairs of people, (B, N, N);
            0 on the diagonal.
    """

    index: Any
    hidden: Any
    share: Any
    pull: Any
    push: Any


def _weigh_people(
    visible: Any, pairs: Any, steps: Any, pull_weight: float
) -> Tuple[Any, Any, Any]:
    """Compute the weights of :class:`_People`, arrays or tensors.

    Args:
        visible (np.ndarray | Tensor): 1 or 0, (B, N, K, 1).
        pairs (np.ndarray | Tensor): Factors of pairs of people, (N, N).
        steps (np.ndarray | Tensor): 0 and 1.
        pull_weight (float): Factor of the pull loss.

    Returns:
        tuple: ``share``, ``pull`` and ``push``.
    """
    num_visible = visible.sum(2)  # (B, N, 1)
    share = visible / num_visible.clip(1)[:, :, None]
    exists = num_visible.clip(0, 1)  # (B, N, 1)
    # Numbers of people of an image, and of others.
    numbers = (exists.sum(1)[:, None] - steps).clip(1)  # (B, 1, 2)
    ratios = exists / numbers  # (B, N, 2)
    weight, others = ratios[..., :1], ratios[..., 1:]
    pull = share * (weight * (pull_weight / len(visible)))[:, :, None]
    return share, pull, weight * others.swapaxes(1, 2) * pairs


def _list_people(
    padded: Tensor, tags: Tensor, pull_weight: float, push_weight: float
) -> _People:
    """List the people of a batch, on the device of the tags.

    Args:
        padded (Tensor): Cells and visibility, int64 (B, N, K, 2). On the CPU
            everything is computed there, and copied to the tags at once.
        tags (Tensor): Tag maps, shape (B, L*K, H, W).
        pull_weight (float): Factor of the pull loss.
        push_weight (float): Factor of the push loss.

    Returns:
        _People: NumPy arrays, except for the index, for tags on the CPU; else
        tensors.
    """
    first, pairs, steps = upload(
        _make_constants(padded, tags, push_weight), padded.device
    )
    flags = padded[..., 1:] > 0  # (B, N, K, 1)
    cells = padded[..., :1] * flags
    index = cells + first  # (B, N, K, L)
    visible = flags.to(tags.dtype)
    if padded.device.type != 'cpu':
        weights = _weigh_people(visible, pairs, steps, pull_weight)
        return _People(index, ~flags, *weights)
    weights = _weigh_people(
        visible.numpy(), pairs.numpy(), steps.numpy(), pull_weight
    )
    if tags.device.type == 'cpu':
        return _People(index, ~flags, *weights)
    parts = [index, ~flags, *(torch.from_numpy(w) for w in weights)]
    return _People(*upload(parts, tags.device))


def _make_constants(
    padded: Tensor, tags: Tensor, push_weight: float
) -> List[Tensor]:
    """Make what depends on shapes only, on the host.

    Returns:
        list[Tensor]: Indices of the first cells of all tag maps, int64
        (B, 1, K, L), factors of pairs of people (N, N), and 0 and 1.
    """
    batch, most, num_keypoints = padded.shape[:3]
    num_maps, area = tags.shape[1], tags.shape[2] * tags.shape[3]
    first = torch.arange(0, batch * num_maps * area, area, device='cpu')
    pairs = torch.full(
        (most, most), push_weight / batch, dtype=tags.dtype, device='cpu'
    )
    return [
        first.view(batch, 1, -1, num_keypoints).transpose(2, 3),
        pairs.fill_diagonal_(0),
        torch.arange(2, dtype=tags.dtype, device='cpu'),
    ]


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


def _compute_losses(values: Any, people: _People, exp: Callable) -> _Losses:
    """Compute both losses and gradients of NumPy arrays or tensors.

    The mean tag of a person depends on the tags, but contributes nothing to
    the pull gradient: differences from a mean sum to 0.

    Args:
        values (np.ndarray | Tensor): Tags of keypoints, 0 where hidden,
            (B, N, K, L).
        people (_People): People, same type.
        exp (Callable): ``np.exp`` or ``torch.exp``.

    Returns:
        _Losses: Means over the B images, and factors of their gradients.
    """
    mean = (values * people.share).sum(2)  # (B, N, L)
    deviation = values - mean[:, :, None]
    pulled = deviation * people.pull

    difference = mean[:, :, None] - mean[:, None]  # (B, N, N, L)
    # Transposed it has the other sign: minus the squares.
    squares = difference * difference.swapaxes(1, 2)
    one = squares.shape[3] == 1
    similarity = exp(squares[..., 0] if one else squares.sum(3))
    similarity = similarity * people.push
    pushed = (similarity[..., None] * difference).sum(2)  # (B, N, L)
    return _Losses(
        (deviation * pulled).sum(),
        similarity.sum(),
        pulled,
        pushed,
        people.share,
    )


class _PullPushFunction(torch.autograd.Function):
    """Both losses; gradients are computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        tags: Tensor,
        padded: Tensor,
        pull_weight: float,
        push_weight: float,
    ) -> Tuple[Tensor, Tensor]:
        people = _list_people(padded, tags, pull_weight, push_weight)
        index = people.index
        values = tags.reshape(-1).index_select(0, index.reshape(-1))
        values = values.view(index.shape).masked_fill_(people.hidden, 0)
        if tags.device.type == 'cpu':  # NumPy is faster with small arrays
            with np.errstate(over='ignore'):  # exp(-inf) is 0
                arrays = _compute_losses(values.numpy(), people, np.exp)
            losses = _Losses(*(torch.as_tensor(array) for array in arrays))
        else:
            losses = _compute_losses(values, people, torch.exp)
        ctx.save_for_backward(index, *losses[2:])
        ctx.shape = tags.shape
        return losses.pull, losses.push

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g_pull: Tensor, g_push: Tensor
    ) -> Tuple[Optional[Tensor], ...]:
        index, pulled, pushed, share = ctx.saved_tensors
        half = (pulled * g_pull).addcmul_(
            (pushed * g_push)[:, :, None], share, value=-2
        )
        grad = torch.zeros(ctx.shape, dtype=half.dtype, device=half.device)
        # Added, not assigned: keypoints of different people may share a cell.
        grad.view(-1).index_add_(
            0, index.reshape(-1), half.reshape(-1), alpha=2
        )
        return grad, None, None, None


@MODELS.register_module()
class PullPushLoss(nn.Module):
    """Weighted pull and push losses, see :func:`pull_push`.

    Args:
        pull_weight (float): Factor of the pull loss. Defaults to 1e-3.
        push_weight (float): Factor of the push loss. Defaults to 5e-4, the
            1e-3 of the official implementation times its factor 1/2.
    """

    # The head moves indices to the device for losses without this attribute.
    accepts_host_indices = True

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
        return pull_push(
            tags, keypoint_indices, self.pull_weight, self.push_weight
        )
