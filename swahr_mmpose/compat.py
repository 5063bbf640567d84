# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Lets MMPose 1.3.2 import and resume on today's stack.

Four things stand in the way, each mended once and as narrowly as possible:

* MMPose imports ``mmcv.ops``, which needs mmcv's compiled operators.  SWAHR
  calls none of them, so with mmcv-lite their place is taken by functions
  that raise a clear error when called.
* MMPose imports one class of torchvision, for a picture that SWAHR never
  draws.  Where torchvision is absent or does not fit the installed torch, a
  class that raises when used takes its place.
* torch >= 2.6 loads checkpoints with ``weights_only=True``.  The classes that
  MMEngine itself writes into training checkpoints are allow-listed;
  ``weights_only`` is never turned off.  Where MMEngine reads a file without
  it (an older torch, a URL), a reader of our own that keeps to the same list
  takes its place.
* MMPose's drawing gives the radius of a circle as an array of one number,
  which NumPy 2.4 does not take for a number.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Iterator, List, NoReturn

import numpy as np
import torch

from swahr_mmpose.checkpoints.io import TORCH_VERSION

from .checkpoints import safe_unpickler

__all__ = ['apply']


def _refusing(name: str, remedy: str) -> Callable[..., NoReturn]:
    """Make a callable that says what is missing and how to get it."""

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f'{name} was called but is not installed. {remedy}')

    return refuse


class _Placeholder(ModuleType):
    """A module all of whose functions raise when they are called."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, loader=None)
        self._remedy = remedy

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith('__'):
            raise AttributeError(name)
        return _refusing(f'{self.__name__}.{name}', self._remedy)


@contextmanager
def _standing_in(*modules: ModuleType) -> Iterator[None]:
    """Put modules into ``sys.modules`` for the length of the context."""
    before = {m.__name__: sys.modules.get(m.__name__) for m in modules}
    sys.modules.update({m.__name__: m for m in modules})
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _import_mmcv_ops() -> None:
    """Import ``mmcv.ops``, with or without compiled operators."""
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    remedy = 'Install mmcv (not mmcv-lite) to use compiled operators.'
    with _standing_in(_Placeholder('mmcv._ext', remedy)):
        importlib.import_module('mmcv.ops')


def _torchvision_works() -> bool:
    try:
        importlib.import_module('torchvision.transforms')
    except Exception:  # anything: a wrong build raises RuntimeError
        return False
    return True


def _import_mmpose_visualization() -> None:
    """Import ``mmpose.visualization``, with or without torchvision."""
    if _torchvision_works():
        return
    for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
        del sys.modules[name]
    remedy = 'Install a torchvision that fits the installed torch.'
    package = _Placeholder('torchvision', remedy)
    transforms = _Placeholder('torchvision.transforms', remedy)
    with _standing_in(package, transforms):
        importlib.import_module('mmpose.visualization')
    if importlib.util.find_spec('torchvision') is not None:
        # Installed but broken: for everyone else it is "not installed"
        # (a None entry raises ModuleNotFoundError), or MMEngine's report of
        # the environment stops every run.
        sys.modules['torchvision'] = None  # type: ignore[assignment]


def _allow_training_checkpoints() -> None:
    """Allow what MMEngine writes, in torch and in our own reader."""
    objects, stateful = safe_unpickler.training_objects()
    safe_unpickler.allow(objects, tuple(stateful))
    if TORCH_VERSION >= (2, 6):
        named: List[Any] = [(value, name) for name, value in objects.items()]
        torch.serialization.add_safe_globals([*named, *stateful])


def _read_checkpoints_safely() -> None:
    """Have MMEngine read files and URLs as :mod:`.checkpoint_files` does."""
    from mmengine.runner import CheckpointLoader, checkpoint

    from swahr_mmpose.checkpoints.download import (
        load_from_http,
        load_from_local,
    )

    # By their prefix, and by their name, for readers that call them.
    checkpoint.load_from_local = load_from_local
    checkpoint.load_from_http = load_from_http
    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def _draw_circles_of_one_radius() -> None:
    """Have MMPose's visualizer pass radii to OpenCV as numbers."""
    from mmpose.visualization.opencv_backend_visualizer import (
        OpencvBackendVisualizer,
    )

    original = OpencvBackendVisualizer.draw_circles
    if original.__module__ == __name__:
        return

    def draw_circles(
        self: Any, center: Any, radius: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if self.backend == 'opencv':
            radius = np.asarray(radius).item()
        return original(self, center, radius, *args, **kwargs)

    OpencvBackendVisualizer.draw_circles = draw_circles


def apply() -> None:
    """Apply all of the above; a second call changes nothing."""
    _import_mmcv_ops()
    _import_mmpose_visualization()
    _draw_circles_of_one_radius()
    _allow_training_checkpoints()
    _read_checkpoints_safely()
