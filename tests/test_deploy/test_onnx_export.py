"""Exported models predict the people of the PyTorch model."""

import json
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers import OPENCV_5, ROOT, like_opencv_4
from helpers.deploy import (
    assert_same,
    config_of,
    export,
    make_image,
    make_lively,
    torch_people,
)
from helpers.models import load_official, make_head, make_model
from helpers.tools import CONFIG
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from PIL import Image

from swahr_mmpose.apis.loading import load_model
from swahr_mmpose.checkpoints.io import TORCH_VERSION
from swahr_mmpose.deploy import onnx_export, onnx_parity, onnx_quantization
from swahr_mmpose.deploy.runtime import PoseModel

if TORCH_VERSION < (2, 6):
    pytest.skip('the exporter requires torch 2.6', allow_module_level=True)
onnx = pytest.importorskip('onnx')

PHOTOGRAPHS = ['img0_single', 'img1_single', 'small_single']


@like_opencv_4
@pytest.mark.parametrize('fusion', ['inside', 'outside'])
def test_people_are_those_of_the_model_for_any_size_and_batch(
    request, model, fusion
):
    found = PoseModel(request.getfixturevalue(fusion), threads=1)
    assert found.settings.fused == (fusion == 'inside')
    for size in [(75, 50), (131, 60)]:
        image = make_image(size)
        expected = torch_people(model, image)
        assert len(expected.pred_instances.bbox_scores) > 0
        assert_same(found(image), expected)
        flipped = np.ascontiguousarray(image[:, ::-1])
        both = found.batch(np.stack([image, flipped]))
        assert_same(both[0], expected)
        assert_same(both[1], torch_people(model, flipped))
    assert found.batch([]) == []


def test_channels_may_come_in_either_order(inside):
    found, image = PoseModel(inside, threads=1), make_image()
    rgb = found(image[..., ::-1], 'rgb')
    np.testing.assert_array_equal(rgb.keypoints, found(image).keypoints)
    with pytest.raises(ValueError, match="'bgr' or 'rgb', got 'gray'"):
        found(image, 'gray')


def test_without_people_everything_is_empty(inside):
    high = PoseModel(inside, threads=1)
    high.settings = high.settings._replace(
        codec=high.settings.codec._replace(keypoint_thr=1e9)
    )
    poses = high(make_image())
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
        assert_same(found(make_image()), torch_people(model, make_image()))
    finally:
        model.test_cfg['flip_test'] = True
    with pytest.raises(ValueError, match='export it with --fusion outside'):
        PoseModel(inside, flip_test=False)


