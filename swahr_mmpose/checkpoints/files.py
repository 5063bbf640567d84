# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Conversion of checkpoint files, checked against the model of a config."""

from __future__ import annotations

import os.path as osp
import time
from typing import TYPE_CHECKING, Any, Dict, Optional

import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

import swahr_mmpose

from .compare import refuse_other_weights
from .convert import Converted, convert
from .io import file_sha256, read_checkpoint, write_checkpoint

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ['convert_file', 'refuse_other_config']


def convert_file(
    source: str,
    target: str,
    to: str = 'mmpose',
    cfg: Optional[Config] = None,
    overwrite: bool = False,
    scale_maps: bool = True,
) -> Converted:
    """Read, convert, check and write a checkpoint.

    Args:
        source (str): Checkpoint file in any layout of :mod:`.layouts`.
        target (str): Checkpoint file to write.
        to (str): Target layout, see :func:`.convert`. Defaults to
            ``'mmpose'``.
        cfg (Config, optional): Config whose model the weights must fit.
        overwrite (bool): Whether to replace an existing file. Defaults to
            False.
        scale_maps (bool): Whether to keep the scale branch. Defaults to True.

    Returns:
        Converted: Weights in the target layout.

    Raises:
        FileExistsError: If the target exists and ``overwrite`` is False.
        ValueError: If the file is not such a checkpoint, or does not fit.
    """
    converted = convert(read_checkpoint(source), to, scale_maps)
    if cfg is not None:
        ours = convert(converted.state_dict)
        refuse_other_config(cfg, ours, source)
    result: Dict[str, Any] = converted.state_dict
    if to != 'official':  # official code loads a plain state dict
        meta = _make_meta(source, converted)
        result = dict(meta=meta, state_dict=converted.state_dict)
    write_checkpoint(result, target, overwrite)
    return converted


def refuse_other_config(cfg: Config, converted: Converted, name: str) -> None:
    """Raise unless weights fit the model of a config, built without memory.

    Args:
        cfg (Config): Complete config.
        converted (Converted): Weights in the layout of this package.
        name (str): Checkpoint file, for messages.

    Raises:
        ValueError: If the weights do not fit.
    """
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    refuse_other_weights(
        model,
        converted.state_dict,
        name,
        remedy='Give checkpoint and config of the same model.',
    )
    if (model.head.scale_layers is not None) != converted.model.scale_maps:
        has = 'has a' if converted.model.scale_maps else 'has no'
        print(f'note: {name} {has} scale branch, unlike {cfg.filename}')


def _make_meta(source: str, converted: Converted) -> Dict[str, Any]:
    """Make the checkpoint's ``meta``: version, time and origin."""
    return dict(
        swahr_mmpose_version=swahr_mmpose.__version__,
        time=time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime()),
        source=dict(
            file=osp.basename(source),
            sha256=file_sha256(source),
            layout=converted.layout,
            taken_off=converted.wrapper + converted.prefixes,
            from_half=converted.from_half,
        ),
    )
