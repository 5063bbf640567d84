# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Draw the figures of docs/story.md and compute the numbers behind them.

  %(prog)s --out-dir work_dirs/story

1. A fixed standard deviation on a small and on a large person.
2. The learned scale beside a network whose blobs are wider or narrower than
   the plain targets.
3. The weights: the share of each region in the loss, with and without them.

Uses the losses and targets of this repository on synthetic people; takes
seconds on a CPU.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from swahr_mmpose import SWAHRLoss
from swahr_mmpose.codecs.gaussian_targets import draw_gaussians
from swahr_mmpose.datasets.synthetic import KEYPOINT_NAMES
from swahr_mmpose.datasets.synthetic.people import draw_person
from swahr_mmpose.datasets.synthetic.scene import draw_background, paste
from swahr_mmpose.models.losses.functional import (
    adaptive_weight,
    scale_adapted_target,
)
from swahr_mmpose.utils.atomic_write import replaced_file
from swahr_mmpose.utils.cli import make_parser
from swahr_mmpose.visualization.drawing import overlay

SIGMA = 2.0  # cells, sigma_0 of the paper
STRIDE = 4  # px of the input in a cell of the coarse map
HEIGHTS = (60, 400)  # px of the small and of the large person
SIDE = 25  # cells of the patches of part 2
BLOBS = np.linspace(1.0, 4.0, 13)  # cells, standard deviations of blobs
LAMBDAS = (1.0, 0.5, 0.1)  # Table 5


def parse_args():
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--out-dir', default='work_dirs/story', help='folder of the figures'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='RNG seed of the people'
    )
    return parser.parse_args()


def save(figure, path):
    """Write a figure."""
    with replaced_file(str(path)) as stream:
        figure.savefig(stream, dpi=80, format='png')


