# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""How far an exported model is from the one that it was made of."""

from __future__ import annotations

from typing import Any, NamedTuple, Tuple

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from scipy.optimize import linear_sum_assignment

from .onnx_export import PoseGraph
from .runtime import PoseModel, Poses

__all__ = ['Difference', 'compare_model', 'compare_poses', 'people_of']


class Difference(NamedTuple):
    """Of one image, PyTorch against the exported model.

    ``inputs``, ``heatmaps`` and ``tags`` are largest absolute differences;
    ``people`` is how many each finds, ``(torch, exported)``; ``apart`` are
    the distances in pixels (P,) of keypoints that both find, in people that
    are the same; ``single`` is how many keypoints of these only one finds.
    """

    inputs: float
    heatmaps: float
    tags: float
    people: Tuple[int, int]
    apart: np.ndarray
    single: int


def people_of(model: Any, sample: Any) -> Poses:
    """What the PyTorch model finds.

    Args:
        model (nn.Module): The estimator.
        sample (dict): Of the test pipeline.
    """
    with torch.no_grad():
        found = model.test_step(pseudo_collate([sample]))[0].pred_instances
    return Poses(
        np.asarray(found.keypoints, np.float32),
        np.asarray(found.keypoint_scores),
        np.asarray(found.bbox_scores),
    )


def compare_poses(one: Poses, other: Poses) -> Tuple[np.ndarray, int]:
    """Distances of the keypoints of the same people.

    People are the same who, as pairs, lie nearest to each other.

    Returns:
        tuple[np.ndarray, int]: ``apart`` and ``single`` of a
        :class:`Difference`.
    """
    gaps = one.keypoints[:, None] - other.keypoints[None]
    gaps = np.linalg.norm(gaps, axis=-1)
    found = one.keypoint_scores > 0, other.keypoint_scores > 0
    both = found[0][:, None] & found[1][None]
    count = both.sum(axis=-1)
    cost = (gaps * both).sum(axis=-1) / np.maximum(count, 1)
    rows, columns = linear_sum_assignment(np.where(count > 0, cost, 1e6))
    both = both[rows, columns]
    single = (found[0][rows] ^ found[1][columns]).sum()
    return gaps[rows, columns][both], int(single)


def compare_model(
    cfg: Any, model: Any, exported: PoseModel, path: str
) -> Difference:
    """Run both on an image file.

    Args:
        cfg (Config): The whole config, for its test pipeline.
        model (nn.Module): Its model, on the CPU.
        exported (PoseModel): The exported one.
        path (str): Of the image.
    """
    settings = exported.settings
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
    sample = pipeline(
        dict(img_path=path, flip_indices=list(settings.flip_indices))
    )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imread(path, flags)
    batch = model.data_preprocessor(pseudo_collate([sample]))
    inputs, _ = exported.preprocess([image])
    graph = PoseGraph(model, settings._replace(fused=True))
    with torch.no_grad():
        expected = graph(batch['inputs'])
    maps = exported.maps(batch['inputs'].contiguous().numpy())
    one, other = people_of(model, sample), exported(image)
    differences = [
        float(np.abs(ours - theirs.numpy()).max(initial=0))
        for ours, theirs in zip((inputs, *maps), (batch['inputs'], *expected))
    ]
    people = len(one.scores), len(other.scores)
    apart, single = compare_poses(one, other)
    return Difference(
        differences[0], differences[1], differences[2], people, apart, single
    )
