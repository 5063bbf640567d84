# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Annotations of keypoints alone, made whole.

MMPose leaves instances without ``bbox`` out without a word; COCO's metric
stops where ``area`` is missing, and takes instances for somebody only if they
are of category 1.  Here each annotation gets what is missing, by rules that
are counted and told.

N instances, K keypoints; boxes are ``[x, y, w, h]`` in pixels.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from swahr_mmpose.datasets.transforms.loss_mask import valid_region

__all__ = [
    'AREA_SHARE',
    'BOX_MARGIN',
    'complete_annotations',
    'keep_empty_images',
]

# Of the longer side of the labelled keypoints, to each side. Boxes of COCO's
# people reach that far beyond their keypoints: 0.10, the median over the
# sides of 51 people with 8 keypoints or more.
BOX_MARGIN = 0.1
# Of a box. CrowdPose's metric and MMPose take it. Of those people's boxes the
# area is 0.50 (median), of boxes made of their keypoints 0.47; four in five
# are between 0.33 and 0.79.
AREA_SHARE = 0.53
ONE_PIXEL = 1.0  # keypoints closer than that are one point
FALLBACK_SIDE = 32.0  # px, where no instance tells a size

Box = List[float]
Size = Tuple[Optional[int], Optional[int]]


def complete_annotations(
    content: Dict[str, Any], num_keypoints: int, category_id: Any = None
) -> Tuple[Dict[str, Any], Dict[str, int]]:
    """Fill in what MMPose and COCO's metric need of annotations.

    Args:
        content (dict): A parsed COCO file. It is not changed.
        num_keypoints (int): K.
        category_id (optional): Only annotations of it; ``None``: all.

    Returns:
        tuple[dict, dict[str, int]]: The file, with category 1 alone, and how
        often each rule was applied, which its ``info`` says too.

    Raises:
        ValueError: If keypoints are not K times ``(x, y, v)``.
    """
    given = content.get('annotations') or []
    chosen = [
        dict(a)
        for a in given
        if category_id is None or a.get('category_id') == category_id
    ]
    rules: Counter = Counter()
    rules['of another category: left out'] = len(given) - len(chosen)
    points = [_labelled(a, num_keypoints) for a in chosen]
    _number(chosen, rules)
    typical = _typical_side(points)
    sizes = {
        image.get('id'): (image.get('width'), image.get('height'))
        for image in content['images']
    }
    for annotation, shown in zip(chosen, points):
        size = sizes.get(annotation.get('image_id'), (None, None))
        _complete_labels(annotation, len(shown), num_keypoints, rules)
        _complete_box(annotation, shown, typical, size, rules)
        _complete_area(annotation, size, rules)
        _complete_outline(annotation, rules)
    kept = [a for a in chosen if a.get('bbox') is not None]
    rules['no box, outline or labelled keypoint: left out'] = len(
        chosen
    ) - len(kept)
    applied = {rule: count for rule, count in rules.items() if count}
    complete = dict(
        content,
        info=dict(content.get('info') or {}, completed=applied),
        categories=[_category(content, category_id)],
        annotations=kept,
    )
    return complete, applied


def keep_empty_images(
    content: Dict[str, Any], num_keypoints: int
) -> Tuple[Dict[str, Any], int]:
    """Let images without annotation be trained on, as background.

    MMPose leaves them out of training; with an annotation that has a box of
    no size and no labelled keypoint it does not. For training files only.

    Args:
        content (dict): A completed COCO file. It is not changed.
        num_keypoints (int): K.

    Returns:
        tuple[dict, int]: The file, and how many images got one.
    """
    people = content['annotations']
    annotated = {a['image_id'] for a in people}
    empty = [i['id'] for i in content['images'] if i['id'] not in annotated]
    first = 1 + max((a['id'] for a in people), default=0)
    nobody = dict(
        category_id=1,
        keypoints=[0] * 3 * num_keypoints,
        num_keypoints=0,
        bbox=[0, 0, 0, 0],
        area=0,
        iscrowd=0,
    )
    added = [
        dict(nobody, id=number, image_id=image)
        for number, image in enumerate(empty, first)
    ]
    return dict(content, annotations=[*people, *added]), len(added)


def _category(content: dict, category_id: Any) -> dict:
    found = [
        c
        for c in content.get('categories') or []
        if category_id in (None, c.get('id'))
    ]
    return dict(found[0] if found else {'name': 'instance'}, id=1)


def _labelled(annotation: dict, num_keypoints: int) -> np.ndarray:
    """Labelled keypoints (M, 2) of an annotation."""
    values = annotation.get('keypoints') or [0] * 3 * num_keypoints
    try:
        table = np.array(values, dtype=float).reshape(num_keypoints, 3)
        if not np.isfinite(table).all():
            raise ValueError('not finite')
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")} has {len(values)} values in '
            f'keypoints, expected {3 * num_keypoints} numbers, (x, y, v) of '
            f'{num_keypoints}, v = 0 where not labelled; correct the '
            'annotation file'
        ) from error
    return table[table[:, 2] > 0, :2]