def person_and_target(height, seed):
    """Draw one synthetic person (RGB) and its target at 1/4, (K, h, w)."""
    person = draw_person(np.random.default_rng(seed), height, 0.2)
    low, high = person.keypoints.min(0), person.keypoints.max(0)
    side = int(np.ceil((high - low).max() * 1.3 / STRIDE)) * STRIDE
    person = person.moved(np.array([side, side]) / 2, (side, side))
    image = draw_background(np.random.default_rng(seed), (side, side))
    paste(image, person.layer)
    cells = person.keypoints[None] / STRIDE
    visible = np.ones(cells.shape[:2])
    size = (side // STRIDE, side // STRIDE)
    target = draw_gaussians(cells, visible, size, SIGMA)
    return image[..., ::-1].copy(), cells[0], np.asarray(target)


def crowding(cells, target):
    """Compare the Gaussians with the size of the person."""
    own = len(cells)
    levels = np.floor(cells).astype(int)
    y, x = levels[:, 1], levels[:, 0]
    # Of other keypoints, those whose Gaussian is above a half here.
    inside = target[:, y, x] > 0.5
    face = [KEYPOINT_NAMES.index(n) for n in ('left_ear', 'right_ear')]
    head = np.linalg.norm(cells[face[0]] - cells[face[1]])
    return dict(
        head_width_in_sigmas=float(head / SIGMA),
        other_keypoints_under_a_gaussian=float((inside.sum() - own) / own),
    )


def explain_fixed_sigma(folder, seed):
    """Part 1: a fixed standard deviation."""
    figure = Figure(figsize=(9, 4.8), layout='constrained')
    numbers = {}
    for axis, height in zip(figure.subplots(1, 2), HEIGHTS):
        image, cells, target = person_and_target(height, seed)
        large = target.max(0).repeat(STRIDE, 0).repeat(STRIDE, 1)
        axis.imshow(overlay(image, large, 0.55))
        axis.set_title(f'{height} px tall, sigma = {SIGMA * STRIDE:g} px')
        axis.axis('off')
        numbers[f'person_of_{height}_px'] = crowding(cells, target)
    save(figure, folder / 'fixed_sigma.png')
    return numbers


def gaussian(sigma):
    """Draw a target in the middle of a patch, (1, 1, h, w)."""
    middle = np.full((1, 1, 2), SIDE // 2, float)
    maps = draw_gaussians(middle, np.ones((1, 1)), (SIDE, SIDE), sigma)
    return torch.from_numpy(np.asarray(maps))[None]


def blob(sigma):
    """Draw the prediction of a network with a fixed blob width."""
    steps = torch.arange(SIDE) - SIDE // 2
    squared = steps[:, None] ** 2 + steps**2
    return torch.exp(-squared / (2 * sigma**2))[None, None]


def find_scale(width, regularizer_weight):
    """Find the scale s of the smallest loss for a fixed blob width."""
    loss = SWAHRLoss(
        weight_adaptive=False, regularizer_weight=regularizer_weight
    )
    pred, target = blob(width), gaussian(SIGMA)

    def total(alpha):
        return float(sum(loss(pred, torch.full_like(pred, alpha), target)))

    found = minimize_scalar(total, bounds=(-0.7, 2), method='bounded')
    return 1 / (1 + float(found.x))


def explain_learned_scale(folder):
    """Part 2: the learned scale."""
    figure = Figure(figsize=(10.5, 3.8), layout='constrained')
    left, right = figure.subplots(1, 2)
    target = gaussian(SIGMA)
    middle = target[0, 0, SIDE // 2]
    cells = np.arange(SIDE) - SIDE // 2
    for s, colour in ((0.6, 'C0'), (1.0, 'k'), (1.6, 'C3')):
        alpha = torch.full_like(middle, 1 / s - 1)
        for form, style in (('exact', '-'), ('taylor', '--')):
            curve = scale_adapted_target(middle, alpha, form)
            left.plot(cells, curve, style, color=colour)
        left.plot([], [], color=colour, label=f's = {s:g}')
    left.set(xlabel='cells from the keypoint', title="adapted target H'")
    left.plot([], [], 'k--', label='its expansion (Eq. 8)')
    left.legend()
    numbers = {}
    for weight in LAMBDAS:
        found = [find_scale(width, weight) for width in BLOBS]
        right.plot(BLOBS / SIGMA, found, 'o-', label=f'lambda {weight:g}')
        numbers[f'lambda_{weight:g}'] = dict(
            zip((f'{b / SIGMA:.2f}' for b in BLOBS), found)
        )
    # H^(1/s) is a Gaussian of sigma_0 * sqrt(s).
    right.plot(
        BLOBS / SIGMA,
        (BLOBS / SIGMA) ** 2,
        'k:',
        label='s that matches the blob',
    )
    right.set(
        xlabel="width of the network's blobs, in sigma_0",
        title='learned scale s',
        ylim=(0.4, 2.1),
    )
    right.legend()
    save(figure, folder / 'learned_scale.png')
    return numbers


def make_prediction(target, seed):
    """Make a prediction: low peaks, one false positive, faint noise."""
    generator = torch.Generator().manual_seed(seed)
    noise = 0.03 * torch.randn(target.shape, generator=generator).abs()
    pred = (0.6 * target + noise).clamp(0, 1)
    pred[:, :, :SIDE, :SIDE] += 0.5 * blob(SIGMA)
    return pred


def shares(pred, target, weight):
    """Compute the shares of Gaussians, false positive and rest in the loss."""
    error = weight * (pred - target) ** 2
    people = target > 0
    alarm = torch.zeros_like(people)
    alarm[:, :, :SIDE, :SIDE] = True
    parts = dict(
        gaussians=people, false_positive=alarm & ~people, rest=~people & ~alarm
    )
    return {
        name: float(error[where].sum() / error.sum())
        for name, where in parts.items()
    }


def explain_weights(folder, seed):
    """Part 3: the weights."""
    cells = np.array([[[60.0, 60.0]], [[40.0, 70.0]]])
    drawn = draw_gaussians(cells, np.ones((2, 1)), (96, 96), SIGMA)
    target = torch.from_numpy(np.asarray(drawn))[None]
    pred = make_prediction(target, seed)
    weight = adaptive_weight(pred, target, gamma=0.01)
    plain, weighted = (pred - target) ** 2, weight * (pred - target) ** 2
    panels = {
        'target H': target,
        'prediction P': pred,
        'weight W': weight,
        'loss without W': plain,
        'loss with W': weighted,
    }
    figure = Figure(figsize=(14, 3.2), layout='constrained')
    for axis, (name, maps) in zip(figure.subplots(1, 5), panels.items()):
        shown = axis.imshow(maps[0, 0], cmap='viridis')
        figure.colorbar(shown, ax=axis, fraction=0.046)
        axis.set_title(name)
        axis.axis('off')
    save(figure, folder / 'weights.png')
    return dict(
        share_of_cells=dict(gaussians=float((target > 0).float().mean())),
        share_of_loss_without_weights=shares(
            pred, target, torch.ones_like(pred)
        ),
        share_of_loss_with_weights=shares(pred, target, weight),
    )


def main():
    """Draw the figures and print the numbers."""
    args = parse_args()
    folder = Path(args.out_dir)
    numbers = dict(
        fixed_sigma=explain_fixed_sigma(folder, args.seed),
        learned_scale=explain_learned_scale(folder),
        weights=explain_weights(folder, args.seed),
    )
    text = json.dumps(numbers, indent=2)
    (folder / 'story.json').write_text(text + '\n')
    print(text)
    print(f'figures are in {os.path.abspath(folder)}')


if __name__ == '__main__':
    main()
