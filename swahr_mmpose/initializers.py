# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A pretrained backbone that says what it took."""

from __future__ import annotations

import os
import os.path as osp
import re
from typing import Any, Dict, List, Mapping

import torch
from mmengine.dist import barrier
from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from .checkpoint_files import read_checkpoint
from .checkpoints import backbone_weights, unwrap

__all__ = ['PretrainedBackbone']


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone:
    """Start a backbone from a checkpoint: all of it, or an error.

    MMEngine's ``Pretrained`` takes whatever fits and leaves the rest random;
    a file of another model or a wrong prefix then costs a training run.  The
    file may be of ImageNet or of a pose model (COCO, for CrowdPose), in any
    layout of :mod:`swahr_mmpose.checkpoints`.  It is read with
    ``weights_only=True``.

    Args:
        checkpoint (str): File, or URL; a URL's file is kept in torch's cache,
            and checked where its name ends in the start of its SHA-256.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into the backbone, and log what was taken."""
        content = read_checkpoint(_to_file(self.checkpoint))
        given, left = backbone_weights(unwrap(content)[0])
        expected = module.state_dict()
        _check(given, expected, self.checkpoint)
        taken = {k: given[k] for k in expected if k in given}
        module.load_state_dict({**expected, **taken})
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
        left += [k for k in given if k not in expected]
        print_log(
            f'backbone: {len(taken)} of {len(expected)} entries taken from '
            f'{self.checkpoint}; not used from there: {_summary(left)}',
            'current',
        )

    def _get_init_info(self) -> str:
        return f'{type(self).__name__}: load from {self.checkpoint}'


def _check(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str
) -> None:
    problems = []
    for key, tensor in expected.items():
        if key not in given:
            # Files of old torch versions do not count batches.
            if not key.endswith('num_batches_tracked'):
                problems.append(f'{key} is missing')
        elif given[key].shape != tensor.shape:
            problems.append(
                f'{key} has shape {tuple(given[key].shape)}, the backbone '
                f'{tuple(tensor.shape)}'
            )
    if problems:
        shown = '\n  '.join(problems[:5])
        raise ValueError(
            f'{name} does not fit the backbone: {len(problems)} of '
            f'{len(expected)} entries\n  {shown}\nTake the file of the same '
            'HRNet, W32 or W48, or set model.backbone.init_cfg to None.'
        )


def _summary(keys: List[str]) -> str:
    """Keys by their first name, with counts."""
    counts: Dict[str, int] = {}
    for key in keys:
        top = key.split('.')[0]
        counts[top] = counts.get(top, 0) + 1
    return ', '.join(f'{k} ({n})' for k, n in counts.items()) or 'nothing'


def _to_file(checkpoint: str) -> str:
    """The file itself, or where its download is kept."""
    if '://' not in checkpoint:
        return checkpoint
    name = checkpoint.rsplit('/', 1)[-1]
    path = osp.join(torch.hub.get_dir(), 'checkpoints', name)
    hashed = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
    local_rank: Any = os.environ.get('LOCAL_RANK', 0)
    if int(local_rank) == 0 and not osp.isfile(path):
        os.makedirs(osp.dirname(path), exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                checkpoint, path, hash_prefix=hashed and hashed.group(1)
            )
        except (OSError, RuntimeError) as error:
            raise RuntimeError(
                f'cannot fetch {checkpoint} ({error}); fetch it by other '
                f'means and put it at {path}, or name another file in '
                'model.backbone.init_cfg.checkpoint'
            ) from error
    barrier()
    return path
