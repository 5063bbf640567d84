import math

import numpy as np
import pytest
import torch
from helpers.models import FLIPS, make_batch, make_head, make_model
from mmengine.structures import InstanceData

from swahr_mmpose.models.heads.fusion import merge_flipped
from swahr_mmpose.models.heads.keypoint_sigmas import (
    LARGEST_SCALE,
    compute_sigmas,
    read_scales,
)
from swahr_mmpose.models.losses.functional import scale_adapted_target
from swahr_mmpose.structures import HeadOutput


def read_one(alpha, x, y, sigma=2.0):
    maps = torch.as_tensor(alpha, dtype=torch.float32)[None, None]
    ((s,),) = read_scales(maps, [np.array([[[x, y]]])], sigma)[0]
    return s


def plain_scale(alpha, x, y, sigma):
    """Average over every cell of the map, one at a time."""
    total = weighted = 0.0
    radius = math.ceil(3 * sigma)
    for v, u in np.ndindex(*alpha.shape):
        if max(abs(u - np.rint(x)), abs(v - np.rint(y))) <= radius:
            h = math.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2))
            total += h * abs(math.log(h))
            weighted += h * abs(math.log(h)) * alpha[v, u]
    return 1 / max(1 + weighted / total, 1 / LARGEST_SCALE)


@pytest.mark.parametrize('sigma', [1.0, 2.0])
def test_scales_are_read_with_the_weights_h_ln_h(sigma):
    rng = np.random.default_rng(0)
    alpha = rng.normal(0, 0.3, (21, 17)).astype(np.float32)
    for x, y in rng.uniform(-1, 20, (20, 2)):
        expected = plain_scale(alpha, x, y, sigma)
        assert read_one(alpha, x, y, sigma) == pytest.approx(
            expected, rel=1e-4
        )


def test_the_cell_of_the_keypoint_has_no_weight():
    alpha = np.zeros((15, 15), np.float32)
    alpha[7, 7] = 5
    assert read_one(alpha, 7, 7) == 1
    alpha[7, 10] = 5  # 1.5 sigma away
    assert read_one(alpha, 7, 7) < 0.95


def test_a_target_raised_to_1_over_s_has_the_deviation_sigma_sqrt_s():
    """Eq. 6; Eq. 4 of the paper writes sigma_0 * s."""
    y, x = torch.meshgrid(*[torch.arange(61.0) - 30] * 2, indexing='ij')
    target = torch.exp(-(x**2 + y**2) / (2 * 2.0**2)).double()
    for s in (0.5, 1.0, 2.25):
        alpha = torch.full_like(target, 1 / s - 1)
        adapted = scale_adapted_target(target, alpha, 'exact')
        variance = (adapted * x**2).sum() / adapted.sum()
        assert variance.sqrt() == pytest.approx(2 * math.sqrt(s), rel=1e-3)
        assert 2 * math.sqrt(read_one(alpha, 30, 30)) == pytest.approx(
            2 * math.sqrt(s), rel=1e-5
        )


def test_scales_are_bounded_and_nan_outside_of_the_map():
    assert read_one(np.full((9, 9), -3.0), 4, 4) == LARGEST_SCALE
    assert math.isnan(read_one(np.zeros((9, 9)), 40, 4))


@pytest.mark.parametrize('counts', [(0, 0), (2, 0, 3), (1,)])
def test_each_image_reads_its_own_maps(counts):
    rng = np.random.default_rng(1)
    maps = torch.from_numpy(rng.normal(0, 0.2, (len(counts), 3, 12, 10)))
    cells = [rng.uniform(0, 9, (n, 3, 2)) for n in counts]
    scales = read_scales(maps, cells, 1.0)
    assert [s.shape for s in scales] == [(n, 3) for n in counts]
    for b, people in enumerate(cells):
        for n, k in np.ndindex(len(people), 3):
            alone = read_one(maps[b, k], *people[n, k], 1.0)
            assert scales[b][n, k] == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize('unbiased', [False, True])
def test_scales_are_read_where_the_target_was_drawn(unbiased):
    """Decode and read with one coordinate convention."""
    head = make_head(
        num_keypoints=1,
        decoder=dict(
            type='ScaleAwareAssociativeEmbedding',
            input_size=(128, 128),
            heatmap_sizes=[(32, 32), (64, 64)],
            unbiased=unbiased,
            decode_keypoint_order=[0],
        ),
    )
    # A target around cell (30, 20) of the finest level.
    y, x = torch.meshgrid(*[torch.arange(64.0)] * 2, indexing='ij')
    target = torch.exp(-((x - 30) ** 2 + (y - 20) ** 2) / 8)[None, None]
    (people,) = head.decode((target, torch.zeros(1, 1, 32, 32)), 2.0)
    # alpha rises by .05 per cell from 0 in the column of the keypoint.
    ramp = (0.05 * (x - 30))[None, None]
    info = dict(input_size=(128, 128), input_scale=(128, 128))
    codec = head.decoder
    (sigmas,) = compute_sigmas(ramp, [people], [info], codec, 2.0)
    assert sigmas[0, 0] == pytest.approx(4.0, rel=0.01)


