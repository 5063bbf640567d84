# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Report on a custom dataset: statistics, and advice on training and metric.

N instances, K keypoints. Sizes are in pixels of the image, or in cells of the
heatmaps at 1/4 of the input.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from swahr_mmpose.datasets.checks.text import count, escape

from .skeleton import CustomSkeleton

__all__ = [
    'DatasetSummary',
    'advise',
    'format_report',
    'suggest_input_size',
    'summarize',
]

# Instances with a smaller longer side are hard to detect and to separate: a
# Gaussian is 4 cells wide (twice sigma), and keypoints share cells.
MIN_CELLS = 8
MAX_INPUT_SIDE = 1024
COCO_AREAS = dict(small=(0, 32**2), medium=(32**2, 96**2), large=(96**2, 1e10))
MAX_DETECTIONS = 20  # instances per image that COCO's metric evaluates
RARE = 0.05  # fraction of instances in which a keypoint is labelled


class DatasetSummary(NamedTuple):
    """Summary of a completed COCO file.

    Instances are annotations with labelled keypoints that are no crowds.

    Attributes:
        num_images (int): Number of images.
        num_empty (int): Images without instance.
        num_unannotated (int): Images without any annotation.
        max_instances (int): Maximum number of instances in an image.
        keypoints (np.ndarray): Keypoints ``(x, y, v)``, shape (N, K, 3).
        sides (np.ndarray): Longer side of the box in px, shape (N,).
        image_sides (np.ndarray): Shorter side of the image in px, shape (N,).
        areas (np.ndarray): Areas in px, shape (N,).
        num_outside (int): Labelled keypoints outside their image.
        num_at_origin (int): Labelled keypoints at (0, 0).
    """

    num_images: int
    num_empty: int
    num_unannotated: int
    max_instances: int
    keypoints: np.ndarray
    sides: np.ndarray
    image_sides: np.ndarray
    areas: np.ndarray
    num_outside: int
    num_at_origin: int


def summarize(content: Dict[str, Any], num_keypoints: int) -> DatasetSummary:
    """Summarize a file completed by :func:`.complete_annotations`.

    Args:
        content (dict): Parsed COCO file.
        num_keypoints (int): Number of keypoints K.

    Returns:
        DatasetSummary: Counts, and arrays of the N instances.
    """
    images = {image['id']: image for image in content['images']}
    instances = [
        a
        for a in content['annotations']
        if a['num_keypoints'] and not a['iscrowd'] and a['image_id'] in images
    ]
    counts = Counter(a['image_id'] for a in instances)
    annotated = {a['image_id'] for a in content['annotations']}
    keypoints = np.array([a['keypoints'] for a in instances], float)
    keypoints = keypoints.reshape(len(instances), num_keypoints, 3)
    sizes = np.array(
        [
            [images[a['image_id']][key] for key in ('width', 'height')]
            for a in instances
        ]
    ).reshape(-1, 2)
    boxes = np.array([a['bbox'][2:] for a in instances], float).reshape(-1, 2)
    labelled, points = keypoints[..., 2] > 0, keypoints[..., :2]
    outside = ((points < 0) | (points >= sizes[:, None])).any(axis=-1)
    at_origin = (points == 0).all(axis=-1)
    return DatasetSummary(
        num_images=len(images),
        num_empty=len(images) - len(counts),
        num_unannotated=len(set(images) - annotated),
        max_instances=max(counts.values(), default=0),
        keypoints=keypoints,
        sides=boxes.max(axis=1),
        image_sides=sizes.min(axis=1),
        areas=np.array([a['area'] for a in instances], float),
        num_outside=int((outside & labelled).sum()),
        num_at_origin=int((at_origin & labelled).sum()),
    )


def _format_split(split: str, summary: DatasetSummary) -> str:
    """Format the numbers of images and instances of a split."""
    return (
        f'{split}: {count(summary.num_images, "image")}, '
        f'{summary.num_empty} without instance; '
        f'{count(len(summary.sides), "instance")}, at most '
        f'{summary.max_instances} per image'
    )


def format_report(
    name: str,
    skeleton: CustomSkeleton,
    summaries: Tuple[DatasetSummary, DatasetSummary],
    completed: Sequence[str],
    input_side: int,
    categories: Sequence[str] = (),
) -> List[str]:
    """Format what the dataset contains and what was chosen for it.

    Args:
        name (str): Name of the dataset.
        skeleton (CustomSkeleton): Skeleton of its instances.
        summaries (tuple[DatasetSummary, DatasetSummary]): Training and
            validation file.
        completed (Sequence[str]): Lines on what was filled in.
        input_side (int): Side of the network's input in px.
        categories (Sequence[str]): Lines on several categories. Defaults to
            ().

    Returns:
        list[str]: Lines of the report.
    """
    lines = [
        f'{name}: {count(len(skeleton.names), "keypoint")}, '
        f'{count(len(skeleton.links), "skeleton edge")}'
    ]
    lines += [
        *map(_format_split, ('train', 'val'), summaries),
        *categories,
        '',
        'filled in',
        *(f'  {line}' for line in completed),
    ]
    lines += ['', 'keypoints, in grouping order']
    lines += [f'  {line}' for line in skeleton.format_table()]
    lines += [f'  sigmas: {skeleton.sigmas_source}; AP depends on them']
    pairs = skeleton.format_pairs()
    lines += ['', 'flip pairs', *(f'  {pair}' for pair in pairs or ['none'])]
    lines += [
        '  horizontal flip in training and testing'
        if skeleton.flip
        else '  no horizontal flip in training and testing'
    ]
    sizes = _format_sizes(summaries[0], input_side)
    lines += ['', 'sizes', *(f'  {line}' for line in sizes)]
    advice = advise(summaries[0], summaries[1], skeleton.names, input_side)
    if len(skeleton.names) > 1 and not skeleton.links:
        advice.append(
            'no skeleton edges: poses are drawn as points; --skeleton adds '
            'edges'
        )
    return lines + ['', 'advice', *(f'  * {a}' for a in advice or ['none'])]


