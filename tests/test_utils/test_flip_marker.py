import itertools

import numpy as np
import pytest
from mmcv import imflip

from swahr_mmpose.utils.flip_marker import Flips, make_flip_marker, read_flips

CHANGES = dict(horizontal=(True, False), vertical=(False, True))
CHANGES['diagonal'] = (True, True)


@pytest.mark.parametrize('flipped', [False, True])
@pytest.mark.parametrize('number', [0, 1, 2, 3])
def test_the_marker_records_every_flip(flipped, number):
    for directions in itertools.product(CHANGES, repeat=number):
        marker = make_flip_marker(flipped)
        expected = np.array([flipped, False])
        for direction in directions:
            marker = imflip(marker, direction)
            expected ^= CHANGES[direction]
        # The flip of the results dict, the last one, is not used.
        assert read_flips(marker, flip=True) == tuple(expected)


def test_without_a_marker_the_flip_of_the_pipeline_is_used():
    image_mask = np.ones((40, 60), np.uint8)
    for marker in (None, image_mask):
        assert read_flips(marker) == Flips()
        assert read_flips(marker, False, 'vertical') == Flips()
        assert read_flips(marker, True) == Flips(True, False)
        for direction, expected in CHANGES.items():
            assert read_flips(marker, True, direction) == expected


def test_an_unknown_direction_is_named():
    with pytest.raises(ValueError, match="flip_direction 'sideways'"):
        read_flips(None, True, 'sideways')
