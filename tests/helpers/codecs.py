"""Random input and reference implementations of decoding."""

import numpy as np
import torch
from mmpose.datasets import CrowdPoseDataset  # noqa: F401  (its sigmas)
from munkres import Munkres

import swahr_mmpose  # noqa: F401  (registers everything)
from swahr_mmpose.codecs.block_max import index_blocks
from swahr_mmpose.codecs.grouping import People
from swahr_mmpose.codecs.peaks import find_candidates

COCO_ORDER = [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]


def assign_munkres(cost, distance):
    """Solve the assignment as the official code, with its padding."""
    n, m = cost.shape
    padded = np.concatenate([cost, np.full((n, max(n - m, 0)), 1e10)], axis=1)
    pairs = np.array(Munkres().compute(padded.tolist())).reshape(-1, 2)
    return tuple(pairs[pairs[:, 1] < m].T)


def index_and_find_candidates(heatmaps, tags, threshold, kernel, topk):
    """Build the block-max index and find candidates."""
    return find_candidates(
        heatmaps,
        tags,
        index_blocks(heatmaps, threshold),
        threshold=threshold,
        kernel=kernel,
        topk=topk,
    )


def random_candidates(rng, num_keypoints=5, per_keypoint=6, tag_dim=2):
    """Random scores (descending), cells and tags of candidates."""
    scores = rng.uniform(0, 1, (num_keypoints, per_keypoint))
    scores = -np.sort(-scores.astype(np.float32), axis=1)
    cells = rng.integers(0, 50, (num_keypoints, per_keypoint, 2))
    # Coarse tags: equal tags and equal distances occur.
    tags = rng.integers(0, 12, (num_keypoints, per_keypoint, tag_dim)) / 4
    return scores, cells, tags.astype(np.float32)


HEATMAPS = dict(
    zeros=lambda rng, shape: np.zeros(shape),
    constant=lambda rng, shape: np.full(shape, 0.5),
    negative=lambda rng, shape: -rng.random(shape),
    noise=lambda rng, shape: rng.normal(0, 0.3, shape),
    steps=lambda rng, shape: rng.integers(-2, 5, shape) / 4,
    peaks=lambda rng, shape: rng.random(shape) ** 8,
    checkers=lambda rng, shape: np.indices(shape).sum(axis=0) % 2.0,
    huge=lambda rng, shape: rng.normal(0, 1e37, shape),
    tiny=lambda rng, shape: rng.random(shape) * 1e-42,
)


TAGS = dict(
    equal=lambda rng, shape: np.full(shape, 1.5),
    steps=lambda rng, shape: rng.integers(-3, 4, shape) / 2,
    noise=lambda rng, shape: rng.normal(0, 5, shape),
    huge=lambda rng, shape: rng.normal(0, 1e38, shape),
)


ODD = [np.nan, np.inf, -np.inf]


def spoiled(array, rng, share):
    """Replace a share of the values by NaN and infinities."""
    array = array.astype(np.float32)
    chosen = rng.random(array.shape) < share
    array[chosen] = rng.choice(ODD, int(chosen.sum()))
    return torch.from_numpy(array)


def plain_fill(people, heatmaps, tags):
    """Fill missing keypoints by an exhaustive search, one at a time."""
    cells, scores = people.cells.copy(), people.scores.copy()
    for p, found in enumerate(people.scores > 0):
        if found.all() or not found.any():
            continue
        mean_tag = people.tags[p, found].mean(axis=0)
        for k in np.flatnonzero(~found):
            difference = tags[:, k] - mean_tag[:, None, None]
            distance = np.round(np.sqrt((difference**2).sum(axis=0)))
            fit = heatmaps[k] - np.where(np.isnan(distance), np.inf, distance)
            y, x = divmod(int(np.argmax(fit)), heatmaps.shape[2])
            if heatmaps[k, y, x] > 0 and fit[y, x] > -np.inf:
                cells[p, k], scores[p, k] = (x, y), heatmaps[k, y, x]
    return People(cells, scores, people.tags)


def random_people(rng, people, keypoints, tag_dim):
    """Random people with about half of their keypoints missing."""
    scores = rng.uniform(0.1, 1, (people, keypoints)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.5] = 0
    tags = rng.integers(-4, 5, (people, 1, tag_dim)) / 2
    tags = tags + rng.normal(0, 0.1, (people, keypoints, tag_dim))
    tags[scores == 0] = 0
    cells = np.zeros((people, keypoints, 2), np.int64)
    return People(cells, scores, tags.astype(np.float32))


