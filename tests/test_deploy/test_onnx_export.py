"""Exported models find the people that the PyTorch model finds."""

import json
import runpy
import subprocess
import sys
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
import torch
from helpers import ROOT, like_opencv_4
from helpers.models import load_official, make_batch, make_model
from helpers.tools import CONFIG
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn

from swahr_mmpose.apis.loading import load_model
from swahr_mmpose.checkpoints.io import TORCH_VERSION
from swahr_mmpose.deploy import onnx_export, onnx_parity, onnx_quantization
from swahr_mmpose.deploy.runtime import PoseModel

if TORCH_VERSION < (2, 6):
    pytest.skip('the exporter is newer', allow_module_level=True)
onnx = pytest.importorskip('onnx')

PHOTOGRAPHS = ['img0_single', 'img1_single', 'small_single']


def config_of(num_keypoints=17, **resize):
    """What of a config the export reads."""
    step = dict(type='BottomupPyramidResize', input_size=(64, 64), **resize)
    kind = {17: 'CocoDataset', 14: 'CrowdPoseDataset'}[num_keypoints]
    dataset = dict(type=kind, pipeline=[step])
    return Config(dict(test_dataloader=dict(dataset=dataset)))


class Stem(nn.Sequential):
    """A backbone that is exported in a second."""

    def __init__(self):
        layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)]
        super().__init__(layers[0], nn.BatchNorm2d(8), nn.ReLU(), layers[1])

    def forward(self, images):
        return (super().forward(images),)


def make_lively(model):
    """A model that sees people in pictures, and none where it is black.

    There all cells are equal, and rounding would say which are peaks.
    """
    torch.manual_seed(3)
    model.eval()
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    black = (-mean / std).expand(1, 3, 64, 64)
    with torch.no_grad():
        for layer in model.head.final_layers:
            layer.weight.normal_(0, 1)
        for level, layer in enumerate(model.head.final_layers):
            maps = model.head(model.extract_feat(black)).heatmaps[level]
            layer.bias[:17] -= maps[0].amax(dim=(1, 2)) + 0.02
        for branch in model.head.scale_layers:
            nn.init.normal_(list(branch.children())[-1].weight)
    return model


def exported(folder, model, num_keypoints=17, fused=True):
    """The model as a file."""
    settings = onnx_export.settings_of(config_of(num_keypoints), model, fused)
    path = str(folder / f'{num_keypoints}_{fused}.onnx')
    onnx_export.export_model(model, settings, path)
    return path


@pytest.fixture(scope='module')
def model():
    model = make_model()
    torch.manual_seed(0)
    model.backbone = Stem().eval()
    return make_lively(model)


@pytest.fixture(scope='module')
def inside(model, tmp_path_factory):
    return exported(tmp_path_factory.mktemp('inside'), model)


