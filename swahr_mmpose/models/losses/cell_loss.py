# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""SWAHR heatmap loss for accelerators: few operations of known sizes.

The formulas are evaluated on the M cells with H > 0 of all levels at once; all
other cells are summed as ``|P|^3`` (``P^2`` without weights) over the whole
batch. No value is read back by the host, there is no float64 and no loop over
images.

Maps are used in the memory format in which the network made them, contiguous
or ``channels_last``; so are their gradients.

The background is summed over the keypoints first, then over the cells, in the
dtype of the maps. It is never the difference of two sums.

B images, K keypoints, map size H x W; M cells.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from swahr_mmpose.utils.sparse_targets import SparseTargets

__all__ = ['Settings', 'cell_losses']


class Settings(NamedTuple):
    """Settings of the loss.

    Attributes:
        gamma (float, optional): Exponent of the soft boundary; ``None``: no
            weights.
        expansion (str): ``'taylor'`` or ``'exact'``.
    """

    gamma: Optional[float]
    expansion: str


def cell_losses(
    preds: Sequence[Tensor],
    scale_maps: Optional[Sequence[Tensor]],
    targets: Sequence[SparseTargets],
    masks: Sequence[Optional[Tensor]],
    annotated: Optional[Tensor],
    settings: Settings,
) -> List[Tuple[Tensor, Tensor]]:
    """Compute the losses on cells, see :func:`.swahr_loss`; any device.

    Args:
        preds (Sequence[Tensor]): Predicted heatmaps P of each level, shape
            (B, K, H, W).
        scale_maps (Sequence[Tensor], optional): Scale maps alpha of each
            level, same shapes and dtypes.
        targets (Sequence[SparseTargets]): Target heatmaps H of each level.
        masks (Sequence[Tensor | None]): Loss masks of each level, shape
            (B, H, W) or (B, K, H, W), or ``None``.
        annotated (Tensor, optional): Annotated keypoints, bool (B, K).
        settings (Settings): Settings.

    Returns:
        list[tuple[Tensor, Tensor]]: Regression and regularizer losses of each
        level, scalars.
    """
    masks = [
        mask if mask is None or mask.dtype == torch.bool else mask.to(p.dtype)
        for mask, p in zip(masks, preds)
    ]
    batch = _Batch(targets, masks, annotated, settings)
    losses = _CellLossFunction.apply(batch, *preds, *(scale_maps or ()))
    if scale_maps is None:
        return [
            (loss, pred.new_zeros(())) for loss, pred in zip(losses, preds)
        ]
    return list(zip(losses[::2], losses[1::2]))


class _Batch(NamedTuple):
    """What has no gradient, see :func:`cell_losses`."""

    targets: Sequence[SparseTargets]
    masks: Sequence[Optional[Tensor]]
    annotated: Optional[Tensor]
    settings: Settings

    @property
    def power(self) -> int:
        """Power of ``|P|`` in the loss of the background."""
        return 2 if self.settings.gamma is None else 3


class _Level(NamedTuple):
    """Maps of one level, contiguous.

    Attributes:
        pred (Tensor): P, shape (B, K, H, W), or (B, H, W, K) of maps in the
            format ``channels_last``.
        alpha (Tensor, optional): alpha, same shape.
        cells (Tensor): Flat indices of the cells with H > 0, (M,).
        values (Tensor): H there, (M,).
        axis (int): Axis of the keypoints.
    """

    pred: Tensor
    alpha: Optional[Tensor]
    cells: Tensor
    values: Tensor
    axis: int


def _arrange_level(
    pred: Tensor, alpha: Optional[Tensor], targets: SparseTargets
) -> _Level:
    """Arrange maps (B, K, H, W) of a level without a copy if possible."""
    maps = [pred] if alpha is None else [pred, alpha]
    last = torch.channels_last
    cells, axis = targets.cells, 1
    if all(
        m.is_contiguous(memory_format=last) and not m.is_contiguous()
        for m in maps
    ):
        maps, axis = [m.permute(0, 2, 3, 1) for m in maps], 3
        cells = _permute_cells(targets)
    maps = [m.contiguous() for m in maps]
    return _Level(
        maps[0],
        None if alpha is None else maps[1],
        cells,
        targets.values.to(pred.dtype),
        axis,
    )


def _permute_cells(targets: SparseTargets) -> Tensor:
    """Convert flat indices into (B, K, H, W) to those into (B, H, W, K)."""
    _, num_keypoints, height, width = targets.shape
    area = height * width
    in_image = targets.cells % (num_keypoints * area)
    keypoint = in_image.div(area, rounding_mode='floor')
    cells = torch.add(targets.cells, in_image, alpha=num_keypoints - 1)
    return cells.sub_(keypoint, alpha=num_keypoints * area - 1)


class _CellTerms(NamedTuple):
    """Terms of the loss at the cells, with the mask but not averaged.

    Attributes:
        losses (Tensor): ``W (P - H')^2`` and, with scale maps, ``alpha^2``,
            shape (1, M) or (2, M).
        half_grads (Tensor): Halves of their derivatives by P and by alpha,
            same shape.
        cross_grad (Tensor, optional): Minus half of the derivative of the
            former by alpha, (M,).
    """

    losses: Tensor
    half_grads: Tensor
    cross_grad: Optional[Tensor]


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