# Genes of `slow_maps`, numbers from 0 to 1, mapped to these ranges.
GENES = dict(
    heat_power=(-1, 6),
    heat_levels=(1, 40),
    heat_slope=(-2, 2),
    heat_slope_share=(0, 1),
    heat_plane=(-1, 3),
    heat_low_rows=(-1, 1),
    heat_base=(-0.5, 1),
    heat_exponent=(-3, 38),
    heat_scaled=(0, 1),
    tag_dim=(0, 1),
    tag_coarse=(0, 1),
    tag_spread=(-3, 4),
    tag_levels=(1, 40),
    tag_plane=(-3, 4),
    tag_keypoint=(-2, 4),
    tag_copy=(0, 1),
    tag_exponent=(0, 38),
    tag_scaled=(0, 1),
    tag_step=(0, 1),
    odd=(-0.1, 0.1),
)


def slow_maps(genes, shape=(17, 512, 512)):
    """Make heatmaps and tags (1, C, H, W) from genes, an array from 0 to 1.

    Noise, levels, planes, plateaus and ties, heatmaps that rise with the tags,
    values up to 1e38, and keypoints whose tags are far from all others.
    """
    g = dict(zip(GENES, genes))
    g = {k: low + g[k] * (high - low) for k, (low, high) in GENES.items()}
    rng = np.random.default_rng(int(1e6 * genes[0]))
    tag_dim, height, width = 1 + round(g['tag_dim']), *shape[1:]
    column = np.linspace(0, 1, width, dtype=np.float32)
    row = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    keypoint = np.arange(shape[0], dtype=np.float32)[:, None, None]
    tags = rng.random((tag_dim, *shape), np.float32) - 0.5
    if g['tag_step'] > 0.5:
        tags = np.round(tags * g['tag_levels']) / g['tag_levels']
    if tag_dim == 2 and g['tag_copy'] > 0.5:
        tags[1] = tags[0]
    tags *= np.float32(10 ** g['tag_spread'])
    tags += np.float32(10 ** g['tag_plane']) * column
    tags += np.float32(10 ** g['tag_keypoint']) * keypoint
    heat = rng.random(shape, np.float32) ** np.float32(max(g['heat_power'], 0))
    if g['heat_power'] < 2.5:
        heat = np.round(heat * g['heat_levels']) / g['heat_levels']
    heat += np.float32(g['heat_base'] + max(g['heat_plane'], 0) * row)
    if g['heat_slope_share'] > 0.5:
        heat += np.float32(g['heat_slope']) * tags[0]
    heat[:, : height // 2] += np.float32(min(g['heat_low_rows'], 0))
    with np.errstate(all='ignore'):
        if g['heat_scaled'] > 0.8:
            heat *= np.float32(10 ** g['heat_exponent'])
        if g['tag_scaled'] > 0.8:
            tags *= np.float32(10 ** g['tag_exponent'])
    tags = tags.reshape(1, -1, height, width)
    if g['tag_coarse'] > 0.7:
        tags = np.ascontiguousarray(tags[..., ::2, ::2])
    maps = heat[None].astype(np.float32), tags.astype(np.float32)
    return tuple(spoiled(m, rng, max(g['odd'], 0)) for m in maps)


def search_slow_maps(measure, rounds, rng, parents=6):
    """Evolve genes for which ``measure`` is largest.

    The first half of the rounds is random; afterwards one of the best is
    mutated, or two of them are crossed.

    Returns:
        list[tuple[float, np.ndarray]]: Measurements and genes, largest first.
    """
    found = []
    for i in range(rounds):
        genes = rng.random(len(GENES))
        if 2 * i >= rounds:
            one, other = (
                found[rng.integers(min(parents, len(found)))][1]
                for _ in range(2)
            )
            genes = np.where(rng.random(len(GENES)) < 0.5, one, other)
            change = rng.random(len(GENES)) < 0.2
            genes = genes + change * rng.normal(0, 0.3, len(GENES))
            genes = genes.clip(0, 1)
        found.append((measure(genes), genes))
        found.sort(key=lambda pair: -pair[0])
    return found
