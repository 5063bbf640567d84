import copy
import re

import pytest

from swahr_mmpose.datasets.checks.annotations import find_bad_annotations
from swahr_mmpose.datasets.checks.text import count

NAN = float('nan')
NUMBERS = [20.0, 30.0, 2]
CONTENT = dict(
    images=[dict(id=1, file_name='1.jpg', width=64, height=48)],
    annotations=[
        dict(
            id=1,
            image_id=1,
            category_id=1,
            keypoints=NUMBERS * 17,
            bbox=[5, 5, 40, 40],
            area=1600,
            iscrowd=0,
            num_keypoints=17,
        )
    ],
    categories=[dict(id=1, name='person')],
)
NESTED = r'has \[20.0, 30.0, 2\] \(a list\) in keypoints.*one flat list'


def find(table, **changes):
    content = copy.deepcopy(CONTENT)
    content[table][0].update(changes)
    return [p.message for p in find_bad_annotations(content, 17)]


def test_the_content_without_changes_is_fine():
    assert find_bad_annotations(CONTENT, 17) == []


@pytest.mark.parametrize(
    ('table', 'changes', 'message'),
    [
        ('images', dict(id='1'), r"the id '1' \(text\).*remove the quotes"),
        ('images', dict(id=True), r'id True \(a boolean\), expected an int'),
        ('images', dict(id=1.5), 'id 1.5 .*expected an integer'),
        ('images', dict(width='64'), 'width .*remove the quotes'),
        ('images', dict(width=[64]), r'width \[64\] \(a list\)'),
        ('images', dict(height=NAN), r'height nan \(NaN\), expected an int'),
        ('images', dict(file_name=5), r'file_name 5 \(a number\), expected t'),
        ('annotations', dict(image_id='1'), "image_id '1' .*remove the quo"),
        ('annotations', dict(category_id='1'), "category_id '1' .*remove th"),
        ('annotations', dict(area='9.5'), "area '9.5' .*remove the quotes"),
        ('annotations', dict(area=10**400), 'area 1000.*expected 0 or more'),
        ('annotations', dict(area=NAN), r'area nan \(NaN\)'),
        ('annotations', dict(iscrowd='0'), "iscrowd '0' .*expected 0 or 1"),
        ('annotations', dict(iscrowd=2), 'iscrowd 2 .*expected 0 or 1'),
        ('annotations', dict(num_keypoints=[17]), 'num_keypoints .*a list'),
        ('annotations', dict(keypoints=[NUMBERS] * 17), NESTED),
        (
            'annotations',
            dict(keypoints=['20', 30, 2] * 17),
            r"has '20' \(text\) in keypoints.*remove the quotes",
        ),
        (
            'annotations',
            dict(keypoints=[20, None, 2] * 17),
            r'has None \(null\) in keypoints, expected numbers',
        ),
        (
            'annotations',
            dict(keypoints=[20, 30, True] * 17),
            r'has True \(a boolean\) in keypoints',
        ),
        ('annotations', dict(keypoints={}), r'the keypoints {} \(an object\)'),
        ('annotations', dict(bbox='5,5,40,40'), r'the bbox .* \(text\)'),
        ('annotations', dict(bbox=[[5, 5], [40, 40]]), 'a list.* in bbox'),
        ('categories', dict(id='1'), "has the id '1' .*remove the quotes"),
        ('categories', dict(name=1), r'the name 1 \(a number\), expected tex'),
    ],
)
def test_a_value_of_another_type_is_named(table, changes, message):
    messages = find(table, **changes)
    assert any(re.search(message, m) for m in messages), messages


def test_all_wrong_types_are_found_at_once():
    messages = find(
        'annotations', id='1', area='x', iscrowd=[], keypoints=[NUMBERS] * 17
    )
    assert len(messages) == 4


@pytest.mark.parametrize('v', [0, 1, 2, NAN])
def test_only_unlabelled_keypoints_may_be_nan(v):
    messages = find('annotations', keypoints=NUMBERS * 16 + [NAN, NAN, v])
    assert bool(messages) == (v != 0)


@pytest.mark.parametrize('counts', [[10, 1.5, 3060.5], [10, NAN], ['10']])
def test_run_lengths_are_integers(counts):
    mask = dict(size=[48, 64], counts=counts)
    (message,) = find('annotations', segmentation=mask)
    assert 'RLE mask' in message


def test_escape_sequences_are_not_printed():
    (problem,) = find_bad_annotations(
        dict(
            CONTENT,
            images=[dict(CONTENT['images'][0]), dict(id='\x1b[2J\u202e')],
        ),
        17,
    )[:1]
    assert problem.subject.isprintable()
    assert r'\x1b[2J\u202e' in problem.subject


def test_a_perimeter_that_is_too_long_to_draw_is_reported():
    far = [[0, 0, 9e6, 0, 0, 9e6]]
    (message,) = find('annotations', segmentation=far)
    assert 'perimeter of 2.7e+07 pixels, expected at most 1e+06' in message
    assert '64 x 48' in message
    assert find('annotations', segmentation=[[0, 0, 900, 0, 0, 900]]) == []


@pytest.mark.parametrize(
    ('number', 'noun', 'text'),
    [(0, 'image', '0 images'), (1, 'image', '1 image'), (2, 'key', '2 keys')],
)
def test_nouns_agree_with_their_number(number, noun, text):
    assert count(number, noun) == text
