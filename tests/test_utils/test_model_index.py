"""Names of published weights without torch; see also test_model_zoo.py."""

import sys

import pytest
import torch

from swahr_mmpose.utils.model_index import (
    find_model,
    get_cached_path,
    list_models,
)

VARIABLES = {
    'none': {},
    'TORCH_HOME': dict(TORCH_HOME='/a/b'),
    'XDG_CACHE_HOME': dict(XDG_CACHE_HOME='/c'),
    'both': dict(TORCH_HOME='~/d', XDG_CACHE_HOME='/c'),
}


@pytest.mark.parametrize('name', VARIABLES)
def test_the_cache_is_the_same_with_and_without_torch(monkeypatch, name):
    for variable in ('TORCH_HOME', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in VARIABLES[name].items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(torch.hub, '_hub_dir', None)
    model = list_models()['swahr-w32']
    path = get_cached_path(model)
    assert path.startswith(torch.hub.get_dir())
    monkeypatch.delitem(sys.modules, 'torch')
    assert get_cached_path(model) == path


@pytest.mark.parametrize(
    ('name', 'kind'),
    [('photo.jpg', 'an image'), ('walk.MP4', 'a video'), ('a.pth', 'a check')],
)
def test_an_input_in_place_of_a_model_is_named(name, kind):
    with pytest.raises(ValueError, match=f'{name} is {kind}.*expected a mod'):
        find_model(name)
