# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Label noise and image quality that depend on the size of a person.

Both imitate COCO, where the positions that annotators choose differ in
proportion to the size of the person, and small people are blurred and of low
contrast.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Sequence

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Person

LOST_CONTRAST = 0.6  # of the smallest people, relative
BLUR = 3.0  # px; standard deviation for the smallest people
GREY = 128  # colours of low contrast are mixed with it


def move_labels(
    rng: Generator, person: Person, sigmas: Sequence[float], factor: float
) -> Person:
    """Move the labelled keypoints of a person by annotation noise.

    The noise is Gaussian. Its standard deviation in x and in y is
    ``factor * sigma_k * sqrt(area)``, with COCO's constants sigma_k of OKS.
    Keypoints that would leave the image are moved to its border.

    Args:
        rng (Generator): Random number generator.
        person (Person): Person on a layer of the image's size, with known
            visibility.
        sigmas (Sequence[float]): Constants sigma_k, length K.
        factor (float): Factor of the standard deviation; 1 is the noise that
            OKS assumes.

    Returns:
        Person: Copy with other keypoints.
    """
    scale = factor * math.sqrt(person.silhouette.sum())
    noise = rng.standard_normal(person.keypoints.shape)
    moved = person.keypoints + noise * scale * np.array(sigmas)[:, None]
    last = np.array(person.layer.shape[1::-1]) - 1
    moved = np.clip(moved, 0, last)
    labelled = (person.visibility > 0)[:, None]
    return replace(
        person, keypoints=np.where(labelled, moved, person.keypoints)
    )


def reduce_quality(person: Person, amount: float) -> Person:
    """Lower the contrast of a person and blur it.

    Args:
        person (Person): Person to change.
        amount (float): 0 for no change, 1 for the lowest quality.

    Returns:
        Person: Copy with another layer.
    """
    if amount <= 0:
        return person
    layer = person.layer.astype(np.float32)
    kept = 1 - LOST_CONTRAST * amount
    # Premultiplied: grey counts as much as the layer covers.
    grey = GREY * layer[..., 3:] / 255
    layer[..., :3] = kept * layer[..., :3] + (1 - kept) * grey
    blurred = cv2.GaussianBlur(
        layer, (0, 0), BLUR * amount, borderType=cv2.BORDER_CONSTANT
    )
    return replace(person, layer=(blurred + 0.5).astype(np.uint8))
