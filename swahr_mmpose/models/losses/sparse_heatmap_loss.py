# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR heatmap loss that evaluates the formulas near the keypoints only.

H is zero almost everywhere. There the adapted target H' is 0 as well, and the
loss of Eq. 11 to 13 is ``|P|^3`` times the mask (``P^2`` without weights),
with the gradient ``3 P |P|`` (``2 P``). Gradients are computed in the forward
pass. There are two forms, and :func:`swahr_loss` chooses by the device:

- CPU, this module: the formulas of :mod:`.functional` are evaluated on target
  rows, that is rows of some cells with H > 0 in at least one, one image at a
  time, so that temporaries stay in the cache.
- Accelerators, :mod:`.cell_loss`: few operations on the whole batch and all
  levels, of sizes that the host knows before.

Results of both equal those of the formulas on dense maps, without their
temporaries.

B images, K keypoints, map size H x W; R target rows.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swahr_mmpose.utils.sparse_targets import SparseTargets
from swahr_mmpose.utils.tensor_ops import true_indices

from .cell_loss import Settings, cell_losses
from .functional import (
    adaptive_weight_and_grad,
    check_expansion,
    scale_adapted_target_and_grad,
)

__all__ = ['row_loss', 'swahr_loss', 'swahr_losses']

# Cells of a row: a few cache lines.
_ROW_LENGTH = 32


def swahr_loss(
    pred: Tensor,
    scale_maps: Optional[Tensor],
    target: Union[Tensor, SparseTargets],
    mask: Optional[Tensor] = None,
    *,
    gamma: Optional[float] = 0.01,
    expansion: str = 'taylor',
    annotated: Optional[Tensor] = None,
) -> Tuple[Tensor, Tensor]:
    """Compute the regression and regularizer losses of one heatmap level.

    The losses are ``mean(W (P - H')^2 M)`` (Eq. 11) and
    ``mean((alpha 1[H > 0])^2 M)`` (Eq. 7), with the adapted target H' and the
    mask M. Means are over all B, K, H and W. Gradients with respect to P and
    alpha are of first order.

    Args:
        pred (Tensor): Predicted heatmaps P, shape (B, K, H, W).
        scale_maps (Tensor, optional): Scale maps alpha, same shape. ``None``:
            the target is not adapted, the regularizer loss is 0.
        target (Tensor | SparseTargets): Target heatmaps H, same shape, not
            negative. With a dense tensor on an accelerator, the host waits
            for the number of its cells.
        mask (Tensor, optional): Loss mask, 1 where the loss counts, shape
            (B, H, W) or, by keypoint, (B, K, H, W). Defaults to ``None``,
            everywhere.
        gamma (float, optional): Exponent of the soft boundary of Eq. 13, see
            :func:`~.functional.adaptive_weight`; ``None``: W = 1. Defaults to
            0.01.
        expansion (str): ``'taylor'`` (Eq. 8) or ``'exact'`` (Eq. 6). Defaults
            to ``'taylor'``.
        annotated (Tensor, optional): bool (B, K), ``False`` for keypoints
            without loss in an image. Defaults to ``None``, all count.

    Returns:
        tuple[Tensor, Tensor]: Regression and regularizer losses, scalars.

    Raises:
        ValueError: If scale maps are given and the expansion is unknown.
    """
    alphas = None if scale_maps is None else [scale_maps]
    return swahr_losses(
        [pred],
        alphas,
        [target],
        [mask],
        gamma=gamma,
        expansion=expansion,
        annotated=annotated,
    )[0]


