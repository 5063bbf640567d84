import numpy as np

from swahr_mmpose.evaluation.sample_people import SampleGeometry, read_people

INFO = dict(
    input_size=(64, 32),
    input_center=np.array([100.0, 50.0]),
    input_scale=np.array([128.0, 64.0]),
)
ANNOTATION = dict(
    keypoints=[100, 50, 2, 0, 0, 0],
    bbox=[90, 40, 20, 30],
    num_keypoints=1,
    iscrowd=0,
)


def test_points_return_from_the_input_to_the_image():
    geometry = SampleGeometry.from_metainfo(INFO)
    centre = geometry.to_input(np.array([100.0, 50.0]))
    assert centre.tolist() == [32, 16]
    points = np.random.default_rng(0).uniform(0, 200, (5, 2))
    back = geometry.to_image(geometry.to_input(points))
    np.testing.assert_allclose(back, points)


def test_crowds_and_people_without_keypoints_are_left_out():
    others = [
        dict(ANNOTATION, iscrowd=1),
        dict(ANNOTATION, num_keypoints=0),
        None,
    ]
    people = read_people({'raw_ann_info': [*others, ANNOTATION]}, 2)
    assert people.keypoints.tolist() == [[[100, 50], [0, 0]]]
    assert people.visible.tolist() == [[2, 0]]
    assert people.boxes.tolist() == [[90, 40, 20, 30]]


def test_labelled_keypoints_are_counted_where_the_number_is_missing():
    uncounted = {k: v for k, v in ANNOTATION.items() if k != 'num_keypoints'}
    empty = dict(uncounted, keypoints=[0] * 6)
    people = read_people({'raw_ann_info': [uncounted, empty]}, 2)
    assert people.keypoints.tolist() == [[[100, 50], [0, 0]]]


def test_the_area_is_that_of_the_box_where_there_is_none():
    sized = dict(ANNOTATION, area=77)
    people = read_people({'raw_ann_info': [ANNOTATION, sized]}, 2)
    assert people.areas.tolist() == [600, 77]


def test_an_image_without_people_has_empty_arrays():
    for info in ({}, {'raw_ann_info': None}):
        people = read_people(info, 17)
        assert people.keypoints.shape == (0, 17, 2)
        assert people.boxes.shape == (0, 4)
        assert people.areas.shape == (0,)
