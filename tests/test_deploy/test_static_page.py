"""The page without a server: JavaScript against the runtime."""

import functools
import http.server
import json
import os
import threading

import numpy as np
import pytest
from helpers import ROOT
from helpers.browser import open_browser
from helpers.deploy import make_image
from PIL import Image
from scipy.optimize import linear_sum_assignment

pytest.importorskip('onnxruntime')
from swahr_mmpose.commands import make_page
from swahr_mmpose.deploy import static_page
from swahr_mmpose.deploy.runtime import PoseModel, Poses, Settings
from swahr_mmpose.deploy.runtime.decode import decode
from swahr_mmpose.deploy.runtime.metadata import Codec
from swahr_mmpose.deploy.runtime.preprocess import (
    Resized,
    fitted_geometry,
    normalize,
    resize_image,
    resized_geometry,
)
from swahr_mmpose.deploy.runtime.scales import compute_sigmas

pytestmark = pytest.mark.slow
SCRIPT = ROOT / 'swahr_mmpose/deploy/pose_model.js'
NAMES = ['nose', 'chin', 'left_hip', 'right_hip', 'tail']
# Folder of onnxruntime-web, from `npm pack onnxruntime-web`.
ORT = os.environ.get('SWAHR_ORT_DIR', '')


def make_settings(unbiased=False, scales=False, max_instances=None):
    return Settings(
        format=2, input_size=128, size_factor=64, unbiased=unbiased,
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        channel_order='rgb', keypoints=NAMES, skeleton=[(0, 1)],
        flip_indices=[0, 1, 3, 2, 4], flip_test=False, fused=True,
        heatmap_levels=[0, 1], stride=2, finest_stride=2,
        codec=Codec(
            [4, 0, 1, 2, 3], nms_kernel=5, keypoint_thr=0.1, tag_thr=1.0,
            topk=8, max_instances=max_instances,
        ),
        output_scales=scales,
    )  # fmt: skip


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp('profile')) as page:
        yield page


@pytest.fixture
def page(browser):
    browser.call('Page.navigate', url='about:blank')
    browser.evaluate(SCRIPT.read_text() + ';1')
    return browser


def make_maps(seed, tag_dim, size=(40, 56)):
    """Make smooth heatmaps with several peaks, and tags of a few people."""
    rng = np.random.default_rng(seed)
    heatmaps = np.zeros((len(NAMES), *size), np.float32)
    tags = rng.normal(0, 0.1, (tag_dim, len(NAMES), 20, 28))
    y, x = np.mgrid[: size[0], : size[1]]
    for person in range(6):
        for k in np.flatnonzero(rng.random(len(NAMES)) < 0.8):
            cx, cy = rng.uniform(2, size[1] - 2), rng.uniform(2, size[0] - 2)
            blob = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
            heatmaps[k] = np.maximum(heatmaps[k], blob * rng.uniform(0.2, 1))
            j, i = int(cy / 2), int(cx / 2)
            tags[:, k, j - 1 : j + 2, i - 1 : i + 2] += 1.4 * person
    return heatmaps, tags.reshape(-1, 20, 28).astype(np.float32)


def to_tensor(maps):
    return dict(dims=[1, *maps.shape], data=maps.ravel().tolist())


def call(page, name, *arguments, before=''):
    text = ', '.join(json.dumps(a) for a in arguments)
    return page.evaluate(f'poseDecoding.{name}({text}{before})')


def decode_in_browser(page, outputs, geometry, settings):
    parts = [json.dumps([to_tensor(m) for m in outputs])]
    content = {**json.loads(settings.to_json()), 'size': None}
    parts += [json.dumps(geometry._asdict()), json.dumps(content)]
    return page.evaluate(
        f'(() => {{ const [outputs, ...rest] = [{", ".join(parts)}];'
        'outputs.forEach(o => { o.data = new Float32Array(o.data); });'
        'return poseDecoding.decode(outputs, ...rest); })()'
    )


def decode_in_python(outputs, geometry, settings):
    heatmaps, tags, *alphas = (maps.copy() for maps in outputs)
    people = decode(heatmaps, tags, settings)
    sigmas = None
    for alpha in alphas:
        sigmas = compute_sigmas(
            people.keypoints, people.keypoint_scores, alpha, settings
        )
        sigmas = sigmas * np.divide(geometry.extent, geometry.size).mean()
    points = geometry.to_image(people.keypoints).astype(np.float32)
    return Poses(
        points, people.keypoint_scores, people.scores, people.filled, sigmas
    ).as_dicts(settings.keypoints, 0)


def assert_equal(found, expected, atol=2e-3):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours['filled'] == theirs['filled']
        assert abs(ours['score'] - theirs['score']) <= 2e-3
        for part in ('keypoints', 'sigmas'):
            assert (part in ours) == (part in theirs)
            a, b = ours.get(part, {}), theirs.get(part, {})
            assert a.keys() == b.keys()
            for key in a:
                np.testing.assert_allclose(a[key], b[key], rtol=0, atol=atol)


