import re

import numpy as np
import pytest
import torch
from helpers.codecs import COCO_ORDER

from swahr_mmpose import ScaleAwareAssociativeEmbedding
from swahr_mmpose.codecs import decoding, grouping
from swahr_mmpose.codecs.assignment import assign_official
from swahr_mmpose.codecs.block_max import index_blocks
from swahr_mmpose.codecs.dense_decoding import decode_dense
from swahr_mmpose.codecs.missing_keypoints import fill_missing_keypoints
from swahr_mmpose.codecs.pruned_decoding import decode_pruned
from swahr_mmpose.structures import SparseHeatmap

DECODE_CASES = [
    'people0',
    'people1',
    'people3',
    'people10',
    'people30',
    'close',
    'one_tag_channel',
    'many_missing',
    'border',
    'crowded_topk',
    'plateau',
    'equal_tags',
    'crowdpose14_people4',
    'crowdpose14_people12',
]


def make_codec(**kwargs):
    kwargs = dict(
        dict(
            input_size=(128, 128),
            heatmap_sizes=[(32, 32), (64, 64)],
            decode_keypoint_order=COCO_ORDER,
        ),
        **kwargs,
    )
    return ScaleAwareAssociativeEmbedding(**kwargs)


def load_case(golden, case):
    z = golden('decode.npz', f'{case}/heatmaps')
    return {k.split('/')[1]: z[k] for k in z if k.startswith(f'{case}/')}


@pytest.mark.parametrize('form', [decode_pruned, decode_dense])
@pytest.mark.parametrize('case', DECODE_CASES)
def test_decoding_equals_the_official_one(golden, monkeypatch, case, form):
    monkeypatch.setattr(decoding.pruned_decoding, 'decode_pruned', form)
    z = load_case(golden, case)
    maps = torch.from_numpy(z['heatmaps'])
    tags = torch.from_numpy(z['tags']).permute(0, 4, 1, 2, 3).flatten(1, 2)
    height, width = maps.shape[2:]
    codec = make_codec(
        input_size=(width, height),
        heatmap_sizes=[(width, height)],
        decode_keypoint_order=z['joint_order'].tolist(),
        decode_assignment='official',
    )
    if not z['stable'][0]:
        # torch.topk of the official code orders equal scores arbitrarily.
        check_grouping_of_official_candidates(z)
        return
    keypoints, scores, instance_scores = codec.batch_decode(maps, tags)
    np.testing.assert_array_equal(keypoints[0], z['people'][..., :2])
    np.testing.assert_array_equal(scores[0], z['people'][..., 2])
    np.testing.assert_allclose(instance_scores[0], z['scores'], rtol=1e-6)


def check_grouping_of_official_candidates(z):
    people = grouping.group_by_tags(
        z['topk_val'],
        z['topk_loc'],
        z['topk_tag'],
        keypoint_order=z['joint_order'].tolist(),
        assign=assign_official,
    )
    np.testing.assert_array_equal(people.cells, z['people_match'][..., :2])
    np.testing.assert_array_equal(people.scores, z['people_match'][..., 2])
    heatmaps = torch.from_numpy(z['heatmaps'][0])
    filled = fill_missing_keypoints(
        people,
        heatmaps,
        torch.from_numpy(z['tags'][0].transpose(3, 0, 1, 2)),
        index_blocks(heatmaps, 0.02),
    )
    np.testing.assert_array_equal(filled.scores, z['people'][..., 2])


def perfect_maps(codec, keypoints, visible):
    """Maps of a perfect network, at the finest level."""
    encoded = codec.encode(keypoints, visible)
    maps = torch.from_numpy(np.asarray(encoded['heatmaps'][-1]))[None]
    tags = torch.zeros_like(maps)
    w, h = codec.heatmap_sizes[-1]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing='ij')
    for n, person in enumerate(keypoints):
        for k, (px, py) in enumerate(person * w / codec.input_size[0]):
            tags[0, k][(x - px) ** 2 + (y - py) ** 2 < 16] = 3.0 * n
    return maps, tags