@pytest.fixture(scope='module')
def outside(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp('outside')
    return exported(folder, model, fused=False)


def picture(size=(75, 50)):
    """Soft blotches: few peaks, none of which hangs on rounding."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)


def assert_same(poses, result, atol=1e-2):
    expected = result.pred_instances
    assert poses.keypoints.shape == expected.keypoints.shape
    for ours, theirs, limit in (
        (poses.keypoints, expected.keypoints, atol),
        (poses.keypoint_scores, expected.keypoint_scores, 1e-4),
        (poses.scores, expected.bbox_scores, 1e-4),
    ):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)


def torch_people(model, image, side=64, num_keypoints=17):
    with torch.no_grad():
        batch = make_batch(image, side, num_keypoints=num_keypoints)
        return model.test_step(batch)[0]


@like_opencv_4
@pytest.mark.parametrize('fusion', ['inside', 'outside'])
def test_people_are_those_of_the_model_at_any_size_and_batch(
    request, model, fusion
):
    found = PoseModel(request.getfixturevalue(fusion), threads=1)
    assert found.settings.fused == (fusion == 'inside')
    for size in [(75, 50), (131, 60)]:
        image = picture(size)
        expected = torch_people(model, image)
        assert len(expected.pred_instances.bbox_scores) > 0
        assert_same(found(image), expected)
        mirrored = np.ascontiguousarray(image[:, ::-1])
        both = found.batch(np.stack([image, mirrored]))
        assert_same(both[0], expected)
        assert_same(both[1], torch_people(model, mirrored))
    assert found.batch([]) == []


def test_channels_may_come_in_either_order(inside):
    found, image = PoseModel(inside, threads=1), picture()
    rgb = found(image[..., ::-1], 'rgb')
    np.testing.assert_array_equal(rgb.keypoints, found(image).keypoints)
    with pytest.raises(ValueError, match="'bgr' or 'rgb', got 'gray'"):
        found(image, 'gray')


def test_without_people_everything_is_empty(inside):
    high = PoseModel(inside, threads=1)
    high.settings = high.settings._replace(
        codec=high.settings.codec._replace(keypoint_thr=1e9)
    )
    poses = high(picture())
    assert poses.keypoints.shape == (0, 17, 2)
    assert poses.keypoint_scores.shape == (0, 17)
    assert poses.scores.shape == (0,)
    assert poses.as_dicts(high.settings.keypoints) == []


@like_opencv_4
def test_the_flip_test_can_be_turned_off_where_it_is_outside(
    inside, outside, model
):
    found = PoseModel(outside, threads=1, flip_test=False)
    model.test_cfg['flip_test'] = False
    try:
        assert_same(found(picture()), torch_people(model, picture()))
    finally:
        model.test_cfg['flip_test'] = True
    with pytest.raises(ValueError, match='export it with --fusion outside'):
        PoseModel(inside, flip_test=False)


def test_the_graph_has_no_scale_branch_and_knows_no_machine(
    inside, outside, model
):
    for path in (inside, outside):
        proto = onnx.load(path)
        weights = {w.name for w in proto.graph.initializer}
        assert any('final_layers' in name for name in weights)
        assert not any('scale_layers' in name for name in weights)
        count = sum(
            np.prod(w.dims, dtype=int) for w in proto.graph.initializer
        )
        without = sum(
            p.numel() for n, p in model.named_parameters() if 'scale_' not in n
        )
        assert count < without + 2000  # folded shapes and constants
        content = open(path, 'rb').read()
        assert str(ROOT).encode() not in content
        assert b'.py' not in content
        shape = proto.graph.input[0].type.tensor_type.shape
        assert [d.dim_param for d in shape.dim] == [
            'batch', '', '64*height', '64*width'
        ]  # fmt: skip


def test_the_file_says_what_it_is(inside):
    settings = PoseModel(inside).settings
    assert settings.mean == [123.675, 116.28, 103.53]
    assert settings.std == [58.395, 57.12, 57.375]
    assert settings.channel_order == 'rgb'
    assert settings.keypoints[0] == 'nose'
    assert settings.flip_test
    assert settings.heatmap_levels == [0, 1]
    assert (settings.stride, settings.finest_stride) == (1, 2)
    assert settings.codec.topk == 30


@like_opencv_4
def test_people_may_be_looked_for_at_half_the_resolution(
    model, outside, tmp_path
):
    model.test_cfg['upsample_heatmaps'] = False
    try:
        settings = onnx_export.settings_of(config_of(), model, False)
        assert settings.stride == 2
        path = str(tmp_path / 'half.onnx')
        onnx_export.write_settings(onnx.load(outside), settings, path)
        found = PoseModel(path, threads=1)
        assert_same(found(picture()), torch_people(model, picture()))
    finally:
        del model.test_cfg['upsample_heatmaps']


def test_images_that_are_none_are_refused(inside):
    found = PoseModel(inside)
    for image in (None, np.zeros((4, 5)), np.zeros((4, 5, 3))):
        with pytest.raises(ValueError, match='an image is a uint8 array'):
            found(image)
    with pytest.raises(ValueError, match='images of a batch have one size'):
        found.batch([picture(), picture((60, 40))])


def test_other_files_are_refused(inside, tmp_path):
    with pytest.raises(FileNotFoundError, match='no model file'):
        PoseModel(tmp_path / 'none.onnx')
    proto = onnx.load(inside)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / 'bare.onnx')
    with pytest.raises(ValueError, match="no metadata 'swahr_mmpose'"):
        PoseModel(tmp_path / 'bare.onnx')


def test_what_cannot_be_exported_is_refused(model):
    with pytest.raises(ValueError, match=r'scales \[0.5, 1.0\]'):
        onnx_export.settings_of(config_of(scales=[0.5, 1.0]), model)
    with pytest.raises(ValueError, match='unbiased=False, but'):
        onnx_export.settings_of(config_of(unbiased=True), model)
    cfg = config_of()
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(ValueError, match='one BottomupPyramidResize'):
        onnx_export.settings_of(cfg, model)


@pytest.mark.parametrize(('kind', 'limit'), [('fp16', 0.01), ('int8', 0.3)])
def test_smaller_models_are_near(inside, tmp_path, kind, limit):
    path = str(tmp_path / 'small.onnx')
    if kind == 'fp16':
        onnx_quantization.to_float16(inside, path)
    else:
        onnx_quantization.to_int8(inside, path, [picture(), picture((90, 50))])
    whole, small = PoseModel(inside, threads=1), PoseModel(path, threads=1)
    assert small.settings == whole.settings
    inputs, _ = whole.preprocess([picture()])
    for ours, theirs in zip(small.maps(inputs), whole.maps(inputs)):
        assert ours.dtype == np.float32
        difference = np.abs(ours - theirs)
        assert 0 < difference.mean() < limit * theirs.std()


def test_half_precision_makes_no_cells_equal(inside, tmp_path):
    """Or each of them would be a peak."""
    path = str(tmp_path / 'half.onnx')
    onnx_quantization.to_float16(inside, path)
    whole, half = PoseModel(inside, threads=1), PoseModel(path, threads=1)
    inputs, _ = whole.preprocess([picture()])
    distinct = [len(np.unique(m.maps(inputs)[0])) for m in (whole, half)]
    assert distinct[1] > 0.9 * distinct[0]


ALONE = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {
            'torch', 'cv2', 'mmcv', 'mmengine', 'mmpose', 'onnx', 'PIL',
            'swahr_mmpose', 'matplotlib', 'pycocotools', 'xtcocotools'
        }:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
import numpy as np
from swahr_runtime import PoseModel
image = np.load('image.npy')
poses = PoseModel(sys.argv[1], threads=1)(image)
np.save('keypoints.npy', poses.keypoints)
"""


@pytest.mark.slow
def test_the_copied_runtime_works_alone(inside, model, tmp_path):
    onnx_export.copy_runtime(str(tmp_path))
    onnx_export.copy_runtime(str(tmp_path))  # once more is no matter
    np.save(tmp_path / 'image.npy', picture())
    subprocess.run(
        [sys.executable, '-c', ALONE, inside],
        cwd=tmp_path,
        env=dict(OMP_NUM_THREADS='1', PATH=''),
        check=True,
    )
    expected = torch_people(model, picture()).pred_instances.keypoints
    found = np.load(tmp_path / 'keypoints.npy')
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-2)


