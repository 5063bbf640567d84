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
    """A head that predicts given maps."""

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
    """(30, K, 2) packed ``k * side^2 + index`` to our (30, K, 2)."""
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
def test_every_parameter_has_a_gradient_whoever_is_there(people, kwargs):
    """Or DistributedDataParallel would wait for it."""
    head = make_head(**kwargs)
    feats = torch.randn(len(people), 8, 8, 8)
    losses = head.loss((feats,), random_samples(people))
    assert all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
    lacking = [n for n, p in head.named_parameters() if p.grad is None]
    assert not lacking


def test_scale_maps_are_zero_at_the_start():
    head = make_head()
    out = head((torch.randn(2, 8, 8, 8),))
    assert all((alpha == 0).all() for alpha in out.scale_maps)


def test_weights_are_initialised_as_officially():
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


def test_a_mirrored_view_of_the_same_maps_changes_nothing():
    maps = [torch.randn(1, 4, 3, 6), torch.randn(1, 4, 6, 12)]
    tags, order = torch.randn(1, 4, 3, 6), [1, 0, 3, 2]
    mirrored = [m.flip(-1)[:, order] for m in (*maps, tags)]
    merged = merge_flipped(
        HeadOutput(maps, tags, None),
        HeadOutput(mirrored[:2], mirrored[2], None),
        order,
    )
    for ours, expected in zip(merged.heatmaps, maps):
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(merged.tags, torch.cat([tags, tags], dim=1))


def test_switches_that_disagree_are_named():
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
    """Counted in test_configs.py; here the scale branch alone."""
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
def test_heatmaps_of_the_chosen_levels_count(levels):
    head = make_head().eval()
    feats = (torch.randn(1, 8, 16, 12),)
    output = head(feats)
    maps = head.test_maps(feats, None, (32, 24), levels=levels)
    chosen = [resize(output.heatmaps[i], (32, 24)) for i in levels]
    torch.testing.assert_close(maps[0], torch.stack(chosen).mean(dim=0))
    torch.testing.assert_close(maps[1], output.tags)


@pytest.mark.parametrize('levels', [(), (2,), (0, -1)])
def test_levels_that_there_are_not_are_named(levels):
    head = make_head().eval()
    with pytest.raises(ValueError, match=r'heatmap_levels are .*\[0, 1\]'):
        head.test_maps(
            (torch.randn(1, 8, 16, 12),), None, (32, 24), levels=levels
        )


def test_each_block_needs_a_dilation():
    head = make_head(num_basic_blocks=2, dilations=(1, 2))
    blocks = head.deconv_layers[0][1:]
    assert [b[0].conv2.dilation for b in blocks] == [(1, 1), (2, 2)]
    with pytest.raises(ValueError, match=r'dilations are \[1, 2, 2\]'):
        make_head(num_basic_blocks=2, dilations=(1, 2, 2))
