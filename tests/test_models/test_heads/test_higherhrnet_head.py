import json

import numpy as np
import pytest
import torch
from helpers.models import make_head, small_hrnet
from mmengine.structures import InstanceData
from mmpose.structures import MultilevelPixelData, PoseDataSample

from swahr_mmpose import HeadOutput, HigherHRNetHead
from swahr_mmpose.checkpoints.layouts import from_official
from swahr_mmpose.codecs.gaussian_targets import keypoint_indices
from swahr_mmpose.models.heads.fusion import fuse_levels, merge_flipped
from swahr_mmpose.structures import SparseFields
from swahr_mmpose.utils.tensor_ops import resize

BASELINE = dict(
    scale_maps=False,
    keypoint_loss=dict(
        type='SWAHRLoss', scale_adaptive=False, weight_adaptive=False
    ),
)


def strip(state, prefix):
    return {
        k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)
    }


@pytest.mark.parametrize(('name', 'modules'), [('k17', 1), ('k14', 2)])
def test_official_weights_give_the_official_outputs(golden, name, modules):
    z = golden('model.npz', f'{name}/input')
    prefix = f'{name}/state_dict/'
    state = from_official(
        {
            k[len(prefix) :]: torch.from_numpy(np.asarray(z[k]))
            for k in z
            if k.startswith(prefix)
        }
    )
    num_keypoints = z[f'{name}/output_0'].shape[1] // 3
    backbone = small_hrnet(modules)
    backbone.eval()  # returns nothing in MMPose
    backbone.load_state_dict(strip(state, 'backbone.'))
    head = make_head(num_keypoints=num_keypoints).eval()
    head.load_state_dict(strip(state, 'head.'))
    with torch.no_grad():
        feats = backbone(torch.from_numpy(z[f'{name}/input']))
        out = head(feats, with_scale_maps=True)
    ours = dict(
        stage4_0=feats[0],
        output_0=torch.cat([out.scale_maps[0], out.heatmaps[0], out.tags], 1),
        output_1=torch.cat([out.scale_maps[1], out.heatmaps[1]], 1),
    )
    for key, value in ours.items():
        np.testing.assert_allclose(
            value,
            z[f'{name}/{key}'],
            rtol=0,
            atol=3 * float(z[f'{name}/f64_maxdiff/{key}']),
        )


class FixedOutput(HigherHRNetHead):
    """Head that returns given maps."""

    output: HeadOutput

    def forward(self, feats, with_scale_maps=None):
        return self.output


def make_sample(heatmaps, masks, indices):
    sample = PoseDataSample()
    fields = MultilevelPixelData()
    fields.set_field(heatmaps, 'heatmaps')
    fields.set_field(masks, 'heatmap_mask')
    sample.gt_fields = fields
    sample.gt_instance_labels = InstanceData(keypoint_indices=indices)
    return sample


def official_indices(joints, side):
    """Unpack official indices ``k * side^2 + index``, (30, K, 2)."""
    indices = torch.zeros(joints.shape, dtype=torch.long)
    for n, person in enumerate(joints):
        for flat, counts in person:
            if counts:
                k, index = divmod(int(flat), side * side)
                indices[n, k] = torch.tensor([index, 1])
    return indices


def test_losses_of_both_levels_equal_the_official_sum(golden):
    z = golden('loss_multi.npz')
    out0 = torch.from_numpy(z['output0']).requires_grad_()
    out1 = torch.from_numpy(z['output1']).requires_grad_()
    head = FixedOutput(8, 17, num_basic_blocks=1)
    a0, h0, tags = out0.split(17, dim=1)
    a1, h1 = out1.split(17, dim=1)
    head.output = HeadOutput([h0, h1], tags, [a0, a1])
    samples = [
        make_sample(
            [torch.from_numpy(z[f'gt{i}'][b]) for i in (0, 1)],
            [torch.from_numpy(z[f'mask{i}'][b]) for i in (0, 1)],
            official_indices(z['joints0'][b], 16),
        )
        for b in (0, 1)
    ]
    losses = head.loss((), samples)
    assert set(losses) == {
        'loss_kpt.0',
        'loss_kpt.1',
        'loss_scale.0',
        'loss_scale.1',
        'loss_pull',
        'loss_push',
    }
    total = sum(losses.values())
    total.backward()
    np.testing.assert_allclose(total.item(), z['official_total'], rtol=1e-5)
    for i, out in enumerate((out0, out1)):
        official = z[f'official_grad_output{i}']
        np.testing.assert_allclose(
            out.grad, official, rtol=0, atol=1e-6 * np.abs(official).max()
        )