def swahr_losses(
    preds: Sequence[Tensor],
    scale_maps: Optional[Sequence[Tensor]],
    targets: Sequence[Union[Tensor, SparseTargets]],
    masks: Sequence[Optional[Tensor]],
    *,
    gamma: Optional[float] = 0.01,
    expansion: str = 'taylor',
    annotated: Optional[Tensor] = None,
) -> List[Tuple[Tensor, Tensor]]:
    """Compute the losses of all heatmap levels, see :func:`swahr_loss`.

    On an accelerator the levels share most operations.

    Args:
        preds (Sequence[Tensor]): Predicted heatmaps of each level.
        scale_maps (Sequence[Tensor], optional): Scale maps of each level.
        targets (Sequence[Tensor | SparseTargets]): Targets of each level.
        masks (Sequence[Tensor | None]): Loss masks of each level.
        gamma (float, optional): Exponent of the soft boundary. Defaults to
            0.01.
        expansion (str): ``'taylor'`` or ``'exact'``. Defaults to
            ``'taylor'``.
        annotated (Tensor, optional): Annotated keypoints, bool (B, K).

    Returns:
        list[tuple[Tensor, Tensor]]: Regression and regularizer losses of each
        level, scalars.

    Raises:
        ValueError: If scale maps are given and the expansion is unknown.
    """
    if scale_maps is not None:
        check_expansion(expansion)
        scale_maps = [a.to(p.dtype) for a, p in zip(scale_maps, preds)]
    if preds[0].device.type != 'cpu':
        cells = [_list_cells(*each) for each in zip(targets, masks)]
        settings = Settings(gamma, expansion)
        return cell_losses(
            preds, scale_maps, cells, masks, annotated, settings
        )
    alphas = [None] * len(preds) if scale_maps is None else scale_maps
    return [
        row_loss(*level, annotated, gamma, expansion)
        for level in zip(preds, alphas, targets, masks)
    ]


def _list_cells(
    target: Union[Tensor, SparseTargets], mask: Optional[Tensor]
) -> SparseTargets:
    """List the cells of a dense target, without those outside a mask."""
    if not isinstance(target, Tensor):
        return target
    flags = mask is not None and mask.dtype == torch.bool
    return SparseTargets.from_dense(target, mask if flags else None)