def test_the_graph_has_no_scale_branch_and_no_local_paths(
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


@like_opencv_4
@pytest.mark.parametrize('fused', [True, False])
def test_standard_deviations_are_those_of_the_model(model, tmp_path, fused):
    model.test_cfg['output_scales'] = True
    try:
        found = PoseModel(export(tmp_path, model, fused=fused), threads=1)
        expected = torch_people(model, make_image()).pred_instances
    finally:
        del model.test_cfg['output_scales']
    poses = found(make_image())
    assert found.settings.output_scales
    assert poses.sigmas.dtype == np.float32
    np.testing.assert_allclose(
        poses.sigmas, expected.keypoint_sigmas, rtol=1e-4
    )
    assert np.isfinite(poses.sigmas).any()
    np.testing.assert_array_equal(poses.filled, expected.keypoints_filled)
    assert 'sigmas' in poses.as_dicts(found.settings.keypoints)[0]


def test_what_the_runtime_does_not_have_is_refused(model):
    cfg, codec = config_of(), model.head.decoder
    codec.decode_assignment = 'official'
    try:
        with pytest.raises(ValueError, match="runtime has 'nearest' only"):
            onnx_export.build_settings(cfg, model, True)
    finally:
        codec.decode_assignment = 'nearest'
    plain = make_head_without_scales()
    with pytest.raises(ValueError, match='no scale branch'):
        onnx_export.build_settings(cfg, plain, True)


def make_head_without_scales():
    model = make_model()
    model.head.scale_layers = None
    model.test_cfg['output_scales'] = True
    return model


def test_the_parity_reads_images_as_the_pipeline_does(model, tmp_path):
    stored = Image.fromarray(np.ascontiguousarray(make_image()[..., ::-1]))
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    stored.save(tmp_path / 'a.png', exif=exif)
    exported = PoseModel(export(tmp_path, model), threads=1)
    for ignore in (True, False):
        cfg = config_of()
        resize = cfg.test_dataloader.dataset.pipeline[0]
        cfg.test_dataloader.dataset.pipeline = [
            dict(type='BottomupLoadImage', ignore_orientation=ignore),
            resize,
            dict(type='BottomupPackInputs'),
        ]
        difference = onnx_parity.compare_model(
            cfg, model, exported, str(tmp_path / 'a.png')
        )
        assert difference.inputs <= (0.05 if OPENCV_5 else 0)
        assert difference.people[0] == difference.people[1]


def test_the_file_holds_the_settings(inside):
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
def test_people_can_be_decoded_at_half_the_resolution(
    model, outside, tmp_path
):
    model.test_cfg['upsample_heatmaps'] = False
    try:
        settings = onnx_export.build_settings(config_of(), model, False)
        assert settings.stride == 2
        path = str(tmp_path / 'half.onnx')
        onnx_export.write_settings(onnx.load(outside), settings, path)
        found = PoseModel(path, threads=1)
        assert_same(found(make_image()), torch_people(model, make_image()))
    finally:
        del model.test_cfg['upsample_heatmaps']


def test_invalid_images_are_refused(inside):
    found = PoseModel(inside)
    for image in (None, np.zeros((4, 5)), np.zeros((4, 5, 3))):
        with pytest.raises(ValueError, match='an image must be a uint8 array'):
            found(image)
    with pytest.raises(ValueError, match='images of a batch must have one'):
        found.batch([make_image(), make_image((60, 40))])


def test_other_files_are_refused(inside, tmp_path):
    with pytest.raises(FileNotFoundError, match='none.onnx does not exist'):
        PoseModel(tmp_path / 'none.onnx')
    proto = onnx.load(inside)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / 'bare.onnx')
    with pytest.raises(ValueError, match="no metadata 'swahr_mmpose'"):
        PoseModel(tmp_path / 'bare.onnx')


def test_what_cannot_be_exported_is_refused(model):
    with pytest.raises(ValueError, match=r'scales \[0.5, 1.0\]'):
        onnx_export.build_settings(config_of(scales=[0.5, 1.0]), model, True)
    with pytest.raises(ValueError, match='unbiased=False for the codec, but'):
        onnx_export.build_settings(config_of(unbiased=True), model, True)
    cfg = config_of()
    cfg.test_dataloader.dataset.pipeline = []
    with pytest.raises(ValueError, match='one BottomupPyramidResize'):
        onnx_export.build_settings(cfg, model, True)


@pytest.mark.parametrize(('kind', 'limit'), [('fp16', 0.01), ('int8', 0.3)])
def test_smaller_models_are_near(inside, tmp_path, kind, limit):
    path = str(tmp_path / 'small.onnx')
    if kind == 'fp16':
        onnx_quantization.to_float16(inside, path)
    else:
        onnx_quantization.to_int8(
            inside, path, [make_image(), make_image((90, 50))]
        )
    full, small = PoseModel(inside, threads=1), PoseModel(path, threads=1)
    assert small.settings == full.settings
    inputs, _ = full.preprocess([make_image()])
    for ours, theirs in zip(small.maps(inputs), full.maps(inputs)):
        assert ours.dtype == np.float32
        difference = np.abs(ours - theirs)
        assert 0 < difference.mean() < limit * theirs.std()


