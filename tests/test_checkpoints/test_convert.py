import pytest
import torch
from helpers.models import make_model, to_0x, without_scale

from swahr_mmpose.checkpoints.convert import convert
from swahr_mmpose.checkpoints.model_spec import ModelShape


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_official_weights_become_ours_and_official_again(official):
    ours = convert(official)
    assert ours.layout == 'official'
    assert ours.model == ModelShape(17, 8, 1, True, True)
    assert same(convert(ours.state_dict, 'official').state_dict, official)
    model = make_model()
    model.load_state_dict(ours.state_dict)  # complete, nothing left over


@pytest.mark.parametrize('prefixes', [['module.'], ['1.'], ['module.', '1.']])
def test_prefixes_wrappers_and_half_precision_are_taken_off(
    official, prefixes
):
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
    found = convert(dict(meta=dict(epoch=1), state_dict=to_0x(official)))
    assert found.layout == 'mmpose-0.x'
    assert not found.model.scale_maps
    expected = convert(without_scale(official))
    assert same(found.state_dict, expected.state_dict)


def test_ours_stays_as_it_is(official):
    ours = convert(official).state_dict
    again = convert(dict(meta={}, state_dict=ours, optimizer={}))
    assert again.layout == 'mmpose'
    assert same(again.state_dict, ours)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'fc.weight': (5, 3)}, r"unexpected key 'fc.weight' of shape \(5, 3"),
        ({'final_layers.2.weight': (17, 8, 1, 1)}, r'final_layers.2.weight'),
        ({'final_layers.1.weight': (14, 8, 1, 1)}, r'34, 8.*14 keypoints'),
        ({'final_layers.1.bias': (14,)}, r'1.bias has shape \(14,\), expe'),
        ({'conv_scale_layers.0.0.weight': (14, 8, 1, 1)}, r'\(14, 8, 1, 1\)'),
        ({'deconv_layers.0.0.0.weight': (66, 8, 4, 4)}, r'\(66, 8, 4, 4\)'),
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
    with pytest.raises((KeyError, ValueError), match=message):
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
    cut = {k: v for k, v in official.items() if not k.startswith('stage4.')}
    with pytest.raises(ValueError, match='backbone.stage4 is missing'):
        convert(cut)


def test_bfloat16_becomes_float32(official):
    halved = {
        k: v.bfloat16() if v.is_floating_point() else v
        for k, v in official.items()
    }
    result = convert(halved)
    assert result.from_half
    assert result.state_dict['backbone.conv1.weight'].dtype == torch.float32