def _number(annotations: Sequence[dict], rules: Counter) -> None:
    """Number annotations from 1, if any has no id."""
    without = sum(a.get('id') is None for a in annotations)
    rules['id missing: all numbered anew'] = without
    for number, annotation in enumerate(annotations if without else (), 1):
        annotation['id'] = number


def _complete_labels(
    annotation: dict, labelled: int, num_keypoints: int, rules: Counter
) -> None:
    if annotation.get('category_id') != 1:
        rules['category_id made 1'] += 1
        annotation['category_id'] = 1
    if not annotation.get('keypoints'):
        rules['keypoints missing: none is labelled'] += 1
        annotation['keypoints'] = [0] * 3 * num_keypoints
    if annotation.get('iscrowd') is None:
        rules['iscrowd missing: 0'] += 1
        annotation['iscrowd'] = 0
    if annotation.get('num_keypoints') is None:
        rules['num_keypoints missing: counted'] += 1
    elif annotation['num_keypoints'] != labelled:
        rules['num_keypoints not that of the labels: counted'] += 1
    annotation['num_keypoints'] = labelled


def _has_size(box: Any) -> bool:
    return bool(box) and len(box) == 4 and min(box[2:]) > 0


def _complete_box(
    annotation: dict,
    points: np.ndarray,
    typical: float,
    size: Size,
    rules: Counter,
) -> None:
    if _has_size(annotation.get('bbox')):
        return
    outline = _outline_of(annotation, size)
    annotation['bbox'] = outline and outline[0]
    if outline:
        rules['bbox missing or empty: of the outline'] += 1
    elif len(points):
        alone = np.ptp(points, axis=0).max() < ONE_PIXEL
        annotation['bbox'] = _box_around(points, typical, size)
        rules[
            f'bbox missing or empty, at one point: a square of {typical:.0f} '
            'px, the median'
            if alone
            else 'bbox missing or empty: of the labelled keypoints, and '
            f'{BOX_MARGIN} of its longer side to each side'
        ] += 1


def _complete_area(annotation: dict, size: Size, rules: Counter) -> None:
    if annotation.get('area') or not annotation.get('bbox'):
        return
    outline = _outline_of(annotation, size)
    if outline and outline[1]:
        annotation['area'] = outline[1]
        rules['area missing or 0: of the outline'] += 1
    else:
        area = AREA_SHARE * annotation['bbox'][2] * annotation['bbox'][3]
        annotation['area'] = round(area, 2)
        rules[f'area missing or 0: {AREA_SHARE} of the box'] += 1


def _complete_outline(annotation: dict, rules: Counter) -> None:
    """An outline where the loss must not look: it masks by outlines."""
    if annotation.get('segmentation'):
        return
    annotation.pop('segmentation', None)
    nobody = annotation['iscrowd'] or not annotation['num_keypoints']
    if nobody and annotation.get('bbox'):
        x, y, w, h = annotation['bbox']
        corners = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotation['segmentation'] = [corners]
        rules[
            'unlabelled or crowd without outline: the loss leaves its box out'
        ] += 1


def _outline_of(annotation: dict, size: Size) -> Optional[Tuple[Box, float]]:
    """Box and area of polygons or of a mask, where there are."""
    if not annotation.get('segmentation') or None in size:
        return None
    # As the loss sees it, for which it must be nobody's.
    nobody = dict(annotation, iscrowd=1, num_keypoints=0)
    try:
        region = ~valid_region([nobody], size)  # type: ignore[arg-type]
    except Exception as error:  # pycocotools raises errors of many kinds
        raise ValueError(
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")} has a segmentation that cannot be '
            f'read ({type(error).__name__}: {error}); correct it, or take '
            'the key out'
        ) from error
    rows, columns = np.nonzero(region)
    if not len(rows):
        return None
    low = np.array([columns.min(), rows.min()], float)
    high = np.array([columns.max(), rows.max()], float) + 1
    return [*low.tolist(), *(high - low).tolist()], float(len(rows))


def _box_around(points: np.ndarray, typical: float, size: Size) -> Box:
    """The box of labelled keypoints (M, 2), cut at the image's border.

    Not cut where nothing of it would be left: keypoints outside the image.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    longer = float((high - low).max())
    alone = longer < ONE_PIXEL
    margin = typical / 2 if alone else BOX_MARGIN * longer
    low, high = low - margin, high + margin
    if size[0] is not None and size[1] is not None:
        inside = np.clip([low, high], 0, np.array(size, float))
        if (inside[1] - inside[0] >= ONE_PIXEL).all():
            low, high = inside
    return [round(float(v), 2) for v in (*low, *(high - low))]


def _typical_side(people: Sequence[np.ndarray]) -> float:
    """The median longer side of boxes around two keypoints or more, px."""
    sides = [float(np.ptp(p, axis=0).max()) for p in people if len(p) > 1]
    sides = [s * (1 + 2 * BOX_MARGIN) for s in sides if s >= ONE_PIXEL]
    return float(np.median(sides)) if sides else FALLBACK_SIDE