def test_half_precision_makes_no_cells_equal(inside, tmp_path):
    """Each of the equal cells would be a peak."""
    path = str(tmp_path / 'half.onnx')
    onnx_quantization.to_float16(inside, path)
    full, half = PoseModel(inside, threads=1), PoseModel(path, threads=1)
    inputs, _ = full.preprocess([make_image()])
    distinct = [len(np.unique(m.maps(inputs)[0])) for m in (full, half)]
    assert distinct[1] > 0.9 * distinct[0]


@pytest.mark.parametrize('fused', [True, False])
@pytest.mark.parametrize('opset', [11, 13, 17, 20])
@pytest.mark.parametrize('shape', [None, (64, 128)])
def test_the_operator_set_is_the_requested_one(
    model, tmp_path, opset, fused, shape
):
    path = str(tmp_path / 'a.onnx')
    settings = onnx_export.build_settings(config_of(), model, fused)
    onnx_export.export_model(model, settings, path, opset, shape)
    versions = {o.domain: o.version for o in onnx.load(path).opset_import}
    assert versions[''] == opset
    # The geometry of this image is 64 x 128: the shape changes nothing.
    image = make_image((75, 50))
    poses = PoseModel(path, threads=1)(image)
    assert len(poses.keypoints)
    if not OPENCV_5:
        assert_same(poses, torch_people(model, image))


@pytest.mark.parametrize('opset', [10, 99])
def test_an_operator_set_that_cannot_be_written_is_refused(
    model, tmp_path, opset
):
    settings = onnx_export.build_settings(config_of(), model, True)
    path = tmp_path / 'a.onnx'
    with pytest.raises(ValueError, match=f'operator set {opset}, expected 11'):
        onnx_export.export_model(model, settings, str(path), opset)
    assert not path.exists()


def test_an_operator_set_that_is_not_written_is_an_error(
    model, inside, tmp_path, monkeypatch
):
    proto = onnx.load(inside)
    monkeypatch.setattr(onnx_export, '_export_trace', lambda *_: proto)
    settings = onnx_export.build_settings(config_of(), model, True)
    path = tmp_path / 'a.onnx'
    with pytest.raises(ValueError, match=r'set 13 \(it writes \[18\]\)'):
        onnx_export.export_model(model, settings, str(path), 13)
    assert not path.exists()


@pytest.mark.parametrize('shape', [(64, 100), (0, 64), (64, 64 * 257)])
def test_an_input_shape_is_checked(model, tmp_path, shape):
    settings = onnx_export.build_settings(config_of(), model, True)
    with pytest.raises(ValueError, match='multiples of 64 up to 16384'):
        onnx_export.export_model(
            model, settings, str(tmp_path / 'a.onnx'), 18, shape
        )


@pytest.mark.parametrize('fused', [True, False])
def test_a_fixed_input_shows_all_of_any_image(model, tmp_path, fused):
    settings = onnx_export.build_settings(config_of(), model, fused)
    path = str(tmp_path / 'fixed.onnx')
    onnx_export.export_model(model, settings, path, 18, (64, 128))
    found = PoseModel(path, threads=1)
    assert found.size == (128, 64)
    assert found.session.get_inputs()[0].shape == [1, 3, 64, 128]
    tall = make_image((50, 75))
    inputs, resized = found.preprocess([tall])
    assert inputs.shape == (1, 3, 64, 128)
    corners = np.array([[0, 0], [49, 74]])
    scale = 64 / 75
    inner = (corners - [25, 38]) * scale + [64, 32]
    np.testing.assert_allclose(resized.to_image(inner), corners, atol=1e-9)
    assert (inner >= -1).all()
    assert (inner <= [128, 64]).all()
    poses = found(tall)
    assert len(poses.scores) > 0
    assert np.isfinite(poses.keypoints).all()
    images = [tall, np.ascontiguousarray(tall[:, ::-1])]
    for one, image in zip(found.batch(images), images):
        np.testing.assert_array_equal(one.keypoints, found(image).keypoints)


