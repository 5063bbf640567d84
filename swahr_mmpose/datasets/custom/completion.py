# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Complete annotations that have keypoints only.

MMPose silently drops instances without ``bbox``. COCO's metric fails without
``area`` and evaluates instances of category 1 only. Here each annotation gets
what is missing, by rules that are counted and reported.

N instances, K keypoints, M labelled keypoints of an instance. Boxes are
``[x, y, w, h]`` and image sizes ``(w, h)`` in pixels.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from swahr_mmpose.datasets.checks.annotations import find_segmentation_problem

__all__ = [
    'AREA_SHARE',
    'BOX_MARGIN',
    'clean_keypoints',
    'complete_annotations',
    'keep_empty_images',
]

# Margin between labelled keypoints and box, relative to the longer side of
# the keypoints' extent. 0.10 is the median over the sides of the boxes of 51
# COCO people with 8 keypoints or more.
BOX_MARGIN = 0.1
# Area relative to the box, as in CrowdPose's metric and in MMPose. For the
# same COCO people the median is 0.50 (0.47 with boxes made of keypoints); for
# four in five it is between 0.33 and 0.79.
AREA_SHARE = 0.53
MIN_EXTENT = 1.0  # px; keypoints with a smaller extent count as one point
_MAX_PIXELS = 178_956_970  # limit of Pillow, which reads image sizes
FALLBACK_SIDE = 32.0  # px; box side if no instance defines a size

Box = List[float]
Size = Tuple[Optional[int], Optional[int]]


def complete_annotations(
    content: Dict[str, Any], num_keypoints: int
) -> Tuple[Dict[str, Any], Dict[str, int]]:
    """Fill in the keys that MMPose and COCO's metric require.

    Args:
        content (dict): Parsed COCO file; not modified.
        num_keypoints (int): Number of keypoints K.

    Returns:
        tuple[dict, dict[str, int]]: The completed file, whose only category
        has id 1, and how often each rule was applied, which is also its
        ``info.completed``.

    Raises:
        ValueError: If keypoints are not K finite ``(x, y, v)``, or a
            segmentation cannot be decoded.
    """
    annotations = [dict(a) for a in content.get('annotations') or []]
    rules: Counter = Counter()
    points = [_select_labelled(a, num_keypoints) for a in annotations]
    _fill_ids(annotations, rules)
    median_side = _compute_median_side(points)
    sizes = {
        image.get('id'): (image.get('width'), image.get('height'))
        for image in content['images']
    }
    for annotation, labelled in zip(annotations, points):
        size = sizes.get(annotation.get('image_id'), (None, None))
        _fill_labels(annotation, len(labelled), num_keypoints, rules)
        _fill_box(annotation, labelled, median_side, size, rules)
        _fill_area(annotation, size, rules)
        _fill_segmentation(annotation, size, rules)
    kept = [a for a in annotations if a.get('bbox') is not None]
    rules['no bbox, segmentation or labelled keypoint: dropped'] = len(
        annotations
    ) - len(kept)
    unified = _unify_segmentations(kept)
    rules['segmentation of some instances only: empty'] = sum(
        'segmentation' in new and 'segmentation' not in old
        for new, old in zip(unified, kept)
    )
    applied = {rule: count for rule, count in rules.items() if count}
    info = content.get('info')
    completed = dict(
        content,
        info=dict(info if isinstance(info, dict) else {}, completed=applied),
        categories=[_make_category(content)],
        annotations=unified,
    )
    return completed, applied


def keep_empty_images(
    content: Dict[str, Any], num_keypoints: int
) -> Tuple[Dict[str, Any], int]:
    """Make images without annotation part of training, as background.

    MMPose drops such images from training. They are kept if they have an
    annotation with an empty box and no labelled keypoint, which is added
    here. For training files only.

    Args:
        content (dict): Completed COCO file; not modified.
        num_keypoints (int): Number of keypoints K.

    Returns:
        tuple[dict, int]: The file, and the number of annotations added.
    """
    annotations = content['annotations']
    annotated = {a['image_id'] for a in annotations}
    empty = [i['id'] for i in content['images'] if i['id'] not in annotated]
    first = 1 + max((a['id'] for a in annotations), default=0)
    background = dict(
        category_id=1,
        keypoints=[0] * 3 * num_keypoints,
        num_keypoints=0,
        bbox=[0, 0, 0, 0],
        area=0,
        iscrowd=0,
    )
    added = [
        dict(background, id=number, image_id=image)
        for number, image in enumerate(empty, first)
    ]
    kept = _unify_segmentations([*annotations, *added])
    return dict(content, annotations=kept), len(added)


