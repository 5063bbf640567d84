# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Annotated people of a test sample, and its geometry.

N people, K keypoints.
"""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple

import numpy as np

from swahr_mmpose.utils.annotations import count_labelled

__all__ = ['SampleGeometry', 'SamplePeople', 'list_people', 'read_people']


class SampleGeometry(NamedTuple):
    """Position of the network input in the image.

    Attributes:
        size (np.ndarray): Size ``(w, h)`` of the input in pixels.
        center (np.ndarray): Point ``(x, y)`` of the image at its centre.
        zoom (np.ndarray): Input pixels per image pixel, in x and y.
    """

    size: np.ndarray
    center: np.ndarray
    zoom: np.ndarray

    @classmethod
    def from_metainfo(cls, info: Mapping[str, Any]) -> SampleGeometry:
        """Read the geometry from the metainfo of a test sample."""
        size = np.asarray(info['input_size'], float)
        zoom = size / np.asarray(info['input_scale'], float)
        return cls(size, np.asarray(info['input_center'], float), zoom)

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """Convert points (..., 2) of the image to input pixels."""
        return (points - self.center) * self.zoom + self.size / 2

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Convert points (..., 2) of the input to image pixels."""
        return (points - self.size / 2) / self.zoom + self.center


class SamplePeople(NamedTuple):
    """Annotated people of an image, in image pixels.

    Attributes:
        keypoints (np.ndarray): Shape (N, K, 2).
        visible (np.ndarray): COCO's flags 0, 1 or 2, shape (N, K).
        boxes (np.ndarray): ``(x, y, w, h)``, shape (N, 4).
        areas (np.ndarray): Areas of segmentations in square pixels, or those
            of the boxes where there are none, shape (N,).
    """

    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray


def list_people(info: Mapping[str, Any]) -> List[dict]:
    """List the annotations of a sample that have labelled keypoints."""
    return [
        a
        for a in info.get('raw_ann_info') or ()
        if a and not a.get('iscrowd') and count_labelled(a)
    ]


def read_people(info: Mapping[str, Any], num_keypoints: int) -> SamplePeople:
    """Read the annotated people of a test sample.

    Args:
        info (Mapping): Metainfo of the sample.
        num_keypoints (int): Number of keypoints, K.

    Returns:
        SamplePeople: People with labelled keypoints; crowds are left out.
    """
    people = list_people(info)
    keypoints = np.array([a['keypoints'] for a in people], float)
    keypoints = keypoints.reshape(len(people), num_keypoints, 3)
    boxes = np.array([a['bbox'] for a in people], float).reshape(-1, 4)
    areas = [a.get('area') or a['bbox'][2] * a['bbox'][3] for a in people]
    return SamplePeople(
        keypoints[..., :2], keypoints[..., 2], boxes, np.array(areas, float)
    )
