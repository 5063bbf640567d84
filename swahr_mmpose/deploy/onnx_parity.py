# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Comparison of an exported model with the PyTorch model.

N people of one image, K keypoints.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from scipy.optimize import linear_sum_assignment

from .onnx_export import PoseGraph
from .runtime import PoseModel, Poses

__all__ = ['Difference', 'compare_model', 'compare_poses', 'predict_poses']


class Difference(NamedTuple):
    """Differences between the PyTorch model and the exported one.

    Attributes:
        inputs: Largest absolute difference of the network inputs.
        heatmaps: Largest absolute difference of the heatmaps.
        tags: Largest absolute difference of the tags.
        people: Number of people, ``(torch, exported)``.
        distances: Distances in pixels of keypoints that both models find, in
            matched people, shape (M,).
        unmatched: Number of keypoints in matched people that only one model
            finds.
        scale_maps: Largest absolute difference of the scale maps; None for a
            file without them.
    """

    inputs: float
    heatmaps: float
    tags: float
    people: Tuple[int, int]
    distances: np.ndarray
    unmatched: int
    scale_maps: Optional[float] = None


def predict_poses(model: Any, sample: Any) -> Poses:
    """Run the PyTorch model on a sample.

    Args:
        model (nn.Module): Pose estimator.
        sample (dict): Sample of the test pipeline.

    Returns:
        Poses: Predicted people.
    """
    with torch.no_grad():
        result = model.test_step(pseudo_collate([sample]))[0]
    instances = result.pred_instances
    return Poses(
        np.asarray(instances.keypoints, np.float32),
        np.asarray(instances.keypoint_scores),
        np.asarray(instances.bbox_scores),
        np.asarray(instances.keypoints_filled),
        instances.get('keypoint_sigmas'),
    )


def compare_poses(first: Poses, second: Poses) -> Tuple[np.ndarray, int]:
    """Match people and compare their keypoints.

    People are matched at the minimum total of the mean keypoint distances.

    Args:
        first (Poses): People of one model.
        second (Poses): People of the other model.

    Returns:
        tuple[np.ndarray, int]: ``distances`` and ``unmatched`` of a
        :class:`Difference`.
    """
    offsets = first.keypoints[:, None] - second.keypoints[None]
    distances = np.linalg.norm(offsets, axis=-1)
    present = first.keypoint_scores > 0, second.keypoint_scores > 0
    both = present[0][:, None] & present[1][None]
    count = both.sum(axis=-1)
    cost = (distances * both).sum(axis=-1) / np.maximum(count, 1)
    rows, columns = linear_sum_assignment(np.where(count > 0, cost, 1e6))
    both = both[rows, columns]
    unmatched = (present[0][rows] ^ present[1][columns]).sum()
    return distances[rows, columns][both], int(unmatched)


def compare_model(
    cfg: Any, model: Any, exported: PoseModel, path: str
) -> Difference:
    """Compare both models on an image file.

    Args:
        cfg (Config): Complete config with the test pipeline.
        model (nn.Module): Model of the config, on the CPU.
        exported (PoseModel): Exported model.
        path (str): Image file.

    Returns:
        Difference: Differences of inputs, maps and keypoints.
    """
    settings = exported.settings
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    sample = pipeline(
        dict(img_path=path, flip_indices=list(settings.flip_indices))
    )
    # As the pipeline reads it, upright or not.
    image = pipeline.transforms[0](dict(img_path=path))['img']
    batch = model.data_preprocessor(pseudo_collate([sample]))
    inputs, _ = exported.preprocess([image])
    graph = PoseGraph(model, settings._replace(fused=True))
    with torch.no_grad():
        expected = graph(batch['inputs'])
    maps = exported.maps(batch['inputs'].contiguous().numpy())
    differences = [
        float(np.abs(actual - wanted.numpy()).max(initial=0))
        for actual, wanted in zip(
            (inputs, *maps), (batch['inputs'], *expected)
        )
    ]
    first, second = predict_poses(model, sample), exported(image)
    people = len(first.scores), len(second.scores)
    distances, unmatched = compare_poses(first, second)
    return Difference(
        differences[0],
        differences[1],
        differences[2],
        people,
        distances,
        unmatched,
        differences[3] if settings.output_scales else None,
    )