def random_samples(people=(0, 1, 3), num_keypoints=17):
    samples = []
    for n in people:
        indices = keypoint_indices(
            np.random.uniform(0, 8, (n, num_keypoints, 2)),
            np.ones((n, num_keypoints)),
            (8, 8),
        )
        samples.append(
            make_sample(
                [torch.rand(num_keypoints, s, s) * (n > 0) for s in (8, 16)],
                [torch.ones(s, s, dtype=torch.bool) for s in (8, 16)],
                torch.from_numpy(indices),
            )
        )
    return samples


@pytest.mark.parametrize('people', [(0, 1, 3), (0, 0)])
@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(keypoint_loss=dict(type='SWAHRLoss', weight_adaptive=False)),
        BASELINE,
    ],
)
def test_every_parameter_has_a_gradient_with_any_number_of_people(
    people, kwargs
):
    """DistributedDataParallel requires it."""
    head = make_head(**kwargs)
    feats = torch.randn(len(people), 8, 8, 8)
    losses = head.loss((feats,), random_samples(people))
    assert all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
    missing = [n for n, p in head.named_parameters() if p.grad is None]
    assert not missing


def test_scale_maps_are_zero_at_the_start():
    head = make_head()
    out = head((torch.randn(2, 8, 8, 8),))
    assert all((alpha == 0).all() for alpha in out.scale_maps)


def test_weights_are_initialised_as_in_the_official_implementation():
    head = make_head(in_channels=32, num_basic_blocks=4)
    weights = [
        m.weight.flatten()
        for m in head.modules()
        if isinstance(m, (torch.nn.Conv2d, torch.nn.ConvTranspose2d))
        and m.weight.any()
    ]
    assert torch.cat(weights).std().item() == pytest.approx(1e-3, rel=0.02)


def test_baseline_has_no_scale_branch():
    head = make_head(**BASELINE)
    assert not any('scale' in name for name, _ in head.named_parameters())
    assert head((torch.randn(1, 8, 8, 8),)).scale_maps is None
    assert set(
        head.loss((torch.randn(1, 8, 8, 8),), random_samples((1,)))
    ) == {'loss_kpt.0', 'loss_kpt.1', 'loss_pull', 'loss_push'}


def test_scale_branch_is_not_run_at_test_time(monkeypatch):
    head = make_head().eval()
    for branch in head.scale_layers:
        monkeypatch.setattr(branch, 'forward', pytest.fail)
    head.test_maps((torch.randn(1, 8, 8, 8),), None, (32, 32))
    assert head((torch.randn(1, 8, 8, 8),)).scale_maps is None


def test_one_tag_map_serves_all_keypoints():
    head = make_head(tag_per_keypoint=False)
    out = head((torch.randn(1, 8, 8, 8),))
    assert head.final_layers[0].out_channels == 18
    assert out.tags.shape == (1, 17, 8, 8)
    assert (out.tags == out.tags[:, :1]).all()


@pytest.mark.parametrize('per_keypoint', [True, False])
def test_tags_may_have_several_dimensions(per_keypoint):
    head = make_head(tag_dim=3, tag_per_keypoint=per_keypoint)
    features = (torch.randn(2, 8, 8, 8),)
    tags = head(features).tags
    assert head.final_layers[0].out_channels == 17 + 3 * 17**per_keypoint
    assert tags.shape == (2, 3 * 17, 8, 8)
    # Dimension by dimension, as losses and decoding read them.
    dims = tags.unflatten(1, (3, 17))
    assert (dims == dims[:, :, :1]).all() == (not per_keypoint)
    assert not torch.equal(dims[:, 0], dims[:, 1])
    losses = head.loss(features, random_samples((3, 1)))
    (losses['loss_pull'] + losses['loss_push']).backward()
    gradient = head.final_layers[0].weight.grad[17:].flatten(1).abs().sum(1)
    assert (gradient > 0).all()


