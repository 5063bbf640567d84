# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The heatmap loss where it is cheap: almost everywhere H is zero.

There the adapted target is 0 and the loss of Eq. 11 to 13 is ``|P|^3`` times
the mask, ``P^2`` without weights; the formulas of the paper concern the few
cells inside of Gaussians alone.  Gradients are written out: 3 P |P| or 2 P,
and inside what autograd finds there.  The numbers are those of the formulas on
dense maps, without their temporaries.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .heatmap_formulas import (
    adaptive_weight,
    scale_adapted_target,
    sparse_zeros,
)
from .runs import true_indices

__all__ = ['heatmap_losses']


class _Inside(NamedTuple):
    """Sums over the cells inside of Gaussians, and their gradients."""

    regression: Tensor
    regularizer: Tensor
    grad_pred: Tensor
    grad_alpha: Optional[Tensor]
    grad_regularizer: Optional[Tensor]


@torch.enable_grad()
def _inside(
    pred: Tensor,
    alpha: Optional[Tensor],
    target: Tensor,
    valid: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> _Inside:
    """The formulas on the cells where H > 0, all of shape (M,)."""
    pred = pred.detach().requires_grad_()
    goal, regularizer = target, target.new_zeros(())
    inputs = [pred]
    if alpha is not None:
        alpha = alpha.detach().requires_grad_()
        inputs.append(alpha)
        goal = scale_adapted_target(target, alpha, expansion)
        squared = alpha.detach() ** 2
        regularizer = (squared if valid is None else squared * valid).sum()
    error = (pred - goal) ** 2
    if gamma is not None:
        error = error * adaptive_weight(pred, target, gamma)
    if valid is not None:
        error = error * valid
    regression = error.sum()
    grads = torch.autograd.grad(regression, inputs)
    if alpha is None:
        return _Inside(regression.detach(), regularizer, grads[0], None, None)
    slope = 2 * alpha.detach()
    slope = slope if valid is None else slope * valid
    by_pred, by_alpha = grads
    return _Inside(regression.detach(), regularizer, by_pred, by_alpha, slope)


def _outside_sum(
    pred: Tensor,
    valid: Optional[Tensor],
    inside: Tensor,
    cubic: bool,
    buffers: Tuple[Tensor, Tensor],
) -> Tensor:
    """Sum over the cells of one image where H = 0, float64.

    Args:
        pred (Tensor): Shape (K, H, W).
        valid (Tensor, optional): Shape (H, W).
        inside (Tensor): Flat indices of the cells to leave out.
        cubic (bool): Whether errors are weighed by ``|P|``.
        buffers (tuple[Tensor, Tensor]): Like ``pred``, overwritten.
    """
    size, losses = buffers
    torch.abs(pred, out=size)
    torch.mul(size, size, out=losses)
    if cubic:
        losses *= size
    if valid is not None:
        losses *= valid
    losses.view(-1)[inside] = 0
    return losses.sum(dtype=torch.float64)


def _outside_total(
    pred: Tensor,
    valid: Optional[Tensor],
    cells: Tensor,
    image: Tensor,
    cubic: bool,
) -> Tensor:
    """Sum over all cells (B, K, H, W) but the given ones, image by image."""
    total = torch.zeros((), dtype=torch.float64, device=pred.device)
    if len(pred) == 0:
        return total
    buffers = (torch.empty_like(pred[0]), torch.empty_like(pred[0]))
    ends = torch.bincount(image, minlength=len(pred)).cumsum(0).tolist()
    for b, (start, end) in enumerate(zip([0, *ends], ends)):
        total += _outside_sum(
            pred[b],
            None if valid is None else valid[b],
            cells[start:end] - b * pred[0].numel(),
            cubic,
            buffers,
        )
    return total


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
        cells = true_indices(target > 0)
        area = pred.shape[2] * pred.shape[3]
        image = cells // max(pred.shape[1] * area, 1)
        valid = inner = None
        if mask is not None:
            valid = mask.to(pred.dtype).contiguous()
            inner = valid.view(-1)[image * area + cells % area]
        inside = _inside(
            pred.view(-1)[cells],
            None if alpha is None else alpha.reshape(-1)[cells],
            target.reshape(-1)[cells],
            inner,
            gamma,
            expansion,
        )
        total = inside.regression.double() + _outside_total(
            pred, valid, cells, image, gamma is not None
        )
        ctx.save_for_backward(pred, valid, cells, *inside[2:])
        ctx.cubic = gamma is not None
        ctx.with_alpha = alpha is not None
        count = max(pred.numel(), 1)
        regression = (total / count).to(pred.dtype)
        return regression, inside.regularizer / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        pred, valid, cells, grad_pred, grad_alpha, slope = ctx.saved_tensors
        g_regression, g_regularizer = (g / max(pred.numel(), 1) for g in grads)
        by_pred = by_alpha = None
        if ctx.needs_input_grad[0]:
            by_pred = torch.empty_like(pred)
            factor = (3 if ctx.cubic else 2) * g_regression
            for b in range(len(pred)):  # an image at a time, in the cache
                if ctx.cubic:
                    torch.abs(pred[b], out=by_pred[b]).mul_(pred[b])
                else:
                    by_pred[b].copy_(pred[b])
                by_pred[b].mul_(factor if valid is None else factor * valid[b])
            by_pred.view(-1)[cells] = grad_pred * g_regression
        if ctx.with_alpha and ctx.needs_input_grad[1]:
            by_alpha = sparse_zeros(pred.shape, pred)
            by_alpha.view(-1)[cells] = (
                grad_alpha * g_regression + slope * g_regularizer
            )
        return by_pred, by_alpha, None, None, None, None


def heatmap_losses(
    pred: Tensor,
    scale_maps: Optional[Tensor],
    target: Tensor,
    mask: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> Tuple[Tensor, Tensor]:
    """Regression and regularizer losses of one heatmap level.

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
    return _HeatmapLosses.apply(
        pred, scale_maps, target, mask, gamma, expansion
    )
