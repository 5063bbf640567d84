import cv2
import numpy as np
import pytest
from helpers import assert_mask_is_official
from pycocotools import mask as coco_mask

from swahr_mmpose.datasets.transforms import geometry
from swahr_mmpose.datasets.transforms.loss_mask import (
    read_run_lengths,
    valid_region,
    warp_loss_mask,
)


def annotation(**kwargs):
    return dict(
        dict(id=7, image_id=3, iscrowd=0, keypoints=[0, 0, 0] * 17), **kwargs
    )


def test_crowds_and_people_without_keypoints_do_not_count():
    crowd = annotation(
        iscrowd=1,
        num_keypoints=0,
        segmentation=dict(size=[4, 6], counts=[4, 8, 12]),
    )
    unlabelled = annotation(
        num_keypoints=0, segmentation=[[4, 0, 6, 0, 6, 4, 4, 4]]
    )
    labelled = annotation(
        num_keypoints=3, segmentation=[[0, 0, 6, 0, 6, 4, 0, 4]]
    )
    region = valid_region([crowd, unlabelled, labelled], (6, 4))
    expected = np.ones((4, 6), bool)
    expected[:, [1, 2, 4, 5]] = False
    np.testing.assert_array_equal(region, expected)


def test_a_person_without_the_key_keypoints_does_not_count():
    polygon = [4, 0, 6, 0, 6, 4, 4, 4]
    region = valid_region([dict(id=7, segmentation=[[], polygon])], (6, 4))
    expected = np.ones((4, 6), bool)
    expected[:, 4:] = False
    np.testing.assert_array_equal(region, expected)


def test_compressed_crowd_masks_are_read_too():
    packed = coco_mask.encode(np.asfortranarray(np.eye(4, 6, dtype=np.uint8)))
    region = valid_region(
        [annotation(iscrowd=1, num_keypoints=0, segmentation=packed)], (6, 4)
    )
    np.testing.assert_array_equal(region, ~np.eye(4, 6, dtype=bool))


def test_run_lengths_of_compressed_masks_are_decoded_exactly():
    rng = np.random.default_rng(0)
    for _ in range(100):
        h, w = rng.integers(1, 90, 2).tolist()
        mask = (rng.random((h, w)) < rng.random() ** 3).astype(np.uint8)
        packed = coco_mask.encode(np.asfortranarray(mask))
        text = packed['counts'].decode()
        for counts in (packed['counts'], text):
            lengths = read_run_lengths(dict(packed, counts=counts), (w, h))
            runs = np.repeat(np.arange(len(lengths)) % 2, lengths)
            np.testing.assert_array_equal(runs, mask.T.reshape(-1))
        floats = [float(n) for n in lengths]
        assert lengths == read_run_lengths(dict(packed, counts=floats), (w, h))


def test_without_segmentation_everything_counts():
    people = [
        annotation(num_keypoints=0),
        annotation(iscrowd=1),
        annotation(segmentation=[]),
        annotation(segmentation=[[]]),
        annotation(segmentation=None),
        dict(id=1),
    ]
    assert valid_region(people, (6, 4)).all()
    assert valid_region([], (6, 4)).all()


def test_a_mask_of_another_size_is_named():
    crowd = annotation(
        iscrowd=1, segmentation=dict(size=[5, 6], counts=[4, 26])
    )
    with pytest.raises(ValueError, match='annotation 7 of image 3'):
        valid_region([crowd], (6, 4))


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        (
            dict(size=[4, 6], counts=[0, 23]),
            'add up to 23 pixels, expected 24',
        ),
        (
            dict(size=[6, 4], counts=[0, 24]),
            r'size \[6, 4\], expected .* \[4, 6\]',
        ),
        ([[0, 0, 3, 0, 3, None]], 'not finite'),
        ([[0, 0, 3, 0, 3, 1e9]], r'below 1e\+07'),
        ([[0, 0, 3, 0, 3, 10**400]], r'below 1e\+07'),
        ([[0, 0, 3, 0, 3, float('nan')]], 'not finite'),
        *(
            (dict(size=[4, 6], counts=counts), message)
            for counts, message in (
                ([0, 3.5, 20.5], r'run length 3.5 \(counts\[1\]\)'),
                ([-4, 28], r'run length -4 .*integer from 0 to 24'),
                ([4, -4, 24], r'run length -4 \(counts\[1\]\)'),
                ([0, 2**32 + 24], 'run length 4294967320'),
                ([0, 48, -24], 'run length 48'),
                ([0, 10**400], r'run length 10{39} \(counts'),
                ([0, '24'], "run length '24'"),
                ([True, 23], 'run length True'),
                ([0, None], 'run length None'),
                ([[0, 24]], r'run length \[0, 24\]'),
                ([float('nan'), 24], 'run length nan'),
                ([float('inf'), 24], 'run length inf'),
                ([], 'add up to 0 pixels'),
                (None, 'counts of type NoneType'),
                (24, 'counts of type int'),
                ('', 'add up to 0 pixels'),
                ('08', 'add up to 8 pixels, expected 24'),
                ('0' + 'o' * 20, "b'o' at position 14"),
                ('0X', 'end within a number'),
                ('0 8', r"b' ' at position 1"),
                ('0\xe98', 'at position 1'),
                ('@h0', 'run length -16'),
            )
        ),
        (dict(counts=[0, 24]), 'has size None'),
        (dict(size=24, counts=[0, 24]), 'has size 24'),
    ],
)
def test_masks_that_would_crash_or_be_random_are_refused(
    segmentation, message
):
    crowd = dict(
        id=7,
        image_id=3,
        iscrowd=1,
        num_keypoints=0,
        keypoints=[0] * 51,
        segmentation=segmentation,
    )
    with pytest.raises(
        ValueError, match=f'annotation 7 of image 3.*{message}'
    ):
        valid_region([crowd], (6, 4))


