import cv2
import numpy as np
import pytest
import torch
from helpers import like_opencv_4
from helpers.codecs import COCO_ORDER
from helpers.models import load_official, make_batch, make_head, make_model
from mmpose.registry import MODELS

from swahr_mmpose import (
    BottomupPyramidPoseEstimator,
    ScaleAwareAssociativeEmbedding,
)

PIPELINE_CASES = [
    'img0_single',
    'img1_single',
    'small_single',
    'crowdpose_single',
    'img0_multi',
    'img1_multi',
    'small_multi',
    'crowdpose_multi',
]


def read_golden_image(shared, case, z):
    """Read the image of a pipeline case, uint8 BGR, orientation as stored."""
    name = case.split('_')[0]
    if name == 'small':
        return np.ascontiguousarray(z['small_image'][..., ::-1])
    files = sorted((shared / 'golden/images').iterdir())
    file = files[['img0', 'img1', 'crowdpose'].index(name)]
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imread(str(file), flags)


@like_opencv_4
@pytest.mark.parametrize('case', PIPELINE_CASES)
def test_people_in_real_images_equal_the_official_ones(shared, case):
    z = np.load(shared / 'golden/pipeline.npz')
    which = str(z[f'{case}/model'])
    num_keypoints = int(which[1:3])
    model = make_model(num_keypoints, modules=2 if num_keypoints == 14 else 1)
    model.head.decoder.decode_assignment = 'official'
    load_official(
        model,
        shared,
        which[:3],
        {
            k.split('/')[1]: z[k]
            for k in z
            if k.startswith(f'{which}/final_layers')
        },
    )
    batch = make_batch(
        read_golden_image(shared, case, z),
        int(z[f'{case}/input_size']),
        z[f'{case}/scales'].tolist(),
        num_keypoints,
    )
    with torch.no_grad():
        result = model.test_step(batch)[0].pred_instances
    official = z[f'{case}/worker_keypoints'].reshape(-1, num_keypoints, 3)
    assert len(result.keypoints) == len(official)
    found = official[..., 2] > 0
    np.testing.assert_allclose(
        result.keypoints[found], official[..., :2][found], rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(
        result.keypoint_scores, official[..., 2], rtol=0, atol=1e-4
    )
    np.testing.assert_allclose(
        result.bbox_scores, z[f'{case}/worker_scores'], rtol=0, atol=1e-4
    )


def make_image():
    return np.random.randint(0, 255, (48, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('scales', [(1.0,), (0.5, 1.0, 2.0)])
def test_maps_have_the_input_size_and_a_tag_for_each_view(
    monkeypatch, flip_test, scales
):
    model = make_model(flip_test=flip_test)
    seen = []
    monkeypatch.setattr(
        model.head,
        'decode',
        lambda maps, factor: (
            seen.append(maps) or type(model.head).decode(model.head, maps)
        ),
    )
    with torch.no_grad():
        result = model.test_step(make_batch(make_image(), 128, scales))
    ((heatmaps, tags),) = seen
    width, height = result[0].metainfo['input_size']
    assert heatmaps.shape == (1, 17, height, width)
    # Tags are not resized; the decoder interpolates them.
    assert tags.shape == (1, 17 * (1 + flip_test), height // 4, width // 4)
    assert result[0].pred_instances.keypoints.shape[1:] == (17, 2)


def test_a_pyramid_of_scale_one_alone_equals_the_single_image():
    model, image = make_model(), make_image()
    batch = make_batch(image, 128)
    listed = dict(batch, inputs=[batch['inputs']])
    with torch.no_grad():
        single = model.data_preprocessor(batch)
        pyramid = model.data_preprocessor(listed)
        a = model.predict(single['inputs'], single['data_samples'])
        a = a[0].pred_instances.keypoints.copy()
        b = model.predict(pyramid['inputs'], pyramid['data_samples'])
    np.testing.assert_array_equal(a, b[0].pred_instances.keypoints)


def test_images_of_one_batch_do_not_influence_each_other():
    model, image = make_model(), torch.randn(2, 3, 64, 128)
    with torch.no_grad():
        both = model.head.test_maps(model.extract_feat(image), None, (64, 128))
        each = [
            model.head.test_maps(
                model.extract_feat(image[b : b + 1]), None, (64, 128)
            )
            for b in (0, 1)
        ]
    for level in (0, 1):
        torch.testing.assert_close(
            both[level], torch.cat([maps[level] for maps in each])
        )


def test_test_images_of_different_sizes_in_a_batch_are_refused():
    model = make_model()
    a, b = (make_batch(make_image()[:, :w], 64) for w in (80, 48))
    batch = {k: [*a[k], *b[k]] for k in a}
    with pytest.raises(ValueError, match='set batch_size=1'):
        model.test_step(batch)


def test_channels_last_changes_the_layout_alone():
    data = make_batch(make_image(), 64)
    kwargs = dict(
        type='BottomupPyramidDataPreprocessor', mean=[0, 0, 0], std=[1, 1, 1]
    )
    plain = MODELS.build(kwargs)(dict(data))['inputs']
    last = MODELS.build(dict(kwargs, channels_last=True))(dict(data))['inputs']
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain, last)


def test_mmpose_own_estimator_can_drive_the_head():
    """Flip test at one scale without BottomupPyramidPoseEstimator."""
    model = make_model()
    batch = model.data_preprocessor(make_batch(make_image(), 128))
    stock = MODELS.get('BottomupPoseEstimator')
    with torch.no_grad():
        ours = BottomupPyramidPoseEstimator.predict(model, **batch)
        ours = ours[0].pred_instances.keypoints.copy()
        theirs = stock.predict(model, **batch)
    np.testing.assert_array_equal(ours, theirs[0].pred_instances.keypoints)


def test_head_returns_fields_on_request():
    head = make_head(
        decoder=dict(
            type='ScaleAwareAssociativeEmbedding',
            input_size=(64, 64),
            heatmap_sizes=[(16, 16), (32, 32)],
            decode_keypoint_order=COCO_ORDER,
        )
    ).eval()
    batch = make_batch(make_image(), 64)
    _, fields = head.predict(
        (torch.zeros(1, 8, 16, 32),),
        batch['data_samples'],
        dict(output_heatmaps=True),
    )
    assert fields[0].heatmaps.shape == (17, 64, 128)


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('levels', [(0,), (1,)])
def test_a_single_level_can_be_tested(monkeypatch, flip_test, levels):
    model = make_model(flip_test=flip_test)
    model.test_cfg['heatmap_levels'] = levels
    seen = []
    monkeypatch.setattr(
        model.head, 'decode', lambda maps, factor: seen.append(maps) or []
    )
    monkeypatch.setattr(model, 'add_pred_to_datasample', lambda *_: None)
    image = make_image()
    with torch.no_grad():
        model.test_step(make_batch(image, 64, (0.5, 1.0)))
    model.test_cfg['heatmap_levels'] = (0, 1)
    with torch.no_grad():
        model.test_step(make_batch(image, 64, (0.5, 1.0)))
    (single, tags), (both, tags_of_both) = seen
    torch.testing.assert_close(tags, tags_of_both)
    assert not torch.allclose(single, both)


def test_people_can_be_decoded_at_half_the_resolution():
    model = make_model(flip_test=False)
    model.test_cfg.update(output_heatmaps=True, upsample_heatmaps=False)
    fields = model.test_step(make_batch(make_image(), 64))[0].pred_fields
    height, width = fields.heatmaps.shape[1:]
    model.test_cfg.update(upsample_heatmaps=True)
    fields = model.test_step(make_batch(make_image(), 64))[0].pred_fields
    assert fields.heatmaps.shape[1:] == (2 * height, 2 * width)


@pytest.mark.parametrize('unbiased', [False, True])
def test_people_decoded_at_half_the_resolution_have_the_encoded_positions(
    unbiased,
):
    codec = ScaleAwareAssociativeEmbedding(
        input_size=(128, 128),
        heatmap_sizes=[(32, 32), (64, 64)],
        unbiased=unbiased,
        decode_keypoint_order=[0, 1, 2],
    )
    points = np.array([[[20.3, 30.9], [60.1, 40.2], [99.6, 101.4]]])
    encoded = codec.encode(points.astype(np.float32))
    maps = torch.from_numpy(np.asarray(encoded['heatmaps'][1]))[None]
    tags = torch.zeros(1, 3, 32, 32)
    found = codec.batch_decode(maps, tags, scale_factor=2.0)[0][0]
    assert found.shape == (1, 3, 2)
    # The official convention keeps half a cell of truncation and a quarter
    # of a cell of shift.
    limit = 0.02 if unbiased else 1.5
    assert np.abs(found - points).max() < limit


def test_a_flip_test_without_counterparts_is_refused():
    model = make_model()
    batch = make_batch(np.zeros((64, 64, 3), np.uint8), 64)
    for sample in batch['data_samples']:
        del sample.flip_indices
    with pytest.raises(ValueError, match="add 'flip_indices' to meta_keys"):
        model.test_step(batch)
