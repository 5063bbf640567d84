# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Targets, predictions and scale maps of one training sample.

N people, K keypoints; maps are lists over the levels, coarse to fine.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from swahr_mmpose.models.losses.functional import scale_adapted_target
from swahr_mmpose.utils.annotations import count_labelled

__all__ = ['Inspection', 'inspect_sample', 'inspect_targets', 'links_of']

Maps = List[np.ndarray]


class Inspection(NamedTuple):
    """A training sample and the predictions of a model for it.

    Attributes:
        image: Network input, RGB uint8, shape (H, W, 3).
        keypoints: Ground-truth keypoints in input pixels, shape (N, K, 2), of
            all instances but crowds without labelled keypoints.
        visible: Visibility of the keypoints, shape (N, K).
        targets: Target heatmaps of the training pipeline, (K, h, w) per
            level.
        masks: Loss masks, True where the loss is computed, (h, w) per level.
        predicted: Predicted heatmaps, (K, h, w) per level; None without a
            model.
        scale_maps: ``alpha = 1/s - 1``, (K, h, w) per level; None without a
            scale branch.
        adapted: Scale-adapted targets of the heatmap loss (SAHR), (K, h, w)
            per level; None without a scale branch.
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
    """Collect image, targets and masks of a training sample.

    Args:
        sample (dict): Output of a training pipeline: ``inputs``, BGR, shape
            (3, H, W), and ``data_samples``.

    Returns:
        Inspection: Sample without predictions.
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
    encoded = _find_encoded(data.metainfo.get('raw_ann_info'), len(keypoints))
    keypoints, visible = keypoints[encoded], visible[encoded]
    rgb = np.ascontiguousarray(image.numpy().transpose(1, 2, 0)[..., ::-1])
    return Inspection(rgb, keypoints, visible, targets, masks)


def _find_encoded(annotations: Any, count: int) -> np.ndarray:
    """Find the instances that have targets: all but unlabelled crowds.

    Args:
        annotations (Sequence[dict], optional): Annotations of the instances.
        count (int): Number of instances, N.

    Returns:
        np.ndarray: bool (N,); True for all without one annotation each.
    """
    if not isinstance(annotations, (list, tuple)) or (
        len(annotations) != count
    ):
        return np.ones(count, bool)
    return np.array(
        [not a.get('iscrowd') or count_labelled(a) > 0 for a in annotations],
        bool,
    )


@torch.no_grad()
def inspect_sample(model: Any, sample: dict) -> Inspection:
    """Collect a training sample and the predictions of a model for it.

    The model is run in evaluation mode. The mode of each module is restored
    afterwards, and the random state is not changed.

    Args:
        model (nn.Module): Pose estimator with a ``HigherHRNetHead``.
        sample (dict): Sample, see :func:`inspect_targets`.

    Returns:
        Inspection: Sample with predictions and, for a model with a scale
        branch, scale maps and adapted targets.
    """
    inspection = inspect_targets(sample)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        batch = model.data_preprocessor(pseudo_collate([sample]), False)
        feats = model.extract_feat(batch['inputs'])
        output = model.head(feats, with_scale_maps=True)
    finally:
        for module, training in modes:
            module.training = training
    inspection = inspection._replace(predicted=_to_arrays(output.heatmaps))
    if output.scale_maps is None:
        return inspection
    expansion = getattr(model.head.keypoint_loss, 'expansion', 'taylor')
    adapted = [
        scale_adapted_target(
            torch.from_numpy(target), alpha[0].float().cpu(), expansion
        ).numpy()
        for target, alpha in zip(inspection.targets, output.scale_maps)
    ]
    return inspection._replace(
        scale_maps=_to_arrays(output.scale_maps), adapted=adapted
    )


def _to_arrays(maps: Sequence[Tensor]) -> Maps:
    """Convert maps (1, K, h, w) to arrays (K, h, w)."""
    return [level[0].float().cpu().numpy() for level in maps]


def links_of(metainfo: Any) -> List[Any]:
    """Convert the skeleton of a dataset's metainfo to pairs.

    Args:
        metainfo (Mapping): Dataset metainfo.

    Returns:
        list[tuple]: Pairs of keypoint indices.
    """
    return [tuple(link) for link in metainfo.get('skeleton_links', ())]
