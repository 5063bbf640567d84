import numpy as np
import pytest
from pycocotools import mask as coco_mask

from swahr_mmpose.datasets.checks.run_lengths import decompress_run_lengths


@pytest.mark.parametrize('seed', range(20))
def test_masks_of_pycocotools_are_decompressed(seed):
    rng = np.random.default_rng(seed)
    h, w = rng.integers(1, 60, 2)
    mask = rng.random((h, w)) > rng.random()
    packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    starts = [0] * flat[0] + [0, *changes, h * w]
    for counts in (packed['counts'], packed['counts'].decode()):
        assert decompress_run_lengths(counts) == np.diff(starts).tolist()


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        ('5 5', "' ' at position 1"),
        ('é', 'at position 0'),
        ('o' * 30, "'o' at position 13"),
        ('55o', '3 characters that end within a number'),
    ],
)
def test_other_text_is_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        decompress_run_lengths(counts)


def test_nothing_has_no_runs():
    assert decompress_run_lengths('') == []
