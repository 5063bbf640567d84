# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Measurements of a model on the annotated people of a dataset.

N people, K keypoints.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Tuple

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from swahr_mmpose.datasets.transforms.loss_mask import valid_region
from swahr_mmpose.evaluation.error_analysis import People
from swahr_mmpose.evaluation.localization import (
    ImageLocalization,
    find_false_peaks,
    find_keypoints,
    find_map_peaks,
)
from swahr_mmpose.evaluation.sample_people import SampleGeometry, read_people
from swahr_mmpose.evaluation.scale_statistics import (
    PersonScales,
    person_confidences,
    person_scales,
    person_target_changes,
)

__all__ = ['list_strides', 'measure_localization', 'measure_scales']


def list_strides(model: Any) -> List[int]:
    """List the input pixels per cell of each level of a model."""
    codec = model.head.decoder
    return [codec.input_size[0] // size[0] for size in codec.heatmap_sizes]


def measure_scales(model: Any, samples: Iterable[dict]) -> PersonScales:
    """Measure the scales of all annotated people.

    Args:
        model (nn.Module): Pose estimator with a scale branch.
        samples (Iterable[dict]): Samples of the test pipeline.

    Returns:
        PersonScales: Measurements of the people.
    """
    parts = [_measure_people(model, sample) for sample in samples]
    columns = zip(_measure_nobody(model), *parts)
    return PersonScales(*(np.concatenate(c, axis=-1) for c in columns))


def _measure_nobody(model: Any) -> PersonScales:
    """Make the measurements of no people."""
    levels = len(model.head.scale_layers)
    return PersonScales(np.zeros(0), *np.zeros((4, levels, 0)))


@torch.no_grad()
def _measure_people(model: Any, sample: dict) -> PersonScales:
    """Measure the annotated people of a sample."""
    data = model.data_preprocessor(pseudo_collate([sample]))
    images, info = data['inputs'], data['data_samples'][0].metainfo
    people = read_people(info, model.head.num_keypoints)
    if not len(people.areas):
        return _measure_nobody(model)
    if isinstance(images, list):
        images = images[info['pyramid_scales'].index(1.0)]
    geometry = SampleGeometry.from_metainfo(info)
    pixels = geometry.to_input(people.keypoints)
    output = model.head(model.extract_feat(images), with_scale_maps=True)
    levels = [
        _measure_level(
            alpha[0].float().cpu().numpy(),
            heatmaps[0].float().cpu().numpy(),
            _to_cells(model, pixels, geometry.size[0], alpha),
            people.visible,
            float(getattr(model.head.decoder, 'sigma', 2.0)),
        )
        for alpha, heatmaps in zip(output.scale_maps, output.heatmaps)
    ]
    sizes = np.sqrt(people.boxes[:, 2] * people.boxes[:, 3])
    return PersonScales(sizes * geometry.zoom[0], *map(np.array, zip(*levels)))


def _measure_level(
    alpha: np.ndarray,
    heatmaps: np.ndarray,
    cells: np.ndarray,
    visible: np.ndarray,
    sigma: float,
) -> Tuple[np.ndarray, ...]:
    """Measure scales, confidences, changes and errors of one level."""
    return (
        person_scales(alpha, cells, visible, sigma),
        person_confidences(heatmaps, cells, visible, sigma),
        *person_target_changes(alpha, heatmaps, cells, visible, sigma),
    )


def _find_offset(model: Any) -> float:
    """Find the position of the first pixel's centre in input coordinates.

    The official convention takes positions of pixels for those of their
    edges; the exact one has centres at whole numbers, half a pixel further.
    """
    return 0.5 if getattr(model.head.decoder, 'unbiased', False) else 0.0


def _to_cells(
    model: Any, pixels: np.ndarray, width: float, level: torch.Tensor
) -> np.ndarray:
    """Convert input pixels (..., 2) to cells of maps (B, K, h, w)."""
    stride = width / level.shape[-1]
    return (pixels + _find_offset(model)) / stride - 0.5


@torch.no_grad()
def measure_localization(
    model: Any, sample: dict, sigmas: np.ndarray, threshold: float
) -> ImageLocalization:
    """Measure one image.

    Args:
        model (nn.Module): Pose estimator that returns heatmaps.
        sample (dict): Sample of the test pipeline.
        sigmas (np.ndarray): OKS sigmas, shape (K,).
        threshold (float): Height from which a peak counts.

    Returns:
        ImageLocalization: Errors of found keypoints, and false peaks.
    """
    result = model.test_step(pseudo_collate([sample]))[0]
    info, found = result.metainfo, result.pred_instances
    annotated = read_people(info, len(sigmas))
    people = People(
        annotated.keypoints, annotated.visible > 0, annotated.areas
    )
    heatmaps = result.pred_fields.heatmaps.float().cpu().numpy()
    geometry = SampleGeometry.from_metainfo(info)
    cells, heights = find_map_peaks(heatmaps, threshold)
    stride = geometry.size[0] / heatmaps.shape[-1]
    points = geometry.to_image(
        (cells[:, 1:] + 0.5) * stride - _find_offset(model)
    )
    codec = model.head.decoder
    finest = codec.input_size[0] / codec.heatmap_sizes[-1][0]
    height, width = info['ori_shape'][:2]
    ignored = ~valid_region(info.get('raw_ann_info') or (), (width, height))
    false = find_false_peaks(
        points,
        cells[:, 0],
        people,
        ignored,
        sigmas,
        3 * float(codec.sigma) * finest / geometry.zoom[0],
    )
    return ImageLocalization(
        *find_keypoints(
            found.keypoints,
            found.keypoint_scores,
            found.bbox_scores,
            people,
            sigmas,
        ),
        int(people.labelled.sum()),
        heights[false],
    )
