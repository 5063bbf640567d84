import numpy as np
import pytest
import torch
from helpers.models import make_head, make_model, to_0x, without_scale
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from torch import nn

from swahr_mmpose.checkpoints.convert import convert, prepare_to_publish
from swahr_mmpose.checkpoints.io import write_checkpoint
from swahr_mmpose.checkpoints.model_spec import ModelShape, read_model_shape


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_official_weights_become_ours_and_official_again(official):
    ours = convert(official)
    assert ours.layout == 'official'
    assert ours.model == ModelShape(17, 8, 1, True, True, 2)
    assert same(convert(ours.state_dict, 'official').state_dict, official)
    model = make_model()
    model.load_state_dict(ours.state_dict)  # complete, nothing left over


@pytest.mark.parametrize('prefixes', [['module.'], ['1.'], ['module.', '1.']])
def test_prefixes_wrappers_and_half_precision_are_removed(official, prefixes):
    state = {
        ''.join(prefixes) + k: v.half() if v.is_floating_point() else v
        for k, v in official.items()
    }
    content = dict(epoch=3, state_dict=state, best_state_dict={}, perf=0.1)
    result = convert(content, 'official')
    assert result.prefixes == prefixes
    assert result.wrapper == ['state_dict']
    assert result.from_half
    rounded = {
        k: v.half().float() if v.is_floating_point() else v
        for k, v in official.items()
    }
    assert same(result.state_dict, rounded)


def test_mmpose_0x_is_higherhrnet_under_other_names(official):
    got = convert(dict(meta=dict(epoch=1), state_dict=to_0x(official)))
    assert got.layout == 'mmpose-0.x'
    assert not got.model.scale_maps
    expected = convert(without_scale(official))
    assert same(got.state_dict, expected.state_dict)


def test_ours_becomes_mmpose_0x_and_ours_again(official):
    ours = convert(official, scale_maps=False)
    assert not ours.model.scale_maps
    old = convert(ours.state_dict, 'mmpose-0.x')
    assert same(old.state_dict, to_0x(official))
    assert same(convert(old.state_dict).state_dict, ours.state_dict)
    assert same(
        convert(old.state_dict, 'official').state_dict, without_scale(official)
    )


def test_mmpose_0x_has_no_scale_branch(official):
    with pytest.raises(ValueError, match='scale branch.*--strip-scale-maps'):
        convert(official, 'mmpose-0.x')
    stripped = convert(official, 'mmpose-0.x', scale_maps=False)
    assert same(stripped.state_dict, to_0x(official))


def test_ours_stays_as_it_is(official):
    ours = convert(official).state_dict
    again = convert(dict(meta={}, state_dict=ours, optimizer={}))
    assert again.layout == 'mmpose'
    assert same(again.state_dict, ours)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'fc.weight': (5, 3)}, r"unexpected key 'fc.weight' of shape \(5, 3"),
        (
            {'final_layers.2.weight': (17, 8, 1, 1)},
            r'has 3 layers .*, 1 head.d',
        ),
        ({'final_layers.1.weight': (14, 8, 1, 1)}, r'34, 8.*14 keypoints'),
        ({'final_layers.1.bias': (14,)}, r'1.bias has shape \(14,\), expe'),
        ({'conv_scale_layers.0.0.weight': (14, 8, 1, 1)}, r'\(14, 8, 1, 1\)'),
        ({'deconv_layers.0.0.0.weight': (66, 8, 4, 4)}, r'\(66, 8, 4, 4\)'),
        ({'deconv_layers.0.1.0.bn1.bias': (9,)}, r'bn1.bias has shape \(9,'),
        ({'deconv_layers.0.2.1.weight': (8,)}, r'0.2.0.conv1.weight is miss'),
        ({'final_layers.0.scale': (8,)}, r"0.scale' of shape \(8,\)"),
        ({'final_layers.0.bias': None}, r'final_layers.0.bias is missing'),
        (
            {'deconv_layers.0.1.0.bn2.running_var': None},
            r'deconv_layers.0.1.0.bn2.running_var is missing',
        ),
        ({'bn1.bias': None}, r'backbone.bn1.bias is missing'),
        ({'module.conv1.weight': (1,)}, r'lacks the prefix .module'),
    ],
)
def test_what_does_not_fit_is_named(official, change, message):
    for key, shape in change.items():
        official.pop(key, None)
        if shape is not None:
            official[key] = torch.zeros(shape)
    with pytest.raises(ValueError, match=message):
        convert(official)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], 'it holds a list'),
        ({'epoch': 3}, "a dict of \\['epoch'\\]"),
        ({'layer.weight': torch.zeros(1)}, 'unknown layout'),
        ({'conv1.weight': torch.zeros(1)}, 'a backbone without the head'),
        ({'backbone.conv1.weight': torch.zeros(1)}, 'a backbone without'),
    ],
)
def test_other_contents_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        convert(content)


