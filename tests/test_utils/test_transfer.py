"""Copies to another device in one piece."""

import pytest
import torch
from helpers.second_device import SecondDevice

from swahr_mmpose.utils.transfer import upload

TENSORS = [
    torch.arange(5, dtype=torch.int32),
    torch.zeros(0, 3),
    torch.tensor([[True, False, True]]),
    torch.randn(3, 4).t(),
    torch.tensor(7),
    torch.arange(3, dtype=torch.uint8),
    torch.randn(2, dtype=torch.float64),
    torch.zeros(1).expand(2, 3),
]


def test_tensors_of_any_types_are_copied_at_once():
    with SecondDevice() as device:
        with device.counting() as counts:
            found = upload(TENSORS, torch.device(device.name))
        assert sum(counts.uploads.values()) == 1
        assert sum(counts.kernels.values()) == 1
        for one, other in zip(found, TENSORS):
            assert one.device.type == 'lazy'
            assert one.is_contiguous()
            assert torch.equal(device.fetch(one), other)
            assert one.dtype == other.dtype


@pytest.mark.parametrize('tensors', [TENSORS, []], ids=['some', 'none'])
def test_on_the_cpu_nothing_is_copied(tensors):
    found = upload(tensors, torch.device('cpu'))
    assert len(found) == len(tensors)
    assert all(one is other for one, other in zip(found, tensors))
