import pytest

from swahr_mmpose.checkpoints import from_official, to_official


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
    with pytest.raises(KeyError, match="unexpected key 'fc.weight'"):
        from_official({'fc.weight': 1})
    with pytest.raises(KeyError, match='conv10'):
        from_official({'conv10.weight': 1})
