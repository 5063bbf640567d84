# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Mixed precision on devices for which MMEngine has none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Optional

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

__all__ = ['AutocastOptimWrapper']


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Optimizer wrapper with autocast and without loss scaling.

    ``AmpOptimWrapper`` of MMEngine raises except on CUDA, NPU, MLU and MUSA.
    bfloat16 has the range of float32, so that its gradients need no scaling.

    Args:
        device_type (str, optional): Device type of autocast. Defaults to
            ``None``, that of MMEngine.
        dtype (str): Type of autocast. Defaults to ``'bfloat16'``.
        **kwargs (Any): Arguments of ``OptimWrapper``.

    Raises:
        RuntimeError: If torch has no autocast for the device type.
    """

    def __init__(
        self,
        device_type: Optional[str] = None,
        dtype: str = 'bfloat16',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.device_type = device_type or str(get_device())
        self.dtype = getattr(torch, dtype)
        torch.autocast(self.device_type, dtype=self.dtype)  # may raise

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass in autocast, see ``OptimWrapper``.

        Args:
            model (nn.Module): Model of the training.
        """
        autocast = torch.autocast(self.device_type, dtype=self.dtype)
        with super().optim_context(model), autocast:
            yield