def clean_keypoints(content: Dict[str, Any]) -> Tuple[Dict[str, Any], Counter]:
    """Make keypoints a flat list of numbers, where that is unambiguous.

    Lists ``[x, y, v]`` are joined; NaN and null in the coordinates of
    unlabelled keypoints become 0.

    Args:
        content (dict): Parsed COCO file; not modified.

    Returns:
        tuple[dict, Counter]: The file, and how often each rule was applied.
    """
    rules: Counter = Counter()
    annotations = [dict(a) for a in content.get('annotations') or []]
    for annotation in annotations:
        values = annotation.get('keypoints')
        if _is_nested(values):
            rules['keypoints nested: joined to one list'] += 1
            points: Any = values
            annotation['keypoints'] = [v for point in points for v in point]
        _clear_unlabelled(annotation, rules)
    return dict(content, annotations=annotations), rules


def _is_nested(values: Any) -> bool:
    """Return whether a value is a list of lists of three."""
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(v, list) and len(v) == 3 for v in values)
    )


def _unify_segmentations(annotations: Sequence[dict]) -> List[dict]:
    """Give all annotations a segmentation, maybe empty, or none of them.

    MMPose joins the segmentations of an image's annotations if the first has
    one, and fails if another has none.
    """
    if not any('segmentation' in a for a in annotations):
        return list(annotations)
    return [{'segmentation': [], **a} for a in annotations]


def _make_category(content: dict) -> dict:
    """Copy the first category with id 1."""
    categories = content.get('categories') or [{'name': 'instance'}]
    return dict(categories[0], id=1)


def _clear_unlabelled(annotation: dict, rules: Counter) -> None:
    """Set NaN and null in the coordinates of unlabelled keypoints to 0."""
    values = annotation.get('keypoints')
    if not isinstance(values, list) or len(values) % 3:
        return
    odd = [
        k
        for k in range(0, len(values), 3)
        if values[k + 2] == 0
        and not isinstance(values[k + 2], bool)
        and any(v is None or v != v for v in values[k : k + 2])
    ]
    if odd:
        rules['NaN or null in an unlabelled keypoint: 0'] += len(odd)
        annotation['keypoints'] = list(values)
        for k in odd:
            annotation['keypoints'][k : k + 2] = [0, 0]


def _select_labelled(annotation: dict, num_keypoints: int) -> np.ndarray:
    """Select the coordinates (M, 2) of labelled keypoints."""
    values = annotation.get('keypoints') or [0] * 3 * num_keypoints
    try:
        keypoints = np.array(values, dtype=float).reshape(num_keypoints, 3)
        if not np.isfinite(keypoints).all():
            raise ValueError('not finite')
    except (TypeError, ValueError) as error:
        got = f'{len(values)} values' if isinstance(values, list) else values
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")} has {got} in keypoints, expected '
            f'{3 * num_keypoints} finite numbers: '
            f'(x, y, v) of {num_keypoints} keypoints, v = 0 if not labelled; '
            'correct the annotation file'
        ) from error
    return keypoints[keypoints[:, 2] > 0, :2]


def _fill_ids(annotations: Sequence[dict], rules: Counter) -> None:
    """Renumber all annotations from 1 if any has no id."""
    missing = sum(a.get('id') is None for a in annotations)
    rules['id missing: all renumbered'] = missing
    for number, annotation in enumerate(annotations if missing else (), 1):
        annotation['id'] = number


def _fill_labels(
    annotation: dict, num_labelled: int, num_keypoints: int, rules: Counter
) -> None:
    """Fill in category_id, keypoints, iscrowd and num_keypoints."""
    if annotation.get('category_id') != 1:
        rules['category_id not 1: set to 1'] += 1
        annotation['category_id'] = 1
    if not annotation.get('keypoints'):
        rules['keypoints missing: none labelled'] += 1
        annotation['keypoints'] = [0] * 3 * num_keypoints
    if annotation.get('iscrowd') is None:
        rules['iscrowd missing: 0'] += 1
        annotation['iscrowd'] = 0
    if annotation.get('num_keypoints') is None:
        rules['num_keypoints missing: counted'] += 1
    elif annotation['num_keypoints'] != num_labelled:
        rules['num_keypoints wrong: counted'] += 1
    annotation['num_keypoints'] = num_labelled


def _has_size(box: Any) -> bool:
    return bool(box) and len(box) == 4 and min(box[2:]) > 0


