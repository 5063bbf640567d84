# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The losses of SWAHR (Luo et al., CVPR 2021) and of associative embedding.

B images, N people, K keypoints, L tag dimensions, map size H x W.  H is the
plain target, P the predicted heatmap, ``alpha = 1 / s - 1`` what the scale
branch predicts; alpha 0 is the plain standard deviation.

Nothing is detached: gradients flow through the weight and the adapted target.
Means run over all B, K, H, W, whatever the mask and the Gaussians cover.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

__all__ = [
    'PullPushLoss',
    'SWAHRLoss',
    'adaptive_weight',
    'pull_push',
    'scale_adapted_target',
    'swahr_loss',
]


def scale_adapted_target(
    target: Tensor, scale_maps: Tensor, expansion: str = 'taylor'
) -> Tensor:
    """The target with the standard deviation that the network asks for.

    ``'exact'`` is ``H ** (1 + alpha)`` (Eq. 6); ``'taylor'`` its second-order
    expansion at s = 1, ``H / 2 * (1 + (1 + alpha ln H) ** 2)`` (Eq. 8), which
    is never below H / 2 and rises again for ``|alpha ln H| > 1``.  Both are 0
    where H is 0, and H where alpha is 0.

    Args:
        target (Tensor): H in [0, 1], any shape.
        scale_maps (Tensor): alpha, same shape.
        expansion (str): ``'taylor'`` or ``'exact'``.

    Returns:
        Tensor: Same shape.
    """
    exponent = scale_maps * target.where(target > 0, 1.0).log()
    if expansion == 'taylor':
        return 0.5 * target * (1 + (1 + exponent) ** 2)
    return target * exponent.exp()


def adaptive_weight(pred: Tensor, target: Tensor, gamma: float) -> Tensor:
    """``W = H^gamma |1 - P| + (1 - H^gamma) |P|`` (Eq. 13).

    With gamma 0 the boundary is hard: ``|1 - P|`` where H > 0 and ``|P|``
    elsewhere (Eq. 12).

    Args:
        pred (Tensor): P, any shape.
        target (Tensor): H in [0, 1], not adapted, same shape.
        gamma (float): Position of the soft boundary, at least 0.

    Returns:
        Tensor: Same shape.
    """
    if gamma == 0:
        positive = (target > 0).to(pred.dtype)
    else:
        positive = target.pow(gamma)
    return positive * (1 - pred).abs() + (1 - positive) * pred.abs()


def swahr_loss(
    pred: Tensor,
    scale_maps: Optional[Tensor],
    target: Tensor,
    mask: Optional[Tensor] = None,
    *,
    gamma: Optional[float] = 0.01,
    expansion: str = 'taylor',
) -> Tuple[Tensor, Tensor]:
    """Regression and regularizer losses of one heatmap level.

    ``mean(W (P - H')^2 M)`` (Eq. 11) and ``mean((alpha 1[H > 0])^2 M)``
    (Eq. 7), with H' the adapted target and M the mask.

    Args:
        pred (Tensor): P, shape (B, K, H, W).
        scale_maps (Tensor, optional): alpha, same shape; ``None`` keeps the
            target plain and the regularizer 0.
        target (Tensor): H, same shape.
        mask (Tensor, optional): 1 where the loss counts, shape (B, H, W).
        gamma (float, optional): Of :func:`adaptive_weight`; ``None``: W = 1.
        expansion (str): Of :func:`scale_adapted_target`.

    Returns:
        tuple[Tensor, Tensor]: Two scalars.
    """
    valid = 1.0 if mask is None else mask[:, None].to(pred.dtype)
    regularizer = pred.new_zeros(())
    goal = target
    if scale_maps is not None:
        alpha = scale_maps.where(target > 0, 0.0)
        regularizer = (alpha**2 * valid).mean()
        goal = scale_adapted_target(target, alpha, expansion)
    error = (pred - goal) ** 2
    if gamma is not None:
        error = error * adaptive_weight(pred, target, gamma)
    return (error * valid).mean(), regularizer


