"""Decoding on another device."""

import numpy as np
import pytest
import torch
from helpers.codecs import HEATMAPS, TAGS
from helpers.device_cases import decoding_codec

from swahr_mmpose.commands.device_report.cases import draw_maps

SIZE = (96, 160)


def assert_same_people(found, expected):
    """Compare keypoints, scores and instance scores of all images."""
    for one, other in zip(found, expected):
        assert [len(a) for a in one] == [len(b) for b in other]
        for a, b in zip(one, other):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3)


def decode_on_both(device, codec, maps, *options):
    """Decode on the CPU and on the device."""
    with torch.no_grad():
        expected = codec.batch_decode(*maps, *options)
        found = codec.batch_decode(*device.put(maps), *options)
    return found, expected


@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('tag_dim', [1, 2])
@pytest.mark.parametrize('people', [0, 1, 3, 10, 30])
def test_people_are_those_of_the_cpu(device, people, tag_dim, unbiased):
    codec = decoding_codec(SIZE, unbiased=unbiased)
    maps = draw_maps(people, SIZE, tag_dim)
    found, expected = decode_on_both(device, codec, maps)
    assert (len(expected[0][0]) > 0) == (people > 0)
    assert_same_people(found, expected)


@pytest.mark.parametrize('people', [(3, 0, 12), (0, 0)], ids=str)
def test_images_of_a_batch_are_those_of_the_cpu(device, people):
    images = [draw_maps(n, SIZE, seed=n) for n in people]
    maps = tuple(torch.cat(m) for m in zip(*images))
    found, expected = decode_on_both(device, decoding_codec(SIZE), maps)
    assert_same_people(found, expected)


@pytest.mark.parametrize('coarse', [1, 2, 4])
def test_tags_of_any_resolution_are_read(device, coarse):
    maps = draw_maps(5, SIZE, tag_stride=coarse)
    found, expected = decode_on_both(device, decoding_codec(SIZE), maps)
    assert_same_people(found, expected)


def test_options_of_the_codec_hold(device):
    codec = decoding_codec(
        SIZE, decode_max_instances=2, decode_nms_kernel=7, decode_topk=4
    )
    maps = draw_maps(6, SIZE)
    found, expected = decode_on_both(device, codec, maps, 2.0)
    assert len(expected[0][0]) == 2
    assert_same_people(found, expected)


@pytest.mark.parametrize('tags', [t for t in TAGS if t != 'huge'])
@pytest.mark.parametrize('heatmaps', HEATMAPS)
def test_odd_maps_are_decoded_as_on_the_cpu(device, heatmaps, tags):
    rng = np.random.default_rng(0)
    maps = tuple(
        torch.from_numpy(np.asarray(make(rng, shape), np.float32))
        for make, shape in (
            (HEATMAPS[heatmaps], (2, 17, 24, 40)),
            (TAGS[tags], (2, 17, 24, 40)),
        )
    )
    found, expected = decode_on_both(device, decoding_codec((24, 40)), maps)
    assert_same_people(found, expected)
