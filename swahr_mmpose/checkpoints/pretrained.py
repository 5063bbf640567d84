# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A pretrained backbone that says what it took."""

from __future__ import annotations

from typing import Dict, List, Mapping

from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from .download import local_file
from .io import read_checkpoint
from .layouts import backbone_weights, unwrap

__all__ = ['PretrainedBackbone']


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone:
    """Start a backbone from a checkpoint: all of it, or an error.

    MMEngine's ``Pretrained`` takes whatever fits and leaves the rest random;
    a file of another model or a wrong prefix then costs a training run.  The
    file may be of ImageNet or of a pose model (COCO, for CrowdPose), in any
    layout of :mod:`swahr_mmpose.checkpoints.layouts`; reading it runs nothing.

    Args:
        checkpoint (str): File, or URL; a URL's file is kept in torch's cache,
            and checked where its name ends in the start of its SHA-256.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into the backbone, and log what was taken."""
        content = read_checkpoint(local_file(self.checkpoint))
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
