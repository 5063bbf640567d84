# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Reading of configs in both of MMEngine's forms."""

from __future__ import annotations

import os.path as osp
from typing import TYPE_CHECKING, Any, Dict, Iterator

from swahr_mmpose.utils.config_errors import config_errors
from swahr_mmpose.utils.input_size import apply_input_size_variable
from swahr_mmpose.utils.resources import find_resource

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    'describe_other_file',
    'find_config',
    'is_config_file',
    'look_up_type',
    'name_types',
    'read_config',
    'require_config',
]

# Packages whose classes are registered where they are used by name.
_PACKAGES = ('mmcv', 'mmengine', 'mmpose', 'swahr_mmpose', 'torch')
# Endings of configs, and of files that users give in their place.
_CONFIG_TYPES = ('.py', '.yml', '.yaml', '.json')
_OTHER_TYPES = {
    'an image': '.bmp .gif .heic .jpeg .jpg .png .tif .tiff .webp'.split(),
    'a video': '.avi .m4v .mkv .mov .mp4 .mpg .webm'.split(),
    'a checkpoint': ['.pth', '.pt'],
    'an ONNX model': ['.onnx'],
}


def find_config(name: str) -> str:
    """Find a config file by its path or its name in the shipped configs.

    Args:
        name (str): Path of a file, or of a shipped config relative to
            ``configs/``, e.g. ``coco/NAME.py``.

    Returns:
        str: Path of the file; ``name`` itself if there is none.
    """
    if osp.exists(name):
        return name
    shipped = find_resource('configs') / name
    return str(shipped) if shipped.is_file() else name


def is_config_file(name: str) -> bool:
    """Whether a text names an existing config file.

    Args:
        name (str): See :func:`find_config`.

    Returns:
        bool: False for files of other types, such as checkpoints.
    """
    file = find_config(name)
    return osp.isfile(file) and file.lower().endswith(_CONFIG_TYPES)


def require_config(name: str) -> str:
    """Find a config file, or raise.

    Args:
        name (str): See :func:`find_config`.

    Returns:
        str: Path of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a file of another type.
    """
    file = find_config(name)
    if not osp.isfile(file):
        raise FileNotFoundError(
            f'config {name} does not exist, neither here nor among the '
            'shipped configs; give the path of a file, or a name such as '
            'coco/NAME.py'
        )
    if not is_config_file(file):
        kind = describe_other_file(name) or 'a file of another type'
        raise ValueError(
            f'{name} is {kind}, expected a config ({", ".join(_CONFIG_TYPES)})'
            ' or a name that `swahr fetch` lists, such as higherhrnet-w32, '
            'before it'
        )
    return file


def describe_other_file(name: str) -> str:
    """Describe a file that is no config by the ending of its name.

    Args:
        name (str): File name.

    Returns:
        str: ``'an image'``, ``'a video'``, ...; empty for other endings.
    """
    ending = osp.splitext(name)[1].lower()
    return next((k for k, v in _OTHER_TYPES.items() if ending in v), '')


def read_config(path: str) -> Config:
    """Read a config file, with names (strings) as ``type`` everywhere.

    Args:
        path (str): Path of a file, or name of a shipped config.

    Returns:
        Config: Config, see :func:`name_types`. Its variable ``input_size`` is
        applied, see :func:`.apply_input_size_variable`.

    Raises:
        FileNotFoundError, ValueError: See :func:`require_config` and
            :func:`.config_errors`.
    """
    from mmengine.config import Config

    file = require_config(str(path))
    with config_errors(file):
        cfg = Config.fromfile(file)
        apply_input_size_variable(cfg)
        return name_types(cfg)


def name_types(cfg: Config) -> Config:
    """Replace classes by names in a Python-style config.

    MMEngine's Python-style configs have classes as ``type`` and may have
    ``default_scope=None``. The rest of the package reads names.

    Args:
        cfg (Config): Config of either form; not changed.

    Returns:
        Config: Config with the registered name of each class as its
        ``type``, or its import path if it is not registered. The default
        scope is ``'mmpose'`` if there was none.
    """
    from mmengine.config import Config

    content = cfg._to_lazy_dict()
    names: Dict[Any, str] = {}
    named = _replace_types(content, names)
    if named.get('default_scope') is None:
        named['default_scope'] = 'mmpose'
    if names and 'custom_imports' not in named:
        named['custom_imports'] = dict(
            imports=['swahr_mmpose'], allow_failed_imports=False
        )
    return Config(
        named,
        cfg_text=cfg.text,
        filename=cfg.filename,
        env_variables=cfg.env_variables,
    )


def _replace_types(value: Any, names: Dict[Any, str]) -> Any:
    """Replace classes by names; ``names`` collects those found."""
    if isinstance(value, dict):
        return {
            key: _get_name(item, names)
            if key == 'type'
            else _replace_types(item, names)
            for key, item in value.items()
        }
    if type(value) in (list, tuple):
        return type(value)(_replace_types(item, names) for item in value)
    return value


def _get_name(value: Any, names: Dict[Any, str]) -> Any:
    """Get the name of a class or function; other values stay as they are."""
    from mmengine.config.lazy import LazyAttr, LazyObject

    if isinstance(value, (LazyAttr, LazyObject)):
        value = value.build()
    if not (callable(value) and hasattr(value, '__qualname__')):
        return _replace_types(value, names)
    if value not in names:
        names[value] = _find_name(value)
    return names[value]


def _find_name(value: Any) -> str:
    """Find the registered name of a class, or its import path."""
    name, module = value.__name__, value.__module__
    if module.split('.')[0] in _PACKAGES and value in look_up_type(name):
        return name
    return f'{module}.{value.__qualname__}'


def look_up_type(name: str) -> Iterator[Any]:
    """Yield what a name stands for in each of MMPose's registries.

    Args:
        name (str): Registered name.

    Yields:
        type | Callable: Registered class or function.
    """
    from mmengine.registry import Registry
    from mmpose import registry

    for node in vars(registry).values():
        while isinstance(node, Registry):
            if name in node.module_dict:
                yield node.module_dict[name]
                break
            node = node.parent