def spread_keypoints(rng, people=2):
    """Random keypoints with people far from each other."""
    keypoints = rng.uniform(20, 44, (people, 17, 2))
    keypoints[1:] += 60
    return keypoints


def decode_pairs(codec, keypoints, visible):
    maps, tags = perfect_maps(codec, keypoints, visible)
    found, scores, _ = codec.batch_decode(maps, tags, scale_factor=2)
    # People are in the order of their first keypoint's score.
    order = np.argsort(found[0][:, 0, 0])
    return found[0][order], scores[0][order]


@pytest.mark.parametrize(
    ('unbiased', 'tolerance'), [(False, 1.51), (True, 0.05)]
)
def test_decode_inverts_encode(unbiased, tolerance):
    keypoints = spread_keypoints(np.random.default_rng(0))
    codec = make_codec(unbiased=unbiased)
    found, scores = decode_pairs(codec, keypoints, np.ones((2, 17)))
    assert found.shape == (2, 17, 2)
    assert np.abs(found - keypoints).max() < tolerance
    assert (scores > 0.9).all() or unbiased


def test_unbiased_encoding_flips_exactly():
    keypoints = spread_keypoints(np.random.default_rng(1))
    codec = make_codec(unbiased=True)
    flipped = keypoints.copy()
    flipped[..., 0] = 127 - flipped[..., 0]
    expected = codec.encode(keypoints)
    encoded = codec.encode(flipped, flip=True)
    for a, b in zip(expected['heatmaps'], encoded['heatmaps']):
        np.testing.assert_allclose(
            np.asarray(a)[..., ::-1], np.asarray(b), rtol=1e-5
        )


@pytest.mark.parametrize(
    ('x', 'plain', 'flipped'),
    [(200.5, (50, 100), (76, 154)), (200.0, (50, 100), (77, 155))],
)
def test_the_official_flip_is_applied_on_each_level(x, plain, flipped):
    codec = make_codec(
        input_size=(512, 512), heatmap_sizes=[(128, 128), (256, 256)]
    )
    keypoints = np.full((1, 17, 2), x)
    for flip, expected in ((False, plain), (True, flipped)):
        points = keypoints.copy()
        if flip:
            points[..., 0] = 511 - points[..., 0]
        encoded = codec.encode(points, flip=flip)
        maps = [np.asarray(m) for m in encoded['heatmaps']]
        assert tuple(int(m[0].max(axis=0).argmax()) for m in maps) == expected


