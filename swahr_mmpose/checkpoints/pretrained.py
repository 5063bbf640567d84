# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Weight initializer for backbones that refuses partial matches."""

from __future__ import annotations

from collections import Counter
from typing import Any, List, Mapping

from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import Tensor, nn

from .compare import refuse_non_finite
from .download import local_file
from .io import read_checkpoint
from .layouts import select_backbone_weights, unwrap

__all__ = ['PretrainedBackbone']


@WEIGHT_INITIALIZERS.register_module()
class PretrainedBackbone:
    """Initialize a complete backbone from a checkpoint, or raise.

    MMEngine's ``Pretrained`` loads what fits and leaves the rest random. A
    checkpoint of another model or a wrong prefix then spoils a training run.

    The backbone may be of any type. The checkpoint may be of ImageNet or of a
    pose model (e.g. COCO weights for CrowdPose), in any layout of
    :mod:`swahr_mmpose.checkpoints.layouts`. It is read without running code.

    Exception: MMPose's ``SwinTransformer`` with ``use_abs_pos_embed`` resets
    its ``absolute_pos_embed`` afterwards; use ``Pretrained`` for it.

    Args:
        checkpoint (str): File or URL. A URL is downloaded to the cache of
            torch hub, and verified if its name contains its SHA-256 prefix.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights and log which entries were used.

        Args:
            module (nn.Module): The backbone.

        Raises:
            FileNotFoundError: If the file does not exist.
            RuntimeError: If the download fails or its hash differs.
            ValueError: If the file is not a checkpoint, or an entry of the
                backbone is missing, has another shape or is NaN or infinite.
                BatchNorm's ``num_batches_tracked`` may be missing.
        """
        content = read_checkpoint(local_file(self.checkpoint))
        expected = module.state_dict()
        given, unused = select_backbone_weights(unwrap(content)[0], expected)
        _check_weights(given, expected, self.checkpoint)
        refuse_non_finite(given, self.checkpoint)
        module.load_state_dict({**expected, **given})
        self._protect(module)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
        print_log(
            f'backbone: {len(given)} of {len(expected)} entries loaded from '
            f'{self.checkpoint}; not used: {_summarize_keys(unused)}',
            'current',
        )

    def _protect(self, module: Any) -> None:
        """Keep ``init_weights`` from resetting the loaded parameters.

        MMEngine initializes children next, unless they are marked as
        initialized. MMPose's backbones reset some parameters (e.g.
        ``zero_init_residual``), unless ``init_cfg`` is ``Pretrained``.
        """
        for child in module.modules():
            if child is not module and hasattr(child, 'init_weights'):
                child.is_init = True
        module.init_cfg = dict(type='Pretrained', checkpoint=self.checkpoint)

    def _get_init_info(self) -> str:
        """Describe the source of the weights for MMEngine's log."""
        return f'{type(self).__name__}: load from {self.checkpoint}'


def _check_weights(
    given: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str
) -> None:
    """Raise ValueError if entries are missing or have another shape."""
    problems = []
    for key, tensor in expected.items():
        if key not in given:
            # Checkpoints of old torch versions have no batch counters.
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
            f'{len(expected)} entries\n  {shown}\nUse a checkpoint of the '
            'same backbone (type and size), or set model.backbone.init_cfg '
            'to None.'
        )


def _summarize_keys(keys: List[str]) -> str:
    """Count keys by their first name."""
    counts = Counter(key.split('.')[0] for key in keys)
    return ', '.join(f'{k} ({n})' for k, n in counts.items()) or 'none'
