"""The stand-in finds what it is for, and its numbers are the CPU's."""

import pytest
import torch
from helpers.second_device import NAME, SecondDevice


def test_numbers_and_gradients_are_those_of_the_cpu(device):
    x = torch.randn(2, 3, 8, 8)
    layer = torch.nn.Conv2d(3, 4, 3)
    expected = layer(x).square().mean()
    expected.backward()
    gradient = layer.weight.grad.clone()
    layer.weight.grad = None
    layer.to(device.name)
    loss = layer(device.put(x)).square().mean()
    loss.backward()
    assert layer.weight.grad.device.type == NAME
    assert device.fetch(loss) == expected
    assert torch.equal(device.fetch(layer.weight.grad), gradient)


MIXED = {
    'sum': lambda x, y: x + y,
    'in place': lambda x, y: y.add_(x),
    'cat': lambda x, y: torch.cat([x, y]),
    'where': lambda x, y: torch.where(x > 0, x, y),
    'index_select': lambda x, y: x.index_select(0, y.long()),
    'device index of a CPU tensor': lambda x, y: y[x.long()],
    'values of another side': lambda x, y: x.__setitem__([0, 1, 2], y),
}


@pytest.mark.parametrize('case', MIXED)
def test_tensors_of_both_sides_do_not_mix(device, case):
    x = device.put(torch.zeros(3))
    with pytest.raises(RuntimeError, match='mixes tensors of the device'):
        MIXED[case](x, torch.zeros(3))


def test_cpu_scalars_and_cpu_indices_mix_as_on_a_gpu(device):
    x = device.put(torch.arange(4.0))
    assert device.fetch((x + torch.tensor(1.0))[torch.tensor([2])]) == 3


READS = {
    'item': lambda x: x.sum().item(),
    'float': lambda x: float(x[0]),
    'bool': lambda x: bool(x.any()),
    'cpu': lambda x: x.cpu(),
    'to': lambda x: x.to('cpu'),
    'copy': lambda x: torch.empty(4).copy_(x),
    'tolist': lambda x: x.tolist(),
    'nonzero': lambda x: x.nonzero(),
    'boolean index': lambda x: x[x > 1],
    'boolean assignment': lambda x: x.__setitem__(x > 1, 0.0),
    'unique': lambda x: x.unique(),
    'equal': lambda x: torch.equal(x, x),
    'repeat': lambda x: x.repeat_interleave(x.long()),
}


@pytest.mark.parametrize('case', READS)
def test_a_value_that_the_host_reads_is_counted_with_its_line(device, case):
    x = device.put(torch.arange(4.0))
    with device.counting() as counts:
        READS[case](x)
    assert sum(counts.read_backs.values()) == 1
    assert 'test_harness.py:' in next(iter(counts.read_backs))


def test_what_stays_on_the_device_is_not_counted_as_read(device):
    x = device.put(torch.arange(4.0))
    with device.counting() as counts:
        y = torch.where(x > 1, x, 0.0).topk(2)[0][[1, 0]]
        y.long().repeat_interleave(y.long(), output_size=5)
        torch.zeros(3, device=device.name).index_fill_(0, y.long() - 1, 1)
    assert not counts.read_backs
    assert set(counts.kernels) >= {'gt', 'topk', 'index', 'index_fill_'}


def test_kernels_and_their_bytes_are_counted_and_views_are_not(device):
    x = torch.zeros(4, 8, device=device.name)
    with device.counting() as counts:
        y = x.view(8, 4).t()[1:].unsqueeze(0)
        assert not counts.kernels
        y + 1.0
    assert dict(counts.kernels) == {'add': 1}
    assert counts.bytes == 2 * 3 * 8 * 4
    counts.assert_within(0, 1, 1)
    with pytest.raises(AssertionError, match='add'):
        counts.assert_within(0, 0)


def test_numpy_is_refused(device):
    with pytest.raises(TypeError, match=r'numpy\(\) of a tensor'):
        device.put(torch.zeros(2)).numpy()


def test_data_are_uploaded_by_torch_tensor(device):
    with device.counting() as counts:
        x = torch.tensor([1.0, 2.0], device=device.name)
        y = torch.as_tensor([3.0], device=device.name)
    assert sum(counts.uploads.values()) == 2
    assert device.fetch(x + y).tolist() == [4, 5]


MAKES_FLOAT64 = {
    'double': lambda x: x.double(),
    'sum': lambda x: x.sum(dtype=torch.float64),
    'upload': lambda x: torch.zeros(2).double().to(x.device),
    'factory': lambda x: x.new_zeros(2, dtype=torch.float64),
}


@pytest.mark.parametrize('case', MAKES_FLOAT64)
def test_float64_is_refused_where_there_is_none(device, case):
    with pytest.raises(TypeError, match='makes float64'):
        MAKES_FLOAT64[case](device.put(torch.zeros(2)))
    with SecondDevice(float64=True) as gpu:
        MAKES_FLOAT64[case](gpu.put(torch.zeros(2)))
