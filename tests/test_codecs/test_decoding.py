"""Decoding of arbitrary maps: valid arrays, bounded time and memory."""

import os
import resource
import time
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.codecs import HEATMAPS, TAGS, spoiled
from helpers.slow_inputs import list_slow_inputs, load_tool
from hypothesis import given, settings
from hypothesis import strategies as st

from swahr_mmpose import ScaleAwareAssociativeEmbedding

K, TOPK = 3, 5
# 10000 examples take three minutes on two cores.
EXAMPLES = int(os.environ.get('SWAHR_FUZZ_EXAMPLES', 1000))
# A hundred take two minutes.
SLOW_MAPS = int(os.environ.get('SWAHR_SLOW_MAPS', 3))
SLOW = 2.0


def codec(num_keypoints=K, topk=TOPK, **kwargs):
    options = dict(decode_keypoint_order=list(range(num_keypoints)))
    return ScaleAwareAssociativeEmbedding(
        input_size=(64, 64),
        heatmap_sizes=[(16, 16), (32, 32)],
        decode_topk=topk,
        **{**options, **kwargs},
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    heatmaps=st.sampled_from(list(HEATMAPS)),
    tags=st.sampled_from(list(TAGS)),
    size=st.sampled_from([(1, 1), (2, 3), (8, 40), (12, 64)]),
    share=st.sampled_from([0.0, 0.0, 0.01, 0.5, 1.0]),
    tag_dim=st.integers(1, 2),
    coarse=st.booleans(),
    unbiased=st.booleans(),
)
def test_arbitrary_maps_decode_to_valid_people(
    seed, heatmaps, tags, size, share, tag_dim, coarse, unbiased
):
    rng = np.random.default_rng(seed)
    height, width = size
    small = (-(-height // 2), -(-width // 4)) if coarse else size
    maps = spoiled(HEATMAPS[heatmaps](rng, (2, K, *size)), rng, share)
    share = rng.choice([0, share])
    tags = spoiled(TAGS[tags](rng, (2, tag_dim * K, *small)), rng, share)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        decoded = codec(unbiased=unbiased).batch_decode(maps, tags)
    for keypoints, scores, instance_scores in zip(*decoded):
        people = len(keypoints)
        assert people <= K * TOPK
        assert keypoints.shape == (people, K, 2)
        assert scores.shape == (people, K)
        assert instance_scores.shape == (people,)
        for array in (keypoints, scores, instance_scores):
            assert array.dtype == np.float32
            assert np.isfinite(array).all()
        found = scores > 0
        assert (scores >= 0).all()
        assert found.any(axis=1).all()
        inside = (keypoints >= -0.5) & (keypoints <= [width, height])
        assert inside[found].all()
        assert (keypoints[~found] == 0).all()


@pytest.mark.parametrize('heatmaps', ['constant', 'noise', 'checkers'])
def test_the_worst_maps_take_bounded_time_and_memory(heatmaps):
    """Up to every second cell is a peak, at full size."""
    rng = np.random.default_rng(0)
    shape = (1, 17, 512, 768)
    maps = torch.from_numpy(HEATMAPS[heatmaps](rng, shape)).float()
    tags = torch.from_numpy(TAGS['noise'](rng, shape)).float()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    found = codec(17, 30).batch_decode(maps, tags)
    seconds = time.perf_counter() - started
    extra = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(found[0][0]) <= 17 * 30
    # Measured: at most 1.5 s and 500 MiB.
    assert seconds < 15
    assert extra < 2**20  # in KiB


def measure_slowest(target, inputs):
    """CPU seconds of the slowest input, each the best of at most three."""
    tool = load_tool()
    decode = tool.DECODERS[target]()
    return max(
        tool.measure(decode, one, SLOW, repeats=3).seconds for one in inputs
    )


@pytest.mark.parametrize('target', ['codec', 'runtime'])
def test_the_slowest_known_maps_take_bounded_time(target):
    """They took up to 29 s before the search was bounded."""
    # Measured: at most 0.7 s of CPU time, beside other work.
    assert measure_slowest(target, list_slow_inputs()) < SLOW


@pytest.mark.parametrize('target', ['codec', 'runtime'])
def test_a_search_for_slow_maps_finds_none(target):
    tool, rng = load_tool(), np.random.default_rng(0)
    found = tool.search(
        tool.DECODERS[target](), lambda number: number >= SLOW_MAPS, rng
    )
    slowest = [one.inputs for one in found if one.seconds > SLOW]
    assert not slowest or measure_slowest(target, slowest) < SLOW


def test_the_search_prefers_slow_inputs():
    """Of a decoder whose time is the number of layers."""
    tool = load_tool()

    def measure(decode, inputs, slow):
        return tool.Measured(len(inputs.tags), 0, 0, inputs)

    with mock.patch.object(tool, 'measure', measure):
        rng = np.random.default_rng(0)
        found = tool.search(len, lambda number: number >= 200, rng)
    assert [one.seconds for one in found] == [4] * len(found)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_inputs_of_the_search_are_maps_that_can_be_repeated(seed):
    tool, rng = load_tool(), np.random.default_rng(seed)
    inputs = tool.mutate(tool.draw_inputs(rng), tool.draw_inputs(rng), rng)
    heatmaps, tags = tool.make_maps(inputs, (K, 8, 32))
    scale = inputs.tag_scale
    assert heatmaps.shape == (K, 8, 32)
    assert tags.shape == (inputs.tag_dim * K, 8 // scale, 32 // scale)
    assert heatmaps.dtype == tags.dtype == np.float32
    for one, other in zip(
        (heatmaps, tags), tool.make_maps(inputs, (K, 8, 32))
    ):
        np.testing.assert_array_equal(one, other)


def test_memory_layouts_and_empty_batches_are_supported():
    maps = torch.rand(2, K, 4, 64)
    tags = torch.zeros(2, K, 4, 32)
    expected = codec().batch_decode(maps[..., :32].clone(), tags)
    got = codec().batch_decode(maps[..., :32], tags)
    for one, other in zip(expected, got):
        for a, b in zip(one, other):
            np.testing.assert_array_equal(a, b)
    assert codec().batch_decode(maps[:0], maps[:0]) == ([], [], [])


def test_nan_and_infinity_count_as_zero_and_minus_infinity_is_lowest():
    maps = torch.zeros(1, K, 2, 40)
    maps[0, :, 0, 3] = 0.9
    spoiled_maps = maps.clone()
    spoiled_maps[0, 1, 1, 35:] = torch.tensor(
        [np.nan, np.inf, -np.inf, np.nan, np.inf]
    )
    tags = torch.zeros(1, K, 2, 40)
    for one, other in zip(
        codec().batch_decode(maps, tags),
        codec().batch_decode(spoiled_maps, tags),
    ):
        np.testing.assert_array_equal(one[0], other[0])
