# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The heatmap loss where it is cheap: almost everywhere H is zero.

There the adapted target is 0 and the loss of Eq. 11 to 13 is ``|P|^3`` times
the mask, ``P^2`` without weights; the formulas of the paper concern the few
rows of cells with a Gaussian alone.  Gradients are written out: 3 P |P| or
2 P, and inside those of the formulas.  The numbers are those of the formulas
on dense maps, without their temporaries.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swahr_mmpose.utils.tensor_ops import true_indices

from .functional import target_with_slope, weight_with_slope

__all__ = ['heatmap_losses']

# Cells of a row of the sparse part: a few cache lines.
_ROW_LENGTH = 32


class _Rows(NamedTuple):
    """Maps (B, K, H, W) cut into rows of some cells, ``per_map`` to a map.

    ``numbers`` are those of the rows in which H > 0 somewhere.
    """

    length: int
    per_map: int
    numbers: Tensor

    def of(self, maps: Tensor) -> Tensor:
        """These rows of maps, (R, length)."""
        rows = maps.reshape(-1, self.length)
        return rows.index_select(0, self.numbers)

    def of_mask(self, mask: Tensor, num_keypoints: int) -> Tensor:
        """These rows of a mask (B, H, W), (R, length)."""
        image = self.numbers // (num_keypoints * self.per_map)
        at = image * self.per_map + self.numbers % self.per_map
        return mask.reshape(-1, self.length).index_select(0, at)


