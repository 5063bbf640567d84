# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Compute what the losses prefer under label noise (docs/ablation.md).

  %(prog)s

One keypoint whose label has Gaussian noise of q = (noise / sigma_0)^2. Every
cell has its own prediction P and scale map alpha, so that the result is a
property of the loss and not of a network. Prints a Markdown table: P at the
true position that minimizes the mean loss without and with the weights of
Eq. 13, and the mean s that minimizes it with Eq. 8, for two values of lambda.
Takes half a minute.
"""

import numpy as np
import torch

from swahr_mmpose.models.losses.functional import (
    adaptive_weight,
    scale_adapted_target_and_grad,
)
from swahr_mmpose.utils.cli import make_parser

SIGMA = 2.0
REACH = 7  # cells of the official window to each side
NOISE = (0.0, 0.06, 0.25, 0.5, 1.0, 2.0, 4.0, 9.0)
LABELS = 20000  # per cell
DISTANCES = range(9)  # cells from the true position


def sample_targets(rng, q, distance):
    """Sample targets H of a cell at a distance from the true position."""
    offsets = rng.normal(0, np.sqrt(q) * SIGMA, (2, LABELS))
    offsets[0] += distance
    target = np.exp(-(offsets**2).sum(axis=0) / (2 * SIGMA**2))
    target[(np.abs(offsets) > REACH + 0.5).any(axis=0)] = 0
    return torch.from_numpy(target)


def minimize_weighted(target, gamma=0.01):
    """Find the lowest P at which the mean weighted loss has a minimum."""
    grid = torch.linspace(0, 1, 201, dtype=target.dtype)
    losses = torch.stack(
        [
            (adaptive_weight(p, target, gamma) * (p - target) ** 2).mean()
            for p in grid
        ]
    )
    rising = torch.nonzero(losses[1:] >= losses[:-1])
    return float(grid[rising[0, 0]]) if len(rising) else 1.0


def best_alpha(target, weight):
    """Compute alpha for P = E[H'], to first order (see the page)."""
    _, slope = scale_adapted_target_and_grad(
        target, torch.zeros_like(target), 'taylor'
    )
    covariance = (target * slope).mean() - target.mean() * slope.mean()
    regularizer = weight * (target > 0).double().mean()
    if not regularizer:
        return 0.0, 0.0
    alpha = -covariance / (slope.var() + regularizer)
    return float(alpha), float(slope.abs().mean())


def mean_scale(rng, q, weight):
    """Compute s over the Gaussian, with the weights H |ln H|."""
    total = norm = 0.0
    for distance in DISTANCES:
        alpha, share = best_alpha(sample_targets(rng, q, distance), weight)
        share *= max(distance, 1 / 6)  # area of the ring
        total, norm = total + alpha * share, norm + share
    return 1 / (1 + total / norm)


def main():
    """Print the table."""
    make_parser(__doc__).parse_args()
    rng = np.random.default_rng(0)
    print('| q | P, L2 loss | P, Eq. 13 | s, lambda 1 | s, lambda 0.1 |')
    print('| --- | --- | --- | --- | --- |')
    for q in NOISE:
        centre = sample_targets(rng, q, 0)
        scales = [mean_scale(rng, q, weight) for weight in (1, 0.1)]
        print(
            f'| {q:g} | {centre.mean():.2f} | '
            f'{minimize_weighted(centre):.2f} | '
            + ' | '.join(f'{s:.3f}' for s in scales)
            + ' |'
        )


if __name__ == '__main__':
    main()
