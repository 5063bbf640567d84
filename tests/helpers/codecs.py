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