@MODELS.register_module()
class SWAHRLoss(nn.Module):
    """Heatmap loss with learned scales and adaptive weights.

    The four methods of the paper are switches of it: SWAHR (both), SAHR
    (``weight_adaptive=False``), WAHR (``scale_adaptive=False``), and plain
    HigherHRNet (neither).

    Args:
        scale_adaptive (bool): Adapt the target (SAHR, Eq. 4-9).
        weight_adaptive (bool): Weigh the error (WAHR, Eq. 11-13).
        gamma (float): Soft boundary of Eq. 13; 0 is the hard one of Eq. 12.
        regularizer_weight (float): lambda of Eq. 9.
        expansion (str): ``'taylor'`` (Eq. 8) or ``'exact'`` (Eq. 6).
        loss_weight (float): Factor of both results.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        scale_adaptive: bool = True,
        weight_adaptive: bool = True,
        gamma: float = 0.01,
        regularizer_weight: float = 1.0,
        expansion: str = 'taylor',
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        limits = dict(gamma=gamma, regularizer_weight=regularizer_weight)
        for name, value in limits.items():
            if value < 0:
                raise ValueError(f'{name} must be at least 0, got {value}')
        if expansion not in ('taylor', 'exact'):
            expected = "'taylor' or 'exact', got"
            raise ValueError(f'expansion must be {expected} {expansion!r}')
        self.scale_adaptive = scale_adaptive
        self.weight_adaptive = weight_adaptive
        self.gamma = gamma
        self.regularizer_weight = regularizer_weight
        self.expansion = expansion
        self.loss_weight = loss_weight

    def forward(
        self,
        heatmaps: Tensor,
        scale_maps: Optional[Tensor],
        target: Tensor,
        mask: Optional[Tensor] = None,
    ) -> Tuple[Tensor, Tensor]:
        """Module form of :func:`swahr_loss`, in float32 or better.

        Args:
            heatmaps (Tensor): Predicted, shape (B, K, H, W).
            scale_maps (Tensor, optional): alpha, same shape; ``None`` if and
                only if the loss is not scale-adaptive.
            target (Tensor): Same shape.
            mask (Tensor, optional): Shape (B, H, W).

        Returns:
            tuple[Tensor, Tensor]: The regression and the regularizer loss,
            the latter already multiplied by lambda.
        """
        self._check(heatmaps, scale_maps, target, mask)
        regression, regularizer = swahr_loss(
            _at_least_float32(heatmaps),
            None if scale_maps is None else _at_least_float32(scale_maps),
            target,
            mask,
            gamma=self.gamma if self.weight_adaptive else None,
            expansion=self.expansion,
        )
        return (
            self.loss_weight * regression,
            self.loss_weight * self.regularizer_weight * regularizer,
        )

    def _check(
        self,
        heatmaps: Tensor,
        scale_maps: Optional[Tensor],
        target: Tensor,
        mask: Optional[Tensor],
    ) -> None:
        if self.scale_adaptive != (scale_maps is not None):
            got = 'no scale maps' if scale_maps is None else 'scale maps'
            raise ValueError(
                f'scale_adaptive={self.scale_adaptive}, but got {got}; set '
                f'scale_maps={self.scale_adaptive} in the head'
            )
        if heatmaps.shape != target.shape:
            raise ValueError(
                f'predicted heatmaps have shape {tuple(heatmaps.shape)}, the '
                f'target {tuple(target.shape)}; check input_size, '
                'heatmap_sizes and num_keypoints of codec, pipeline and head'
            )
        expected = (target.shape[0], *target.shape[2:])
        if mask is not None and mask.shape != expected:
            raise ValueError(
                f'mask has shape {tuple(mask.shape)}, expected {expected}'
            )


def _at_least_float32(tensor: Tensor) -> Tensor:
    """The small values of a Gaussian's edge are lost in half precision."""
    return tensor.float() if torch.finfo(tensor.dtype).bits < 32 else tensor


def _gather_tags(tags: Tensor, flat: Tensor) -> Tensor:
    """Tags at the keypoints, shape (B, N, K, L)."""
    batch, num_people, num_keypoints = flat.shape
    maps = tags.flatten(2).unflatten(1, (-1, num_keypoints))  # (B, L, K, HW)
    index = flat.transpose(1, 2)[:, None].expand(-1, maps.shape[1], -1, -1)
    return maps.gather(3, index).permute(0, 3, 2, 1)


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
        pull, push = pull_push(_at_least_float32(tags), keypoint_indices)
        return self.pull_weight * pull, self.push_weight * push
