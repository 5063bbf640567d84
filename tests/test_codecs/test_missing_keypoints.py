from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from helpers.codecs import plain_fill, random_people
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs import block_search, missing_keypoints
from swahr_mmpose.codecs.block_max import index_blocks
from swahr_mmpose.codecs.grouping import People
from swahr_mmpose.codecs.missing_keypoints import fill_missing_keypoints


@contextmanager
def limit_search(max_bounds, max_pairs):
    """Limits above which a map is searched in the order of its tags."""
    with mock.patch.object(
        missing_keypoints, '_MAX_BOUNDS', max_bounds
    ), mock.patch.object(block_search, '_MAX_PAIRS', max_pairs):
        yield


@settings(max_examples=1000, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    people=st.integers(0, 6),
    tag_dim=st.integers(1, 2),
    kind=st.sampled_from(['noise', 'steps', 'peaks', 'negative', 'constant']),
    odd=st.booleans(),
    low=st.sampled_from([-1.0, 0.02, 0.3, 2.0]),
    size=st.sampled_from([(7, 9), (5, 32), (3, 70), (40, 64)]),
    limits=st.sampled_from([None, None, (0, 9**9), (9**9, 0), (200, 3)]),
)
def test_filling_agrees_with_the_exhaustive_search(
    seed, people, tag_dim, kind, odd, low, size, limits
):
    rng = np.random.default_rng(seed)
    shape = (3, *size)
    heatmaps = {
        'noise': lambda: rng.normal(0, 0.3, shape),
        'steps': lambda: rng.integers(-1, 4, shape) / 4,
        'peaks': lambda: rng.random(shape) ** 8,
        'negative': lambda: -rng.random(shape),
        'constant': lambda: np.full(shape, 0.25),
    }[kind]().astype(np.float32)
    tags = rng.integers(-4, 5, (tag_dim, *shape)) / 2  # ties occur
    tags = tags.astype(np.float32)
    if odd:
        tags[rng.random(tags.shape) < 0.1] = np.nan
        tags[rng.random(tags.shape) < 0.05] = np.inf
    found = random_people(rng, people, 3, tag_dim)
    expected = plain_fill(found, heatmaps, tags)
    maps = torch.from_numpy(heatmaps)
    with limit_search(*(limits or (1 << 20, 1 << 15))):
        filled = fill_missing_keypoints(
            found, maps, torch.from_numpy(tags), index_blocks(maps, low)
        )
    np.testing.assert_array_equal(filled.cells, expected.cells)
    np.testing.assert_array_equal(filled.scores, expected.scores)
    np.testing.assert_array_equal(filled.tags, found.tags)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    small=st.sampled_from([(12, 16), (6, 8), (8, 12), (11, 15), (7, 7)]),
    noise=st.sampled_from([0.01, 3.0]),
    low=st.sampled_from([-1.0, 0.02, 0.9, 2.0]),
)
def test_coarse_tags_are_interpolated_as_if_enlarged(seed, small, noise, low):
    rng = np.random.default_rng(seed)
    found = random_people(rng, 4, 3, 2)
    heatmaps = torch.from_numpy(rng.random((3, 24, 32), dtype=np.float32))
    tags = noise * rng.normal(size=(2, 3, *small))
    tags = torch.from_numpy(tags.astype(np.float32))
    large = tags
    while 2 * large.shape[2] < 24 and 2 * large.shape[3] < 32:
        large = F.interpolate(large, scale_factor=2, mode='bilinear')
    large = F.interpolate(large, size=(24, 32), mode='bilinear')
    blocks = index_blocks(heatmaps, low)
    coarse = fill_missing_keypoints(found, heatmaps, tags, blocks)
    fine = plain_fill(found, heatmaps.numpy(), large.numpy())
    np.testing.assert_array_equal(coarse.cells, fine.cells)


def fill(found_tag, heatmap, tags):
    people = People(
        np.zeros((1, 2, 2), np.int64),
        np.array([[0.9, 0]], np.float32),
        np.array([[[found_tag], [0]]], np.float32),
    )
    maps = np.stack([np.zeros_like(heatmap), heatmap]).astype(np.float32)
    tags = np.stack([np.zeros_like(tags), tags])[None].astype(np.float32)
    maps = torch.from_numpy(maps)
    return fill_missing_keypoints(
        people, maps, torch.from_numpy(tags), index_blocks(maps, 0.02)
    )


def test_a_missing_keypoint_is_the_best_of_heatmap_minus_distance():
    heatmap = np.array([[0, 0.05, 0.5], [0.2, 0, 0]])
    tags = np.array([[0, 0, 7.0], [0, 0, 0]])
    filled = fill(0, heatmap, tags)
    assert filled.cells[0, 1].tolist() == [0, 1]
    assert filled.scores[0, 1] == np.float32(0.2)
    assert filled.scores[0, 0] == np.float32(0.9)


def test_of_equally_good_pixels_the_first_is_taken():
    filled = fill(0, np.array([[0, 0.2], [0.2, 0]]), np.zeros((2, 2)))
    assert filled.cells[0, 1].tolist() == [1, 0]


def test_a_keypoint_without_positive_heatmap_stays_missing():
    filled = fill(0, np.array([[-0.1, 0], [-1, -2]]), np.zeros((2, 2)))
    assert filled.scores[0, 1] == 0


def test_square_roots_are_correctly_rounded():
    """Those of torch differ from NumPy, the official form, in the last bit."""
    rng = np.random.default_rng(0)
    squared = (rng.random(1 << 21, np.float32) * 1e4) ** 2
    expected = np.sqrt(squared.astype(np.float64)).astype(np.float32)
    found = block_search.take_root(torch.from_numpy(squared))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_the_limit_of_the_search_is_shared_by_the_keypoints(monkeypatch):
    """Rising heatmaps exceed it; others are searched completely."""
    limits = []
    monkeypatch.setattr(missing_keypoints, '_MAX_TAG_PAIRS', 90)
    search = missing_keypoints.search_by_tags

    def record(*args):
        limits.append(args[-1])
        return search(*args)

    monkeypatch.setattr(missing_keypoints, 'search_by_tags', record)
    rng = np.random.default_rng(0)
    found = random_people(rng, 6, 3, 1)
    maps = torch.from_numpy(rng.random((3, 9, 33), np.float32))
    tags = torch.from_numpy(rng.normal(size=(1, 3, 9, 33)).astype(np.float32))
    with limit_search(0, 0):
        filled = fill_missing_keypoints(
            found, maps, tags, index_blocks(maps, 0.02)
        )
    expected = plain_fill(found, maps.numpy(), tags.numpy())
    np.testing.assert_array_equal(filled.cells, expected.cells)
    assert limits == [30, 30, 30]
