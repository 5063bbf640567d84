# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What a model makes of one sample: arrays, for pictures.

N people, K keypoints; maps are lists over the levels, coarse to fine.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from swahr_mmpose.models.losses.functional import scale_adapted_target

__all__ = ['Inspection', 'inspect_sample', 'inspect_targets', 'links_of']

Maps = List[np.ndarray]


class Inspection(NamedTuple):
    """A sample of the training pipeline, and what a model predicts of it.

    ``image`` is RGB uint8 (H, W, 3), the network's input; ``keypoints``
    (N, K, 2) in its pixels and ``visible`` (N, K); ``targets`` (K, h, w) and
    ``masks`` (h, w), True where the loss counts, as the data set gives them.
    The rest is None where there is no model, or no scale branch:
    ``predicted`` heatmaps (K, h, w), ``scale_maps`` holding
    ``alpha = 1 / s - 1``, and ``adapted`` targets, those that the
    loss compares with.
    """

    image: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    targets: Maps
    masks: Maps
    predicted: Optional[Maps] = None
    scale_maps: Optional[Maps] = None
    adapted: Optional[Maps] = None


def inspect_targets(sample: dict) -> Inspection:
    """A sample without a model.

    Args:
        sample (dict): ``inputs`` (3, H, W), BGR, and ``data_samples`` of a
            training pipeline.
    """
    image, data = sample['inputs'], sample['data_samples']
    people, fields = data.gt_instances, data.gt_fields
    targets = [m.numpy() for m in fields.heatmaps]
    if isinstance(getattr(fields, 'heatmap_mask', None), list):
        masks = [m.numpy().astype(bool) for m in fields.heatmap_mask]
    else:
        masks = [np.ones(m.shape[1:], bool) for m in targets]
    keypoints, visible = (
        np.asarray(people.get(key, np.zeros(shape)))
        for key, shape in (
            ('keypoints', (0, len(targets[0]), 2)),
            ('keypoints_visible', (0, len(targets[0]))),
        )
    )
    rgb = np.ascontiguousarray(image.numpy().transpose(1, 2, 0)[..., ::-1])
    return Inspection(rgb, keypoints, visible, targets, masks)


@torch.no_grad()
def inspect_sample(model: Any, sample: dict) -> Inspection:
    """A sample and what a model predicts of it.

    Modes (training or evaluation) are as before afterwards, those of frozen
    parts as well, and no random number is drawn.

    Args:
        model (nn.Module): An estimator with a ``HigherHRNetHead``.
        sample (dict): See :func:`inspect_targets`.
    """
    found = inspect_targets(sample)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        batch = model.data_preprocessor(pseudo_collate([sample]), False)
        feats = model.extract_feat(batch['inputs'])
        output = model.head(feats, with_scale_maps=True)
    finally:
        for module, training in modes:
            module.training = training
    found = found._replace(predicted=_arrays(output.heatmaps))
    if output.scale_maps is None:
        return found
    expansion = getattr(model.head.keypoint_loss, 'expansion', 'taylor')
    adapted = [
        scale_adapted_target(
            torch.from_numpy(target), alpha[0].float().cpu(), expansion
        ).numpy()
        for target, alpha in zip(found.targets, output.scale_maps)
    ]
    return found._replace(
        scale_maps=_arrays(output.scale_maps), adapted=adapted
    )


def _arrays(maps: Sequence[Tensor]) -> Maps:
    return [level[0].float().cpu().numpy() for level in maps]


def links_of(metainfo: Any) -> List[Any]:
    """Pairs of keypoints to draw lines between, of a data set's metainfo."""
    return [tuple(link) for link in metainfo.get('skeleton_links', ())]
