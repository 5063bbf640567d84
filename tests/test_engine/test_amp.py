"""Mixed precision where MMEngine has none."""

import pytest
import torch
from helpers.device_cases import build_model, training_batch
from mmengine.registry import OPTIM_WRAPPERS


def make_wrapper(model, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    name = 'swahr_mmpose.engine.amp.AutocastOptimWrapper'
    return OPTIM_WRAPPERS.build(dict(type=name, optimizer=optimizer, **kwargs))


def test_a_training_step_runs_in_bfloat16():
    model = build_model().train()
    dtypes = []
    model.head.final_layers[0].register_forward_hook(
        lambda module, inputs, output: dtypes.append(output.dtype)
    )
    before = model.head.final_layers[0].weight.clone()
    wrapper = make_wrapper(model, device_type='cpu')
    losses = model.train_step(training_batch((2, 0)), wrapper)
    assert dtypes == [torch.bfloat16]
    assert losses['loss'].isfinite()
    after = model.head.final_layers[0].weight
    assert after.dtype == torch.float32
    assert not torch.equal(after, before)


def test_a_device_without_autocast_is_refused():
    with pytest.raises(RuntimeError, match='device_type'):
        make_wrapper(torch.nn.Linear(1, 1), device_type='lazy')