def _weigh_cells(
    distances: Tensor, target: Tensor, gamma: float
) -> Tuple[Tensor, Tensor]:
    """Compute W (Eq. 13) and dW/dP of cells with H > 0.

    Args:
        distances (Tensor): P and P - 1, shape (2, M).
        target (Tensor): H, shape (M,).
        gamma (float): Exponent of the soft boundary.

    Returns:
        tuple[Tensor, Tensor]: W and dW/dP, (M,) each.
    """
    if gamma == 0:
        return distances[1].abs(), distances[1].sign()
    terms = distances.new_empty(2, *distances.shape)
    torch.abs(distances, out=terms[0])
    torch.sign(distances, out=terms[1])
    background, foreground = terms.unbind(1)
    weight, grad = torch.lerp(background, foreground, target.pow(gamma))
    return weight, grad


def _compute_cells(
    maps: Tensor,
    target: Tensor,
    factor: Optional[Tensor],
    adaptive: bool,
    settings: Settings,
) -> _CellTerms:
    """Evaluate the formulas on cells with H > 0.

    Args:
        maps (Tensor): Rows of P, P again if there are weights, and alpha if
            the target is adapted, shape (1 to 3, M). Overwritten.
        target (Tensor): H, shape (M,).
        factor (Tensor, optional): Mask, shape (M,).
        adaptive (bool): Whether the target is adapted.
        settings (Settings): Settings.

    Returns:
        _CellTerms: Terms of the loss.
    """
    pred, goal, weighted = maps[0], target, None
    slope = cross_grad = None
    if settings.gamma is not None:
        maps[1].sub_(1)
        weight, grad = _weigh_cells(maps[:2], target, settings.gamma)
        maps = maps[1:]
    if adaptive:
        goal, slope = _adapt_target(target, maps[1], settings.expansion)
    # From here on the rows are the error and alpha.
    error = torch.sub(pred, goal, out=maps[0])
    losses = maps * maps
    if settings.gamma is not None:
        weighted = error * weight
        torch.addcmul(weighted, grad, losses[0], value=0.5, out=maps[0])
        losses[0].mul_(weight)
    if slope is not None:
        cross_grad = slope.mul_(error if weighted is None else weighted)
    if factor is not None:
        for terms in (losses, maps, cross_grad):
            if terms is not None:
                terms.mul_(factor)
    return _CellTerms(losses, maps, cross_grad)


def _select_factors(batch: _Batch, dtype: torch.dtype) -> Optional[Tensor]:
    """Select masks and flags of the cells of all levels, (M,), if any."""
    factors = []
    for target, mask in zip(batch.targets, batch.masks):
        factor = None
        if mask is not None and not target.masked:
            factor = _select_mask(mask, target).to(dtype)
        if batch.annotated is not None:
            flags = _select_annotated(batch.annotated, target).to(dtype)
            factor = flags if factor is None else factor * flags
        factors.append(factor)
    if all(factor is None for factor in factors):
        return None
    return _join(
        [
            target.values.new_ones(len(target.cells), dtype=dtype)
            if factor is None
            else factor
            for factor, target in zip(factors, batch.targets)
        ]
    )


def _select_mask(mask: Tensor, targets: SparseTargets) -> Tensor:
    """Select the mask (B, [K,] H, W) of the cells, (M,)."""
    cells = targets.cells
    if mask.dim() == 3:
        _, num_keypoints, height, width = targets.shape
        area = height * width
        image = cells.div(num_keypoints * area, rounding_mode='floor')
        cells = torch.add(cells % area, image, alpha=area)
    return mask.reshape(-1).index_select(0, cells)


def _select_annotated(annotated: Tensor, targets: SparseTargets) -> Tensor:
    """Select the flags (B, K) of the maps of the cells, (M,)."""
    area = targets.shape[2] * targets.shape[3]
    maps = targets.cells.div(area, rounding_mode='floor')
    return annotated.reshape(-1).index_select(0, maps)


def _compute_background(
    level: _Level, annotated: Optional[Tensor], power: int
) -> Tensor:
    """Compute ``P |P|^(power - 2)``, 0 in the cells, in the shape of P."""
    pred = level.pred
    background = pred.abs().mul_(pred) if power == 3 else pred.clone()
    if annotated is not None:
        shape = [len(pred), 1, 1, 1]
        shape[level.axis] = pred.shape[level.axis]
        background.mul_(annotated.view(shape))
    background.view(-1).index_fill_(0, level.cells, 0)
    return background


def _sum_background(
    background: Tensor, mask: Optional[Tensor], power: int, axis: int
) -> Tensor:
    """Sum ``|P|^power`` times the mask, scalar."""
    order = power / (power - 1)
    if mask is not None and mask.dim() == 4:
        mask = _move_keypoints(mask, axis)
        return (background.abs().pow_(order) * mask).sum()
    sums = torch.linalg.vector_norm(background, order, dim=axis).pow_(order)
    return (sums if mask is None else sums.mul_(mask)).sum()


