# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Building of models and datasets from a config and a checkpoint."""

from __future__ import annotations

import os.path as osp
from copy import copy
from typing import Any, Mapping, Optional, Union

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.models.pose_estimators import PoseLifter, TopdownPoseEstimator
from mmpose.registry import DATASETS, MODELS
from torch import nn

from swahr_mmpose.checkpoints.averaged import report_averaged_weights
from swahr_mmpose.checkpoints.compare import refuse_other_weights
from swahr_mmpose.checkpoints.download import local_file
from swahr_mmpose.checkpoints.io import read_checkpoint
from swahr_mmpose.checkpoints.scale_branch import (
    match_scale_branch,
    require_scale_branch,
)
from swahr_mmpose.datasets.checks.dataset_files import require_annotation_file
from swahr_mmpose.datasets.checks.image_files import refuse_paths_outside
from swahr_mmpose.datasets.checks.nested import iter_leaves
from swahr_mmpose.utils.config import name_types
from swahr_mmpose.utils.device import require_device
from swahr_mmpose.utils.quiet import hide_coco_messages
from swahr_mmpose.utils.registry_errors import build_errors

__all__ = [
    'ignores_orientation',
    'keypoint_index',
    'load_dataset',
    'load_model',
]


def load_model(
    cfg: Config,
    checkpoint: str,
    device: Union[str, torch.device] = 'cpu',
    output_scales: Optional[bool] = None,
) -> nn.Module:
    """Build the model of a config and load a checkpoint, for inference.

    Dataset files are not read. Without scale branch in the checkpoint the
    model has none either (``head.scale_layers`` is None): that of the config
    is not trained.

    Args:
        cfg (Config): Complete config.
        checkpoint (str): Path or URL of a checkpoint with the weights of the
            model.
        device (str | torch.device): Device of the model. Defaults to
            ``'cpu'``.
        output_scales (bool, optional): Value of ``test_cfg.output_scales``;
            True requires a scale branch. Defaults to None, that of the
            config.

    Returns:
        nn.Module: Pose estimator in evaluation mode. Its ``dataset_meta`` is
        that of the checkpoint or, if it has none, of the config's dataset.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If weights are missing, unexpected or of another shape,
            if the file holds more than weights, if the config has an unknown
            type or argument or a top-down model, if the device cannot be
            used, or if a scale branch is required and there is none.
    """
    require_device(device)
    cfg = name_types(cfg)
    init_default_scope(cfg.default_scope)
    settings = cfg.model.copy()
    settings.backbone.init_cfg = None
    with build_errors():
        model = MODELS.build(settings)
    _refuse_top_down(model, cfg.filename)
    if output_scales is not None:
        model.test_cfg = copy(model.test_cfg)  # that of the config
        model.test_cfg['output_scales'] = output_scales
    content = read_checkpoint(local_file(checkpoint))
    # Before MMEngine lists every difference.
    refuse_other_weights(model, content, checkpoint)
    if model.test_cfg.get('output_scales'):
        require_scale_branch(model, content, cfg.filename, checkpoint)
    match_scale_branch(model, content)
    _load_checkpoint_to_model(model, content)
    report_averaged_weights(content, checkpoint)
    meta = (content.get('meta') or {}).get('dataset_meta')
    model.dataset_meta = meta or dataset_meta_from_config(cfg, 'test')
    model.to(device)
    model.eval()
    return model


def _refuse_top_down(model: nn.Module, name: Optional[str]) -> None:
    """Raise ValueError for a model that needs boxes or poses of people."""
    if isinstance(model, (TopdownPoseEstimator, PoseLifter)):
        raise ValueError(
            f'config {name or ""}: {type(model).__name__} is not a bottom-up '
            'model, and needs the box or pose of each person; use a config '
            "of this package, or MMPose's own inferencer (MMPoseInferencer)"
        )


def load_dataset(
    cfg: Config, split: str = 'test', training: bool = False
) -> Any:
    """Build the dataset of a split with the test or the training pipeline.

    Args:
        cfg (Config): Complete config.
        split (str): ``'train'``, ``'val'`` or ``'test'``. Defaults to
            ``'test'``.
        training (bool): Whether to use the training pipeline, which augments
            images and encodes targets. Defaults to False.

    Returns:
        BaseDataset: Dataset; its samples are the inputs of the model.

    Raises:
        FileNotFoundError: If an annotation file does not exist.
        ValueError: If an image path leads outside of the image folder, or the
            config has an unknown type or argument.
    """
    cfg = name_types(cfg)
    init_default_scope(cfg.default_scope)
    settings = cfg[f'{split}_dataloader'].dataset.copy()
    loader = cfg.train_dataloader if training else cfg.test_dataloader
    settings.pipeline = loader.dataset.pipeline
    settings.test_mode = not training
    _require_annotation_files(settings, f'{split}_dataloader.dataset')
    with build_errors(), hide_coco_messages():
        dataset = DATASETS.build(settings)
        dataset.full_init()  # lazy_init=True would print later
    refuse_paths_outside(dataset)
    return dataset


def _require_annotation_files(dataset: Any, key: str) -> None:
    """Raise if a local annotation file of a dataset does not exist."""
    for leaf in iter_leaves(dataset, key):
        name = leaf.dataset.get('ann_file')
        if not name or not isinstance(name, str) or '://' in leaf.ann_file:
            continue
        if not osp.exists(leaf.ann_file):  # a folder for other classes
            require_annotation_file(leaf.ann_file)


def ignores_orientation(cfg: Config) -> bool:
    """Return whether the test pipeline ignores the EXIF orientation.

    Args:
        cfg (Config): Complete config with names as ``type``.

    Returns:
        bool: True if its loader keeps pixels as they are stored, in any of
        several datasets.
    """
    leaves = iter_leaves(
        cfg.test_dataloader.dataset, 'test_dataloader.dataset'
    )
    return any(leaf.ignore_orientation for leaf in leaves)


def keypoint_index(
    metainfo: Mapping[str, Any], name: Optional[str]
) -> Optional[int]:
    """Look up the index of a keypoint.

    Args:
        metainfo (Mapping): Dataset metainfo.
        name (str, optional): Keypoint name.

    Returns:
        int | None: Index of the keypoint; None for no name.

    Raises:
        ValueError: If the dataset has no keypoint of that name.
    """
    names = metainfo['keypoint_name2id']
    if name is not None and name not in names:
        raise ValueError(
            f'no keypoint {name!r}; expected one of {", ".join(names)}'
        )
    return None if name is None else names[name]
