"""The ONNX runtime agrees with the package."""

import ast
import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import like_opencv_4
from helpers.codecs import (
    HEATMAPS,
    TAGS,
    index_and_find_candidates,
    plain_fill,
    random_candidates,
    random_people,
    spoiled,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from PIL import Image

import swahr_mmpose
from swahr_mmpose import BottomupLoadImage, ScaleAwareAssociativeEmbedding
from swahr_mmpose.codecs.grouping import group_by_tags
from swahr_mmpose.codecs.peaks import log_parabola_shift, quarter_shift
from swahr_mmpose.datasets.transforms import geometry
from swahr_mmpose.deploy.runtime import (
    Poses,
    Settings,
    cli,
    grouping,
    peaks,
    preprocess,
    scales,
)
from swahr_mmpose.deploy.runtime import fusion as runtime_fusion
from swahr_mmpose.deploy.runtime import pose_model as runtime_model
from swahr_mmpose.deploy.runtime.decode import decode
from swahr_mmpose.deploy.runtime.metadata import (
    FORMAT,
    KEY,
    Codec,
    read_settings,
)
from swahr_mmpose.models.heads import fusion, keypoint_sigmas

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))


def settings_of(codec, stride=1, **kwargs):
    return Settings(
        **dict(
            dict(
                format=FORMAT,
                input_size=codec.input_size[0],
                size_factor=64,
                unbiased=codec.unbiased,
                mean=[0, 0, 0],
                std=[1, 1, 1],
                channel_order='rgb',
                keypoints=['a', 'b', 'c'],
                skeleton=[[0, 1]],
                flip_indices=[0, 2, 1],
                flip_test=False,
                fused=True,
                heatmap_levels=[0, 1],
                stride=stride,
                finest_stride=2,
                codec=Codec(
                    codec.decode_keypoint_order,
                    codec.decode_nms_kernel,
                    codec.decode_keypoint_thr,
                    codec.decode_tag_thr,
                    codec.decode_topk,
                    codec.decode_max_instances,
                ),
            ),
            **kwargs,
        )
    )


def make_codec(**kwargs):
    return ScaleAwareAssociativeEmbedding(
        input_size=(64, 64),
        heatmap_sizes=[(16, 16), (32, 32)],
        decode_keypoint_order=[1, 0, 2],
        decode_topk=5,
        **kwargs,
    )


@settings(max_examples=300, deadline=None)
@given(SIZES, st.sampled_from([64, 100, 128, 512]), st.booleans())
def test_the_input_geometry_is_that_of_the_package(size, side, unbiased):
    ours = preprocess.resized_geometry(size, side, 64, unbiased)
    theirs = geometry.resized_geometry(size, side, unbiased=unbiased)
    assert ours == tuple(theirs)
    points = np.random.rand(5, 2) * 100
    expected = (
        points / theirs.size * np.array(theirs.extent)
        + theirs.center
        - 0.5 * np.array(theirs.extent)
    )
    np.testing.assert_allclose(ours.to_image(points), expected, atol=1e-9)


