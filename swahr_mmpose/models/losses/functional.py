# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Element-wise formulas of the SWAHR heatmap loss, with their derivatives.

H is the target heatmap (H^sigma_0 of the paper), P the predicted heatmap and
``alpha = 1 / s - 1`` the predicted scale map.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor

__all__ = [
    'adaptive_weight',
    'adaptive_weight_and_grad',
    'at_least_float32',
    'check_expansion',
    'scale_adapted_target',
    'scale_adapted_target_and_grad',
]


def check_expansion(expansion: str) -> None:
    """Check the name of an expansion.

    Args:
        expansion (str): ``'taylor'`` or ``'exact'``, see
            :func:`scale_adapted_target`.

    Raises:
        ValueError: If it is neither.
    """
    if expansion not in ('taylor', 'exact'):
        expected = "'taylor' or 'exact', got"
        raise ValueError(f'expansion must be {expected} {expansion!r}')


def scale_adapted_target(
    target: Tensor, scale_maps: Tensor, expansion: str = 'taylor'
) -> Tensor:
    """Scale the standard deviation of target Gaussians by the predicted s.

    ``'exact'`` is ``H ** (1 + alpha)`` (Eq. 6). ``'taylor'`` is its
    second-order expansion at s = 1, ``H / 2 * (1 + (1 + alpha ln H) ** 2)``
    (Eq. 8). The expansion is at least H / 2 and rises again for
    ``|alpha ln H| > 1``. Both are 0 where H is 0, and H where alpha is 0.

    Args:
        target (Tensor): Target heatmap H in [0, 1], any shape.
        scale_maps (Tensor): Scale maps alpha, same shape.
        expansion (str): ``'taylor'`` or ``'exact'``. Defaults to
            ``'taylor'``.

    Returns:
        Tensor: Adapted target H', same shape.

    Raises:
        ValueError: If the expansion is unknown.
    """
    check_expansion(expansion)
    exponent = scale_maps * target.where(target > 0, 1.0).log()
    if expansion == 'taylor':
        return 0.5 * target * (1 + (1 + exponent) ** 2)
    return target * exponent.exp()


def adaptive_weight(pred: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Compute ``W = H^gamma |1 - P| + (1 - H^gamma) |P|`` (Eq. 13).

    ``gamma=0`` is the hard boundary of Eq. 12: ``|1 - P|`` where H > 0 and
    ``|P|`` elsewhere.

    Args:
        pred (Tensor): Predicted heatmap P, any shape.
        target (Tensor): Target heatmap H in [0, 1], not adapted, same shape.
        gamma (float): Exponent of the soft boundary, at least 0.

    Returns:
        Tensor: Weight W, same shape.
    """
    foreground = _foreground_weight(target, gamma)
    return foreground * (1 - pred).abs() + (1 - foreground) * pred.abs()


def _foreground_weight(target: Tensor, gamma: float) -> Tensor:
    """Compute ``H^gamma``; for gamma 0 its limit, 1 where H > 0, else 0."""
    if gamma == 0:
        return (target > 0).to(target.dtype)
    return target.pow(gamma)


def scale_adapted_target_and_grad(
    target: Tensor, scale_maps: Tensor, expansion: str
) -> Tuple[Tensor, Tensor]:
    """Compute :func:`scale_adapted_target` and its derivative by alpha.

    The derivative is ``H ln H (1 + alpha ln H)`` for ``'taylor'`` and
    ``H' ln H`` for ``'exact'``.

    Args:
        target (Tensor): Target heatmap H in [0, 1], any shape.
        scale_maps (Tensor): Scale maps alpha, same shape.
        expansion (str): ``'taylor'`` or ``'exact'``.

    Returns:
        tuple[Tensor, Tensor]: Adapted target H' and dH'/dalpha, same shape.

    Raises:
        ValueError: If the expansion is unknown.
    """
    check_expansion(expansion)
    log = target.where(target > 0, 1.0).log_()
    exponent = scale_maps * log
    if expansion == 'taylor':
        base = exponent.add_(1)
        grad = log.mul_(target).mul_(base)
        return (base * base).add_(1).mul_(target).mul_(0.5), grad
    adapted = exponent.exp_().mul_(target)
    return adapted, log.mul_(adapted)


def adaptive_weight_and_grad(
    pred: Tensor, target: Tensor, gamma: float
) -> Tuple[Tensor, Tensor]:
    """Compute :func:`adaptive_weight` and its derivative by P.

    The derivative is ``(1 - H^gamma) sign(P) - H^gamma sign(1 - P)``.

    Args:
        pred (Tensor): Predicted heatmap P, any shape.
        target (Tensor): Target heatmap H in [0, 1], not adapted, same shape.
        gamma (float): Exponent of the soft boundary, at least 0.

    Returns:
        tuple[Tensor, Tensor]: Weight W and dW/dP, same shape.
    """
    foreground = _foreground_weight(target, gamma)
    background = 1 - foreground
    residual = 1 - pred
    grad = (background * pred.sign()).sub_(foreground * residual.sign())
    weight = foreground.mul_(residual.abs_()).add_(background.mul_(pred.abs()))
    return weight, grad


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert half precision to float32, and keep other dtypes.

    Half precision loses the small values at the edge of a Gaussian.

    Args:
        tensor (Tensor): Floating-point tensor, any shape.

    Returns:
        Tensor: float32, or the dtype of the input if that is wider.
    """
    return tensor.float() if torch.finfo(tensor.dtype).bits < 32 else tensor