def run_tool(monkeypatch, name, *args):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
    runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Write untrained weights for the synthetic config."""
    init_default_scope('mmpose')
    model = make_lively(MODELS.build(Config.fromfile(CONFIG).model))
    path = tmp_path_factory.mktemp('weights') / 'a.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


@pytest.mark.slow
def test_tools_export_compare_and_evaluate(
    monkeypatch, capfd, checkpoint, synthetic, tmp_path
):
    images = sorted((synthetic / 'images/val').iterdir())
    target = tmp_path / 'new/model.onnx'
    run_tool(
        monkeypatch, 'deployment/export_onnx.py', CONFIG, checkpoint,
        '--out-file', target, '--check', *images[:2],
    )  # fmt: skip
    said = capfd.readouterr().out
    assert 'inputs 0, heatmaps' in said
    assert '0 more than 0.01 px' in said
    annotations = f'{synthetic}/annotations/person_keypoints_val.json'
    out = tmp_path / 'results.json'
    run_tool(
        monkeypatch, 'deployment/evaluate_onnx.py', CONFIG, target,
        '--checkpoint', checkpoint, '--threads', 1, '--out-file', out,
        '--cfg-options',
        f'test_dataloader.dataset.data_root={synthetic}/',
        f'test_evaluator.ann_file={annotations}',
    )  # fmt: skip
    results = json.loads(out.read_text())
    ours, theirs = results['exported'], results['PyTorch']
    assert ours['coco/AP'] == pytest.approx(theirs['coco/AP'], abs=1e-6)
    small = tmp_path / 'small.onnx'
    onnx_quantization.to_float16(str(target), str(small))
    assert small.stat().st_size < 0.6 * target.stat().st_size
    arrays = [cv2.imread(str(image)) for image in images[:2]]
    onnx_quantization.to_int8(str(target), str(small), arrays)
    assert small.stat().st_size < 0.4 * target.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize('fused', [True, False])
def test_a_head_of_three_levels_is_exported(model, tmp_path, fused):
    torch.manual_seed(0)
    levels = [(16, 16), (32, 32), (64, 64)]
    deep = make_model()
    deep.backbone = model.backbone
    deep.head = make_head(
        deconv_out_channels=[8, 8],
        decoder=dict(
            type='ScaleAwareAssociativeEmbedding',
            input_size=(64, 64),
            heatmap_sizes=levels,
            decode_keypoint_order=deep.head.decoder.decode_keypoint_order,
        ),
    )
    make_lively(deep)
    found = PoseModel(export(tmp_path, deep, fused=fused), threads=1)
    assert found.settings.heatmap_levels == [0, 1, 2]
    assert found.settings.finest_stride == 1
    assert_same(found(make_image()), torch_people(deep, make_image()))


@pytest.mark.parametrize('fused', [True, False])
def test_tags_of_two_dimensions_are_exported(model, tmp_path, fused):
    torch.manual_seed(0)
    wide = make_model()
    wide.backbone = model.backbone
    wide.head = make_head(tag_dim=2)
    wide.head.decoder = model.head.decoder
    make_lively(wide)
    found = PoseModel(export(tmp_path, wide, fused=fused), threads=1)
    people = torch_people(wide, make_image())
    assert len(people.pred_instances) > 1
    assert_same(found(make_image()), people)


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
    distances, unmatched = onnx_parity.compare_poses(
        one, onnx_parity.Poses(moved, fewer, fewer[:, 0])
    )
    assert unmatched == 1
    assert len(distances) == 3 * 17 - 1
    assert distances.max() == pytest.approx(1.5, abs=1e-4)
    empty = onnx_parity.Poses(points[:0], scores[:0], scores[:0, 0])
    assert len(onnx_parity.compare_poses(one, empty)[0]) == 0


@pytest.fixture(scope='module')
def photographed(shared, tmp_path_factory):
    """Export the official models once; load model and file by case."""
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
            known[which] = model, export(folder / which, model, count)
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
    distances = np.abs(poses.keypoints - expected.pred_instances.keypoints)
    print(case, len(poses.scores), 'people', distances.max(), 'px')
    assert_same(poses, expected)
