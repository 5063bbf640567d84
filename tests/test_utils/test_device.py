"""Devices by name."""

import types

import pytest
import torch
from mmengine.config import Config

from swahr_mmpose.utils import device


def fake_module(count=2, **functions):
    """A device module of torch that finds devices."""
    return types.SimpleNamespace(
        is_available=lambda: True, device_count=lambda: count, **functions
    )


@pytest.fixture
def on(monkeypatch):
    """Pretend that MMEngine trains on a device type."""

    def pretend(kind):
        monkeypatch.setattr(device, 'get_device', lambda: kind)

    return pretend


def test_the_cpu_can_be_used():
    assert device.require_device('cpu') == torch.device('cpu')
    assert device.list_devices()[0] == 'cpu'


@pytest.mark.parametrize('name', ['gpu', 'mps:9', 'xpu:9', 'npu', 'meta'])
def test_a_device_that_cannot_be_used_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match='cannot be used') as error:
        device.require_device(name)
    message = str(error.value)
    assert message.startswith(f'device {name!r} cannot be used (')
    assert 'expected an available one: cpu' in message
    assert '\n' not in message


def test_devices_of_all_types_are_listed(monkeypatch):
    monkeypatch.setattr(torch, 'xpu', fake_module())
    monkeypatch.setattr(torch, 'npu', fake_module(1), raising=False)
    monkeypatch.setattr(torch.backends, 'mps', fake_module())
    listed = device.list_devices()
    assert [n for n in listed if not n.startswith(('cpu', 'cuda'))] == [
        'npu:0',
        'mps',
        'xpu:0',
        'xpu:1',
    ]


@pytest.mark.parametrize('kind', ['cuda', 'npu', 'mps', 'musa'])
def test_the_default_device_is_that_of_mmengine(on, kind):
    on(kind)
    assert device.find_default_device() == kind


def test_an_xpu_is_used_where_mmengine_finds_nothing(on, monkeypatch):
    on('cpu')
    monkeypatch.setattr(torch, 'xpu', fake_module())
    assert device.find_default_device() == 'xpu'


AUTOCAST = 'swahr_mmpose.engine.amp.AutocastOptimWrapper'


@pytest.mark.parametrize(
    ('kind', 'wrapper'),
    [('cuda', 'AmpOptimWrapper'), ('mps', AUTOCAST), ('xpu', AUTOCAST)],
)
def test_amp_uses_what_the_device_has(on, monkeypatch, kind, wrapper):
    monkeypatch.setattr(torch, 'autocast', lambda *args, **kwargs: None)
    on(kind)
    assert device.find_amp_wrapper() == wrapper


def test_amp_without_an_accelerator_is_refused(on, monkeypatch):
    on('cpu')
    with pytest.raises(ValueError, match='--amp needs a GPU .* finds none; '):
        device.find_amp_wrapper()

    def refuse(*args, **kwargs):
        raise RuntimeError('unsupported autocast device_type')

    monkeypatch.setattr(torch, 'autocast', refuse)
    on('mps')
    with pytest.raises(ValueError, match='has no autocast for mps; leave'):
        device.find_amp_wrapper()


@pytest.mark.parametrize('kind', ['cpu', 'mps', 'cuda', 'npu'])
def test_pinned_memory_is_set_where_it_applies(on, kind):
    on(kind)
    cfg = Config(
        dict(
            model=dict(data_preprocessor=dict(type='X')),
            train_dataloader=dict(batch_size=1),
            val_dataloader=dict(pin_memory=False),
        )
    )
    device.enable_pinned_memory(cfg)
    applies = kind in ('cuda', 'npu')
    assert cfg.train_dataloader.get('pin_memory', False) == applies
    assert cfg.val_dataloader.pin_memory is False
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.get('non_blocking', False) == applies
    assert 'test_dataloader' not in cfg


@pytest.mark.parametrize('kind', ['cpu', 'mps', 'cuda', 'npu'])
def test_process_groups_are_those_of_mmengine(on, kind):
    on(kind)
    assert device.supports_distributed() == (kind in ('cuda', 'npu'))


@pytest.fixture
def calls(monkeypatch):
    """Record the calls of the functions of ``torch.xpu``."""
    calls = []

    def make(name, result=None):
        def call(*args):
            calls.append((name, *map(str, args)))
            return result

        return call

    module = fake_module(
        synchronize=make('synchronize'),
        reset_peak_memory_stats=make('reset'),
        max_memory_allocated=make('measure', 3 * 2**20),
        get_device_name=lambda d: f'Big {d}',
    )
    monkeypatch.setattr(torch, 'xpu', module)
    return calls


def measure(name):
    device.synchronize(name)
    device.reset_peak_memory(name)
    return device.get_peak_memory(name)


def test_measurements_are_of_the_device_not_of_the_current_one(calls):
    assert measure('xpu:1') == 3
    assert calls == [
        ('synchronize', 'xpu:1'), ('reset', 'xpu:1'), ('measure', 'xpu:1'),
    ]  # fmt: skip
    assert device.get_device_name('xpu:1') == 'Big xpu:1'


def test_a_device_without_an_index_is_the_current_one(calls):
    assert measure('xpu') == 3
    assert calls == [('synchronize',), ('reset',), ('measure',)]


def test_mps_has_one_device_and_takes_no_index(monkeypatch):
    waits = []
    monkeypatch.setattr(
        torch,
        'mps',
        types.SimpleNamespace(synchronize=lambda: waits.append(True)),
    )
    device.synchronize('mps:0')
    assert waits == [True]
    assert device.get_peak_memory('mps:0') is None


def test_a_cpu_measures_no_memory():
    device.synchronize('cpu')
    device.reset_peak_memory('cpu')
    assert device.get_peak_memory('cpu') is None
    assert device.get_device_name('cpu') == 'cpu'
