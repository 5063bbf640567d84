# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Arrays of the people of an annotation file, for statistics over all.

N people, K keypoints; boxes are (x, y, w, h), all lengths in pixels.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from .annotations import format_name, select_records
from .schema import are_finite, find_type_problems

__all__ = ['People', 'collect_people']


class People(NamedTuple):
    """People with K keypoints, except crowd regions.

    Attributes:
        records (list[dict]): Their annotations, N.
        keypoints (np.ndarray): Shape (N, K, 3); NaN of unlabelled keypoints
            is 0.
        boxes (np.ndarray): Shape (N, 4), NaN without a box.
        areas (np.ndarray): Shape (N,), NaN without an area.
        sizes (np.ndarray): Sizes of their images, shape (N, 2).
    """

    records: List[dict]
    keypoints: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    sizes: np.ndarray

    @property
    def labelled(self) -> np.ndarray:
        """Mask of the labelled keypoints, bool (N, K)."""
        return self.keypoints[..., 2] > 0

    def name(self, index: int) -> str:
        """Name the annotation of a person."""
        return format_name('annotation', self.records[index])

    def select(self, mask: np.ndarray) -> People:
        """Select people by a mask, bool (N,)."""
        records = [r for r, kept in zip(self.records, mask) if kept]
        return People(records, *(array[mask] for array in self[1:]))


def collect_people(content: Any, num_keypoints: int) -> Optional[People]:
    """Collect the valid annotations of people.

    Args:
        content: Parsed annotation file; invalid records are skipped.
        num_keypoints (int): Keypoints per person, K.

    Returns:
        People, optional: Arrays, or ``None`` without any valid person.
    """
    sizes: Dict[Any, Tuple[float, float]] = {}
    for image in select_records(content, 'images'):
        bad = find_type_problems(image, 'images')
        values = [image.get(key) for key in ('id', 'width', 'height')]
        if not bad and None not in values:
            sizes[image['id']] = (image['width'], image['height'])
    records = [
        record
        for record in select_records(content, 'annotations')
        if _is_person(record, 3 * num_keypoints, sizes)
    ]
    if not records:
        return None
    no_box = [float('nan')] * 4
    keypoints = np.array([r['keypoints'] for r in records], np.float64)
    keypoints = np.nan_to_num(keypoints.reshape(len(records), -1, 3))
    return People(
        records,
        keypoints,
        np.array([r.get('bbox') or no_box for r in records], np.float64),
        np.array([r.get('area') for r in records], np.float64),
        np.array([sizes[r['image_id']] for r in records], np.float64),
    )


def _is_person(record: dict, count: int, sizes: dict) -> bool:
    """Return whether an annotation is a valid person, not a crowd region."""
    keypoints, box = record.get('keypoints'), record.get('bbox')
    if record.get('iscrowd') or keypoints is None:
        return False
    if find_type_problems(record, 'annotations'):
        return False
    known = record.get('image_id') in sizes
    valid = box is None or (len(box) == 4 and are_finite(box))
    if len(keypoints) != count:
        return False
    return known and valid and _are_finite_or_nan(keypoints)


def _are_finite_or_nan(keypoints: List[float]) -> bool:
    """Return whether all numbers that are not NaN are finite."""
    if are_finite(keypoints):  # the common case, fast
        return True
    return are_finite([value for value in keypoints if value == value])
