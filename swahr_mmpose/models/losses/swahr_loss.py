# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR heatmap loss module (Luo et al., CVPR 2021).

B images, K keypoints, map size H x W. H is the target heatmap, P the
predicted heatmap and ``alpha = 1 / s - 1`` the predicted scale map; alpha 0
keeps the standard deviation of the target.

Nothing is detached: gradients flow through the weight and the adapted target.
Means are over all B, K, H and W, independent of the mask and the Gaussians.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Union

from mmpose.registry import MODELS
from torch import Tensor, nn

from swahr_mmpose.utils.sparse_targets import SparseTargets

from .functional import at_least_float32, check_expansion
from .sparse_heatmap_loss import swahr_losses

__all__ = ['SWAHRLoss']

Level = Tuple[Union[Tensor, SparseTargets], Optional[Tensor]]


@MODELS.register_module()
class SWAHRLoss(nn.Module):
    """Heatmap loss with scale-adapted targets and adaptive weights.

    Two switches select the method of the paper: SWAHR (both), SAHR
    (``weight_adaptive=False``), WAHR (``scale_adaptive=False``), or plain
    HigherHRNet (neither).

    Args:
        scale_adaptive (bool): Whether to adapt the target (SAHR, Eq. 4 to 9).
            Defaults to True.
        weight_adaptive (bool): Whether to weight the error (WAHR, Eq. 11 to
            13). Defaults to True.
        gamma (float): Exponent of the soft boundary of Eq. 13, at least 0; 0
            is the hard boundary of Eq. 12. Defaults to 0.01.
        regularizer_weight (float): lambda of Eq. 9, at least 0. Defaults to
            1.
        expansion (str): ``'taylor'`` (Eq. 8) or ``'exact'`` (Eq. 6). Defaults
            to ``'taylor'``.
        loss_weight (float): Factor of both losses. Defaults to 1.

    Raises:
        ValueError: If ``gamma`` or ``regularizer_weight`` is negative, or the
            expansion is unknown.
    """

    # The head passes dense maps to losses without this attribute.
    accepts_sparse_targets = True

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
        target: Union[Tensor, SparseTargets],
        mask: Optional[Tensor] = None,
        annotated: Optional[Tensor] = None,
    ) -> Tuple[Tensor, Tensor]:
        """Compute weighted losses, in float32 at least.

        See :func:`~.sparse_heatmap_loss.swahr_loss`.

        Args:
            heatmaps (Tensor): Predicted heatmaps P, shape (B, K, H, W).
            scale_maps (Tensor, optional): Scale maps alpha, same shape;
                ``None`` if and only if the loss is not scale-adaptive.
            target (Tensor | SparseTargets): Target heatmaps H, same shape,
                not negative.
            mask (Tensor, optional): Loss mask, 1 where the loss counts, shape
                (B, H, W) or, by keypoint, (B, K, H, W). Defaults to ``None``,
                everywhere.
            annotated (Tensor, optional): bool (B, K), ``False`` for keypoints
                without loss in an image. Defaults to ``None``, all count.

        Returns:
            tuple[Tensor, Tensor]: Regression loss, and regularizer loss times
            lambda, scalars.

        Raises:
            ValueError: If ``scale_maps`` does not fit ``scale_adaptive``, or
                shapes differ.
        """
        alphas = None if scale_maps is None else [scale_maps]
        levels = [(target, mask)]
        return self.compute_levels([heatmaps], alphas, levels, annotated)[0]

    def compute_levels(
        self,
        heatmaps: Sequence[Tensor],
        scale_maps: Optional[Sequence[Tensor]],
        levels: Sequence[Level],
        annotated: Optional[Tensor] = None,
    ) -> List[Tuple[Tensor, Tensor]]:
        """Compute the losses of all levels, on an accelerator at once.

        Args:
            heatmaps (Sequence[Tensor]): Predicted heatmaps of each level.
            scale_maps (Sequence[Tensor], optional): Scale maps of each level.
            levels (Sequence[tuple]): Target and loss mask (or ``None``) of
                each level, see :meth:`forward`.
            annotated (Tensor, optional): Annotated keypoints, bool (B, K).

        Returns:
            list[tuple[Tensor, Tensor]]: Losses of each level, see
            :meth:`forward`.

        Raises:
            ValueError: See :meth:`forward`.
        """
        self._check_scale_maps(scale_maps)
        for maps, level in zip(heatmaps, levels):
            _check_shapes(maps, *level)
        if scale_maps is not None:
            scale_maps = [at_least_float32(maps) for maps in scale_maps]
        targets, masks = zip(*levels)
        losses = swahr_losses(
            [at_least_float32(maps) for maps in heatmaps],
            scale_maps,
            targets,
            masks,
            gamma=self.gamma if self.weight_adaptive else None,
            expansion=self.expansion,
            annotated=annotated,
        )
        weights = self.loss_weight, self.loss_weight * self.regularizer_weight
        return [
            (_weight(regression, weights[0]), _weight(regularizer, weights[1]))
            for regression, regularizer in losses
        ]

    def _check_scale_maps(self, scale_maps: Any) -> None:
        """Raise ValueError for scale maps that do not fit the settings."""
        if self.scale_adaptive != (scale_maps is not None):
            got = 'no scale maps' if scale_maps is None else 'scale maps'
            raise ValueError(
                f'scale_adaptive={self.scale_adaptive}, but got {got}; set '
                f'scale_maps={self.scale_adaptive} in the head'
            )


def _check_shapes(
    heatmaps: Tensor,
    target: Union[Tensor, SparseTargets],
    mask: Optional[Tensor],
) -> None:
    """Raise ValueError for shapes that do not fit each other."""
    if heatmaps.shape != target.shape:
        raise ValueError(
            f'predicted heatmaps have shape {tuple(heatmaps.shape)}, the '
            f'target {tuple(target.shape)}; check input_size, '
            'heatmap_sizes and num_keypoints of codec, pipeline and head'
        )
    expected = (target.shape[0], *target.shape[2:])
    if mask is not None and mask.shape not in (expected, target.shape):
        raise ValueError(
            f'mask has shape {tuple(mask.shape)}, expected {expected}, '
            '(B, H, W) of the target, or (B, K, H, W); make it with '
            'BottomupGetLossMask'
        )


def _weight(loss: Tensor, weight: float) -> Tensor:
    """Multiply a loss by a weight, without an operation if that is 1."""
    return loss if weight == 1 else weight * loss
