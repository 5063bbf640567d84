# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Short names of published weights, as the metafiles list them.

Nothing here imports torch or MMPose: commands check their arguments with it
before they do. Download and conversion are in
:mod:`swahr_mmpose.checkpoints.model_zoo`.
"""

from __future__ import annotations

import difflib
import os
import os.path as osp
import re
import sys
from typing import Any, Dict, NamedTuple
from urllib.parse import urlparse

from swahr_mmpose.utils.config import describe_other_file, find_config
from swahr_mmpose.utils.resources import find_resource

__all__ = [
    'ZooModel',
    'find_model',
    'get_cached_path',
    'is_model_name',
    'list_models',
]

# Difference of AP to the published one, in percent, above which something is
# wrong: image sizes of MMPose 0.x are rounded in another way.
_TOLERANCE = {'MMPose 0.x': 0.5}
_DEFAULT_TOLERANCE = 0.3


class ZooModel(NamedTuple):
    """Published weights and the config that they belong to.

    Attributes:
        name (str): Short name.
        config (str): Config relative to ``configs/``.
        source (str): Code base that published the weights.
        weights (str): URL of the file, or of a Google Drive folder.
        file (str): Path of the file in the folder; empty for a file.
        input_size (int): Side of the network input in pixels.
        dataset (str): Dataset of the metrics.
        metrics (dict[str, float]): Published metrics in percent.
        options (dict): Settings of the config to override, as for testing in
            the code base that published the weights.
    """

    name: str
    config: str
    source: str
    weights: str
    file: str
    input_size: int
    dataset: str
    metrics: Dict[str, float]
    options: Dict[str, Any]

    @property
    def file_name(self) -> str:
        """Name of the published file."""
        return osp.basename(self.file or urlparse(self.weights).path)

    @property
    def tolerance(self) -> float:
        """Difference of AP to the published one to accept, in percent."""
        return _TOLERANCE.get(self.source, _DEFAULT_TOLERANCE)


def list_models() -> Dict[str, ZooModel]:
    """List the published weights of all metafiles.

    Returns:
        dict[str, ZooModel]: Models by name.
    """
    import yaml

    models: Dict[str, ZooModel] = {}
    for path in sorted(find_resource('configs').glob('*/metafile.yml')):
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
        for entry in content['Models']:
            for item in entry.get('External Weights', ()):
                model = _make_model(entry, item)
                models[model.name] = model
    return models


def _make_model(entry: Dict[str, Any], item: Dict[str, Any]) -> ZooModel:
    """Make a model from an entry of a metafile and one of its weights."""
    return ZooModel(
        name=item['Alias'],
        config=entry['Config'][len('configs/') :],
        source=item['Source'],
        weights=item['Weights'],
        file=item.get('File', ''),
        input_size=item['Input Size'],
        dataset=entry['Test Data'],
        metrics=item['Metrics'],
        options=item.get('Options', {}),
    )


def is_model_name(text: str) -> bool:
    """Whether a text is meant as a short name, not as a config file.

    Args:
        text (str): Argument of a user.

    Returns:
        bool: False for an existing file and for what looks like a path.
    """
    is_path = re.search(r'[/\\]|\.(py|ya?ml|json)$', text)
    return not (is_path or osp.exists(text) or osp.isfile(find_config(text)))


def find_model(name: str) -> ZooModel:
    """Find published weights by their short name.

    Args:
        name (str): Name such as ``'higherhrnet-w32'``.

    Returns:
        ZooModel: Entry of the model zoo.

    Raises:
        ValueError: If there is no such model. The message suggests one.
    """
    models = list_models()
    if name in models:
        return models[name]
    kind = describe_other_file(name)
    if kind:
        raise ValueError(
            f'{name} is {kind}, expected a model before it: the path of a '
            'config, or a name that `swahr fetch` lists, such as '
            'higherhrnet-w32'
        )
    close = difflib.get_close_matches(name.lower(), list(models), 1, 0.5)
    hint = f' (did you mean {close[0]!r}?)' if close else ''
    raise ValueError(
        f'no model or config {name!r}{hint}; expected the path of a config, '
        'or a name that `swahr fetch` lists'
    )


def get_cached_path(model: ZooModel) -> str:
    """Get the path of the converted checkpoint, which need not exist.

    Args:
        model (ZooModel): Entry of the model zoo.

    Returns:
        str: Path in the folder ``swahr_mmpose`` of torch hub (``TORCH_HOME``).
    """
    stem = osp.splitext(model.file_name)[0]
    folder = osp.join(_get_hub_dir(), 'swahr_mmpose')
    return osp.join(folder, f'{model.name}_{stem}.pth')


def _get_hub_dir() -> str:
    """Get the folder of torch hub; without torch, where it will be."""
    torch = sys.modules.get('torch')
    if torch is not None:
        return torch.hub.get_dir()
    cache = os.environ.get('XDG_CACHE_HOME', '~/.cache')
    home = os.environ.get('TORCH_HOME', osp.join(cache, 'torch'))
    return osp.join(osp.expanduser(home), 'hub')
