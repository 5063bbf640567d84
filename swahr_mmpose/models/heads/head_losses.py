# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Losses of the output of a head, from the targets of its samples.

B images, K keypoints.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

from torch import Tensor, nn

from swahr_mmpose.models.losses import SWAHRLoss
from swahr_mmpose.structures import (
    HeadOutput,
    mask_keypoints,
    stack_annotated,
    stack_heatmaps,
    stack_levels,
    stack_masks,
)

__all__ = ['compute_losses']


def compute_losses(
    output: HeadOutput,
    samples: Sequence[Any],
    keypoint_loss: nn.Module,
    tag_loss: nn.Module,
) -> Dict[str, Tensor]:
    """Compute the losses of a batch.

    Args:
        output (HeadOutput): Output of the head; with scale maps if it has
            such a branch.
        samples (Sequence[PoseDataSample]): B samples, see
            :meth:`.HigherHRNetHead.loss`. Labels may be on the host.
        keypoint_loss (nn.Module): Heatmap loss. Without a true attribute
            ``accepts_sparse_targets`` it gets dense targets. All levels are
            computed together by ``forward`` of :class:`.SWAHRLoss`, one by
            one by any other.
        tag_loss (nn.Module): Tag loss. Without a true attribute
            ``accepts_host_indices`` it gets indices on the device.

    Returns:
        dict[str, Tensor]: Scalars ``loss_kpt.{level}``, ``loss_scale.{level}``
        (with scale maps only), ``loss_pull`` and ``loss_push``.
    """
    losses = {}
    for level, (regression, regularizer) in enumerate(
        _compute_level_losses(output, samples, keypoint_loss)
    ):
        losses[f'loss_kpt.{level}'] = regression
        if output.scale_maps:
            losses[f'loss_scale.{level}'] = regularizer
    indices = [s.gt_instance_labels.keypoint_indices for s in samples]
    if not getattr(tag_loss, 'accepts_host_indices', False):
        device = output.tags.device
        indices = [i.to(device, non_blocking=True) for i in indices]
    losses['loss_pull'], losses['loss_push'] = tag_loss(output.tags, indices)
    return losses


def _compute_level_losses(
    output: HeadOutput, samples: Sequence[Any], keypoint_loss: Any
) -> Sequence[Tuple[Tensor, Tensor]]:
    """Compute the regression and regularizer losses of each level."""
    fields = [s.gt_fields for s in samples]
    alphas = output.scale_maps or None
    annotated = stack_annotated(
        [s.gt_instance_labels for s in samples], output.heatmaps[0].shape[1]
    )
    if annotated is not None:
        annotated = annotated.to(output.tags.device, non_blocking=True)
    sparse = getattr(keypoint_loss, 'accepts_sparse_targets', False)
    goals: Sequence[Tuple[Any, ...]]
    if sparse and type(keypoint_loss).forward is SWAHRLoss.forward:
        return keypoint_loss.compute_levels(
            output.heatmaps, alphas, stack_levels(fields), annotated
        )
    if sparse:
        goals = [(*level, annotated) for level in stack_levels(fields)]
    else:
        goals = [
            (
                stack_heatmaps(fields, n),
                mask_keypoints(
                    stack_masks(fields, n), annotated, maps.shape[2:]
                ),
            )
            for n, maps in enumerate(output.heatmaps)
        ]
    return [
        keypoint_loss(maps, None if alphas is None else alphas[n], *goal)
        for n, (maps, goal) in enumerate(zip(output.heatmaps, goals))
    ]