def test_no_people_encode_and_decode_to_empty_arrays():
    codec = make_codec()
    encoded = codec.encode(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    assert encoded['keypoint_indices'].shape == (0, 17, 2)
    assert not any(level.any() for level in encoded['heatmaps'])
    keypoints, scores, instances = codec.batch_decode(
        torch.zeros(2, 17, 8, 8), torch.zeros(2, 17, 8, 8)
    )
    assert [k.shape for k in keypoints] == [(0, 17, 2)] * 2
    assert [s.shape for s in scores] == [(0, 17)] * 2
    assert [i.shape for i in instances] == [(0,)] * 2


def test_only_the_best_people_are_kept():
    maps = torch.zeros(1, 17, 20, 20)
    maps[0, 0, 2, 2], maps[0, 0, 10, 10], maps[0, 0, 17, 3] = 0.3, 0.9, 0.6
    tags = torch.arange(400.0).view(1, 1, 20, 20).expand(1, 17, 20, 20)
    codec = make_codec(decode_max_instances=2)
    keypoints, scores, instances = codec.batch_decode(maps, tags)
    np.testing.assert_allclose(instances[0], np.array([0.9, 0.6]) / 17, 1e-6)
    one, _ = codec.decode((maps[0], tags[0]))
    np.testing.assert_array_equal(one, keypoints[0])


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (
            dict(heatmap_sizes=[(32, 16)]),
            r'each of heatmap_sizes \[\(32, 16\)\] must be input_size '
            r'\(128, 128\) divided by the same stride in x and y; derive '
            r'them from input_size, e.g. \(w // 4, h // 4\)$',
        ),
        (dict(heatmap_sizes=[]), 'divided by the same stride'),
        (dict(heatmap_sizes=[(64, 64), (32, 32)]), 'increasing'),
        (dict(decode_keypoint_order=[0, 0, 1]), 'each of 0 to 2 once'),
        (dict(decode_nms_kernel=4), 'must be odd, got 4'),
        (dict(decode_keypoint_thr=-1), 'must not be negative, got -1'),
        (
            dict(decode_assignment='munkres'),
            r"one of \['nearest', 'official'\], got 'munkres'",
        ),
    ],
)
def test_invalid_arguments_raise_an_error(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_codec(**kwargs)


def test_inconsistent_shapes_and_sizes_raise_an_error():
    codec = make_codec()
    with pytest.raises(ValueError, match='17 entries.* 14 keypoints'):
        codec.batch_decode(torch.zeros(1, 14, 8, 8), torch.zeros(1, 14, 8, 8))
    with pytest.raises(ValueError, match='do not match heatmaps'):
        codec.batch_decode(torch.zeros(1, 17, 8, 8), torch.zeros(1, 17, 16, 8))
    expected = (
        'the pipeline makes images of (64, 64), but the codec is for '
        '(128, 128); give both the same input_size (a child config must set '
        'the pipeline again when it changes the codec)'
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        codec.encode(np.zeros((1, 17, 2)), input_size=(64, 64))


def test_the_codec_is_registered():
    from mmpose.registry import KEYPOINT_CODECS

    assert KEYPOINT_CODECS.get('ScaleAwareAssociativeEmbedding') is (
        ScaleAwareAssociativeEmbedding
    )


def test_person_scale_widens_the_gaussians_of_wide_people():
    keypoints = np.array([[[33.0, 40.0]], [[97.0, 80.0]]])
    codec = make_codec(person_scale=dict(base_width=100))
    widths = np.array([100.0, 200.0])
    scaled = codec.encode(keypoints, person_width=widths)
    fixed = make_codec().encode(keypoints, person_width=widths)
    for level, stride in enumerate((4, 2)):
        (x0, y0), (x1, y1) = (keypoints[:, 0] // stride).astype(int)
        ours, plain = (
            np.asarray(e['heatmaps'][level])[0] for e in (scaled, fixed)
        )
        assert ours[y0, x0 - 3] == pytest.approx(plain[y0, x0 - 3])
        assert ours[y1, x1 - 4] == pytest.approx(plain[y1, x1 - 2])
    np.testing.assert_array_equal(
        scaled['keypoint_indices'], fixed['keypoint_indices']
    )


def test_person_scale_without_boxes_is_an_error():
    codec = make_codec(person_scale=dict())
    with pytest.raises(ValueError, match='requires person_width'):
        codec.encode(np.ones((1, 1, 2)))


@pytest.mark.parametrize('unbiased', [False, True])
def test_an_input_that_is_not_square_has_one_stride(unbiased):
    codec = make_codec(
        input_size=(128, 64),
        heatmap_sizes=[(32, 16), (64, 32)],
        unbiased=unbiased,
    )
    encoded = codec.encode(np.array([[[101.0, 41.0]]]))
    for maps, stride in zip(encoded['heatmaps'], (4, 2)):
        heatmap = np.asarray(maps)[0]
        y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
        assert (x, y) == (101 // stride, 41 // stride)
    assert encoded['keypoint_indices'].tolist() == [[[10 * 32 + 25, 1]]]


@pytest.mark.parametrize('unbiased', [False, True])
def test_precision_of_the_keypoints_does_not_matter(unbiased):
    keypoints = spread_keypoints(np.random.default_rng(2)).astype(np.float32)
    codec = make_codec(
        input_size=(96, 96), heatmap_sizes=[(32, 32)], unbiased=unbiased
    )
    for one, other in zip(
        codec.encode(keypoints)['heatmaps'],
        codec.encode(keypoints.astype(np.float64))['heatmaps'],
    ):
        np.testing.assert_array_equal(one, other)


def test_defaults_are_those_of_the_paper_and_its_code():
    codec = ScaleAwareAssociativeEmbedding((128, 128), [(32, 32)])
    assert codec.sigma == 2
    assert codec.person_scale is None
    assert codec.unbiased is False
    assert codec.decode_nms_kernel == 5
    assert codec.decode_keypoint_thr == 0.1
    assert codec.decode_tag_thr == 1
    assert codec.decode_topk == 30
    assert codec.decode_max_instances is None
    assert codec.decode_assignment == 'nearest'
    assert codec.decode_fill_missing is True


@pytest.mark.parametrize('finest', [(32, 16), (64, 32), (128, 64)])
@pytest.mark.parametrize('scale_factor', [1, 2])
def test_unbiased_peaks_are_refined_by_cells_of_the_finest_level(
    finest, scale_factor
):
    """Cells between, interpolated from these, are not read."""
    codec = make_codec(
        input_size=(128, 64),
        heatmap_sizes=[(8, 4), (16, 8), finest],
        unbiased=True,
        decode_keypoint_order=[0],
        decode_nms_kernel=9,
    )
    step = max(128 // finest[0] // scale_factor, 1)
    maps = torch.full((1, 1, 40, 70), 0.05)
    for d in (-step, 0, step):
        maps[0, 0, 30, 50 + d] = np.exp(-((d - 0.4) ** 2) / 50)
    for d in (-step, step):
        change = np.exp(-((d + 0.3) ** 2) / 50 + 0.3**2 / 50)
        maps[0, 0, 30 + d, 50] = maps[0, 0, 30, 50] * change
    found, scores, _ = codec.batch_decode(maps, maps * 0, scale_factor)
    expected = (np.array([50.4, 29.7]) + 0.5) * scale_factor - 0.5
    assert scores[0][0, 0] == maps[0, 0, 30, 50]
    np.testing.assert_allclose(found[0][0, 0], expected, atol=1e-3)


def decode_points(points, **kwargs):
    """Decode maps with points ``{(keypoint, x): (score, tag)}`` only."""
    maps, tags = torch.zeros(2, 1, 3, 1, 64)
    for (k, x), (score, tag) in points.items():
        maps[0, k, 0, x], tags[0, k, 0, x] = score, tag
    codec = make_codec(decode_keypoint_order=[0, 1, 2], **kwargs)
    _, scores, _ = codec.batch_decode(maps, tags)
    return scores[0] > 0


def test_a_lower_threshold_finds_weaker_keypoints():
    points = {(0, 9): (0.07, 0)}
    assert len(decode_points(points)) == 0
    for threshold in (0.05, 0):
        found = decode_points(points, decode_keypoint_thr=threshold)
        assert len(found) == 1


def test_a_larger_tag_threshold_joins_more_distant_keypoints():
    points = {(0, 9): (0.9, 0), (1, 9): (0.9, 2.5), (2, 9): (0.9, 1.2)}
    assert len(decode_points(points, decode_tag_thr=1.0)) == 3
    assert len(decode_points(points, decode_tag_thr=3.0)) == 1


def test_only_the_first_topk_people_are_matched():
    points = {(0, 9): (0.9, 0), (1, 9): (0.9, 5), (2, 9): (0.9, 5.5)}
    assert len(decode_points(points, decode_topk=2)) == 2
    assert len(decode_points(points, decode_topk=1)) == 3


def test_filled_keypoints_are_known_and_may_be_left_away():
    maps, tags = torch.zeros(2, 1, 17, 8, 8)
    maps[0, 0, 2, 2], maps[0, 1, 5, 5] = 0.9, 0.05
    codec = make_codec()
    people = codec.decode_people(maps, tags)
    assert people.filled[0].dtype == bool
    assert np.flatnonzero(people.filled[0][0]).tolist() == [1]
    assert people.scores[0][0, 1] == np.float32(0.05)
    for one, other in zip(people, codec.batch_decode(maps, tags)):
        np.testing.assert_array_equal(one[0], other[0])
    bare = make_codec(decode_fill_missing=False).decode_people(maps, tags)
    assert not bare.filled[0].any()
    assert np.flatnonzero(bare.scores[0][0]).tolist() == [0]
    assert not bare.keypoints[0][0, 1:].any()
    np.testing.assert_array_equal(bare.instance_scores, people.instance_scores)


def test_decoding_keeps_no_gradients():
    maps = torch.rand(1, 17, 8, 8, requires_grad=True)
    keypoints, scores, _ = make_codec().batch_decode(maps, maps * 0)
    assert len(keypoints[0]) == len(scores[0]) > 0


def test_images_are_decoded_independently():
    codec = make_codec()
    maps, tags = torch.rand(2, 3, 17, 12, 40) ** 4
    together = codec.batch_decode(maps, 5 * tags, scale_factor=2)
    for b in range(3):
        alone = codec.batch_decode(
            maps[b : b + 1], 5 * tags[b : b + 1], scale_factor=2
        )
        for one, other in zip(together, alone):
            np.testing.assert_array_equal(one[b], other[0])


def test_crowds_are_left_out_with_all_that_belongs_to_them():
    codec = make_codec(person_scale=dict(base_width=64))
    keypoints = np.random.default_rng(0).uniform(5, 60, (4, 17, 2))
    rows = dict(
        keypoints=keypoints,
        keypoints_visible=np.ones((4, 17)),
        person_width=np.array([60.0, 300.0, 20.0, 90.0]),
        keypoints_visible_weights=np.arange(68.0).reshape(4, 17),
    )
    got = codec.encode(
        **rows, iscrowd=[0, 1, 1, 0], num_keypoints=[0, 0, 2, 17]
    )
    expected = codec.encode(**{k: v[[0, 2, 3]] for k, v in rows.items()})
    assert got.keys() == expected.keys()
    np.testing.assert_array_equal(
        got['keypoints_visible_weights'],
        rows['keypoints_visible_weights'][[0, 2, 3]],
    )
    np.testing.assert_array_equal(
        got['keypoint_indices'], expected['keypoint_indices']
    )
    for a, b in zip(got['heatmaps'], expected['heatmaps']):
        np.testing.assert_array_equal(a, b)


def test_without_num_keypoints_visible_keypoints_are_counted():
    visible = np.zeros((3, 17))
    visible[:2, 4] = 1
    encoded = make_codec().encode(
        np.ones((3, 17, 2)), visible, iscrowd=[0, 1, 1]
    )
    assert len(encoded['keypoint_indices']) == 2
    assert 'keypoints_visible_weights' not in encoded


def test_crowds_that_cannot_be_found_among_the_people_are_an_error():
    people = np.ones((2, 17, 2))
    with pytest.raises(ValueError, match='3 values of iscrowd .* 2 people'):
        make_codec().encode(people, iscrowd=[0, 1, 0], num_keypoints=[1, 0, 1])
    # Without crowds nothing has to be found.
    encoded = make_codec().encode(people, iscrowd=[0, 0, 0])
    assert len(encoded['keypoint_indices']) == 2


@pytest.mark.parametrize('unbiased', [False, True])
def test_dense_heatmaps_are_the_sparse_ones(unbiased):
    keypoints = spread_keypoints(np.random.default_rng(3))
    sparse, dense = (
        make_codec(unbiased=unbiased, sparse_heatmaps=flag).encode(keypoints)
        for flag in (True, False)
    )
    for a, b in zip(sparse['heatmaps'], dense['heatmaps']):
        assert isinstance(a, SparseHeatmap)
        assert isinstance(b, np.ndarray)
        assert b.any()
        np.testing.assert_array_equal(a, b)