@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('tag_dim', [1, 2])
def test_decoding_equals_that_of_the_runtime(page, unbiased, tag_dim):
    geometry = Resized((112, 80), (90.0, 61.0), (180.5, 128.9))
    total = 0
    for seed in range(12):
        scales, limit = seed % 2 == 1, (None, 3)[seed % 3 == 2]
        settings = make_settings(unbiased, scales, limit)
        outputs = [*make_maps(seed, tag_dim)]
        if seed == 4:
            outputs[0][0, 3, 5], outputs[1][0, 4, 4] = np.inf, np.nan
        if seed == 6:
            outputs[0][:] = 0
        if seed in (3, 8):  # beside huge distances small ones still count
            outputs[1][outputs[1] > 6] *= np.float32(1e20)
        if scales:
            rng = np.random.default_rng(seed)
            alpha = rng.normal(0, 0.2, outputs[0].shape)
            outputs.append(alpha.astype(np.float32))
        expected = decode_in_python(outputs, geometry, settings)
        found = decode_in_browser(page, outputs, geometry, settings)
        assert_equal(found, expected)
        total += len(found)
        assert not (seed == 6 and found)
    assert total > 30


@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('fixed', [None, (192, 128)])
def test_preprocessing_is_bit_identical(page, unbiased, fixed):
    rng = np.random.default_rng(0)
    settings = make_settings(unbiased)
    content = {**json.loads(settings.to_json()), 'size': fixed}
    for width, height in ((70, 50), (33, 90), (151, 149)):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        alpha = np.full((height, width, 1), 255, np.uint8)
        rgba = np.concatenate([image, alpha], axis=2).ravel().tolist()
        given = dict(width=width, height=height, data=rgba)
        found = page.evaluate(
            '(() => { const {input, geometry} = poseDecoding.preprocess('
            f'{json.dumps(given)}, {json.dumps(content)});'
            'return [Array.from(input), geometry]; })()'
        )
        geometry = resized_geometry((width, height), 128, 64, unbiased)
        if fixed:
            geometry = fitted_geometry((width, height), fixed, unbiased)
        expected = normalize(
            resize_image(image, geometry, unbiased),
            settings.mean,
            settings.std,
        )
        assert found[1]['size'] == list(geometry.size)
        np.testing.assert_allclose(found[1]['extent'], geometry.extent)
        np.testing.assert_allclose(found[1]['center'], geometry.center)
        np.testing.assert_array_equal(
            np.float32(found[0]).reshape(expected.shape), expected
        )


def test_the_assignment_has_minimum_cost(page):
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (5, 5), (3, 9), (9, 3), (30, 30), (1, 7), (7, 1)):
        cost = rng.integers(0, 4, shape) * 100 - rng.random(shape)
        columns = np.array(call(page, 'assignMinimum', cost.tolist()))
        rows = np.flatnonzero(columns >= 0)
        assert len(rows) == min(shape)
        assert len(set(columns[rows])) == len(rows)
        best = cost[linear_sum_assignment(cost)].sum()
        assert cost[rows, columns[rows]].sum() == pytest.approx(best)


def test_an_image_that_is_too_long_is_refused(page):
    message = page.evaluate(
        '(() => { try { poseDecoding.checkRatio({width: 2100, height: 100}) }'
        ' catch (error) { return error.message } })()'
    )
    assert message.startswith('The image has 2100 x 100 pixels; the aspect')
    assert call(page, 'checkRatio', dict(width=2000, height=100)) is None


def write_files(folder):
    for name in static_page._FILES:
        (folder / name).write_text('')


@pytest.mark.parametrize('place', ['.', 'package/dist', 'dist'])
def test_the_files_of_the_package_are_found(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder)
    found = static_page.find_onnxruntime(str(tmp_path))
    assert found.resolve() == folder.resolve()


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match='npm pack onnxruntime-web'):
        static_page.find_onnxruntime(str(tmp_path))


def test_fusion_must_be_part_of_the_graph(outside, tmp_path, monkeypatch):
    monkeypatch.setattr('sys.excepthook', None)
    write_files(tmp_path)
    words = ['--ort-dir', str(tmp_path), '--out-dir', str(tmp_path / 'page')]
    with pytest.raises(SystemExit, match='--fusion outside; export it with'):
        make_page.main([str(outside), *words])
    assert not (tmp_path / 'page').exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def site(inside, tmp_path, monkeypatch):
    """Address of a static server of the page of the tests' model."""
    if not ORT:
        pytest.skip('SWAHR_ORT_DIR does not name a folder of onnxruntime-web')
    monkeypatch.setattr('sys.excepthook', None)
    folder = str(tmp_path / 'page')
    make_page.main([str(inside), '--ort-dir', ORT, '--out-dir', folder])
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_address[1]}/'
        server.shutdown()


def test_the_page_finds_the_people_of_the_runtime(
    browser, site, inside, tmp_path
):
    image = make_image()[..., ::-1]
    Image.fromarray(image).save(tmp_path / 'a.png')
    model = PoseModel(inside, threads=1)
    expected = model(image, 'rgb').as_dicts(model.settings.keypoints, 0)
    browser.events.clear()
    browser.open(site)
    # Its scripts may not have run yet.
    browser.wait_for(
        'typeof model !== "undefined" && model.keypoints.length > 0', 60
    )
    browser.choose_files('#file', tmp_path / 'a.png')
    browser.wait_for('image !== null', 60)
    assert browser.errors() == []
    assert expected
    assert_equal(browser.evaluate('people'), expected, atol=0.1)
    assert not model.settings.output_scales
    assert (
        browser.evaluate(
            'getComputedStyle(document.getElementById("sigma-row")).display'
        )
        == 'none'
    )
    assert 'does not leave this device' in browser.evaluate(
        'document.getElementById("privacy").textContent'
    )