def _rows_inside(target: Tensor) -> _Rows:
    area = target.shape[2] * target.shape[3]
    length = target.shape[3] if area % _ROW_LENGTH else _ROW_LENGTH
    rows = target.reshape(-1, length)
    # A target that is no number stays in, and shows in the loss.
    numbers = true_indices(~(rows.amax(dim=1) <= 0))
    return _Rows(length, area // length, numbers)


class _Inside(NamedTuple):
    """Sums over the rows with Gaussians, and their gradients."""

    regression: Tensor
    regularizer: Tensor
    grad_pred: Tensor
    grad_alpha: Optional[Tensor]
    grad_regularizer: Optional[Tensor]


def _inside(
    pred: Tensor,
    alpha: Optional[Tensor],
    target: Tensor,
    valid: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> _Inside:
    """The formulas on rows of cells, all of shape (R, length)."""
    goal, by_scale = target, None
    if alpha is not None:
        goal, by_scale = target_with_slope(target, alpha, expansion)
    error = pred - goal
    weighted = error if valid is None else error * valid
    squared = error * weighted
    if gamma is None:
        regression, by_pred = squared.sum(), 2 * weighted
    else:
        weight, by_weight = weight_with_slope(pred, target, gamma)
        regression = (squared * weight).sum()
        weighted = weighted * weight
        by_pred = by_weight.mul_(squared).add_(weighted, alpha=2)
    if alpha is None or by_scale is None:
        return _Inside(regression, target.new_zeros(()), by_pred, None, None)
    by_alpha = by_scale.mul_(weighted).mul_(-2)
    counted = alpha * (target > 0)
    counted = counted if valid is None else counted.mul_(valid)
    regularizer = (alpha * counted).sum()
    return _Inside(regression, regularizer, by_pred, by_alpha, counted.mul_(2))


def _outside(
    pred: Tensor, valid: Optional[Tensor], rows: _Rows, cubic: bool
) -> Tensor:
    """The sum over all cells but those of some rows, as H = 0 there, float64.

    An image at a time, so that the temporary stays in the cache; lines are
    added in the precision of the maps, their sums in float64.
    """
    total = torch.zeros((), dtype=torch.float64, device=pred.device)
    size = pred.shape[1] * rows.per_map
    limits = torch.arange(len(pred) + 1, device=pred.device) * size
    ends = torch.searchsorted(rows.numbers, limits).tolist()
    errors = pred.new_empty(pred.shape[1:])
    for b, image in enumerate(pred):
        _weighted(image, None if valid is None else valid[b], cubic, errors)
        errors *= image
        inside = rows.numbers[ends[b] : ends[b + 1]] - b * size
        errors.view(-1, rows.length).index_fill_(0, inside, 0)
        total += errors.sum(dim=-1).sum(dtype=torch.float64)
    return total


def _weighted(
    pred: Tensor, factor: Optional[Tensor], cubic: bool, out: Tensor
) -> None:
    """``P |P|`` or ``P``, times a factor that is broadcast, into ``out``."""
    if cubic:
        torch.abs(pred, out=out).mul_(pred)
    else:
        out.copy_(pred)
    if factor is not None:
        out *= factor


class _HeatmapLosses(torch.autograd.Function):
    """Sums of both losses; saves the prediction and what is sparse."""

    @staticmethod
    def forward(
        ctx: Any,
        pred: Tensor,
        alpha: Optional[Tensor],
        target: Tensor,
        mask: Optional[Tensor],
        gamma: Optional[float],
        expansion: str,
    ) -> Tuple[Tensor, Tensor]:
        pred, target = pred.contiguous(), target.to(pred.dtype)
        cubic = gamma is not None
        rows = _rows_inside(target)
        valid = inner = None
        if mask is not None:
            valid = mask.to(pred.dtype).contiguous()
            inner = rows.of_mask(valid, pred.shape[1])
        inside = _inside(
            rows.of(pred),
            None if alpha is None else rows.of(alpha),
            rows.of(target),
            inner,
            gamma,
            expansion,
        )
        outside = _outside(pred, valid, rows, cubic)
        total = inside.regression.double() + outside
        ctx.save_for_backward(pred, valid, rows.numbers, *inside[2:])
        ctx.cubic, ctx.length = cubic, rows.length
        ctx.with_alpha = alpha is not None
        count = max(pred.numel(), 1)
        regression = (total / count).to(pred.dtype)
        return regression, inside.regularizer / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        pred, valid, numbers, grad_pred, grad_alpha, slope = ctx.saved_tensors
        g_regression, g_regularizer = (g / max(pred.numel(), 1) for g in grads)
        by_pred = by_alpha = None
        if ctx.needs_input_grad[0]:
            by_pred = torch.empty_like(pred)
            factor = (3 if ctx.cubic else 2) * g_regression
            for b, (image, out) in enumerate(zip(pred, by_pred)):
                scale = factor if valid is None else factor * valid[b]
                _weighted(image, scale, ctx.cubic, out)
            _put(by_pred, ctx.length, numbers, grad_pred * g_regression)
        if ctx.with_alpha and ctx.needs_input_grad[1]:
            by_alpha = torch.zeros_like(pred)
            rows = grad_alpha * g_regression + slope * g_regularizer
            _put(by_alpha, ctx.length, numbers, rows)
        return by_pred, by_alpha, None, None, None, None


def _put(maps: Tensor, length: int, numbers: Tensor, rows: Tensor) -> None:
    maps.view(-1, length).index_copy_(0, numbers, rows)


def heatmap_losses(
    pred: Tensor,
    scale_maps: Optional[Tensor],
    target: Tensor,
    mask: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> Tuple[Tensor, Tensor]:
    """Regression and regularizer losses of one heatmap level.

    Gradients are of the first order, by prediction and alpha.

    Args:
        pred (Tensor): P, shape (B, K, H, W).
        scale_maps (Tensor, optional): alpha, same shape, or ``None``.
        target (Tensor): H, same shape, not negative.
        mask (Tensor, optional): 1 where the loss counts, shape (B, H, W).
        gamma (float, optional): Of Eq. 13; ``None``: no weights.
        expansion (str): ``'taylor'`` (Eq. 8) or ``'exact'`` (Eq. 6).

    Returns:
        tuple[Tensor, Tensor]: Two scalars, means over B, K, H and W.
    """
    if scale_maps is not None:
        scale_maps = scale_maps.to(pred.dtype)
    return _HeatmapLosses.apply(
        pred, scale_maps, target, mask, gamma, expansion
    )