def test_unknown_target_layouts_are_refused(official):
    with pytest.raises(ValueError, match="to is 'onnx', expected one of"):
        convert(official, 'onnx')


def test_a_missing_stage_is_named(official):
    part = {k: v for k, v in official.items() if not k.startswith('stage4.')}
    with pytest.raises(ValueError, match='backbone.stage4 is missing'):
        convert(part)
    part = {
        k: v
        for k, v in convert(official).state_dict.items()
        if not k.startswith('backbone.stage4.')
    }
    with pytest.raises(ValueError, match='backbone.stage4 is missing'):
        convert(part)


def test_bfloat16_becomes_float32(official):
    halved = {
        k: v.bfloat16() if v.is_floating_point() else v
        for k, v in official.items()
    }
    result = convert(halved)
    assert result.from_half
    assert result.state_dict['backbone.conv1.weight'].dtype == torch.float32


def add_level(official):
    """An official state dict with a third heatmap level."""
    state = dict(official)
    for key, value in official.items():
        if key.startswith('deconv_layers.0.'):
            state[key.replace('deconv_layers.0.', 'deconv_layers.1.')] = value
        for name in ('final_layers', 'conv_scale_layers'):
            if key.startswith(f'{name}.1.'):
                state[key.replace(f'{name}.1.', f'{name}.2.')] = value
    state['deconv_layers.1.0.0.weight'] = torch.randn(8 + 17, 8, 4, 4)
    return state


def test_three_levels_are_converted_there_and_back(official):
    state = add_level(official)
    ours = convert(state)
    assert ours.model == ModelShape(17, 8, 1, True, True, 3)
    assert same(convert(ours.state_dict, 'official').state_dict, state)
    old = convert(dict(state_dict=to_0x(state)))
    assert old.model == ModelShape(17, 8, 1, False, True, 3)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'deconv_layers.1.0.0.weight': (42, 8, 4, 4)}, r'\(25, 8, 4, 4\)'),
        ({'final_layers.2.weight': (34, 8, 1, 1)}, r'\(17, 8, 1, 1\)'),
        ({'conv_scale_layers.2.3.weight': (34, 1, 9, 9)}, r'\(17, 1, 9, 9\)'),
    ],
)
def test_shapes_of_a_third_level_are_checked(official, change, message):
    state = add_level(official)
    for key, shape in change.items():
        state[key] = torch.zeros(shape)
    with pytest.raises(ValueError, match=f'expected {message}'):
        convert(state)


def test_a_level_without_its_scale_branch_is_refused(official):
    state = add_level(official)
    part = {k: v for k, v in state.items() if 'conv_scale_layers.2' not in k}
    with pytest.raises(ValueError, match='2 head.scale_layers'):
        convert(part)


@pytest.mark.parametrize('tag_dim', [1, 2])
@pytest.mark.parametrize('outputs', [None, 6, (8, 6), (8, 6, 4)])
@pytest.mark.parametrize(
    ('blocks', 'scale_maps', 'tag_per_keypoint'),
    [(1, True, True), (0, False, True), (2, True, False)],
)
def test_the_shape_of_any_head_is_inferred(
    outputs, blocks, scale_maps, tag_per_keypoint, tag_dim
):
    settings = dict(
        num_basic_blocks=blocks,
        scale_maps=scale_maps,
        tag_per_keypoint=tag_per_keypoint,
        tag_dim=tag_dim,
    )
    head = make_head(deconv_out_channels=outputs, **settings)
    state = {f'head.{k}': v for k, v in head.state_dict().items()}
    expected = ModelShape(
        num_keypoints=17,
        channels=8,
        num_levels=1 + (len(outputs) if isinstance(outputs, tuple) else 1),
        **settings,
    )
    assert read_model_shape(state) == expected


@pytest.mark.parametrize('to', ['official', 'mmpose-0.x'])
def test_layouts_without_tag_dim_are_refused_for_several(official, to):
    ours = convert(official).state_dict
    for key in ('weight', 'bias'):
        first = ours[f'head.final_layers.0.{key}']
        ours[f'head.final_layers.0.{key}'] = torch.cat([first, first[17:]])
    stage = ours['head.deconv_layers.0.0.0.weight']
    ours['head.deconv_layers.0.0.0.weight'] = torch.cat([stage, stage[-17:]])
    assert convert(ours).model.tag_dim == 2
    with pytest.raises(ValueError, match='tags have 2 dimensions'):
        convert(ours, to=to)


