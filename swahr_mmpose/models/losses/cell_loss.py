# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR heatmap loss for accelerators: few operations of known sizes.

The formulas are evaluated on the M cells with H > 0; all other cells are
summed as ``|P|^3`` (``P^2`` without weights) over the whole batch. No value
is read back by the host, there is no float64 and no loop over images.

The background is summed over the keypoints first, then over the cells, in the
dtype of the maps. It is never the difference of two sums.

B images, K keypoints, map size H x W; M cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swahr_mmpose.utils.sparse_targets import SparseTargets

__all__ = ['cell_loss']


def cell_loss(
    pred: Tensor,
    scale_maps: Optional[Tensor],
    targets: SparseTargets,
    mask: Optional[Tensor],
    annotated: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> Tuple[Tensor, Tensor]:
    """Compute the losses on cells, see :func:`.swahr_loss`; any device.

    Args:
        pred (Tensor): Predicted heatmaps P, shape (B, K, H, W).
        scale_maps (Tensor, optional): Scale maps alpha, same shape and dtype.
        targets (SparseTargets): Target heatmaps H.
        mask (Tensor, optional): Loss mask, shape (B, H, W) or (B, K, H, W).
        annotated (Tensor, optional): Annotated keypoints, bool (B, K).
        gamma (float, optional): Exponent of the soft boundary; ``None``: no
            weights.
        expansion (str): ``'taylor'`` or ``'exact'``.

    Returns:
        tuple[Tensor, Tensor]: Regression and regularizer losses, scalars.
    """
    return _CellLossFunction.apply(
        pred, scale_maps, targets, mask, annotated, gamma, expansion
    )


class _CellLosses(NamedTuple):
    """Sums over the cells, and halves of their gradients, (M,) each.

    Attributes:
        regression (Tensor): Sum of ``W (P - H')^2 M``, scalar.
        regularizer (Tensor): Sum of ``alpha^2 M``, scalar.
        half_pred (Tensor): Half of d regression / dP, without the mask.
        minus_half_alpha (Tensor, optional): Minus half of
            d regression / dalpha.
        half_regularizer (Tensor, optional): Half of d regularizer / dalpha.
    """

    regression: Tensor
    regularizer: Tensor
    half_pred: Tensor
    minus_half_alpha: Optional[Tensor]
    half_regularizer: Optional[Tensor]


def _adapt_target(
    target: Tensor, alpha: Tensor, expansion: str
) -> Tuple[Tensor, Tensor]:
    """Compute H' and dH'/dalpha of cells (M,) with H > 0.

    The expansion is ``H + alpha (H ln H + dH'/dalpha) / 2`` with
    ``dH'/dalpha = H ln H (1 + alpha ln H)``, equal to Eq. 8.
    """
    log = target.log()
    exponent = alpha * log
    if expansion == 'exact':
        adapted = exponent.exp_().mul_(target)
        return adapted, log.mul_(adapted)
    first = log.mul_(target)
    slope = torch.addcmul(first, first, exponent)
    return torch.addcmul(target, alpha, first + slope, value=0.5), slope


def _weight_cells(
    pred: Tensor, target: Tensor, gamma: float
) -> Tuple[Tensor, Tensor]:
    """Compute W (Eq. 13) and dW/dP of cells (M,) with H > 0."""
    residual = pred - 1
    values = (residual.abs(), residual.sign())
    if gamma == 0:
        return values
    foreground = target.pow(gamma)
    weight, grad = (
        torch.lerp(background, value, foreground)
        for background, value in zip((pred.abs(), pred.sign()), values)
    )
    return weight, grad


def _compute_cells(
    pred: Tensor,
    alpha: Optional[Tensor],
    target: Tensor,
    mask: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> _CellLosses:
    """Evaluate the formulas on cells with H > 0; tensors (M,)."""
    adapted, slope = target, None
    if alpha is not None:
        adapted, slope = _adapt_target(target, alpha, expansion)
    error = pred - adapted
    masked = error if mask is None else error * mask
    weighted, half_pred = masked, error
    if gamma is not None:
        weight, weight_grad = _weight_cells(pred, target, gamma)
        weighted = masked * weight
        half_pred = error * weight.addcmul_(weight_grad, error, value=0.5)
    regression = _sum_products(error, weighted)
    if alpha is None or slope is None:
        zero = target.new_zeros(())
        return _CellLosses(regression, zero, half_pred, None, None)
    masked_alpha = alpha if mask is None else alpha * mask
    return _CellLosses(
        regression,
        _sum_products(alpha, masked_alpha),
        half_pred,
        weighted * slope,
        masked_alpha,
    )


def _sum_products(a: Tensor, b: Tensor) -> Tensor:
    """Sum the products of two tensors (M,)."""
    return (a * b).sum()


def _select_mask(
    mask: Optional[Tensor], targets: SparseTargets
) -> Optional[Tensor]:
    """Select the mask (B, [K,] H, W) of the cells, (M,)."""
    if mask is None:
        return None
    cells = targets.cells
    if mask.dim() == 3:
        _, num_keypoints, height, width = targets.shape
        area = height * width
        image = cells.div(num_keypoints * area, rounding_mode='floor')
        cells = torch.add(cells % area, image, alpha=area)
    return mask.reshape(-1).index_select(0, cells)


def _select_annotated(
    annotated: Tensor, targets: SparseTargets, dtype: torch.dtype
) -> Tensor:
    """Select the flags (B, K) of the maps of the cells, (M,)."""
    area = targets.shape[2] * targets.shape[3]
    maps = targets.cells.div(area, rounding_mode='floor')
    return annotated.reshape(-1).index_select(0, maps).to(dtype)


def _compute_background(
    pred: Tensor, cells: Tensor, annotated: Optional[Tensor], cubic: bool
) -> Tensor:
    """Compute ``P |P|`` (cubic) or ``P``, 0 in the cells, (B, K, H, W)."""
    background = pred.abs().mul_(pred) if cubic else pred.clone()
    if annotated is not None:
        background.mul_(annotated[:, :, None, None])
    background.view(-1).index_fill_(0, cells, 0)
    return background


def _sum_background(
    background: Tensor, mask: Optional[Tensor], cubic: bool
) -> Tensor:
    """Sum ``|P|^3`` or ``P^2`` times the mask, scalar."""
    order = 1.5 if cubic else 2
    if mask is not None and mask.dim() == 4:
        return (background.abs().pow_(order) * mask).sum()
    sums = torch.linalg.vector_norm(background, order, dim=1).pow_(order)
    return (sums if mask is None else sums.mul_(mask)).sum()


class _CellLossFunction(torch.autograd.Function):
    """Both losses; saves the gradients without mask and scale."""

    @staticmethod
    def forward(
        ctx: Any,
        pred: Tensor,
        alpha: Optional[Tensor],
        targets: SparseTargets,
        mask: Optional[Tensor],
        annotated: Optional[Tensor],
        gamma: Optional[float],
        expansion: str,
    ) -> Tuple[Tensor, Tensor]:
        pred, cells = pred.contiguous(), targets.cells
        factor = _select_mask(mask, targets)
        flags = None
        if annotated is not None:
            flags = _select_annotated(annotated, targets, pred.dtype)
            factor = flags if factor is None else factor * flags
        sums = _compute_cells(
            pred.view(-1).index_select(0, cells),
            _select_cells(alpha, cells),
            targets.values.to(pred.dtype),
            factor,
            gamma,
            expansion,
        )
        cubic = gamma is not None
        grad = _compute_background(pred, cells, annotated, cubic)
        total = _sum_background(grad, mask, cubic) + sums.regression
        ctx.order, ctx.scale = 2 + cubic, 1 / max(pred.numel(), 1)
        half = sums.half_pred if flags is None else sums.half_pred * flags
        grad.view(-1).index_add_(0, cells, half, alpha=2 / ctx.order)
        ctx.save_for_backward(grad, mask, cells, *sums[3:])
        return total * ctx.scale, sums.regularizer * ctx.scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        grad, mask, cells, minus_half_alpha, half_regularizer = (
            ctx.saved_tensors
        )
        grad_pred = grad_alpha = None
        if ctx.needs_input_grad[0]:
            factor = grads[0] * (ctx.order * ctx.scale)
            if mask is not None:
                mask = mask[:, None] if mask.dim() == 3 else mask
                factor = mask * factor
            grad_pred = grad * factor
        if minus_half_alpha is not None and ctx.needs_input_grad[1]:
            values = half_regularizer * grads[1]
            values.addcmul_(minus_half_alpha, grads[0], value=-1)
            grad_alpha = torch.zeros(
                grad.shape, dtype=grad.dtype, device=grad.device
            )
            flat = grad_alpha.view(-1)
            flat.index_add_(0, cells, values, alpha=2 * ctx.scale)
        return grad_pred, grad_alpha, *[None] * 5


def _select_cells(maps: Optional[Tensor], cells: Tensor) -> Optional[Tensor]:
    """Select cells (M,) of maps (B, K, H, W), if any."""
    return None if maps is None else maps.reshape(-1).index_select(0, cells)