def row_loss(
    pred: Tensor,
    scale_maps: Optional[Tensor],
    target: Union[Tensor, SparseTargets],
    mask: Optional[Tensor],
    annotated: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> Tuple[Tensor, Tensor]:
    """Compute the losses on target rows, see :func:`swahr_loss`; CPU only."""
    if isinstance(target, Tensor):
        rows, values = _find_target_rows(target.to(pred.dtype))
    else:
        rows, values = _collect_target_rows(target, pred.dtype)
    return _SWAHRLossFunction.apply(
        pred, scale_maps, rows, values, mask, annotated, gamma, expansion
    )


class _TargetRows(NamedTuple):
    """Rows of maps (B, K, H, W) in which H > 0 in at least one cell.

    Attributes:
        length (int): Cells per row.
        per_map (int): Rows per map.
        indices (Tensor): Indices of the R target rows, increasing, int64
            (R,).
    """

    length: int
    per_map: int
    indices: Tensor

    def select(self, maps: Tensor) -> Tensor:
        """Select these rows of maps (B, K, H, W), shape (R, length)."""
        rows = maps.reshape(-1, self.length)
        return rows.index_select(0, self.indices)

    def select_mask(self, mask: Tensor, num_keypoints: int) -> Tensor:
        """Select these rows of a mask (B, [K,] H, W), shape (R, length)."""
        if mask.dim() == 4:
            return self.select(mask)
        image = self.indices // (num_keypoints * self.per_map)
        row = image * self.per_map + self.indices % self.per_map
        return mask.reshape(-1, self.length).index_select(0, row)

    def select_annotated(self, annotated: Tensor) -> Tensor:
        """Select flags (B, K) of the maps of these rows, shape (R, 1)."""
        return annotated.reshape(-1, 1)[self.indices // self.per_map]


def _row_length(area: int, width: int) -> int:
    """Get the cells per row of maps of an area and width."""
    return width if area % _ROW_LENGTH else _ROW_LENGTH


def _find_target_rows(target: Tensor) -> Tuple[_TargetRows, Tensor]:
    """Find the target rows of heatmaps (B, K, H, W), and their values."""
    area = target.shape[2] * target.shape[3]
    length = _row_length(area, target.shape[3])
    # Negated, so that rows with NaN are selected and make the loss NaN.
    maxima = target.reshape(-1, length).amax(dim=1)
    indices = true_indices(~(maxima <= 0))
    rows = _TargetRows(length, area // length, indices)
    return rows, rows.select(target)


def _collect_target_rows(
    targets: SparseTargets, dtype: torch.dtype
) -> Tuple[_TargetRows, Tensor]:
    """Collect the target rows of sparse heatmaps, and their values."""
    batch, num_keypoints, height, width = targets.shape
    length = _row_length(height * width, width)
    per_map = height * width // length
    row, column = np.divmod(targets.cells.numpy(), length)
    found = np.zeros(batch * num_keypoints * per_map, bool)
    found[row] = True
    indices = np.flatnonzero(found)
    places = np.empty(len(found), np.int64)
    places[indices] = np.arange(len(indices)) * length
    values = targets.values.new_zeros(len(indices), length, dtype=dtype)
    cells = torch.from_numpy(places[row] + column)
    values.view(-1).index_copy_(0, cells, targets.values.to(dtype))
    return _TargetRows(length, per_map, torch.from_numpy(indices)), values


class _TargetRowLosses(NamedTuple):
    """Sums of the losses over the target rows, and their gradients.

    Attributes:
        regression (Tensor): Sum of ``W (P - H')^2 M``, scalar.
        regularizer (Tensor): Sum of ``(alpha 1[H > 0])^2 M``, scalar.
        grad_pred (Tensor): d regression / dP, shape (R, length).
        grad_alpha (Tensor, optional): d regression / dalpha, same shape.
        grad_regularizer (Tensor, optional): d regularizer / dalpha, same
            shape.
    """

    regression: Tensor
    regularizer: Tensor
    grad_pred: Tensor
    grad_alpha: Optional[Tensor]
    grad_regularizer: Optional[Tensor]


def _compute_target_rows(
    pred: Tensor,
    alpha: Optional[Tensor],
    target: Tensor,
    mask: Optional[Tensor],
    gamma: Optional[float],
    expansion: str,
) -> _TargetRowLosses:
    """Evaluate the formulas on rows; tensors have the shape (R, length)."""
    adapted, target_grad = target, None
    if alpha is not None:
        adapted, target_grad = scale_adapted_target_and_grad(
            target, alpha, expansion
        )
    error = pred - adapted
    weighted = error if mask is None else error * mask
    squared = error * weighted
    if gamma is None:
        regression, grad_pred = squared.sum(), 2 * weighted
    else:
        weight, weight_grad = adaptive_weight_and_grad(pred, target, gamma)
        regression = (squared * weight).sum()
        weighted = weighted * weight
        grad_pred = weight_grad.mul_(squared).add_(weighted, alpha=2)
    if alpha is None or target_grad is None:
        zero = target.new_zeros(())
        return _TargetRowLosses(regression, zero, grad_pred, None, None)
    grad_alpha = target_grad.mul_(weighted).mul_(-2)
    masked_alpha = alpha * (target > 0)
    if mask is not None:
        masked_alpha.mul_(mask)
    regularizer = (alpha * masked_alpha).sum()
    return _TargetRowLosses(
        regression, regularizer, grad_pred, grad_alpha, masked_alpha.mul_(2)
    )


def _get_factor(
    mask: Optional[Tensor], annotated: Optional[Tensor], image: int
) -> Optional[Tensor]:
    """Get the mask of an image, which broadcasts to (K, H, W), if any."""
    factor = None if mask is None else mask[image]
    if annotated is None or annotated[image].all():
        return factor
    flags = annotated[image][:, None, None]
    return flags if factor is None else factor * flags


def _sum_background(
    pred: Tensor,
    mask: Optional[Tensor],
    annotated: Optional[Tensor],
    rows: _TargetRows,
    cubic: bool,
) -> Tensor:
    """Sum the loss over all cells outside the target rows, where H = 0.

    Images are processed one at a time, so that the temporary stays in the
    cache. Map rows are summed in the dtype of the maps, their sums in
    float64.

    Args:
        pred (Tensor): Predicted heatmaps, shape (B, K, H, W).
        mask (Tensor, optional): Loss mask, shape (B, H, W) or (B, K, H, W).
        annotated (Tensor, optional): Annotated keypoints, bool (B, K).
        rows (_TargetRows): Rows to leave out.
        cubic (bool): Whether the loss is ``|P|^3`` (weighted) or ``P^2``.

    Returns:
        Tensor: Sum, float64 scalar.
    """
    total = torch.zeros((), dtype=torch.float64)
    size = pred.shape[1] * rows.per_map  # rows per image
    limits = torch.arange(len(pred) + 1) * size
    ends = torch.searchsorted(rows.indices, limits).tolist()
    errors = pred.new_empty(pred.shape[1:])
    for b, image in enumerate(pred):
        factor = _get_factor(mask, annotated, b)
        _weight_errors(image, factor, cubic, errors)
        errors *= image
        excluded = rows.indices[ends[b] : ends[b + 1]] - b * size
        errors.view(-1, rows.length).index_fill_(0, excluded, 0)
        total += errors.sum(dim=-1).sum(dtype=torch.float64)
    return total


def _weight_errors(
    pred: Tensor, factor: Optional[Tensor], cubic: bool, out: Tensor
) -> None:
    """Write ``P |P|`` (cubic) or ``P``, times a factor, into ``out``.

    Args:
        pred (Tensor): Predicted heatmaps of one image, shape (K, H, W).
        factor (Tensor, optional): Factor that broadcasts to (K, H, W).
        cubic (bool): Whether to write ``P |P|`` or ``P``.
        out (Tensor): Output buffer, shape (K, H, W).
    """
    if cubic:
        torch.abs(pred, out=out).mul_(pred)
    else:
        out.copy_(pred)
    if factor is not None:
        out *= factor


class _SWAHRLossFunction(torch.autograd.Function):
    """Both losses; saves P, the mask and gradients of the target rows."""

    @staticmethod
    def forward(
        ctx: Any,
        pred: Tensor,
        alpha: Optional[Tensor],
        rows: _TargetRows,
        target: Tensor,
        mask: Optional[Tensor],
        annotated: Optional[Tensor],
        gamma: Optional[float],
        expansion: str,
    ) -> Tuple[Tensor, Tensor]:
        pred = pred.contiguous()
        cubic = gamma is not None
        row_mask = None
        if mask is not None:
            mask = mask.to(pred.dtype).contiguous()
            row_mask = rows.select_mask(mask, pred.shape[1])
        if annotated is not None:
            flags = rows.select_annotated(annotated)
            row_mask = flags if row_mask is None else row_mask * flags
        sums = _compute_target_rows(
            rows.select(pred),
            None if alpha is None else rows.select(alpha),
            target,
            row_mask,
            gamma,
            expansion,
        )
        background = _sum_background(pred, mask, annotated, rows, cubic)
        total = sums.regression.double() + background
        ctx.save_for_backward(pred, mask, annotated, rows.indices, *sums[2:])
        ctx.cubic, ctx.length = cubic, rows.length
        ctx.with_alpha = alpha is not None
        count = max(pred.numel(), 1)
        regression = (total / count).to(pred.dtype)
        return regression, sums.regularizer / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        (
            pred,
            mask,
            annotated,
            indices,
            row_pred,
            row_alpha,
            row_regularizer,
        ) = ctx.saved_tensors
        g_regression, g_regularizer = (g / max(pred.numel(), 1) for g in grads)
        grad_pred = grad_alpha = None
        if ctx.needs_input_grad[0]:
            grad_pred = torch.empty_like(pred)
            scale = (3 if ctx.cubic else 2) * g_regression
            for b, (image, out) in enumerate(zip(pred, grad_pred)):
                factor = _get_factor(mask, annotated, b)
                factor = scale if factor is None else scale * factor
                _weight_errors(image, factor, ctx.cubic, out)
            rows = row_pred * g_regression
            _scatter_rows(grad_pred, ctx.length, indices, rows)
        if ctx.with_alpha and ctx.needs_input_grad[1]:
            grad_alpha = torch.zeros_like(pred)
            rows = row_alpha * g_regression + row_regularizer * g_regularizer
            _scatter_rows(grad_alpha, ctx.length, indices, rows)
        return grad_pred, grad_alpha, *[None] * 6


def _scatter_rows(
    maps: Tensor, length: int, indices: Tensor, rows: Tensor
) -> None:
    """Overwrite rows (R, length) of contiguous maps at indices (R,)."""
    maps.view(-1, length).index_copy_(0, indices, rows)
