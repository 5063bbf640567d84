# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Devices by name: checks, mixed precision, memory and transfers.

A device is named as torch and MMEngine do: ``cpu``, ``cuda``, ``mps``,
``xpu``, ``npu``, ``mlu``, ``musa``, with an index where there are several.
Nothing here is specific to CUDA: what torch offers for a device type is in the
module ``torch.<type>``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, List, Optional, Union

import torch
from mmengine.device import get_device

__all__ = [
    'enable_pinned_memory',
    'find_amp_wrapper',
    'find_default_device',
    'get_device_name',
    'get_peak_memory',
    'list_devices',
    'require_device',
    'reset_peak_memory',
    'supports_distributed',
    'synchronize',
]

Device = Union[str, torch.device]

# Device types of torch and its extensions; MMEngine imports the latter.
_TYPES = ('cuda', 'npu', 'mlu', 'mps', 'xpu', 'musa', 'dipu')
# Those for which MMEngine has mixed precision, and a process group.
_MMENGINE_TYPES = ('cuda', 'npu', 'mlu', 'musa')
# Those that copy faster from page-locked host memory.
_PINNED_TYPES = ('cuda', 'npu', 'xpu', 'musa')


def find_default_device() -> str:
    """Find the device that the commands use if none is given.

    Returns:
        str: That of MMEngine, which also trains there; an XPU, which MMEngine
        does not know, if there is no other; else ``'cpu'``.
    """
    name = str(get_device())
    if name == 'cpu' and _is_available('xpu'):
        return 'xpu'
    return name


def list_devices() -> List[str]:
    """List the devices that torch finds.

    Returns:
        list[str]: ``'cpu'`` and, for example, ``'cuda:0'`` or ``'mps'``.
    """
    names = ['cpu']
    for kind in filter(_is_available, _TYPES):
        count = getattr(_get_module(kind), 'device_count', lambda: 1)()
        indexed = [f'{kind}:{n}' for n in range(count)]
        names += [kind] if kind == 'mps' else indexed
    return names


def require_device(device: Device) -> torch.device:
    """Raise if a device cannot be used.

    Args:
        device (str | torch.device): Device, for example ``'cuda:1'``.

    Returns:
        torch.device: The device.

    Raises:
        ValueError: With the reason of torch and the available devices.
    """
    try:
        # Read back: the device 'meta' has no values.
        torch.zeros(1, device=device).add_(1).cpu()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        available = ', '.join(list_devices())
        raise ValueError(
            f'device {str(device)!r} cannot be used '
            f'({_find_reason(device, error)}); expected an available one: '
            f'{available}. For a GPU that is not listed, run swahr doctor'
        ) from error
    return torch.device(device)


def _find_reason(device: Device, error: Exception) -> str:
    """Get the reason of a failure in a few words."""
    if isinstance(error, NotImplementedError):
        return f'this torch {torch.__version__} does not compute on it'
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def find_amp_wrapper(device: Optional[Device] = None) -> str:
    """Find the optimizer wrapper of mixed precision training on a device.

    Args:
        device (str | torch.device, optional): Device of the training.
            Defaults to ``None``, that of MMEngine.

    Returns:
        str: Name of the wrapper: ``AmpOptimWrapper`` of MMEngine with float16
        and loss scaling, or, where MMEngine refuses the device and torch has
        autocast, :class:`~swahr_mmpose.engine.amp.AutocastOptimWrapper` with
        bfloat16.

    Raises:
        ValueError: If there is neither.
    """
    kind = torch.device(device or get_device()).type
    if kind in _MMENGINE_TYPES:
        return 'AmpOptimWrapper'
    if kind != 'cpu' and _has_autocast(kind):
        return 'swahr_mmpose.engine.amp.AutocastOptimWrapper'
    if kind == 'cpu':
        problem = 'torch finds none'
    else:
        problem = f'torch {torch.__version__} has no autocast for {kind}'
    raise ValueError(
        '--amp needs a GPU or another accelerator with autocast, but '
        f'{problem}; leave --amp out'
    )


def _has_autocast(kind: str) -> bool:
    """Whether torch has autocast for a device type."""
    try:
        torch.autocast(kind, dtype=torch.bfloat16)
    except (RuntimeError, AssertionError):
        return False
    return True


def supports_distributed() -> bool:
    """Whether MMEngine has a process group for the device that it uses.

    Returns:
        bool: True for CUDA (NCCL), NPU, MLU and MUSA.
    """
    return str(get_device()) in _MMENGINE_TYPES


def enable_pinned_memory(cfg: Any) -> None:
    """Set page-locked memory and asynchronous copies where they apply.

    Sets ``pin_memory`` of the data loaders and ``non_blocking`` of the data
    preprocessor on devices that copy faster with them, unless the config has
    them.

    Args:
        cfg (Config): Complete config, changed in place.
    """
    if str(get_device()) not in _PINNED_TYPES:
        return
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None:
            loader.setdefault('pin_memory', True)
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor')
    if preprocessor is not None:
        preprocessor.setdefault('non_blocking', True)


def synchronize(device: Device) -> None:
    """Wait until a device has finished; a CPU has.

    Args:
        device (str | torch.device): Device.
    """
    if torch.device(device).type != 'cpu':
        wait = _get_function(device, 'synchronize')
        assert wait is not None, f'torch cannot wait for {device}'
        wait()


def get_device_name(device: Device) -> str:
    """Get the name of the hardware.

    Args:
        device (str | torch.device): Device.

    Returns:
        str: For example ``'NVIDIA H100 80GB HBM3'``; the type where torch
        does not report a name.
    """
    device = torch.device(device)
    module = _get_module(device.type)
    get_name = getattr(module, 'get_device_name', None)
    return device.type if get_name is None else str(get_name(device))


def reset_peak_memory(device: Device) -> None:
    """Start a new measurement of :func:`get_peak_memory`.

    Args:
        device (str | torch.device): Device.
    """
    reset = _get_function(device, 'reset_peak_memory_stats')
    if reset is not None:
        reset()


def get_peak_memory(device: Device) -> Optional[float]:
    """Get the most memory that tensors took since the last reset.

    Args:
        device (str | torch.device): Device.

    Returns:
        float | None: MiB; ``None`` where torch does not measure it (CPU,
        MPS).
    """
    measure = _get_function(device, 'max_memory_allocated')
    return None if measure is None else measure() / 2**20


def _get_function(device: Device, name: str) -> Optional[Callable[[], Any]]:
    """Get a function of ``torch.<type>`` for a device; None if it has none.

    Without an argument it concerns the current device. ``torch.mps`` has one
    device, and functions without arguments.
    """
    device = torch.device(device)
    function = getattr(_get_module(device.type), name, None)
    is_only = device.index is None or device.type == 'mps'
    return (
        function if function is None or is_only else partial(function, device)
    )


def _get_module(kind: str) -> Any:
    """Get ``torch.<type>``; ``None`` if this torch has none."""
    return getattr(torch, kind, None)


def _is_available(kind: str) -> bool:
    """Whether torch finds a device of a type."""
    module = torch.backends.mps if kind == 'mps' else _get_module(kind)
    return module is not None and bool(module.is_available())
