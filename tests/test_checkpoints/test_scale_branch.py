"""Untrained scale branches are neither run nor reported."""

import pytest
import torch
from helpers.models import make_model

from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.scale_branch import (
    has_scale_branch,
    match_scale_branch,
    require_scale_branch,
)


@pytest.fixture
def model():
    return make_model()


def strip(state):
    return {k: v for k, v in state.items() if 'scale_layers' not in k}


def test_an_untrained_branch_is_removed_from_the_model(model):
    checkpoint = dict(state_dict=strip(model.state_dict()))
    match_scale_branch(model, checkpoint)
    assert model.head.scale_layers is None
    assert set(model.state_dict()) == set(checkpoint['state_dict'])


def test_weights_of_a_branch_that_the_model_lacks_are_removed(model):
    state = {f'module.{k}': v for k, v in model.state_dict().items()}
    model.head.scale_layers = None
    match_scale_branch(model, state)
    assert len(state) > 0
    assert not has_scale_branch(state)


def test_a_trained_branch_is_kept(model):
    state = dict(model.state_dict())
    keys = list(state)
    match_scale_branch(model, state)
    assert list(state) == keys
    assert model.head.scale_layers is not None
    require_scale_branch(model, state, 'c.py', 'a.pth')


def test_scales_of_a_checkpoint_without_branch_are_refused(model):
    state = strip(model.state_dict())
    with pytest.raises(ValueError, match='checkpoint a.pth has no scale bran'):
        require_scale_branch(model, dict(state_dict=state), 'c.py', 'a.pth')


def test_scales_of_a_config_without_branch_are_refused(model):
    state = dict(model.state_dict())
    model.head.scale_layers = None
    with pytest.raises(ValueError, match='config c.py has no scale branch'):
        require_scale_branch(model, state, 'c.py', 'a.pth')
    with pytest.raises(ValueError, match='config c.py has no scale branch'):
        require_scale_branch(torch.nn.Identity(), state, 'c.py', 'a.pth')


def test_a_part_of_a_branch_is_a_difference(model):
    state = dict(model.state_dict())
    key = next(k for k in state if k.startswith('head.scale_layers.'))
    del state[key]
    with pytest.raises(ValueError, match=f'{key} is missing'):
        refuse_other_weights(model, state, 'a.pth')
