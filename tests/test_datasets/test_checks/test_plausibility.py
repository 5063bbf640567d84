import copy
import re

import numpy as np
import pytest


def change_all(change):
    """Change all people by a function of their (x, y, w, h) and keypoints."""

    def apply(dataset):
        sizes = {
            i['id']: (i['width'], i['height'])
            for i in dataset.content['images']
        }
        for person in dataset.people:
            person.pop('segmentation', None)
            points = np.array(person['keypoints'], float).reshape(-1, 3)
            box = np.array(person['bbox'], float)
            change(person, points, box, np.array(sizes[person['image_id']]))
            person['keypoints'] = points.reshape(-1).tolist()
            person['bbox'] = box.tolist()

    return apply


def normalise(person, points, box, size):
    points[:, :2] /= size
    box /= np.tile(size, 2)
    person['area'] /= size[0] * size[1]


def to_corners(person, points, box, size):
    box[2:] += box[:2]


def to_centres(person, points, box, size):
    box[:2] += box[2:] / 2


def to_rows(person, points, box, size):
    box[:] = box[[1, 0, 3, 2]]


def exchange(person, points, box, size):
    points[:, :2] = points[:, 1::-1]
    box[:] = box[[1, 0, 3, 2]]


def exchange_keypoints(person, points, box, size):
    points[:, :2] = points[:, 1::-1]


def enlarge(person, points, box, size):
    points[:, :2] *= 4
    box *= 4
    person['area'] *= 16


def hide(person, points, box, size):
    points[:, 2] = 0


def hide_some(person, points, box, size):
    points[:3, 2] = 0
    points[:3, :2] += 1


def score(person, points, box, size):
    points[:, 2] *= 0.45


def set_area(value):
    def change(person, points, box, size):
        person['area'] = value

    return change


def uncount(person, points, box, size):
    person['num_keypoints'] = 0


def shrink(person, points, box, size):
    points[:, :2] *= 0.4
    box *= 0.4
    person['area'] *= 0.16


STOPS = {
    'fractions': (normalise, 'coordinates are between 0 and 1 in .*Multiply'),
    'corners': (to_corners, r'boxes seem to be corners \(x1, y1, x2, y2\)'),
    'centres': (to_centres, 'boxes seem to be centres and sizes'),
    'rows first': (to_rows, 'boxes seem to be rows first'),
    'keypoints (y, x)': (exchange_keypoints, r'or keypoints \(y, x, v\)'),
    'larger copies': (enlarge, 'of the labelled keypoints are outside of'),
    'area 1': (set_area(1), r'area does not fit .*area 1, box of .*new_data'),
    'nothing labelled': (hide, 'v is 0, not labelled, but x and y are given'),
}
WARNS = {
    'some hidden': (hide_some, 'v is 0, not labelled, .*write v = 1'),
    'scores': (score, r'v is not 0, 1 or 2 in .*v = 0\.9.*scores'),
    'num_keypoints': (uncount, r'num_keypoints does not fit in .*keypoints 0'),
    'smaller copies': (shrink, 'in the upper left of their images'),
}


def test_valid_annotations_are_plausible(dataset):
    assert dataset.check().warnings == []


@pytest.mark.parametrize('name', STOPS)
def test_what_would_be_learned_wrongly_is_an_error(dataset, name):
    change, message = STOPS[name]
    change_all(change)(dataset)
    with pytest.raises(ValueError, match=message) as error:
        dataset.check()
    assert 'e.g. annotation' in str(error.value)
    assert 'tiles' not in str(error.value)


@pytest.mark.parametrize('name', WARNS)
def test_what_may_be_intended_is_a_warning(dataset, name):
    change, message = WARNS[name]
    change_all(change)(dataset)
    warnings = dataset.check().warnings
    assert len(warnings) == 1
    assert re.search(message, warnings[0])


def test_exchanged_coordinates_are_named(dataset):
    change_all(exchange)(dataset)
    (warning,) = dataset.check().warnings
    assert 'outside of their image' in warning
    assert 'they fit with x and y exchanged' in warning


def test_the_area_matters_only_where_the_metric_reads_it(dataset):
    change_all(set_area(1))(dataset)
    for options in (dict(test_side=None), dict(crowd_index=True)):
        for image in dataset.content['images']:
            image['crowdIndex'] = 0.5
        (warning,) = dataset.check(**options).warnings
        assert 'area does not fit' in warning


def split_records(dataset, copy_people):
    """Write a second record for the file of each image."""
    images, people = dataset.content['images'], dataset.content['annotations']
    for image in copy.deepcopy(images):
        other = dict(image, id=image['id'] + 10**6)
        mine = [p for p in people if p['image_id'] == image['id']]
        for n, person in enumerate(mine):
            if copy_people:
                new = dict(person, id=person['id'] + 10**6)
                people.append(dict(new, image_id=other['id']))
            elif n % 2:
                person['image_id'] = other['id']
        images.append(other)


def test_one_record_per_person_is_an_error(dataset):
    split_records(dataset, copy_people=False)
    with pytest.raises(ValueError, match='16 of 16 image files have several'):
        dataset.check()


def test_the_same_record_twice_is_a_warning(dataset):
    split_records(dataset, copy_people=True)
    (warning,) = dataset.check().warnings
    assert 'with equal annotations' in warning


def test_a_few_odd_people_do_not_stop(dataset):
    person = dataset.people[0]
    person['area'] = 1
    person['bbox'] = [0, 0, 1, 1]
    dataset.check()
