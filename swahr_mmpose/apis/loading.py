# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""From a config and a checkpoint to a model and a data set, for the tools."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Union

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import DATASETS, MODELS
from torch import nn

from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.download import local_file
from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.datasets.checks.image_files import refuse_paths_outside

__all__ = ['keypoint_index', 'load_dataset', 'load_model']


def load_model(
    cfg: Config, checkpoint: str, device: Union[str, torch.device] = 'cpu'
) -> nn.Module:
    """The model of a config with the weights of a checkpoint, to test it.

    Args:
        cfg (Config): The whole config.
        checkpoint (str): File whose weights must be those of the model.
        device (str): Where the model shall be.

    Returns:
        nn.Module: The estimator in evaluation mode.  Its ``dataset_meta`` is
        that of the checkpoint, or else of the config's data set; neither
        asks for files of the data set.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If weights are missing, left over or of another shape, or
            if the file holds more than weights.
    """
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    settings = cfg.model.copy()
    settings.backbone.init_cfg = None
    model = MODELS.build(settings)
    content = read_checkpoint(local_file(checkpoint))
    _load_checkpoint_to_model(model, content)
    refuse_other_weights(model, content, checkpoint)
    meta = (content.get('meta') or {}).get('dataset_meta')
    model.dataset_meta = meta or dataset_meta_from_config(cfg, 'test')
    model.to(device)
    model.eval()
    return model


def load_dataset(
    cfg: Config, split: str = 'test', training: bool = False
) -> Any:
    """A split's images in the pipeline of the test, or of the training.

    Args:
        cfg (Config): The whole config.
        split (str): ``train``, ``val`` or ``test``.
        training (bool): Whether to augment the images and encode targets.

    Returns:
        BaseDataset: Its samples hold what the model predicts from, or learns
        from.
    """
    init_default_scope(cfg.get('default_scope', 'mmpose'))
    dataset = cfg[f'{split}_dataloader'].dataset.copy()
    loader = cfg.train_dataloader if training else cfg.test_dataloader
    dataset.pipeline = loader.dataset.pipeline
    dataset.test_mode = not training
    built = DATASETS.build(dataset)
    refuse_paths_outside(built)
    return built


def keypoint_index(
    metainfo: Mapping[str, Any], name: Optional[str]
) -> Optional[int]:
    """The number of a keypoint; None for None.

    Args:
        metainfo (Mapping): Of a data set.
        name (str, optional): Of the keypoint.

    Raises:
        ValueError: If the data set has none of that name.
    """
    names = metainfo['keypoint_name2id']
    if name is not None and name not in names:
        raise ValueError(
            f'no keypoint {name!r}; expected one of {", ".join(names)}'
        )
    return None if name is None else names[name]
