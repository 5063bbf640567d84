import numpy as np
import pytest
import torch

from swahr_mmpose.checkpoints.convert import convert, to_publish
from swahr_mmpose.checkpoints.io import write_checkpoint


@pytest.fixture
def checkpoint(official):
    """What MMEngine writes while it trains."""
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
                names={'b', 'a'},
            ),
        ),
        state_dict={
            f'module.{k}': v for k, v in convert(official).state_dict.items()
        },
        optimizer=dict(state={}),
        message_hub=dict(),
    )


def test_only_weights_and_plain_meta_are_left(checkpoint):
    result = to_publish(checkpoint)
    assert list(result) == ['meta', 'state_dict']
    assert result['meta'] == dict(
        epoch=3,
        iter=60,
        dataset_meta=dict(
            sigmas=[0.5, 1.0],
            upper_body_ids=[0, 1],
            keypoint_id2name={0: 'nose'},
            names=['a', 'b'],
        ),
    )
    assert type(result['meta']['iter']) is int


def test_weights_are_unchanged_and_without_prefix(checkpoint, official):
    state = to_publish(checkpoint)['state_dict']
    expected = convert(official).state_dict
    assert list(state) == list(expected)
    assert all(torch.equal(state[k], expected[k]) for k in state)


def test_the_scale_branch_can_be_left_out(checkpoint):
    state = to_publish(checkpoint, scale_maps=False)['state_dict']
    assert len(state) > 0
    assert not any('scale_layers' in key for key in state)


def test_no_storage_is_larger_than_its_tensor(checkpoint):
    key = 'module.head.final_layers.1.bias'
    large = torch.zeros(1000)
    checkpoint['state_dict'][key] = large[:17]
    tensor = to_publish(checkpoint)['state_dict'][key[len('module.') :]]
    assert tensor.untyped_storage().nbytes() == 17 * 4


def test_every_torch_reads_it_without_a_word_of_ours(checkpoint, tmp_path):
    path = tmp_path / 'x.pth'
    write_checkpoint(to_publish(checkpoint), path)
    if hasattr(torch.serialization, 'get_safe_globals'):  # torch 2.4
        before = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
    try:
        found = torch.load(path, weights_only=True)
    finally:
        if hasattr(torch.serialization, 'get_safe_globals'):
            torch.serialization.add_safe_globals(before)
    assert found['meta']['epoch'] == 3


def test_weights_of_something_else_are_refused(checkpoint):
    checkpoint['state_dict']['module.fc.weight'] = torch.zeros(3)
    with pytest.raises(ValueError, match='fc.weight'):
        to_publish(checkpoint)
