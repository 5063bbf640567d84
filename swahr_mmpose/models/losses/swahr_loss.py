# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The heatmap loss of SWAHR (Luo et al., CVPR 2021).

B images, K keypoints, map size H x W.  H is the plain target, P the predicted
heatmap, ``alpha = 1 / s - 1`` what the scale branch predicts; alpha 0 is the
plain standard deviation.

Nothing is detached: gradients flow through the weight and the adapted target.
Means run over all B, K, H, W, whatever the mask and the Gaussians cover.
"""

from __future__ import annotations

from typing import Optional, Tuple

from mmpose.registry import MODELS
from torch import Tensor, nn

from .functional import at_least_float32, check_expansion
from .sparse_heatmap_loss import heatmap_losses

__all__ = ['SWAHRLoss', 'swahr_loss']


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
        target (Tensor): H, same shape, not negative.
        mask (Tensor, optional): 1 where the loss counts, shape (B, H, W).
        gamma (float, optional): Of :func:`adaptive_weight`; ``None``: W = 1.
        expansion (str): Of :func:`scale_adapted_target`.

    Returns:
        tuple[Tensor, Tensor]: Two scalars.
    """
    return heatmap_losses(pred, scale_maps, target, mask, gamma, expansion)


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
        check_expansion(expansion)
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
            target (Tensor): Same shape, not negative.
            mask (Tensor, optional): Shape (B, H, W).

        Returns:
            tuple[Tensor, Tensor]: The regression and the regularizer loss,
            the latter already multiplied by lambda.
        """
        self._check(heatmaps, scale_maps, target, mask)
        regression, regularizer = swahr_loss(
            at_least_float32(heatmaps),
            None if scale_maps is None else at_least_float32(scale_maps),
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