def _fill_box(
    annotation: dict,
    points: np.ndarray,
    median_side: float,
    size: Size,
    rules: Counter,
) -> None:
    """Fill in bbox from the segmentation, else from labelled keypoints."""
    if _has_size(annotation.get('bbox')):
        return
    region = _measure_segmentation(annotation, size)
    annotation['bbox'] = region and region[0]
    if region:
        rules['bbox missing or empty: from the segmentation'] += 1
    elif len(points):
        annotation['bbox'] = _make_box(points, median_side, size)
        single = np.ptp(points, axis=0).max() < MIN_EXTENT
        rules[
            'bbox missing or empty, one labelled point: square of the median '
            f'size, {median_side:.0f} px'
            if single
            else 'bbox missing or empty: from labelled keypoints, with a '
            f'margin of {BOX_MARGIN} of the longer side'
        ] += 1


def _fill_area(annotation: dict, size: Size, rules: Counter) -> None:
    """Fill in area from the segmentation, else from the box."""
    if annotation.get('area') or not annotation.get('bbox'):
        return
    region = _measure_segmentation(annotation, size)
    if region and region[1]:
        annotation['area'] = region[1]
        rules['area missing or 0: from the segmentation'] += 1
    else:
        area = AREA_SHARE * annotation['bbox'][2] * annotation['bbox'][3]
        annotation['area'] = round(area, 2)
        rules[f'area missing or 0: {AREA_SHARE} of the box'] += 1


def _fill_segmentation(annotation: dict, size: Size, rules: Counter) -> None:
    """Mask the box of crowds and unlabelled instances from the loss.

    The loss mask is made of segmentations, so these get their box as polygon.
    Other segmentations are not used, and dropped if they are invalid.
    """
    unlabelled = annotation['iscrowd'] or not annotation['num_keypoints']
    segmentation = annotation.pop('segmentation', None)
    if segmentation:
        if unlabelled or not find_segmentation_problem(segmentation, size):
            annotation['segmentation'] = segmentation
        else:
            rules['segmentation invalid and not used: dropped'] += 1
        return
    if unlabelled and annotation.get('bbox'):
        x, y, w, h = annotation['bbox']
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotation['segmentation'] = [corners]
        rules[
            'crowd or unlabelled, no segmentation: box masked from the loss'
        ] += 1


def _measure_segmentation(
    annotation: dict, size: Size
) -> Optional[Tuple[Box, float]]:
    """Measure box and area of a segmentation; None without one."""
    width, height = size
    if not annotation.get('segmentation') or width is None or height is None:
        return None
    if width * height > _MAX_PIXELS:
        raise ValueError(
            f'image {annotation.get("image_id")} has size {width}x{height} in '
            f'the annotation file, expected at most {_MAX_PIXELS} pixels; '
            'correct width and height'
        )
    from swahr_mmpose.datasets.transforms.loss_mask import valid_region

    # The loss mask excludes instances without labelled keypoints only.
    unlabelled = dict(annotation, iscrowd=1, num_keypoints=0)
    try:
        region = ~valid_region([unlabelled], (width, height))
    except Exception as error:  # pycocotools raises errors of many kinds
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")} has a segmentation that cannot be '
            f'decoded ({type(error).__name__}: {error}); correct it or remove '
            'the key'
        ) from error
    rows, columns = np.nonzero(region)
    if not len(rows):
        return None
    low = np.array([columns.min(), rows.min()], float)
    high = np.array([columns.max(), rows.max()], float) + 1
    return [*low.tolist(), *(high - low).tolist()], float(len(rows))


def _make_box(points: np.ndarray, median_side: float, size: Size) -> Box:
    """Make a box around labelled keypoints (M, 2), clipped to the image.

    Not clipped if less than a pixel would remain: keypoints outside the
    image.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    longer = float((high - low).max())
    single = longer < MIN_EXTENT
    margin = median_side / 2 if single else BOX_MARGIN * longer
    low, high = low - margin, high + margin
    if size[0] is not None and size[1] is not None:
        clipped = np.clip([low, high], 0, np.array(size, float))
        if (clipped[1] - clipped[0] >= MIN_EXTENT).all():
            low, high = clipped
    return [round(float(v), 2) for v in (*low, *(high - low))]


def _compute_median_side(points: Sequence[np.ndarray]) -> float:
    """Compute the median longer side in px of boxes from 2+ keypoints."""
    sides = [float(np.ptp(p, axis=0).max()) for p in points if len(p) > 1]
    sides = [s * (1 + 2 * BOX_MARGIN) for s in sides if s >= MIN_EXTENT]
    return float(np.median(sides)) if sides else FALLBACK_SIDE
