"""Parts of an evaluation agree with COCOeval and with manual counting."""

import contextlib
import io

import numpy as np
import pytest
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from swahr_mmpose.evaluation.breakdown import (
    Results,
    average_precision_by_people,
    average_precision_by_size,
    find_matches,
    precision_recall,
    score_images,
)

SIGMAS = np.array([0.05, 0.05, 0.1])
SHAPE = np.array([[0, 0], [1, 0], [0.5, 1]])  # unit square


def person(number, image, x, y, side, **changes):
    """Annotation of a person in a square."""
    points = SHAPE * side + [x, y]
    flat = np.column_stack([points, np.full(3, 2)]).reshape(-1).tolist()
    return {
        **dict(
            id=number,
            image_id=image,
            category_id=1,
            keypoints=flat,
            num_keypoints=3,
            bbox=[x, y, side, side],
            area=side * side,
            iscrowd=0,
        ),
        **changes,
    }


def detection(annotation, shift=0.0, score=0.9):
    """Result at a distance from an annotation."""
    points = np.array(annotation['keypoints'], float).reshape(3, 3)
    points[:, 0] += shift
    points[:, 2] = 1
    return dict(
        image_id=annotation['image_id'],
        category_id=1,
        keypoints=points.reshape(-1).tolist(),
        score=score,
    )


PEOPLE = [
    person(1, 1, 10, 10, 100),
    person(2, 1, 200, 10, 50),
    person(3, 2, 10, 10, 20),
    person(4, 3, 10, 10, 100),
    person(5, 4, 10, 10, 100, iscrowd=1, num_keypoints=0, keypoints=[0] * 9),
]


def make_results(detections, annotations=PEOPLE, images=(1, 2, 3, 4, 5)):
    """Results of some detections on images 1 to 5."""
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=i, width=640, height=480) for i in images],
        annotations=[dict(a) for a in annotations],
        categories=[dict(id=1, name='person', keypoints=['a', 'b', 'c'])],
    )
    coco.anno_file = ['']
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        predictions = coco.loadRes(detections)
    return Results(coco, predictions, list(images), SIGMAS)


def mixed_results():
    """A good, an inexact and a false detection; one person is missed."""
    return make_results(
        [
            detection(PEOPLE[0]),
            detection(PEOPLE[1], shift=4, score=0.8),
            detection(PEOPLE[2], shift=300, score=0.7),
            detection(PEOPLE[3], shift=300, score=0.1),
        ]
    )


def test_precision_averages_to_the_ap_of_cocoeval():
    results = mixed_results()
    thresholds, recalls, precisions = precision_recall(results)
    assert (len(thresholds), len(recalls)) == precisions.shape == (10, 101)
    evaluation = COCOeval(
        results.coco, results.predictions, 'keypoints', SIGMAS
    )
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert precisions.mean() == pytest.approx(evaluation.stats[0], abs=1e-12)
    sizes = average_precision_by_size(results)
    assert sizes['medium'][1] == pytest.approx(evaluation.stats[3], abs=1e-12)
    assert sizes['large'][1] == pytest.approx(evaluation.stats[4], abs=1e-12)


def test_people_are_counted_by_size():
    sizes = average_precision_by_size(mixed_results())
    assert {k: v[0] for k, v in sizes.items()} == dict(
        small=1, medium=1, large=2
    )


def test_images_are_counted_by_their_number_of_people():
    table = average_precision_by_people(mixed_results())
    assert {k: v[0] for k, v in table.items()} == {
        '1': 2, '2-3': 1, '4-6': 0, '7 and more': 0
    }  # fmt: skip
    assert table['1'][1] == 0
    assert 0.5 < table['2-3'][1] < 1
    assert table['4-6'][1] is None


def test_matches_are_pairs_of_near_detections_and_people():
    matches = find_matches(mixed_results())
    assert len(matches) == 2
    for points, people, index in matches:
        assert np.abs(people.keypoints[index] - points).max() <= 4
        assert len(people.areas) == 2


def test_images_are_scored_by_oks_misses_and_false_detections():
    first, second, third = score_images(mixed_results())
    # image 2 has a missed person and a false detection; in image 3 the false
    # detection has a low score; image 4 has a crowd only, image 5 nothing
    assert (first.image_id, first.score) == (2, 0)
    assert (first.num_missed, first.num_false) == (1, 1)
    assert (second.image_id, second.score) == (3, 0)
    assert (second.num_missed, second.num_false) == (1, 0)
    assert third.image_id == 1
    assert 0.5 < third.score < 1
    assert (third.num_people, third.num_missed, third.num_false) == (2, 0, 0)


def test_a_crowd_is_no_match_and_no_miss():
    crowd = person(9, 1, 10, 10, 100, iscrowd=1)
    results = make_results([detection(crowd)], [crowd], images=(1,))
    assert find_matches(results) == []
    assert score_images(results) == []


def test_without_people_there_is_no_precision():
    results = make_results([detection(PEOPLE[0])], annotations=[])
    assert (precision_recall(results)[2] == -1).all()
    assert all(
        v[1] is None for v in average_precision_by_size(results).values()
    )
    assert find_matches(results) == []


def test_areas_of_boxes_replace_areas_where_the_metric_says_so():
    annotations = [person(1, 1, 10, 10, 100, area=1.0)]
    results = make_results([detection(annotations[0], 3)], annotations, (1,))
    assert find_matches(results) == []
    by_box = results._replace(use_area=False)
    (_, people, _), *_ = find_matches(by_box)
    assert people.areas.tolist() == [5300]