def _move_keypoints(maps: Tensor, axis: int) -> Tensor:
    """View maps (B, K, H, W) with the keypoints in an axis, 1 or 3."""
    return maps if axis == 1 else maps.permute(0, 2, 3, 1)


class _Saved(NamedTuple):
    """What :class:`_CellLossFunction` saves of a level for backward.

    ``background`` is d loss / dP without factors, 0 in the cells, in the shape
    of :class:`_Level`; the others are parts of this and :class:`_CellTerms`.
    """

    background: Tensor
    half_grads: Tensor
    cross_grad: Optional[Tensor]
    cells: Tensor
    mask: Optional[Tensor]


class _CellLossFunction(torch.autograd.Function):
    """Losses of all levels; the inputs are all P, then all alpha, if any."""

    @staticmethod
    def forward(ctx: Any, batch: _Batch, *maps: Tensor) -> Tuple[Tensor, ...]:
        count = len(batch.targets)
        alphas = maps[count:] or [None] * count
        levels = [
            _arrange_level(*each) for each in zip(maps, alphas, batch.targets)
        ]
        outputs: List[Tensor] = []
        saved: List[Optional[Tensor]] = []
        for level, mask, terms in zip(
            levels, batch.masks, _compute_levels(levels, batch)
        ):
            background = _compute_background(
                level, batch.annotated, batch.power
            )
            sums = terms.losses.sum(dim=1)
            sums[0].add_(
                _sum_background(background, mask, batch.power, level.axis)
            )
            # No views of one tensor: autograd lets these be changed in place.
            scale = 1 / max(level.pred.numel(), 1)
            outputs += [each * scale for each in sums.unbind()]
            saved += _Saved(background, *terms[1:], level.cells, mask)
        ctx.save_for_backward(*saved)
        ctx.power, ctx.axes = batch.power, [level.axis for level in levels]
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Optional[Tensor], ...]:
        size, width = len(_Saved._fields), len(grads) // len(ctx.axes)
        results = [
            _compute_grads(
                _Saved(*ctx.saved_tensors[level * size : (level + 1) * size]),
                grads[level * width : (level + 1) * width],
                ctx.power,
                axis,
            )
            for level, axis in enumerate(ctx.axes)
        ]
        return (None, *(grad for row in zip(*results) for grad in row))


def _compute_levels(
    levels: Sequence[_Level], batch: _Batch
) -> List[_CellTerms]:
    """Evaluate the formulas on the cells of all levels at once.

    Args:
        levels (Sequence[_Level]): Maps of each level.
        batch (_Batch): What has no gradient.

    Returns:
        list[_CellTerms]: Terms of each level.
    """
    preds = [_gather_cells(level.pred, level) for level in levels]
    alphas = [
        _gather_cells(level.alpha, level)
        for level in levels
        if level.alpha is not None
    ]
    rows = preds * (1 if batch.settings.gamma is None else 2) + alphas
    terms = _compute_cells(
        torch.cat(rows).view(len(rows) // len(levels), -1),
        _join([level.values for level in levels]),
        _select_factors(batch, levels[0].pred.dtype),
        bool(alphas),
        batch.settings,
    )
    counts = [len(level.cells) for level in levels]
    split = [
        [None] * len(levels) if term is None else term.split(counts, dim=-1)
        for term in terms
    ]
    return [_CellTerms(*level) for level in zip(*split)]


def _gather_cells(maps: Tensor, level: _Level) -> Tensor:
    """Gather the cells of maps in the shape of P, (M,)."""
    return maps.view(-1).index_select(0, level.cells)


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate tensors, a single one without a copy."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _compute_grads(
    saved: _Saved, grads: Sequence[Tensor], power: int, axis: int
) -> List[Tensor]:
    """Compute the gradients of a level by P and by alpha, if any.

    Args:
        saved (_Saved): What the forward pass saved.
        grads (Sequence[Tensor]): Gradients of the losses, scalars.
        power (int): Power of ``|P|`` in the loss of the background.
        axis (int): Axis of the keypoints.

    Returns:
        list[Tensor]: Gradients, shape (B, K, H, W).
    """
    background, half_grads, cross_grad, cells, mask = saved
    scale = 1 / max(background.numel(), 1)
    factor = grads[0] * (power * scale)
    if mask is not None:
        by_keypoint = mask.dim() == 4
        mask = (
            _move_keypoints(mask, axis)
            if by_keypoint
            else mask.unsqueeze(axis)
        )
        factor = mask * factor
    maps = [background * factor]
    maps += [
        torch.zeros(
            background.shape, dtype=background.dtype, device=background.device
        )
        for _ in grads[1:]
    ]
    values = half_grads * (torch.stack(list(grads)) * (2 * scale))[:, None]
    if cross_grad is not None:
        values[1].addcmul_(cross_grad, grads[0], value=-2 * scale)
    # The cells hold 0, and each one occurs once.
    for grad, cell_values in zip(maps, values):
        grad.view(-1).index_add_(0, cells, cell_values)
    return maps if axis == 1 else [m.permute(0, 3, 1, 2) for m in maps]
