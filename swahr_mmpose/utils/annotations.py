# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Values of COCO keypoint annotations that may be missing."""

from __future__ import annotations

from typing import Any, Mapping

__all__ = ['count_labelled']


def count_labelled(annotation: Mapping[str, Any]) -> int:
    """Get the number of labelled keypoints of an annotation.

    Args:
        annotation (Mapping): COCO annotation.

    Returns:
        int: ``num_keypoints``; without it, the number of keypoints with
        v > 0, and 0 without keypoints.
    """
    number = annotation.get('num_keypoints')
    if number is None:
        keypoints = annotation.get('keypoints') or ()
        number = sum(v > 0 for v in keypoints[2::3])
    return int(number)
