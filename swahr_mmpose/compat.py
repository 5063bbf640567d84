# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Import-time patches for MMPose 1.3.2 on current torch, torchvision, NumPy.

Applied once by ``import swahr_mmpose``:

* mmcv-lite: MMPose imports ``mmcv.ops``, which requires mmcv's compiled
  operators. SWAHR calls none of them. Without them, placeholders that raise
  an error when called are imported instead.
* torchvision: MMPose imports one class of it, for a SimCC figure that SWAHR
  does not use. If torchvision is missing or does not fit the installed torch,
  a placeholder that raises when called is imported instead.
* Checkpoints: torch >= 2.6 loads with ``weights_only=True``. The classes that
  MMEngine writes into training checkpoints are allow-listed; ``weights_only``
  is never turned off. Where MMEngine loads without it (older torch, URLs), a
  restricted reader with the same allow-list is registered instead.
* NumPy >= 2.4: MMPose's ``draw_circles`` passes the radius as an array of one
  element, which NumPy no longer converts to a scalar. It is converted first.
* Segmentations: MMPose cannot join people with and without a segmentation in
  one image (``TypeError``). A missing one is read as an empty one.
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

from swahr_mmpose.checkpoints import safe_unpickler
from swahr_mmpose.checkpoints.io import TORCH_VERSION

__all__ = ['apply', 'check_versions']


def _make_placeholder(name: str, remedy: str) -> Callable[..., NoReturn]:
    """Make a callable that raises RuntimeError with a remedy."""

    def placeholder(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f'{name} was called but is not installed. {remedy}')

    return placeholder


class _Placeholder(ModuleType):
    """Module whose attributes are callables that raise RuntimeError.

    Args:
        name (str): Name of the module.
        remedy (str): Sentence that completes the error message.
    """

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, loader=None)
        self._remedy = remedy

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith('__'):
            raise AttributeError(name)
        return _make_placeholder(f'{self.__name__}.{name}', self._remedy)


@contextmanager
def _replace_modules(*modules: ModuleType) -> Iterator[None]:
    """Replace modules in ``sys.modules`` within the context."""
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


# Packages with forks under other distribution names are checked by module.
_VERSIONS = {'mmengine': ('0.10.0', '1.0.0'), 'mmpose': ('1.3.0', '1.4.0')}


def check_versions() -> None:
    """Check the versions of MMEngine and MMPose.

    Raises:
        ImportError: If a version is outside of the supported range.
    """
    from mmengine.utils import digit_version

    for name, (low, high) in _VERSIONS.items():
        got = importlib.import_module(name).__version__
        if not digit_version(low) <= digit_version(got) < digit_version(high):
            raise ImportError(
                f'{name} {got} is not supported, expected {name}>={low},'
                f'<{high}; run `swahr doctor` for the command that fixes it'
            )


def _import_mmcv_ops() -> None:
    """Import ``mmcv.ops``, with or without compiled operators."""
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    remedy = 'Install mmcv (not mmcv-lite) to use compiled operators.'
    with _replace_modules(_Placeholder('mmcv._ext', remedy)):
        importlib.import_module('mmcv.ops')


def _can_import_torchvision() -> bool:
    """Whether torchvision is installed and fits the installed torch."""
    try:
        importlib.import_module('torchvision.transforms')
    except Exception:  # a build for another torch raises RuntimeError
        return False
    return True


def _import_mmpose_visualization() -> None:
    """Import ``mmpose.visualization``, with or without torchvision."""
    if _can_import_torchvision():
        return
    for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
        del sys.modules[name]
    remedy = 'Install a torchvision that fits the installed torch.'
    package = _Placeholder('torchvision', remedy)
    transforms = _Placeholder('torchvision.transforms', remedy)
    with _replace_modules(package, transforms):
        importlib.import_module('mmpose.visualization')
    if importlib.util.find_spec('torchvision') is not None:
        # Installed but broken: later imports raise ModuleNotFoundError (None
        # entry), which MMEngine's collect_env handles; other errors would end
        # every run.
        sys.modules['torchvision'] = None  # type: ignore[assignment]


def _allow_training_checkpoints() -> None:
    """Allow-list the classes of MMEngine's training checkpoints."""
    objects, stateful = safe_unpickler.training_objects()
    safe_unpickler.allow(objects, tuple(stateful))
    if TORCH_VERSION >= (2, 6):
        named: List[Any] = [(value, name) for name, value in objects.items()]
        torch.serialization.add_safe_globals([*named, *stateful])


def _register_checkpoint_loaders() -> None:
    """Make MMEngine read files and URLs with our restricted reader."""
    from mmengine.runner import CheckpointLoader, checkpoint

    from swahr_mmpose.checkpoints.download import (
        load_from_http,
        load_from_local,
    )

    # Replace the functions, which other code may call directly, and register
    # them for their URL schemes.
    checkpoint.load_from_local = load_from_local
    checkpoint.load_from_http = load_from_http
    for prefixes, loader in (
        ('', load_from_local),
        (('http://', 'https://'), load_from_http),
    ):
        CheckpointLoader.register_scheme(prefixes, loader, force=True)


def _patch_draw_circles() -> None:
    """Make MMPose's visualizer pass radii to OpenCV as scalars."""
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


def _patch_missing_segmentations() -> None:
    """Let MMPose join people with and without a segmentation in an image."""
    from mmpose.datasets.datasets.base import BaseCocoStyleDataset

    original = BaseCocoStyleDataset._get_bottomup_data_infos
    if original.__module__ == __name__:
        return

    def get_bottomup_data_infos(
        self: Any, instance_list: List[dict], image_list: List[dict]
    ) -> List[dict]:
        for instance in instance_list:
            if instance.get('segmentation', ()) is None:
                instance['segmentation'] = []
        infos = original(self, instance_list, image_list)
        for info in infos:  # MMPose's loss mask cannot read empty ones
            if 'invalid_segs' in info:
                info['invalid_segs'] = [s for s in info['invalid_segs'] if s]
        return infos

    BaseCocoStyleDataset._get_bottomup_data_infos = get_bottomup_data_infos


def apply() -> None:
    """Apply all patches; a second call changes nothing."""
    check_versions()
    _import_mmcv_ops()
    _import_mmpose_visualization()
    _patch_draw_circles()
    _patch_missing_segmentations()
    _allow_training_checkpoints()
    _register_checkpoint_loaders()
