# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check of a device before it is used."""

from __future__ import annotations

from typing import Union

import torch

__all__ = ['require_device']


def require_device(device: Union[str, torch.device]) -> None:
    """Raise if a device cannot be used.

    Args:
        device (str | torch.device): Device, for example ``'cuda:1'``.

    Raises:
        ValueError: With the reason of torch and the available devices.
    """
    try:
        torch.zeros(1, device=device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else ''
        available = ['cpu']
        if torch.cuda.is_available():
            count = torch.cuda.device_count()
            available += [f'cuda:{n}' for n in range(count)]
        raise ValueError(
            f'device {str(device)!r} cannot be used ({reason}); expected an '
            f'available one: {", ".join(available)}. For a GPU that is not '
            'listed, run swahr doctor'
        ) from error
