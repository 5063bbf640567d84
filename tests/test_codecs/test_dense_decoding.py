"""The form for accelerators, on CPU tensors, against the form for CPUs."""

import contextlib
import os
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.codecs import COCO_ORDER, HEATMAPS, TAGS, spoiled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swahr_mmpose.codecs import (
    decoding,
    dense_decoding,
    dense_search,
    pair_search,
)
from swahr_mmpose.codecs.dense_decoding import decode_dense
from swahr_mmpose.codecs.grouping import DecodeOptions
from swahr_mmpose.codecs.pruned_decoding import decode_pruned
from swahr_mmpose.commands.device_report.cases import draw_maps

EXAMPLES = int(os.environ.get('SWAHR_FUZZ_EXAMPLES', 1000))
# Blocks and pairs that are read: the usual numbers, or so few that the search
# must be repeated with more pairs, or with all cells.
BUDGETS = dict(
    usual={},
    pairs=dict(_PAIRS=1, _PAIRS_PER_PERSON=0, _TOO_MANY=0),
    cells=dict(_PAIRS=1, _PAIRS_PER_PERSON=0),
)


def assert_equal_images(found, expected):
    """Compare people, instance scores, filled masks and shifts exactly."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        for a, b in zip((*one.people, *one[1:]), (*other.people, *other[1:])):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@contextlib.contextmanager
def budget(name):
    """Limit what is read by one of ``BUDGETS``."""
    if name == 'usual':
        yield
        return
    with mock.patch.multiple(dense_search, **BUDGETS[name]):
        with mock.patch.object(pair_search, '_FIRST_BLOCKS', 2):
            yield


@settings(max_examples=min(EXAMPLES, 500), deadline=None)
@given(
    seed=st.integers(0, 2**31),
    heatmaps=st.sampled_from(list(HEATMAPS)),
    tags=st.sampled_from(list(TAGS)),
    size=st.sampled_from([(1, 1), (2, 3), (8, 40), (12, 64), (24, 70)]),
    share=st.sampled_from([0.0, 0.0, 0.01, 0.5, 1.0]),
    tag_dim=st.integers(1, 2),
    kernel=st.sampled_from([1, 3, 5, 7]),
    step=st.sampled_from([None, 1, 2]),
    most=st.sampled_from([None, 2]),
    name=st.sampled_from(list(BUDGETS)),
)
def test_both_forms_decode_arbitrary_maps_to_the_same_people(
    seed, heatmaps, tags, size, share, tag_dim, kernel, step, most, name
):
    rng = np.random.default_rng(seed)
    maps = spoiled(HEATMAPS[heatmaps](rng, (2, 3, *size)), rng, share)
    share = rng.choice([0, share])
    tags = spoiled(TAGS[tags](rng, (2, tag_dim, 3, *size)), rng, share)
    options = DecodeOptions(
        [2, 0, 1],
        topk=5,
        nms_kernel=kernel,
        parabola_step=step,
        max_people=most,
    )
    expected = decode_pruned(maps, tags, options)
    with budget(name):
        assert_equal_images(decode_dense(maps, tags, options), expected)


@pytest.mark.parametrize('name', BUDGETS)
@pytest.mark.parametrize('small', [(6, 10), (12, 20), (8, 15), (7, 7)])
def test_tags_are_interpolated_as_on_a_cpu(small, name):
    options = DecodeOptions([0, 1, 2], topk=5)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        maps = torch.from_numpy(rng.random((2, 3, 24, 40), np.float32) ** 8)
        tags = rng.normal(0, 5, (2, 2, 3, *small)).astype(np.float32)
        tags = torch.from_numpy(tags)
        expected = decode_pruned(maps, tags, options)
        with budget(name):
            found = decode_dense(maps, tags, options)
        for one, other in zip(found, expected):
            assert len(other.people.scores) > 0
            for a, b in zip(one.people[:2], other.people[:2]):
                np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(
                one.people.tags, other.people.tags, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize('name', BUDGETS)
@pytest.mark.parametrize('people', [1, 10, 30])
def test_crowds_are_the_same_people(people, name):
    maps, tags = draw_maps(people, (160, 256), tag_stride=1)
    tags = tags.unflatten(1, (-1, 17))
    options = DecodeOptions(COCO_ORDER, max_people=30)
    expected = decode_pruned(maps, tags, options)
    assert expected[0].filled.any() or people == 1
    with budget(name):
        assert_equal_images(decode_dense(maps, tags, options), expected)


def test_parts_of_a_batch_are_as_the_batch(monkeypatch):
    """Memory is bounded by parts; few bytes make many of them."""
    images = [draw_maps(n, (96, 160), tag_stride=1, seed=n) for n in (3, 0, 9)]
    maps, tags = (torch.cat(m) for m in zip(*images))
    tags = tags.unflatten(1, (-1, 17))
    options = DecodeOptions(COCO_ORDER)
    expected = decode_dense(maps, tags, options)
    sizes = []
    find, search = dense_decoding._find_peaks, pair_search.search_pairs
    monkeypatch.setattr(
        dense_decoding,
        '_find_peaks',
        lambda planes, *a: sizes.append(len(planes)) or find(planes, *a),
    )
    monkeypatch.setattr(
        pair_search,
        'search_pairs',
        lambda m, t, b, queries, tables: (
            sizes.append(len(queries.rows)) or search(m, t, b, queries, tables)
        ),
    )
    monkeypatch.setattr(dense_decoding, '_MAX_BYTES', 10 * 96 * 160 * 16)
    monkeypatch.setattr(pair_search, '_MAX_BYTES', 1 << 22)
    assert_equal_images(decode_dense(maps, tags, options), expected)
    assert sizes[:6] == [10, 10, 10, 10, 10, 1]
    assert len(sizes) > 8
    assert max(sizes[6:]) < 16


class LargestTensor(TorchDispatchMode):
    """Records the bytes of the largest tensor that is made."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if torch.is_tensor(made) and made._base is None:
                self.bytes = max(self.bytes, made.nbytes)
        return result

    bytes = 0