BACKBONES = {
    'ResNet': (dict(type='ResNet', depth=18), 512),
    'SwinTransformer': (
        dict(
            type='SwinTransformer',
            embed_dims=8,
            depths=(1, 1, 1, 1),
            num_heads=(1, 1, 1, 1),
        ),
        64,
    ),
}


def build_other_model(name):
    """A small backbone that is not HRNet, with the head of SWAHR."""
    init_default_scope('mmpose')
    config, channels = BACKBONES[name]
    model = nn.Module()
    model.backbone = MODELS.build(dict(config))
    model.head = make_head(in_channels=channels, deconv_out_channels=8)
    return model


@pytest.mark.parametrize('name', BACKBONES)
def test_any_backbone_is_published(name):
    model = build_other_model(name)
    state = {f'module.{k}': v for k, v in model.state_dict().items()}
    result = prepare_to_publish(dict(meta={}, state_dict=state))
    assert same(result['state_dict'], model.state_dict())
    model.load_state_dict(result['state_dict'])
    assert convert(result).model.channels == BACKBONES[name][1]


@pytest.mark.parametrize('name', BACKBONES)
def test_other_backbones_have_no_official_layout(name):
    state = build_other_model(name).state_dict()
    with pytest.raises(ValueError, match='is not part of HRNet; the official'):
        convert(state, 'official')
    old = {k.replace('head.', 'keypoint_head.'): v for k, v in state.items()}
    old = {k: v for k, v in old.items() if 'scale_layers' not in k}
    with pytest.raises(ValueError, match='is not part of HRNet; the official'):
        convert(old)


@pytest.fixture
def checkpoint(official):
    """A training checkpoint of MMEngine."""
    return dict(
        meta=dict(
            epoch=3,
            iter=np.int64(60),
            cfg='data_root = "/home/someone"',
            hostname='someone',
            dataset_meta=dict(
                sigmas=np.array([0.5, 1.0]),
                upper_body_ids=[0, 1],
                keypoint_id2name={0: 'nose'},
                classes={'b', 'a'},
                image_folder='/home/someone/images',
            ),
        ),
        state_dict={
            f'module.{k}': v for k, v in convert(official).state_dict.items()
        },
        optimizer=dict(state={}),
        message_hub=dict(),
    )


def test_only_weights_and_plain_meta_are_left(checkpoint):
    result = prepare_to_publish(checkpoint)
    assert list(result) == ['meta', 'state_dict']
    assert result['meta'] == dict(
        epoch=3,
        iter=60,
        dataset_meta=dict(
            sigmas=[0.5, 1.0],
            upper_body_ids=[0, 1],
            keypoint_id2name={0: 'nose'},
            classes=['a', 'b'],
        ),
    )
    assert type(result['meta']['iter']) is int


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_not_published(checkpoint, value):
    checkpoint['state_dict']['module.head.final_layers.1.bias'][3] = value
    with pytest.raises(ValueError, match='final_layers.1.bias has 1 NaN or'):
        prepare_to_publish(checkpoint)


def test_weights_are_unchanged_and_without_prefix(checkpoint, official):
    state = prepare_to_publish(checkpoint)['state_dict']
    expected = convert(official).state_dict
    assert list(state) == list(expected)
    assert all(torch.equal(state[k], expected[k]) for k in state)


def test_the_scale_branch_can_be_left_out(checkpoint):
    state = prepare_to_publish(checkpoint, scale_maps=False)['state_dict']
    assert len(state) > 0
    assert not any('scale_layers' in key for key in state)


def test_no_storage_is_larger_than_its_tensor(checkpoint):
    key = 'module.head.final_layers.1.bias'
    large = torch.zeros(1000)
    checkpoint['state_dict'][key] = large[:17]
    tensor = prepare_to_publish(checkpoint)['state_dict'][
        key[len('module.') :]
    ]
    assert tensor.untyped_storage().nbytes() == 17 * 4


def test_every_torch_reads_a_published_file_without_this_package(
    checkpoint, tmp_path
):
    path = tmp_path / 'x.pth'
    write_checkpoint(prepare_to_publish(checkpoint), path)
    if hasattr(torch.serialization, 'get_safe_globals'):  # torch 2.4
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
    try:
        content = torch.load(path, weights_only=True)
    finally:
        if hasattr(torch.serialization, 'get_safe_globals'):
            torch.serialization.add_safe_globals(before)
    assert content['meta']['epoch'] == 3


def test_keys_outside_backbone_and_head_are_not_published(checkpoint):
    checkpoint['state_dict']['module.fc.weight'] = torch.zeros(3)
    checkpoint['state_dict']['module.neck.bias'] = torch.zeros(4)
    with pytest.raises(
        ValueError,
        match=r"2 key\(s\) .*'fc.weight' of shape \(3,\), 'neck.bias'",
    ):
        prepare_to_publish(checkpoint)
