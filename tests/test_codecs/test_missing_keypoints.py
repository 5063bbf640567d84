import numpy as np
import torch
import torch.nn.functional as F
from helpers.codecs import plain_fill, random_people
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose.codecs.block_max import index_blocks
from swahr_mmpose.codecs.grouping import People
from swahr_mmpose.codecs.missing_keypoints import fill_missing_keypoints


@settings(max_examples=1000, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    people=st.integers(0, 6),
    tag_dim=st.integers(1, 2),
    kind=st.sampled_from(['noise', 'steps', 'peaks', 'negative', 'constant']),
    odd=st.booleans(),
    low=st.sampled_from([-1.0, 0.02, 0.3, 2.0]),
    size=st.sampled_from([(7, 9), (5, 32), (3, 70), (40, 64)]),
)
def test_filling_agrees_with_the_exhaustive_search(
    seed, people, tag_dim, kind, odd, low, size
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