def test_the_mask_is_false_outside_the_image():
    matrix = geometry.square_affine_matrix((4, 4), 16, 0, 16)
    mask = warp_loss_mask(np.ones((8, 8), bool), matrix, (16, 16), False)
    expected = np.zeros((16, 16), bool)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(mask, expected)


def test_masks_equal_the_official_ones(golden):
    z = golden('targets.npz')
    for name in z['real_names']:
        image = '/'.join(str(name).split('/')[:2])
        h, w = z[f'{image}/image_hw']
        bits = np.unpackbits(z[f'{image}/mask_packbits'])[: h * w]
        region = bits.reshape(h, w).astype(bool)
        matrix = z[f'{name}matrix_512'][:2]
        for side in (128, 256):
            mask = warp_loss_mask(
                region,
                geometry.scale_matrix(matrix, (512, 512), (side, side), False),
                (side, side),
                bool(z[f'{name}flip']),
            )
            assert_mask_is_official(mask, z[f'{name}mask_{side}'])


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([['1'] * 6], 'not finite numbers'),
        ([[True] * 6], 'not finite numbers'),
        ([[1, 2, 3, 4]], 'a polygon of 4 numbers'),
        ([[1, 2, 3, 4, 5]], 'a polygon of 5 numbers'),
        ([[[1, 2], [3, 4], [5, 6]]], 'not finite numbers'),
        (5, 'neither a mask nor a list of polygons'),
        ([[0, 0, 9e6, 0, 0, 9e6]], 'a perimeter of 2.7e.07 pixels'),
        ([[0, 0, 900, 900] * 2000], 'a perimeter of .* for an image of 4'),
    ],
)
def test_polygons_that_would_be_read_as_something_else_are_refused(
    segmentation, message
):
    annotation = dict(
        id=3, image_id=7, iscrowd=1, keypoints=[], segmentation=segmentation
    )
    with pytest.raises(ValueError, match=f'annotation 3 .*{message}'):
        valid_region([annotation], (4, 4))


def decode_each(annotations, size):
    """Valid region by one decoded mask for each part."""
    w, h = size
    region = np.ones((h, w), bool)
    for a in annotations:
        parts = coco_mask.frPyObjects(a['segmentation'], h, w)
        for part in parts if isinstance(parts, list) else [parts]:
            region &= ~coco_mask.decode(part).astype(bool)
    return region


def test_the_region_is_that_of_all_parts_bit_for_bit():
    rng = np.random.default_rng(0)
    for _ in range(60):
        w, h = size = tuple(rng.integers(1, 70, 2).tolist())
        annotations = []
        for _ in range(rng.integers(0, 4)):
            polygons = [
                rng.uniform(-5, 75, 2 * rng.integers(3, 7)).tolist()
                for _ in range(rng.integers(1, 4))
            ]
            annotations.append(annotation(segmentation=polygons))
        cuts = np.sort(rng.integers(0, w * h + 1, rng.integers(0, 8)))
        counts = np.diff([0, *cuts, w * h]).tolist()
        crowd = dict(size=[h, w], counts=counts)
        annotations.append(annotation(iscrowd=1, segmentation=crowd))
        region = valid_region(annotations, size)
        assert region.dtype == bool
        assert region.flags.c_contiguous
        np.testing.assert_array_equal(region, decode_each(annotations, size))


@pytest.mark.parametrize('flips', [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_flipped_masks_are_the_reversed_ones(flips):
    rng = np.random.default_rng(0)
    region = rng.random((50, 70)) < 0.7
    matrix = geometry.square_affine_matrix((30, 25), 60, 20, 32)
    warped = cv2.warpAffine(region.astype(np.uint8) * 255, matrix, (32, 32))
    rows, columns = (-1 if flip else 1 for flip in flips[::-1])
    mask = warp_loss_mask(region, matrix, (32, 32), *map(bool, flips))
    np.testing.assert_array_equal(mask, (warped > 127)[::rows, ::columns])