@pytest.mark.parametrize('name', BUDGETS)
def test_memory_does_not_grow_with_people_and_images(monkeypatch, name):
    """The same limits hold for one image and for many, crowded ones."""
    limit = 1 << 23
    for module in (dense_decoding, pair_search):
        monkeypatch.setattr(module, '_MAX_BYTES', limit)
    options = DecodeOptions(COCO_ORDER)
    images = [draw_maps(n, (96, 160), 1, seed=n) for n in (20, 40, 40, 40)]
    maps, tags = (torch.cat(m) for m in zip(*images))
    with LargestTensor() as largest, budget(name):
        found = decode_dense(maps, tags[:, None], options)
    assert sum(i.filled.sum() for i in found) > 300
    assert largest.bytes <= limit


def test_equal_scores_are_taken_in_their_order():
    """More equal peaks than candidates: the selection is ambiguous."""
    maps = torch.zeros(1, 2, 40, 50)
    maps[0, :, ::2, ::2] = 0.5
    tags = torch.arange(2000.0).view(1, 1, 1, 40, 50).expand(-1, -1, 2, -1, -1)
    options = DecodeOptions([0, 1], nms_kernel=3, topk=30, fill_missing=False)
    with mock.patch.object(
        dense_decoding, '_sort_all', wraps=dense_decoding._sort_all
    ) as sort:
        found = decode_dense(maps, tags, options)
    sort.assert_called_once()
    cells = [[x, y] for y in (0, 2) for x in range(0, 50, 2)][:30]
    assert found[0].people.cells[:, 0].tolist() == cells
    assert_equal_images(found, decode_pruned(maps, tags, options))


@pytest.mark.parametrize('form', [decode_pruned, decode_dense])
def test_filled_keypoints_are_those_without_a_peak(form):
    maps, tags = torch.zeros(2, 1, 3, 8, 40)
    maps[0, 0, 3, 4], maps[0, 1, 5, 30] = 0.9, 0.05
    expected = dict(filled=[True], missing=[False])
    for fill, mask in zip((True, False), expected.values()):
        options = DecodeOptions([0, 1, 2], fill_missing=fill)
        [image] = form(maps, tags[:, None], options)
        # The map of the last keypoint is 0 everywhere.
        assert image.filled.tolist() == [[False, *mask, False]]
        found = image.people.scores > 0
        assert found.tolist() == [[True, *mask, False]]
        np.testing.assert_allclose(image.instance_scores, [0.3], rtol=1e-6)


def test_no_images_and_no_people_are_normal():
    options = DecodeOptions([0, 1, 2])
    empty = torch.zeros(0, 3, 8, 8), torch.zeros(0, 1, 3, 8, 8)
    assert decode_dense(*empty, options) == []
    maps = torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 3, 8, 8)
    assert_equal_images(
        decode_dense(*maps, options), decode_pruned(*maps, options)
    )


def test_the_form_is_chosen_by_the_device(monkeypatch):
    chosen = []
    for form in ('pruned', 'dense'):
        monkeypatch.setattr(
            getattr(decoding, f'{form}_decoding'),
            f'decode_{form}',
            lambda *_, form=form: chosen.append(form),
        )
    for device in ('cpu', 'meta'):
        maps = torch.zeros(1, 3, 8, 8, device=device)
        decoding.decode_maps(maps, maps[:, None], DecodeOptions([0, 1, 2]))
    assert chosen == ['pruned', 'dense']