@pytest.mark.parametrize('tag_dim', [0, -1, 1.5])
def test_a_tag_has_one_dimension_or_more(tag_dim):
    with pytest.raises(ValueError, match='tag_dim is .*expected'):
        make_head(tag_dim=tag_dim)


def test_levels_are_fused_in_two_steps():
    output = HeadOutput(
        [torch.randn(1, 2, 4, 6), torch.randn(1, 2, 8, 12)],
        torch.randn(1, 2, 4, 6),
        None,
    )
    heatmaps, tags = fuse_levels(output, (16, 24))
    at_half = (resize(output.heatmaps[0], (8, 12)) + output.heatmaps[1]) / 2
    torch.testing.assert_close(heatmaps, resize(at_half, (16, 24)))
    torch.testing.assert_close(tags, output.tags)


@pytest.mark.parametrize('dim', [1, 2])
def test_merging_a_flipped_view_of_the_same_maps_changes_nothing(dim):
    maps = [torch.randn(1, 4, 3, 6), torch.randn(1, 4, 6, 12)]
    tags, order = torch.randn(1, dim * 4, 3, 6), [1, 0, 3, 2]
    flipped = [m.flip(-1)[:, order] for m in maps]
    flipped_tags = tags.unflatten(1, (dim, 4))[:, :, order].flip(-1)
    merged = merge_flipped(
        HeadOutput(maps, tags, None),
        HeadOutput(flipped, flipped_tags.flatten(1, 2), None),
        order,
    )
    for ours, expected in zip(merged.heatmaps, maps):
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(merged.tags, torch.cat([tags, tags], dim=1))


def test_settings_that_disagree_are_reported():
    with pytest.raises(ValueError, match='scale_maps=False in the head, but'):
        make_head(scale_maps=False, keypoint_loss=dict(type='SWAHRLoss'))
    codec = dict(
        type='ScaleAwareAssociativeEmbedding',
        input_size=(32, 32),
        heatmap_sizes=[(8, 8), (16, 16)],
        decode_keypoint_order=list(range(14)),
    )
    with pytest.raises(ValueError, match='17 keypoints, but .* 14'):
        make_head(decoder=codec)
    with pytest.raises(RuntimeError, match='set decoder=codec'):
        make_head().decode((torch.zeros(1), torch.zeros(1)))


def test_numbers_of_parameters_are_those_of_the_paper(golden):
    """Of the scale branch; test_configs.py counts those of the model."""
    for channels, num_keypoints, count in (
        (32, 17, 3978),
        (48, 17, 4522),
        (48, 14, 3724),
    ):
        head = HigherHRNetHead(channels, num_keypoints)
        got = sum(p.numel() for p in head.scale_layers.parameters())
        assert got == count


def test_state_dict_has_the_names_of_published_checkpoints(shared):
    spec = json.loads((shared / 'golden/model_state.json').read_text())
    head = HigherHRNetHead(32, 17)
    expected = {
        name: tuple(shape)
        for name, shape, _ in spec['w32_coco_k17']['state_dict']
    }
    names = strip(from_official(expected), 'head.')
    assert {k: tuple(v.shape) for k, v in head.state_dict().items()} == names


@pytest.mark.parametrize('levels', [(0,), (1,), (0, 1)])
def test_heatmaps_of_the_chosen_levels_are_averaged(levels):
    head = make_head().eval()
    feats = (torch.randn(1, 8, 16, 12),)
    output = head(feats)
    maps = head.test_maps(feats, None, (32, 24), levels=levels)
    chosen = [resize(output.heatmaps[i], (32, 24)) for i in levels]
    torch.testing.assert_close(maps[0], torch.stack(chosen).mean(dim=0))
    torch.testing.assert_close(maps[1], output.tags)


@pytest.mark.parametrize('levels', [(), (2,), (0, -1)])
def test_missing_levels_are_reported(levels):
    head = make_head().eval()
    with pytest.raises(ValueError, match=r'heatmap_levels of .*\[0, 1\]'):
        head.test_maps(
            (torch.randn(1, 8, 16, 12),), None, (32, 24), levels=levels
        )