@like_opencv_4
@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(2, 200), st.integers(2, 200)),
    st.sampled_from([64, 128]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_images_are_resized_as_by_opencv(size, side, unbiased, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assume(max(size) <= 20 * min(size))
    resized = preprocess.resized_geometry(size, side, 64, unbiased)
    theirs = geometry.resize_image(image, geometry.Resized(*resized), unbiased)
    ours = preprocess.resize_image(image, resized, unbiased)
    np.testing.assert_array_equal(ours, theirs)  # bit-exact


@like_opencv_4
@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('size', [(640, 427), (333, 500), (1201, 803)])
def test_photographs_are_resized_as_by_opencv(unbiased, size):
    image = np.random.randint(0, 256, (*size[::-1], 3), dtype=np.uint8)
    resized = preprocess.resized_geometry(size, 512, 64, unbiased)
    np.testing.assert_array_equal(
        preprocess.resize_image(image, resized, unbiased),
        geometry.resize_image(image, geometry.Resized(*resized), unbiased),
    )


def test_the_mean_is_that_of_the_channel_in_the_order_of_the_network():
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    planes = preprocess.normalize(image, [0, 1, 2], [1, 2, 4])
    np.testing.assert_array_equal(planes, [[[0, 3]], [[0, 1.5]], [[0, 0.75]]])
    assert planes.dtype == np.float32


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2, 5, 30]),
    st.sampled_from([1, 3, 5]),
    st.sampled_from([(1, 1), (9, 11), (3, 40), (16, 7)]),
    st.sampled_from([0, 0.2, 1]),
)
def test_peaks_are_those_of_the_package(seed, topk, kernel, size, remaining):
    rng = np.random.default_rng(seed)
    # Few distinct values: plateaus and ties.
    heatmaps = (rng.integers(-2, 6, (3, *size)) / 5).astype(np.float32)
    expected = index_and_find_candidates(
        torch.from_numpy(heatmaps)[None],
        torch.zeros(1, 1, 3, *size),
        threshold=0.1,
        kernel=kernel,
        topk=topk,
    )
    with mock.patch.object(peaks, '_MAX_REMAINING', remaining):
        found = peaks.find_peaks(heatmaps, 0.1, kernel, topk)
    assert len(found) == 3
    for k, candidates in enumerate(found):
        n = len(candidates.scores)
        scores = expected.scores[0, k].numpy()
        np.testing.assert_array_equal(candidates.scores, scores[:n])
        assert not scores[n:].any()
        index = candidates.cells[:, 1] * size[1] + candidates.cells[:, 0]
        np.testing.assert_array_equal(index, expected.indices[0, k, :n])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 3, 30]), st.booleans())
def test_people_are_grouped_as_in_the_package(seed, limit, odd):
    rng = np.random.default_rng(seed)
    scores, cells, tags = random_candidates(rng)
    if odd:
        tags[rng.random(tags.shape) < 0.1] = np.nan
    order = [2, 0, 1, 4, 3]
    expected = group_by_tags(
        scores, cells, tags, keypoint_order=order, max_groups=limit
    )
    above = scores > 0.1
    people = grouping.group_by_tags(
        [
            peaks.Candidates(*pair)
            for pair in zip(
                [s[a] for s, a in zip(scores, above)],
                [c[a] for c, a in zip(cells, above)],
            )
        ],
        [t[a] for t, a in zip(tags, above)],
        order,
        1.0,
        limit,
    )
    for ours, theirs in zip(people, expected):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    people=st.integers(0, 6),
    tag_dim=st.integers(1, 2),
    odd=st.booleans(),
    low=st.sampled_from([0.02, 0.3, 2.0]),
    size=st.sampled_from([(7, 9), (5, 32), (40, 64)]),
)
def test_missing_keypoints_are_filled_as_by_a_search_of_all_cells(
    seed, people, tag_dim, odd, low, size
):
    rng = np.random.default_rng(seed)
    shape = (3, *size)
    heatmaps = (rng.integers(-1, 9, shape) / 8).astype(np.float32) ** 3
    tags = rng.integers(-4, 5, (tag_dim, *shape)) / 2  # with ties
    tags = tags.astype(np.float32)
    if odd:
        tags[rng.random(tags.shape) < 0.1] = np.nan
        tags[rng.random(tags.shape) < 0.05] = np.inf
    found = random_people(rng, people, 3, tag_dim)
    expected = plain_fill(found, heatmaps, tags)
    filled = grouping.fill_missing(
        grouping.People(*found), heatmaps, tags, low
    )
    for ours, theirs in zip(filled, expected):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 4), st.booleans())
