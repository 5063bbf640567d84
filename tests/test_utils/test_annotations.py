import pytest

from swahr_mmpose.utils.annotations import count_labelled

KEYPOINTS = [5, 5, 2, 6, 6, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ('annotation', 'expected'),
    [
        (dict(keypoints=KEYPOINTS), 2),
        (dict(keypoints=KEYPOINTS, num_keypoints=None), 2),
        (dict(keypoints=[0, 0, 0]), 0),
        (dict(keypoints=[]), 0),
        (dict(keypoints=None), 0),
        (dict(bbox=[0, 0, 1, 1]), 0),
    ],
)
def test_labelled_keypoints_are_counted_without_num_keypoints(
    annotation, expected
):
    assert count_labelled(annotation) == expected


def test_num_keypoints_goes_before_the_count():
    # CrowdPose counts visible keypoints only.
    assert count_labelled(dict(keypoints=KEYPOINTS, num_keypoints=1)) == 1
    assert count_labelled(dict(keypoints=KEYPOINTS, num_keypoints=0)) == 0