def run_tool(monkeypatch, name, *args):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
    runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Untrained weights for the synthetic config."""
    init_default_scope('mmpose')
    model = make_lively(MODELS.build(Config.fromfile(CONFIG).model))
    path = tmp_path_factory.mktemp('weights') / 'a.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.mark.slow
def test_tool_exports_compares_tests_and_serves(
    monkeypatch, capfd, checkpoint, synthetic, tmp_path
):
    images = sorted((synthetic / 'images/val').iterdir())
    target = tmp_path / 'new/model.onnx'
    run_tool(
        monkeypatch, 'deployment/export_onnx.py', CONFIG, checkpoint, '--out', target,
        '--check', *images[:2],
    )  # fmt: skip
    said = capfd.readouterr().out
    assert 'inputs 0, heatmaps' in said
    assert '0 more than 0.01 px' in said
    annotations = f'{synthetic}/annotations/person_keypoints_val.json'
    out = tmp_path / 'results.json'
    run_tool(
        monkeypatch, 'deployment/evaluate_onnx.py', CONFIG, target, '--checkpoint',
        checkpoint, '--threads', 1, '--out', out, '--cfg-options',
        f'test_dataloader.dataset.data_root={synthetic}/',
        f'test_evaluator.ann_file={annotations}',
    )  # fmt: skip
    results = json.loads(out.read_text())
    ours, theirs = results['exported'], results['PyTorch']
    assert ours['coco/AP'] == pytest.approx(theirs['coco/AP'], abs=1e-6)
    ask_service(target, images[0])
    small = tmp_path / 'small.onnx'
    onnx_quantization.to_float16(str(target), str(small))
    assert small.stat().st_size < 0.6 * target.stat().st_size
    pictures = [cv2.imread(str(image)) for image in images[:2]]
    onnx_quantization.to_int8(str(target), str(small), pictures)
    assert small.stat().st_size < 0.4 * target.stat().st_size


def ask_service(target, image):
    command = [sys.executable, ROOT / 'tools/deployment/serve_onnx.py', target]
    with subprocess.Popen(
        [*command, '--port', '0', '--threads', '1'],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as service:
        try:
            url = service.stdout.readline().strip()
            alive = json.load(urllib.request.urlopen(url, timeout=30))
            assert alive['status'] == 'ok'
            answer = json.load(
                urllib.request.urlopen(url, image.read_bytes(), timeout=30)
            )
            assert isinstance(answer['people'], list)
            with pytest.raises(urllib.error.HTTPError, match='400'):
                urllib.request.urlopen(url, b'no image', timeout=30)
            with pytest.raises(urllib.error.HTTPError, match='400'):
                urllib.request.urlopen(url, b'', timeout=30)
        finally:
            service.kill()


def test_tool_refuses_checkpoints_that_would_run_code(monkeypatch, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ('ran',))

    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=Evil()), path)
    with pytest.raises(ValueError, match='is refused'):
        load_model(Config.fromfile(CONFIG), str(path))


def test_poses_are_compared_person_by_person():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (3, 17, 2)).astype(np.float32)
    scores = np.ones((3, 17), np.float32)
    one = onnx_parity.Poses(points, scores, scores[:, 0])
    order = [2, 0, 1]
    moved = points[order].copy()
    moved[0, 3, 0] += 1.5
    fewer = scores[order].copy()
    fewer[1, 4] = 0
    apart, single = onnx_parity.compare_poses(
        one, onnx_parity.Poses(moved, fewer, fewer[:, 0])
    )
    assert single == 1
    assert len(apart) == 3 * 17 - 1
    assert apart.max() == pytest.approx(1.5, abs=1e-4)
    nobody = onnx_parity.Poses(points[:0], scores[:0], scores[:0, 0])
    assert len(onnx_parity.compare_poses(one, nobody)[0]) == 0


@pytest.fixture(scope='module')
def photographed(shared, tmp_path_factory):
    """Official models and their files, by name, exported once."""
    folder, known = tmp_path_factory.mktemp('official'), {}

    def load(case):
        z = np.load(shared / 'golden/pipeline.npz')
        which = str(z[f'{case}/model'])
        if which not in known:
            count = int(which[1:3])
            model = make_model(count, modules=2 if count == 14 else 1)
            weights = {
                k.split('/')[1]: z[k]
                for k in z
                if k.startswith(f'{which}/final_layers')
            }
            load_official(model, shared, which[:3], weights)
            (folder / which).mkdir()
            known[which] = model, exported(folder / which, model, count)
        return (*known[which], int(which[1:3]), int(z[f'{case}/input_size']))

    return load


@pytest.mark.slow
@pytest.mark.parametrize('case', [*PHOTOGRAPHS, 'crowdpose_single'])
def test_people_in_photographs_are_those_of_the_model(
    shared, photographed, case
):
    model, path, num_keypoints, side = photographed(case)
    image = np.load(shared / 'golden/pipeline.npz')['small_image'][..., ::-1]
    if not case.startswith('small'):
        file = sorted((shared / 'golden/images').iterdir())[
            ['img0', 'img1', 'crowdpose'].index(case.split('_')[0])
        ]
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imread(str(file), flags)
    image = np.ascontiguousarray(image)
    found = PoseModel(path, threads=1)
    found.settings = found.settings._replace(input_size=side)
    expected = torch_people(model, image, side, num_keypoints)
    assert len(expected.pred_instances.bbox_scores) > 0
    poses = found(image)
    apart = np.abs(poses.keypoints - expected.pred_instances.keypoints)
    print(case, len(poses.scores), 'people', apart.max(), 'px')
    assert_same(poses, expected)