def test_sigmas_are_in_pixels_of_the_image_and_nan_where_missing():
    codec = make_model().head.decoder
    people = InstanceData(
        keypoints=np.full((1, 17, 2), 30.0), keypoint_scores=np.eye(1, 17)
    )
    info = dict(input_size=(64, 64), input_scale=(192, 192))
    alpha = torch.full((1, 17, 32, 32), 1 / 4 - 1)  # s = 4
    (sigmas,) = compute_sigmas(alpha, [people], [info], codec, 2.0)
    assert sigmas.dtype == np.float32
    assert sigmas[0, 0] == pytest.approx(2 * 2 * 2 * 3, rel=1e-5)
    assert np.isnan(sigmas[0, 1:]).all()


def test_flipped_scale_maps_are_averaged_with_exchanged_keypoints():
    maps = [torch.randn(1, 17, 4, 6) for _ in range(4)]
    tags = torch.zeros(1, 17, 4, 6)
    both = merge_flipped(
        HeadOutput([maps[0]], tags, [maps[1]]),
        HeadOutput([maps[2]], tags, [maps[3]]),
        FLIPS[17],
    )
    flipped = maps[3][:, FLIPS[17]].flip(-1)
    torch.testing.assert_close(both.scale_maps[0], (maps[1] + flipped) / 2)
    plain = HeadOutput([maps[0]], tags, None)
    assert merge_flipped(plain, plain, FLIPS[17]).scale_maps is None


def lively_model(**kwargs):
    torch.manual_seed(0)
    model = make_model(**kwargs)
    for layer in model.head.final_layers:
        torch.nn.init.normal_(layer.weight, std=0.5)
    for branch in model.head.scale_layers:
        torch.nn.init.normal_(branch[-1].weight, std=0.1)
    return model


def predict(model):
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    with torch.no_grad():
        batch = make_batch(image, 64)
        return model.test_step(batch)[0].pred_instances


def test_the_scale_branch_is_run_on_request_only(monkeypatch):
    model, runs = lively_model(), []
    for branch in model.head.scale_layers:
        branch.register_forward_hook(lambda *_: runs.append(1))
    plain = predict(model)
    assert 'keypoint_sigmas' not in plain
    assert not runs
    model.test_cfg['output_scales'] = True
    with_sigmas = predict(model)
    assert len(runs) == 4  # two levels, two views
    np.testing.assert_array_equal(plain.keypoints, with_sigmas.keypoints)
    sigmas = with_sigmas.keypoint_sigmas
    assert sigmas.shape == plain.keypoint_scores.shape
    found = plain.keypoint_scores > 0
    np.testing.assert_array_equal(np.isfinite(sigmas), found)
    assert sigmas[found].std() > 0


def test_a_pyramid_uses_the_scale_maps_of_scale_1():
    model, runs = lively_model(flip_test=False), []
    model.test_cfg['output_scales'] = True
    for branch in model.head.scale_layers:
        branch.register_forward_hook(
            lambda _, inputs, __: runs.append(tuple(inputs[0].shape[2:]))
        )
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    with torch.no_grad():
        batch = make_batch(image, 64, (0.5, 1.0, 2.0))
        result = model.test_step(batch)[0]
    people = result.pred_instances
    assert people.keypoint_sigmas.shape == people.keypoint_scores.shape
    width, height = result.metainfo['input_size']
    assert runs == [(height // n, width // n) for n in (4, 2)]


def test_mmposes_estimator_gives_the_same_sigmas():
    from mmpose.models import BottomupPoseEstimator

    model = lively_model()
    model.test_cfg['output_scales'] = True
    ours = predict(model).keypoint_sigmas
    model.predict = lambda *args: BottomupPoseEstimator.predict(model, *args)
    np.testing.assert_array_equal(predict(model).keypoint_sigmas, ours)


def test_a_head_without_scale_branch_is_refused():
    head = make_head(scale_maps=False)
    with pytest.raises(ValueError, match='no scale branch.*output_scales=F'):
        head.merge_views((torch.zeros(1, 8, 8, 8),), with_scale_maps=True)