def test_sub_pixel_refinement_is_that_of_the_package(seed, people, steps):
    rng = np.random.default_rng(seed)
    heatmaps = rng.random((3, 9, 11), dtype=np.float32) - np.float32(0.2)
    if steps:
        heatmaps = np.round(heatmaps * 3) / np.float32(3)
    cells = np.stack(
        [rng.integers(0, n, (people, 3)) for n in (11, 9)], axis=-1
    )
    both = torch.from_numpy(heatmaps), torch.from_numpy(cells)
    np.testing.assert_array_equal(
        peaks.quarter_shift(heatmaps, cells), quarter_shift(*both)
    )
    for step in (1, 2):
        np.testing.assert_allclose(
            peaks.log_parabola_shift(heatmaps, cells, step),
            log_parabola_shift(*both, step),
            rtol=0,
            atol=1e-4,
        )


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('levels', [(0,), (1,), (0, 1)])
@pytest.mark.parametrize('size', [(32, 48), (16, 24)])
def test_flip_test_and_levels_are_fused_as_in_the_package(flip, levels, size):
    coarse, fine, tags = (torch.randn(4, 3, n, 3 * n // 2) for n in (8, 16, 8))
    output = fusion.HeadOutput([coarse, fine], tags, None)
    if flip:
        first, second = (
            fusion.HeadOutput([coarse[s], fine[s]], tags[s], None)
            for s in (slice(2), slice(2, None))
        )
        output = fusion.merge_flipped(first, second, [0, 2, 1])
    expected = fusion.fuse_levels(output, size, levels)
    fused = runtime_fusion.fuse(
        [coarse.numpy(), fine.numpy()],
        tags.numpy(),
        size,
        levels,
        [0, 2, 1] if flip else None,
    )
    for ours, theirs in zip(fused, expected):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.sampled_from([(8, 8), (5, 9), (1, 1), (16, 24)])
)
def test_single_cells_are_read_as_from_resized_maps(seed, small):
    rng = np.random.default_rng(seed)
    tags = rng.normal(size=(2, *small)).astype(np.float32)
    y, x = rng.integers(0, 16, 20), rng.integers(0, 24, 20)
    large = runtime_fusion.resize(tags, (16, 24))
    np.testing.assert_allclose(
        runtime_fusion.read_cells(tags, y, x, (16, 24)),
        large[:, y, x],
        rtol=0,
        atol=1e-6,
    )


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    heatmaps=st.sampled_from(list(HEATMAPS)),
    tags=st.sampled_from(list(TAGS)),
    size=st.sampled_from([(1, 1), (2, 3), (8, 40), (12, 64)]),
    share=st.sampled_from([0.0, 0.0, 0.01, 0.5, 1.0]),
    tag_dim=st.integers(1, 2),
    unbiased=st.booleans(),
    most=st.sampled_from([None, 2]),
)
def test_any_maps_are_decoded_as_in_the_package(
    seed, heatmaps, tags, size, share, tag_dim, unbiased, most
):
    rng = np.random.default_rng(seed)
    heatmaps = spoiled(HEATMAPS[heatmaps](rng, (3, *size)), rng, share)
    tags = spoiled(TAGS[tags](rng, (tag_dim * 3, *size)), rng, share)
    codec = make_codec(unbiased=unbiased, decode_max_instances=most)
    expected = codec.batch_decode(heatmaps[None], tags[None], 2.0)
    found = decode(heatmaps.numpy(), tags.numpy(), settings_of(codec, 2))
    for ours, (theirs,) in zip(found, expected):
        assert ours.shape == theirs.shape
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)