def _compute_cells(summary: DatasetSummary, input_side: int) -> np.ndarray:
    """Compute longer sides (N,) in cells at 1/4 of the input, in testing."""
    return summary.sides * input_side / summary.image_sides / 4


def _format_sizes(summary: DatasetSummary, input_side: int) -> List[str]:
    """Format quantiles of instance sizes, in pixels and in cells."""
    labels = 'smallest', '10 %', 'median', '90 %', 'largest'
    lines = []
    for unit, values in (
        ('px of the image', summary.sides),
        (f'cells at 1/4 of {input_side}', _compute_cells(summary, input_side)),
    ):
        quantiles = np.quantile(values, [0, 0.1, 0.5, 0.9, 1])
        text = ', '.join(f'{q} {v:.0f}' for q, v in zip(labels, quantiles))
        lines.append(f'longer side of boxes, {unit}: {text}')
    return lines


def suggest_input_size(summary: DatasetSummary) -> int:
    """Suggest the input size at which 90 % of the instances have 8 cells.

    Args:
        summary (DatasetSummary): Training file, with N > 0.

    Returns:
        int: Side of the input in px, a multiple of 64; not limited.
    """
    needed = MIN_CELLS / _compute_cells(summary, 1)
    return 64 * math.ceil(float(np.quantile(needed, 0.9)) / 64 - 1e-9)


def advise(
    train: DatasetSummary,
    val: DatasetSummary,
    names: Sequence[str],
    input_side: int,
) -> List[str]:
    """Find what is unusual, and suggest what to do about it.

    Args:
        train (DatasetSummary): Training file.
        val (DatasetSummary): Validation file.
        names (Sequence[str]): Names of the K keypoints.
        input_side (int): Side of the network's input in px.

    Returns:
        list[str]: One or two sentences each; empty if nothing is unusual.
    """
    return [
        *_check_sizes(train, input_side),
        *_check_labels(train, names),
        *_check_images(train, val),
        *_check_areas(val),
    ]


def _check_sizes(train: DatasetSummary, input_side: int) -> Iterator[str]:
    """Find a large fraction of small instances."""
    if not len(train.sides):
        return
    small = float((_compute_cells(train, input_side) < MIN_CELLS).mean())
    if small <= 0.1:
        return
    suggested = suggest_input_size(train)
    remedy = f'use --input-size {suggested}'
    if suggested > MAX_INPUT_SIDE:
        remedy = f'cut images into tiles (or an input of {suggested})'
    yield (
        f'{small:.0%} of the instances are smaller than {MIN_CELLS} cells at '
        f'1/4 of the input, where keypoints overlap: {remedy}'
    )


def _check_labels(
    train: DatasetSummary, names: Sequence[str]
) -> Iterator[str]:
    """Find missing, rare and implausible labels."""
    labelled = train.keypoints[..., 2] > 0
    frequency = labelled.mean(axis=0) if len(labelled) else [0.0] * len(names)
    never = [n for n, f in zip(names, frequency) if f == 0]
    rare = [n for n, f in zip(names, frequency) if 0 < f < RARE]
    if never:
        yield f'never labelled, so never learned: {_join(never)}'
    if rare:
        yield f'labelled in under {RARE:.0%}: {_join(rare)}'
    single = int((labelled.sum(axis=1) == 1).sum())
    if single:
        yield (
            f'{count(single, "instance")} with one labelled keypoint: nothing '
            'to group, and the size is estimated'
        )
    if train.num_at_origin:
        yield (
            f'{count(train.num_at_origin, "labelled keypoint")} at (0, 0): '
            'set v = 0 if missing'
        )
    if train.num_outside:
        yield (
            f'{count(train.num_outside, "labelled keypoint")} outside their '
            'image: check that image sizes and coordinates are in pixels of '
            'the same image'
        )


def _join(names: Sequence[str]) -> str:
    """Join names, escaped for a terminal."""
    return ', '.join(escape(name) for name in names)


def _check_images(train: DatasetSummary, val: DatasetSummary) -> Iterator[str]:
    """Find few, unannotated and crowded images."""
    if train.num_images < 100:
        images = count(train.num_images, 'training image')
        yield f'few images ({images}): expect overfitting'
    if train.num_unannotated:
        yield (
            f'{count(train.num_unannotated, "image")} without annotation: '
            'MMPose drops them from training; --keep-empty keeps them as '
            'background'
        )
    most = max(train.max_instances, val.max_instances)
    if most > MAX_DETECTIONS:
        yield (
            f"up to {most} instances per image: COCO's metric evaluates the "
            f'{MAX_DETECTIONS} with the highest scores'
        )


def _check_areas(val: DatasetSummary) -> Iterator[str]:
    """Find area ranges that COCO's metric cannot evaluate."""
    if not len(val.areas):
        yield 'no validation instance: every AP will be -1 (no value)'
        return
    counts = {
        name: int(((val.areas >= low) & (val.areas < high)).sum())
        for name, (low, high) in COCO_AREAS.items()
    }
    for name in ('medium', 'large'):
        if not counts[name]:
            yield (
                f'no validation instance of {name} area: '
                f'AP ({name[0].upper()}) will be -1 (no value)'
            )
    if counts['small']:
        yield (
            f'{counts["small"]} of {len(val.areas)} validation instances have '
            'an area below 32^2 px: they count in AP, but neither in AP (M) '
            'nor in AP (L)'
        )
