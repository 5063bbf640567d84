"""Helpers that several test modules share: paths, official arrays."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


GOLDEN = ROOT / 'tests/golden'


# OpenCV 5 interpolates between all positions, 4 between those of 1/32 pixel.
OPENCV_5 = cv2.__version__ >= '5'


like_opencv_4 = pytest.mark.skipif(
    OPENCV_5, reason='OpenCV 5 resizes by other positions'
)


# Larger reference arrays and real images, where a developer has them.
SHARED = Path(os.environ.get('SWAHR_SHARED', ROOT.parent / 'shared'))


def assert_image_is_official(image, official):
    """Equal with OpenCV 4, with which the official images were made."""
    if OPENCV_5:
        difference = np.abs(image.astype(int) - official)
        assert difference.max() <= 8
        assert difference.mean() < 0.5
    else:
        np.testing.assert_array_equal(image, official)


def assert_mask_is_official(mask, official):
    """As for images; at the edge some cells are in doubt."""
    assert mask.shape == official.shape
    assert np.mean(mask != official) <= (5e-4 if OPENCV_5 else 0)