def make_maps(people, size=(96, 128)):
    """Make maps of people at random positions, with tags at stride 4."""
    height, width = size
    maps = np.zeros((3, height, width), np.float32)
    tags = np.zeros((3, height // 4, width // 4), np.float32)
    y, x = np.mgrid[:height, :width]
    for person in range(people):
        for k in range(3):
            px, py = np.random.rand(2) * [width, height]
            blob = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 32)
            maps[k] = np.maximum(maps[k], blob)
            tags[k][blob[2::4, 2::4] > 0.3] = 2 * person
    return maps, tags


@pytest.mark.parametrize('people', [0, 1, 5])
@pytest.mark.parametrize('unbiased', [False, True])
def test_people_with_coarse_tags_are_those_of_the_package(people, unbiased):
    codec = make_codec(unbiased=unbiased)
    heatmaps, tags = make_maps(people)
    expected = codec.batch_decode(
        *(torch.from_numpy(m)[None] for m in (heatmaps, tags))
    )
    found = decode(heatmaps, tags, settings_of(codec))
    assert (len(found[0]) > 0) == (people > 0)
    for ours, (theirs,) in zip(found, expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-4)


def test_settings_are_read_from_json_and_unknown_keys_ignored():
    written = settings_of(make_codec())
    text = written.to_json()
    assert read_settings({KEY: text}, 'a.onnx') == written
    more = text.replace('"format"', '"later": 1, "format"')
    assert read_settings({KEY: more}, 'a.onnx') == written


def test_files_of_format_1_are_read():
    written = json.loads(settings_of(make_codec()).to_json())
    for key in ('output_scales', 'sigma', 'ignore_orientation'):
        del written[key]
    del written['codec']['fill_missing']
    text = json.dumps(dict(written, format=1))
    settings = read_settings({KEY: text}, 'a.onnx')
    assert not settings.output_scales
    assert settings.codec.fill_missing


@pytest.mark.parametrize(
    ('metadata', 'message'),
    [
        ({}, "no metadata 'swahr_mmpose'"),
        ({KEY: 'x'}, 'are not settings'),
        ({KEY: '[]'}, 'are not settings'),
        ({KEY: '{"format": 0}'}, r'of format 0, expected one of \(1, 2\)'),
        ({KEY: '{"format": 1}'}, r'lack codec.keypoint_order, codec\.'),
    ],
)
def test_incomplete_settings_are_refused(metadata, message):
    with pytest.raises(ValueError, match=message):
        read_settings(metadata, 'a.onnx')


def test_a_missing_setting_is_named():
    text = settings_of(make_codec()).to_json().replace('"std"', '"dts"')
    with pytest.raises(ValueError, match='lack std; export'):
        read_settings({KEY: text}, 'a.onnx')


def test_the_runtime_imports_little():
    """It imports no module outside of its folder, wherever it is copied."""
    folder = Path(swahr_mmpose.__file__).parent / 'deploy/runtime'
    allowed = {'numpy', 'scipy', 'onnxruntime', *sys.stdlib_module_names}
    others, lazy = set(), set()
    for path in folder.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2
                names = [] if node.level else [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            target = lazy if node.col_offset else others
            target |= {name.split('.')[0] for name in names}
    assert others <= allowed
    # Imported by the commands and the service on use.
    optional = {'PIL', 'python_multipart', 'uvicorn'}
    assert lazy - allowed == optional


def test_images_of_an_extreme_aspect_ratio_are_refused():
    long = np.zeros((1, 21, 3), np.uint8)
    with pytest.raises(ValueError, match='21x1 pixels, expected an aspect'):
        runtime_model._check_images([long], 'bgr')
    runtime_model._check_images([long[:, :20]], 'bgr')


def test_image_files_are_read_as_rgb(tmp_path):
    path = tmp_path / 'a.png'
    pixels = np.random.randint(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(cli.read_image(str(path), 'a'), pixels)
    with open(path, 'rb') as stream:
        with pytest.raises(cli.ImageTooLargeError, match='48 pixels, expect'):
            cli.read_image(stream, 'a', max_pixels=47)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match='b is not a complete image file'):
        cli.read_image(str(path), 'b')
    path.write_bytes(b'GIF89a, and more bytes')
    with pytest.raises(ValueError, match='b is of no known format, expected'):
        cli.read_image(str(path), 'b')
    with pytest.raises(FileNotFoundError, match='image c does not exist'):
        cli.read_image(str(tmp_path / 'none.png'), 'c')
    with pytest.raises(ValueError, match='d is a folder, expected an image'):
        cli.read_image(str(tmp_path), 'd')


def test_image_files_are_upright_unless_the_orientation_is_ignored(tmp_path):
    path = tmp_path / 'a.png'
    pixels = np.random.randint(0, 256, (6, 8, 3), dtype=np.uint8)
    stored = Image.fromarray(pixels)
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    stored.save(path, exif=exif)
    upright = BottomupLoadImage()(dict(img_path=str(path)))['img']
    assert upright.shape == (8, 6, 3)
    found = cli.read_image(str(path), 'a')
    np.testing.assert_array_equal(found, upright[..., ::-1])
    found = cli.read_image(str(path), 'a', ignore_orientation=True)
    np.testing.assert_array_equal(found, pixels)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.integers(0, 3))
def test_standard_deviations_are_those_of_the_package(seed, unbiased, people):
    rng = np.random.default_rng(seed)
    codec = make_codec(unbiased=unbiased, sigma=rng.choice([1.0, 2.0, 2.5]))
    alpha = rng.normal(0, 0.5, (3, 9, 12)).astype(np.float32)
    keypoints = rng.uniform(-9, 30, (people, 3, 2)).astype(np.float32)
    scores = (rng.random((people, 3)) > 0.3).astype(np.float32)
    info = dict(input_size=(24, 18), input_scale=(24, 18))
    (expected,) = keypoint_sigmas.compute_sigmas(
        torch.from_numpy(alpha)[None],
        [InstanceData(keypoints=keypoints, keypoint_scores=scores)],
        [info],
        codec,
        2.0,
    )
    found = scales.compute_sigmas(
        keypoints, scores, alpha, settings_of(codec, sigma=codec.sigma)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('fill', [True, False])
def test_keypoints_that_are_filled_in_are_those_of_the_package(fill):
    codec = make_codec(decode_fill_missing=fill)
    rng = np.random.default_rng(0)
    heatmaps = rng.random((3, 32, 32), dtype=np.float32) ** 4
    heatmaps[2] *= 0.09  # below the threshold: no candidate
    tags = np.zeros((3, 8, 8), np.float32)
    expected = codec.decode_people(
        torch.from_numpy(heatmaps)[None], torch.from_numpy(tags)[None]
    )
    read = settings_of(codec)
    read = read._replace(codec=read.codec._replace(fill_missing=fill))
    found = decode(heatmaps, tags, read)
    np.testing.assert_array_equal(found.filled, expected.filled[0])
    np.testing.assert_allclose(found.keypoints, expected.keypoints[0])
    assert found.filled.any() == fill


def test_people_are_written_with_boxes_and_filled_keypoints():
    poses = Poses(
        np.array([[[1, 2], [5, 8], [0, 0]]], np.float32),
        np.array([[0.5, 0.25, 0]], np.float32),
        np.array([0.75], np.float32),
        np.array([[False, True, False]]),
        np.array([[1.25, 2.5, np.nan]], np.float32),
    )
    assert poses.as_dicts(['a', 'b', 'c']) == [
        dict(
            score=0.75,
            keypoints=dict(a=[1, 2, 0.5], b=[5, 8, 0.25]),
            bbox=[1, 2, 4, 6],
            filled=['b'],
            sigmas=dict(a=1.25, b=2.5),
        )
    ]
    points, point_scores, scores = poses
    assert points is poses.keypoints
    assert scores is poses.scores
    plain = Poses(points, point_scores, scores)
    assert not plain.filled.any()
    assert 'sigmas' not in plain.as_dicts(['a', 'b', 'c'])[0]


def test_a_missing_pillow_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, 'PIL', None)
    with pytest.raises(ImportError, match='pip install pillow'):
        cli.import_pillow()


@pytest.mark.parametrize(
    ('program', 'expected'),
    [
        ('/x/swahr_runtime/__main__.py', 'python -m a.b'),
        ('/x/swahr_runtime/server.py', 'python -m a.b'),
        ('tools/deployment/serve_onnx.py', 'python tools/deployment/serve_'),
        ('swahr onnx serve', 'swahr onnx serve'),
    ],
)
def test_help_names_the_command_as_typed(monkeypatch, program, expected):
    monkeypatch.setattr(sys, 'argv', [program])
    parser = cli.make_parser('%(prog)s model.onnx', 'a.b')
    parser.add_argument('--score-thr', default=0.2, help='score')
    parser.add_argument('--threads', help='threads')
    text = parser.format_help()
    assert f'usage: {expected}' in text
    assert 'score (default: 0.2)' in text
    assert 'None' not in text
