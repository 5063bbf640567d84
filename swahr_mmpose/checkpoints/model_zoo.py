# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Published weights under short names.

``External Weights`` of the metafiles list them. A file is downloaded once,
compared with the hash in its name, converted to the names of this package,
checked against the model of its config, and kept in a cache folder.
"""

from __future__ import annotations

import os.path as osp
import re
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple

import torch

from swahr_mmpose.utils.config import read_config
from swahr_mmpose.utils.input_size import set_input_size
from swahr_mmpose.utils.launchers import count_processes
from swahr_mmpose.utils.model_index import (
    ZooModel,
    find_model,
    get_cached_path,
    is_model_name,
    list_models,
)

from .download import DownloadError, describe_failure, local_file
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
    'resolve_config',
    'resolve_model',
]


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


def resolve_config(config: str) -> Config:
    """Read a config file, or the config of a model of the zoo.

    Args:
        config (str): Config file, or short name of the model zoo.

    Returns:
        Config: Complete config.

    Raises:
        FileNotFoundError: If the config does not exist.
        ValueError: If the short name is unknown.
    """
    if is_model_name(config):
        return read_zoo_config(find_model(config))
    return read_config(config)


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
    cfg = resolve_config(config)
    if is_model_name(config):
        return cfg, checkpoint or fetch(find_model(config))
    if checkpoint is None:
        raise ValueError(
            f'no checkpoint for {config}; give its path after the config, or '
            'instead of both a name that `swahr fetch` lists'
        )
    return cfg, checkpoint


def fetch(
    model: ZooModel, file: Optional[str] = None, in_parallel: bool = False
) -> str:
    """Download, verify, convert and check published weights.

    Args:
        model (ZooModel): Entry of the model zoo.
        file (str, optional): Published file that was downloaded manually; a
            cached result is replaced. Defaults to None, which downloads the
            file unless the result is in the cache.
        in_parallel (bool): Whether to download also in one of several
            processes of a launcher. Defaults to False.

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
    if file is None and not in_parallel:
        _refuse_parallel_fetch(model)
    source = file or _download(model)
    _verify_hash(source, model, downloaded=file is None)
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
    if count_processes() > 1:
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
        cause = error.__cause__
        reason = describe_failure(cause, model.weights) if cause else error
        place = f'{model.file} of ' if model.file else ''
        raise DownloadError(
            f'{model.name} cannot be fetched: {reason}; download {place}'
            f'{model.weights} on any machine, copy the file to this one and '
            f'run `swahr fetch {model.name} --file PATH`'
        ) from error


def _verify_hash(path: str, model: ZooModel, downloaded: bool) -> None:
    """Compare the SHA-256 of a file with the digits in its published name.

    Args:
        path (str): File.
        model (ZooModel): Entry of the model zoo.
        downloaded (bool): Whether this package downloaded the file, which may
            then be removed.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If they differ.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(f'{path} does not exist; give another --file')
    hashed = re.search(r'-([0-9a-f]{8,64})(_\d{8})?\.\w+$', model.file_name)
    digest = file_sha256(path) if hashed else ''
    if hashed and not digest.startswith(hashed[1]):
        remedy = (
            'remove it and download it again'
            if downloaded
            else 'give the downloaded file as --file'
        )
        raise ValueError(
            f'{path} is not {model.file_name}: its SHA-256 begins with '
            f'{digest[:8]}, expected {hashed[1]}; {remedy}'
        )
