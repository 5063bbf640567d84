import pytest

from swahr_mmpose.checkpoints.layouts import (
    from_official,
    select_backbone_weights,
    strip_prefixes,
    to_official,
)


def test_conversion_and_back_is_the_identity(golden):
    prefix = 'k17/state_dict/'
    z = golden('model.npz')
    state = {k[len(prefix) :]: k for k in z if k.startswith(prefix)}
    assert len(state) == 334
    ours = from_official(state)
    assert to_official(ours) == state
    assert list(ours.values()) == list(state.values())


def test_names_follow_the_table():
    assert list(
        from_official(
            {
                'conv_scale_layers.0.0.weight': 1,
                'final_layers.1.bias': 2,
                'stage4.0.x': 3,
            }
        )
    ) == [
        'head.scale_layers.0.0.weight',
        'head.final_layers.1.bias',
        'backbone.stage4.0.x',
    ]


def test_an_unknown_key_stops_the_conversion():
    with pytest.raises(ValueError, match="unexpected key 'fc.weight'"):
        from_official({'fc.weight': 1})
    with pytest.raises(ValueError, match='conv10'):
        from_official({'conv10.weight': 1})


def test_nested_prefixes_are_stripped():
    state = {'module.1.a': 1, 'module.1.b.1.c': 2}
    assert strip_prefixes(state) == ({'a': 1, 'b.1.c': 2}, ['module.', '1.'])
    assert strip_prefixes({'layer1.0.x': 1}) == ({'layer1.0.x': 1}, [])


def test_the_backbone_is_found_in_any_layout():
    official = {'conv1.x': 1, 'final_layers.0.y': 2}
    ours = {'module.backbone.conv1.x': 1, 'module.head.y': 2}
    imagenet = {'conv1.x': 1, 'classifier.bias': 2}
    for state in (official, ours, imagenet):
        weights, unused = select_backbone_weights(state, ['conv1.x'])
        assert weights == {'conv1.x': 1}
        assert len(unused) == 1


def test_names_of_the_backbone_go_before_prefixes():
    state = {'1.x': 1, '0.x': 2, 'backbone.x': 3, 'fc.x': 4}
    names = ['0.x', '1.x', 'backbone.x']
    assert select_backbone_weights(state, names) == (
        {'0.x': 2, '1.x': 1, 'backbone.x': 3},
        ['fc.x'],
    )


def test_the_same_name_outside_of_the_backbone_is_not_used():
    state = {'backbone.x': 1, 'x': 2, 'backbone.y': 3}
    for names in (['x'], ['x', 'y'], ['x', 'y', 'z']):
        weights, unused = select_backbone_weights(state, names)
        assert weights['x'] == 1
        assert 'x' in unused
