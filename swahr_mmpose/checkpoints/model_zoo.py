# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Published weights under short names.

``External Weights`` of the metafiles list them. A file is downloaded once,
compared with the hash in its name, converted to the names of this package,
checked against the model of its config, and kept in a cache folder.
"""

from __future__ import annotations

import difflib
import os
import os.path as osp
import re
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)
from urllib.parse import urlparse

import torch
import yaml

from swahr_mmpose.utils.config import find_config, read_config
from swahr_mmpose.utils.input_size import set_input_size
from swahr_mmpose.utils.resources import find_resource

from .download import DownloadError, local_file
from .files import convert_file
from .google_drive import download_from_folder, is_folder
from .io import file_sha256

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = [
    'ZooModel',
    'compare_with_published',
    'fetch',
    'find_model',
    'get_cached_path',
    'is_model_name',
    'list_models',
    'read_zoo_config',
    'resolve_model',
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
    close = difflib.get_close_matches(name.lower(), list(models), 1, 0.5)
    hint = f', did you mean {close[0]!r}?' if close else ''
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
    folder = osp.join(torch.hub.get_dir(), 'swahr_mmpose')
    return osp.join(folder, f'{model.name}_{stem}.pth')


def read_zoo_config(model: ZooModel) -> Config:
    """Read the config of a model, with its input size and test settings.

    Args:
        model (ZooModel): Entry of the model zoo.

    Returns:
        Config: Complete config.
    """
    cfg = read_config(model.config)
    set_input_size(cfg, (model.input_size, model.input_size))
    cfg.merge_from_dict(model.options)
    return cfg


def resolve_model(
    config: str, checkpoint: Optional[str] = None
) -> Tuple[Config, str]:
    """Read the config of a model and find its checkpoint.

    Args:
        config (str): Config file, or short name of the model zoo.
        checkpoint (str, optional): Checkpoint. Defaults to None, that of the
            short name, which is fetched if it is not in the cache.

    Returns:
        tuple[Config, str]: Config, and path or URL of the checkpoint.

    Raises:
        DownloadError: If the weights cannot be fetched.
        FileNotFoundError: If the config does not exist.
        ValueError: If the short name is unknown, or a config file has no
            checkpoint.
    """
    if is_model_name(config):
        model = find_model(config)
        return read_zoo_config(model), checkpoint or fetch(model)
    cfg = read_config(config)
    if checkpoint is None:
        raise ValueError(
            f'no checkpoint for {config}; give its path after the config, or '
            'instead of both a name that `swahr fetch` lists'
        )
    return cfg, checkpoint


def fetch(model: ZooModel, file: Optional[str] = None) -> str:
    """Download, verify, convert and check published weights.

    Args:
        model (ZooModel): Entry of the model zoo.
        file (str, optional): Published file that was downloaded manually; a
            cached result is replaced. Defaults to None, which downloads the
            file unless the result is in the cache.

    Returns:
        str: Converted checkpoint in the cache.

    Raises:
        DownloadError: If the file cannot be downloaded.
        ValueError: If it is not the published file, is no checkpoint, or does
            not fit the model.
    """
    path = get_cached_path(model)
    if file is None and osp.isfile(path):
        return path
    if file is None:
        _refuse_parallel_fetch(model)
    source = file or _download(model)
    _verify_hash(source, model)
    convert_file(source, path, cfg=read_zoo_config(model), overwrite=True)
    return path


def compare_with_published(
    model: ZooModel, metrics: Mapping[str, Any]
) -> Optional[str]:
    """Compare the AP of a test with the published one.

    Args:
        model (ZooModel): Tested model.
        metrics (Mapping[str, Any]): Metrics of the complete dataset, such as
            ``coco/AP``, from 0 to 1.

    Returns:
        str | None: Sentence; None without a defined AP.
    """
    values = [v for k, v in metrics.items() if k.rpartition('/')[2] == 'AP']
    if not values or not isinstance(values[0], float) or values[0] < 0:
        return None
    got, expected = 100 * values[0], model.metrics['AP']
    text = f'AP {got:.1f} here, {expected:.1f} published by {model.source}'
    if abs(got - expected) <= model.tolerance:
        return f'{text}: they agree within {model.tolerance}'
    return (
        f'{text}: more than {model.tolerance} apart; compare dataset '
        f'({model.dataset}), flip test and input size ({model.input_size})'
    )


def _refuse_parallel_fetch(model: ZooModel) -> None:
    """Raise if several processes would fetch the same file."""
    if int(os.environ.get('WORLD_SIZE') or 1) > 1:
        raise ValueError(
            f'{model.name} is not in the cache; run `swahr fetch '
            f'{model.name}` before the processes are started'
        )


def _download(model: ZooModel) -> str:
    """Download the published file.

    Raises:
        DownloadError: If that fails. The message says what to do.
    """
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    try:
        if is_folder(model.weights):
            target = osp.join(folder, f'{model.name}_{model.file_name}')
            return download_from_folder(model.weights, model.file, target)
        return local_file(model.weights)
    except DownloadError as error:
        reason = str(error.__cause__ or error)
        place = f'{model.file} of ' if model.file else ''
        raise DownloadError(
            f'{model.name} cannot be fetched ({reason}); download {place}'
            f'{model.weights} manually, then run `swahr fetch {model.name} '
            '--file PATH`'
        ) from error


def _verify_hash(path: str, model: ZooModel) -> None:
    """Compare the SHA-256 of a file with the digits in its published name.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If they differ.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'{path} does not exist; give another --file')
    hashed = re.search(r'-([0-9a-f]{8,64})(_\d{8})?\.\w+$', model.file_name)
    digest = file_sha256(path) if hashed else ''
    if hashed and not digest.startswith(hashed[1]):
        raise ValueError(
            f'{path} is not {model.file_name}: its SHA-256 begins with '
            f'{digest[:8]}, expected {hashed[1]}; remove it and download it '
            'again'
        )
