# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Decoding time over the number of people, the size and the batch."""

import statistics

import numpy as np
import torch

import swahr_mmpose

from .inputs import ORDER, people_maps
from .measuring import seconds

PEOPLE = (0, 1, 3, 10, 30, 100, 200)
SIZES = (512, 768, 1024, 1536, 2048)
BATCHES = (1, 2, 4, 8)


def maps_of(people, side, device):
    """Make fused heatmaps and coarse tags of a square input."""
    rng = np.random.default_rng(people)
    # People of one size in pixels: more of them are closer together.
    maps, tags = people_maps(people, (side // 4, side // 4), 2, rng)
    codec = swahr_mmpose.ScaleAwareAssociativeEmbedding(
        input_size=(side, side),
        heatmap_sizes=[(side // 4, side // 4), (side // 2, side // 2)],
        decode_keypoint_order=ORDER,
    )
    fused = torch.nn.functional.interpolate(
        maps, size=(side, side), mode='bilinear'
    )
    return codec, fused.to(device), tags.repeat(1, 2, 1, 1).to(device)


def cost(people, side, batch, args):
    """Measure the median milliseconds of a batch and count the people."""
    codec, maps, tags = maps_of(people, side, args.device)
    maps, tags = (t.repeat(batch, 1, 1, 1) for t in (maps, tags))
    found = codec.batch_decode(maps, tags)[0]
    times = [
        seconds(lambda: codec.batch_decode(maps, tags), args.device)
        for _ in range(args.repeats)
    ]
    return 1e3 * statistics.median(times), len(found[0])


def grow(args):
    """Measure three series: (name, variable, values, milliseconds)."""
    series = []
    for name, values, case in (
        ('people, 512x512', PEOPLE, lambda n: (n, 512, 1)),
        ('people, 1024x1024', PEOPLE, lambda n: (n, 1024, 1)),
        ('side of the input, 10 people', SIZES, lambda n: (10, n, 1)),
        ('batch, 512x512, 10 people', BATCHES, lambda n: (10, 512, n)),
    ):
        costs = []
        for value in values:
            milliseconds, found = cost(*case(value), args)
            costs.append(milliseconds)
            print(
                f'| {name} | {value} | {milliseconds:.1f} | {found} |',
                flush=True,
            )
        series.append(dict(name=name, values=list(values), ms=costs))
    return series


def plot(series, path):
    """Plot the series; all axes but that of people are logarithmic."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6))
    for ax, group in zip(axes, (series[:2], series[2:3], series[3:])):
        for one in group:
            ax.plot(one['values'], one['ms'], 'o-', label=one['name'])
        ax.set_ylim(bottom=0)
        ax.set_xlim(left=0)
        ax.set_ylabel('ms')
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    side = series[2]
    values = np.array(side['values'], float)
    first = side['ms'][0]
    axes[1].plot(
        values,
        first * (values / values[0]) ** 2,
        ':',
        color='gray',
        label='as the pixels',
    )
    axes[1].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