def test_each_block_needs_a_dilation():
    head = make_head(num_basic_blocks=2, dilations=(1, 2))
    blocks = head.deconv_layers[0][1:]
    assert [b[0].conv2.dilation for b in blocks] == [(1, 1), (2, 2)]
    with pytest.raises(ValueError, match=r'got 3 dilations \[1, 2, 2\]'):
        make_head(num_basic_blocks=2, dilations=(1, 2, 2))


def make_codec(input_size=(32, 32), strides=(4, 2, 1)):
    w, h = input_size
    return dict(
        type='ScaleAwareAssociativeEmbedding',
        input_size=input_size,
        heatmap_sizes=[(w // s, h // s) for s in strides],
        decode_keypoint_order=list(range(17)),
    )


def test_three_levels_have_the_sizes_of_the_codec():
    head = make_head(deconv_out_channels=[6, 4], decoder=make_codec())
    out = head((torch.randn(2, 8, 8, 8),))
    sizes = [(h, w) for w, h in head.decoder.heatmap_sizes]
    for maps in (out.heatmaps, out.scale_maps):
        assert [m.shape for m in maps] == [(2, 17, *size) for size in sizes]
    assert out.tags.shape == (2, 17, *sizes[0])
    assert head.finest_stride == 1


def test_each_stage_reads_features_and_maps_of_the_level_below():
    head = make_head(deconv_out_channels=[6, 4], num_basic_blocks=2).eval()
    shapes = {k: tuple(v.shape) for k, v in head.state_dict().items()}
    assert shapes['final_layers.0.weight'] == (34, 8, 1, 1)
    assert shapes['final_layers.1.weight'] == (17, 6, 1, 1)
    assert shapes['final_layers.2.weight'] == (17, 4, 1, 1)
    assert shapes['deconv_layers.0.0.0.weight'] == (8 + 34, 6, 4, 4)
    assert shapes['deconv_layers.1.0.0.weight'] == (6 + 17, 4, 4, 4)
    assert shapes['deconv_layers.1.2.0.conv2.weight'] == (4, 4, 3, 3)
    assert shapes['scale_layers.2.0.weight'] == (17, 4, 1, 1)

    feats = torch.randn(1, 8, 8, 8)
    maps = head.final_layers[0](feats)
    fine = head.deconv_layers[0](torch.cat([feats, maps], dim=1))
    fine_maps = head.final_layers[1](fine)
    finest = head.deconv_layers[1](torch.cat([fine, fine_maps], dim=1))
    out = head((feats,), with_scale_maps=True)
    torch.testing.assert_close(out.heatmaps[0], maps[:, :17])
    torch.testing.assert_close(out.tags, maps[:, 17:])
    torch.testing.assert_close(out.heatmaps[1], fine_maps)
    torch.testing.assert_close(out.heatmaps[2], head.final_layers[2](finest))
    torch.testing.assert_close(out.scale_maps[2], head.scale_layers[2](finest))


def test_three_levels_train_one_step():
    head = make_head(deconv_out_channels=[6, 4], decoder=make_codec())
    samples = []
    for people in (0, 1, 3):
        encoded = head.decoder.encode(
            np.random.uniform(0, 32, (people, 17, 2)).astype(np.float32)
        )
        sample = PoseDataSample(
            gt_fields=SparseFields.pack(encoded['heatmaps'])
        )
        indices = torch.from_numpy(encoded['keypoint_indices'])
        sample.gt_instance_labels = InstanceData(keypoint_indices=indices)
        samples.append(sample)
    losses = head.loss((torch.randn(3, 8, 8, 8),), samples)
    assert set(losses) == {
        *(f'loss_{name}.{i}' for name in ('kpt', 'scale') for i in range(3)),
        'loss_pull',
        'loss_push',
    }
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())
    before = {k: p.detach().clone() for k, p in head.named_parameters()}
    torch.optim.Adam(head.parameters(), lr=1e-3).step()
    for name, parameter in head.named_parameters():
        assert parameter.isfinite().all()
        # The other layers of a scale branch have zero gradients in the first
        # step: its last layer is 0.
        if 'scale_layers' not in name or '.3.' in name:
            assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize('upsample', [False, True])
def test_three_levels_predict(upsample):
    head = make_head(deconv_out_channels=[6, 4], decoder=make_codec()).eval()
    sample = PoseDataSample(
        metainfo=dict(input_size=(64, 32), flip_indices=list(range(17)))
    )
    feats = (torch.randn(1, 8, 8, 16),)
    flipped = (feats[0].flip(-1),)
    test_cfg = dict(output_heatmaps=True, upsample_heatmaps=upsample)
    instances, fields = head.predict([feats, flipped], [sample], test_cfg)
    assert instances[0].keypoints.shape[1:] == (17, 2)
    # The finest level has stride 1.
    assert fields[0].heatmaps.shape == (17, 32, 64)

    output = head(feats)
    fused, tags = head.test_maps(feats, None, (32, 64))
    expected = [resize(maps, (32, 64)) for maps in output.heatmaps]
    torch.testing.assert_close(fused, torch.stack(expected).mean(dim=0))
    torch.testing.assert_close(tags, output.tags)
    finest, _ = head.test_maps(feats, None, (32, 64), levels=(2,))
    torch.testing.assert_close(finest, expected[2])


@pytest.mark.parametrize(('channels', 'listed'), [(None, [8]), (6, [6])])
def test_one_stage_may_be_given_as_a_number_or_a_list(channels, listed):
    states = []
    for value in (channels, listed):
        torch.manual_seed(0)
        head = make_head(deconv_out_channels=value)
        assert len(head((torch.randn(1, 8, 8, 8),)).heatmaps) == 2
        states.append(head.state_dict())
    assert list(states[0]) == list(states[1])
    assert all(map(torch.equal, states[0].values(), states[1].values()))


def test_levels_of_codec_and_head_must_agree():
    with pytest.raises(
        ValueError, match=r'3 heatmap_sizes \[\(8, .* expected one per .* 2;'
    ):
        make_head(decoder=make_codec())
    with pytest.raises(ValueError, match='2 heatmap_sizes .* level .* 3;'):
        make_head(
            deconv_out_channels=[6, 4], decoder=make_codec(strides=(4, 2))
        )
    with pytest.raises(ValueError, match='deconv_out_channels is empty'):
        make_head(deconv_out_channels=[])


@pytest.mark.parametrize('channels', [None, 32, [32]])
def test_published_two_level_weights_load_unchanged(shared, channels):
    spec = json.loads((shared / 'golden/model_state.json').read_text())
    state = from_official(
        {
            name: torch.zeros(shape)
            for name, shape, _ in spec['w32_coco_k17']['state_dict']
        }
    )
    head = HigherHRNetHead(32, 17, deconv_out_channels=channels)
    fit = head.load_state_dict(strip(state, 'head.'), strict=True)
    assert not fit.missing_keys
    assert not fit.unexpected_keys


class DenseLoss(torch.nn.Module):
    """A user's loss, for dense targets and masks."""

    scale_adaptive = False

    def forward(self, heatmaps, scale_maps, target, mask):
        assert scale_maps is None
        self.seen = target, mask
        return ((heatmaps - target) ** 2).mean(), heatmaps.sum() * 0


def test_a_loss_of_the_user_gets_dense_targets():
    head = make_head(
        scale_maps=False,
        keypoint_loss=dict(type='SWAHRLoss', scale_adaptive=False),
    )
    head.keypoint_loss = DenseLoss()
    maps = [np.random.rand(17, 8, 8), np.random.rand(17, 16, 16)]
    maps = [m.astype(np.float32) for m in maps]
    sample = PoseDataSample(gt_fields=SparseFields.pack(maps))
    sample.gt_instance_labels = InstanceData(
        keypoint_indices=torch.zeros(1, 17, 2, dtype=torch.long),
        keypoints_visible_weights=torch.tensor([[0.0] + [1.0] * 16]),
    )
    losses = head.loss((torch.randn(1, 8, 8, 8),), [sample])
    target, mask = head.keypoint_loss.seen
    np.testing.assert_array_equal(target[0], maps[1])
    assert mask.shape == target.shape
    assert not mask[0, 0].any()
    assert mask[0, 1:].all()
    assert losses['loss_kpt.1'] > 0
