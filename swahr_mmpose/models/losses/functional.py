# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The paper's formulas of the heatmap loss, element by element.

H is the plain target, P the predicted heatmap, ``alpha = 1 / s - 1``.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor

__all__ = [
    'adaptive_weight',
    'at_least_float32',
    'check_expansion',
    'scale_adapted_target',
    'target_with_slope',
    'weight_with_slope',
]


def check_expansion(expansion: str) -> None:
    """Raise ValueError if it is neither of :func:`scale_adapted_target`."""
    if expansion not in ('taylor', 'exact'):
        expected = "'taylor' or 'exact', got"
        raise ValueError(f'expansion must be {expected} {expansion!r}')


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
    check_expansion(expansion)
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
    positive = _positive(target, gamma)
    return positive * (1 - pred).abs() + (1 - positive) * pred.abs()


def _positive(target: Tensor, gamma: float) -> Tensor:
    """``H^gamma``; with gamma 0 what it tends to: 1 where H > 0, else 0."""
    if gamma == 0:
        return (target > 0).to(target.dtype)
    return target.pow(gamma)


def target_with_slope(
    target: Tensor, scale_maps: Tensor, expansion: str
) -> Tuple[Tensor, Tensor]:
    """:func:`scale_adapted_target`, and its derivative by alpha.

    The latter is ``H ln H (1 + alpha ln H)``, or ``H' ln H`` of the exact
    form.
    """
    check_expansion(expansion)
    log = target.where(target > 0, 1.0).log_()
    exponent = scale_maps * log
    if expansion == 'taylor':
        rise = exponent.add_(1)
        slope = log.mul_(target).mul_(rise)
        return (rise * rise).add_(1).mul_(target).mul_(0.5), slope
    adapted = exponent.exp_().mul_(target)
    return adapted, log.mul_(adapted)


def weight_with_slope(
    pred: Tensor, target: Tensor, gamma: float
) -> Tuple[Tensor, Tensor]:
    """:func:`adaptive_weight`, and its derivative by P.

    The latter is ``(1 - H^gamma) sign(P) - H^gamma sign(1 - P)``.
    """
    positive = _positive(target, gamma)
    negative = 1 - positive
    rest = 1 - pred
    slope = (negative * pred.sign()).sub_(positive * rest.sign())
    weight = positive.mul_(rest.abs_()).add_(negative.mul_(pred.abs()))
    return weight, slope


def at_least_float32(tensor: Tensor) -> Tensor:
    """The small values of a Gaussian's edge are lost in half precision."""
    return tensor.float() if torch.finfo(tensor.dtype).bits < 32 else tensor
