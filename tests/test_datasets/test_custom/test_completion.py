"""Completion and report of annotations that have keypoints only."""

import copy
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swahr_mmpose.datasets.checks.annotations import find_bad_annotations
from swahr_mmpose.datasets.custom.coco_json import hold_out, read_coco
from swahr_mmpose.datasets.custom.completion import (
    AREA_SHARE,
    BOX_MARGIN,
    clean_keypoints,
    complete_annotations,
    keep_empty_images,
)
from swahr_mmpose.datasets.custom.report import (
    advise,
    suggest_input_size,
    summarize,
)
from swahr_mmpose.datasets.transforms.loss_mask import valid_region

NAMES = ['head', 'body', 'tail']
FULL = [10, 20, 2, 50, 40, 1, 110, 60, 2]
SINGLE = [70, 30, 2, 0, 0, 0, 0, 0, 0]
UNLABELLED = [0] * 9


def document(*annotations, images=1):
    """A file whose annotations belong to image 1 by default."""
    sizes = dict(width=200, height=100)
    return dict(
        images=[
            dict(id=n, file_name=f'{n}.jpg', **sizes)
            for n in range(1, images + 1)
        ],
        categories=[dict(id=7, name='fish', keypoints=NAMES)],
        annotations=[
            dict(dict(id=n, image_id=1, category_id=7), **a)
            for n, a in enumerate(annotations, 1)
        ],
    )


def complete(*annotations, **kwargs):
    content, rules = complete_annotations(document(*annotations, **kwargs), 3)
    assert content['info']['completed'] == rules
    required = ('area', 'iscrowd', 'num_keypoints')
    assert not find_bad_annotations(content, 3, required=required)
    return content['annotations'], rules


def test_keypoints_alone_are_enough():
    (annotation,), rules = complete(dict(keypoints=FULL))
    margin = BOX_MARGIN * 100
    # Not clipped: 10 - margin is not below 0.
    expected = [10 - margin, 20 - margin, 100 + 2 * margin, 40 + 2 * margin]
    assert annotation['bbox'] == pytest.approx(expected)
    assert annotation['area'] == pytest.approx(AREA_SHARE * 120 * 60)
    assert annotation['num_keypoints'] == 3
    assert annotation['iscrowd'] == 0
    assert annotation['category_id'] == 1
    assert sum(rules.values()) == 5


def test_boxes_end_at_the_border_of_the_image():
    (annotation,), _ = complete(dict(keypoints=[0, 0, 2, 0, 0, 0, 199, 9, 2]))
    x, y, w, h = annotation['bbox']
    assert (x, y) == (0, 0)
    assert x + w == 200
    assert 9 < y + h <= 100


def test_existing_values_are_kept():
    given = dict(
        keypoints=FULL,
        bbox=[0, 0, 150, 90],
        area=777,
        iscrowd=0,
        num_keypoints=3,
        category_id=1,
        segmentation=[[0, 0, 150, 0, 150, 90]],
    )
    content = document(given)
    before = copy.deepcopy(content)
    unchanged, rules = complete_annotations(content, 3)
    assert content == before
    assert unchanged['annotations'] == before['annotations']
    assert not rules


def test_box_and_area_come_from_a_segmentation():
    square = [[20, 10, 59, 10, 59, 49, 20, 49]]
    (annotation,), _ = complete(dict(keypoints=FULL, segmentation=square))
    assert annotation['bbox'] == pytest.approx([20, 10, 39, 39], abs=1)
    assert annotation['area'] == pytest.approx(39 * 39, abs=80)
    mask = dict(size=[100, 200], counts=[0, 100 * 30, 100 * 170])
    (annotation,), _ = complete(dict(keypoints=FULL, segmentation=mask))
    assert annotation['bbox'] == [0, 0, 30, 100]
    assert annotation['area'] == 3000


def test_the_area_comes_from_a_box():
    (annotation,), _ = complete(dict(keypoints=FULL, bbox=[5, 5, 120, 80]))
    assert annotation['area'] == pytest.approx(AREA_SHARE * 120 * 80)


@pytest.mark.parametrize('box', [[0, 0, 0, 0], [], None, [10, 10, 5, 0]])
def test_a_box_of_no_size_is_none(box):
    (annotation,), _ = complete(dict(keypoints=FULL, bbox=box, area=0))
    assert min(annotation['bbox'][2:]) > 0
    assert annotation['area'] > 0


def test_one_keypoint_gets_a_box_of_the_median_size():
    (_, alone), rules = complete(dict(keypoints=FULL), dict(keypoints=SINGLE))
    assert alone['bbox'][2:] == pytest.approx([120, 90], abs=1)  # clipped at 0
    assert any('one labelled point' in rule for rule in rules)
    (alone,), _ = complete(dict(keypoints=SINGLE))
    assert alone['area'] > 0


def test_labels_are_counted_not_believed():
    (annotation,), rules = complete(dict(keypoints=FULL, num_keypoints=17))
    assert annotation['num_keypoints'] == 3
    assert rules['num_keypoints wrong: counted'] == 1


def test_annotations_without_id_are_numbered():
    found, _ = complete(
        dict(keypoints=FULL, id=None), dict(keypoints=FULL, id=1)
    )
    assert [a['id'] for a in found] == [1, 2]


def test_empty_annotations_are_dropped_and_counted():
    found, rules = complete(
        dict(keypoints=FULL), {}, dict(keypoints=UNLABELLED)
    )
    assert len(found) == 1
    assert rules['no bbox, segmentation or labelled keypoint: dropped'] == 2


@pytest.mark.parametrize('crowd', [0, 1])
def test_boxes_of_crowds_and_unlabelled_instances_are_masked(crowd):
    labels = FULL if crowd else UNLABELLED
    found, _ = complete(
        dict(keypoints=labels, bbox=[20, 10, 40, 30], iscrowd=crowd)
    )
    region = valid_region(found, (200, 100))
    assert not region[11:39, 21:59].any()
    assert region.sum() == pytest.approx(200 * 100 - 40 * 30, abs=80)


def test_labelled_instances_are_not_masked():
    found, _ = complete(dict(keypoints=FULL), dict(keypoints=SINGLE))
    assert valid_region(found, (200, 100)).all()


@pytest.mark.parametrize(
    'keypoints', [FULL[:-1], [*FULL[:-1], None], ['x'] * 9, [np.nan] * 9]
)
def test_odd_keypoints_are_named(keypoints):
    content = document(dict(keypoints=keypoints))
    with pytest.raises(ValueError, match='annotation 1 of image 1 has'):
        complete_annotations(content, 3)


@pytest.mark.parametrize(
    'segmentation', [[[1, 2, 'x']], [[1e9] * 6], {'size': [1, 1]}, 'x', [5]]
)
def test_invalid_segmentations_are_named(segmentation):
    content = document(dict(keypoints=FULL, segmentation=segmentation))
    with pytest.raises(ValueError, match='annotation 1 of image 1'):
        complete_annotations(content, 3)


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.floats(-50, 250), st.floats(-50, 150), st.integers(0, 2)
            ),
            min_size=3,
            max_size=3,
        ),
        max_size=4,
    )
)
def test_any_labels_end_in_a_file_that_trains(people):
    keypoints = [[v for point in person for v in point] for person in people]
    found, _ = complete(*(dict(keypoints=k) for k in keypoints))
    labelled = [k for k in keypoints if any(k[2::3])]
    assert [a['keypoints'] for a in found] == labelled
    for annotation in found:
        assert min(annotation['bbox'][2:]) > 0
        assert annotation['area'] > 0
    summarize(dict(document(), annotations=found), 3)


SQUARE = [[20, 10, 59, 10, 59, 49, 20, 49]]


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
@pytest.mark.parametrize('absent', [{}, dict(segmentation=[])])
def test_all_annotations_have_a_segmentation_or_none(order, absent):
    """MMPose joins them by the keys of an image's first annotation."""
    given = [dict(keypoints=FULL, segmentation=SQUARE), {'keypoints': FULL}]
    given[1].update(absent)
    found, _ = complete(*(given[n] for n in order))
    assert [a['segmentation'] for a in found] == [
        given[n].get('segmentation', []) for n in order
    ]
    found, _ = complete(dict(keypoints=FULL, **absent), dict(keypoints=FULL))
    assert not any('segmentation' in a for a in found)


def test_background_has_a_segmentation_if_the_others_have():
    content, _ = complete_annotations(
        document(dict(keypoints=FULL, segmentation=SQUARE), images=2), 3
    )
    kept, _ = keep_empty_images(content, 3)
    assert all('segmentation' in a for a in kept['annotations'])


def test_invalid_segmentations_that_nobody_uses_are_dropped():
    box = dict(bbox=[0, 0, 50, 50], area=9)
    bad = dict(keypoints=FULL, segmentation=[[1, 2]], **box)
    (annotation,), rules = complete(bad)
    assert 'segmentation' not in annotation
    assert rules['segmentation invalid and not used: dropped'] == 1


def test_nested_keypoints_are_joined_and_unlabelled_nan_is_zero():
    nested = [FULL[n : n + 3] for n in (0, 3, 6)]
    nan = [*FULL[:3], float('nan'), None, 0, *FULL[6:]]
    content = document(dict(keypoints=nested), dict(keypoints=nan))
    before = copy.deepcopy(content['annotations'][0])
    cleaned, rules = clean_keypoints(content)
    assert content['annotations'][0] == before
    first, second = cleaned['annotations']
    assert first['keypoints'] == FULL
    assert second['keypoints'] == [*FULL[:3], 0, 0, 0, *FULL[6:]]
    assert sum(rules.values()) == 2


@pytest.mark.parametrize('keypoints', [5, 'x', {'a': 1}])
def test_keypoints_that_are_no_list_are_named(keypoints):
    content = document(dict(keypoints=keypoints))
    with pytest.raises(ValueError, match='annotation 1 of image 1 has'):
        complete_annotations(content, 3)


def test_images_without_annotation_can_be_background():
    content, _ = complete_annotations(
        document(dict(keypoints=FULL), images=3), 3
    )
    kept, count = keep_empty_images(content, 3)
    assert count == 2
    assert {a['image_id'] for a in kept['annotations']} == {1, 2, 3}
    assert not find_bad_annotations(kept, 3, required=('area', 'iscrowd'))
    background = kept['annotations'][1:]
    assert valid_region(background, (200, 100)).all()
    assert summarize(kept, 3).num_empty == 2


def test_images_held_out_are_disjoint_and_have_instances():
    people = [dict(keypoints=FULL, image_id=n) for n in range(1, 41, 2)]
    content = document(*people, images=40)
    train, val = hold_out(content, 0.1)
    ids = [{i['id'] for i in part['images']} for part in (train, val)]
    assert not ids[0] & ids[1]
    assert len(ids[0]) + len(ids[1]) == 40
    assert len(ids[1]) == 4
    assert len(val['annotations']) == 2
    for part, images in zip((train, val), ids):
        assert {a['image_id'] for a in part['annotations']} <= images


@pytest.mark.parametrize(('images', 'share'), [(1, 0.1), (5, 0.0), (5, 0.9)])
def test_a_split_that_is_impossible_is_an_error(images, share):
    people = [dict(keypoints=FULL, image_id=n + 1) for n in range(images)]
    with pytest.raises(ValueError, match='--val'):
        hold_out(document(*people, images=images), share)


def test_two_images_are_split_into_one_and_one():
    people = [dict(keypoints=FULL, image_id=n) for n in (1, 2)]
    for part in hold_out(document(*people, images=2), 0.1):
        assert len(part['images']) == len(part['annotations']) == 1


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[]', 'no list "images"'),
        ('{"images": []}', 'no list "images"'),
        ('{"images"', 'not valid JSON'),
        ('{"images": [5]}', 'not JSON objects'),
        ('{"images": [{"id": 1}]}', 'lack at least one of'),
        ('{"images": [{}], "annotations": 5}', 'expected a list of JSON'),
        ('{"images": [{}], "categories": {"a": 1}}', 'expected a list of'),
    ],
)
def test_files_that_are_no_coco_files_are_named(tmp_path, content, message):
    path = tmp_path / 'a.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_coco(path)


def test_a_coco_file_is_read(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(document()))
    assert read_coco(path) == document()


def summary_of(*annotations, **kwargs):
    content, _ = complete_annotations(document(*annotations, **kwargs), 3)
    return summarize(content, 3)


def test_the_suggested_input_makes_nine_in_ten_large_enough():
    rng = np.random.default_rng(0)
    people = [
        dict(keypoints=FULL, bbox=[0, 0, w, 5]) for w in rng.uniform(5, 90, 50)
    ]
    summary = summary_of(*people)
    side = suggest_input_size(summary)
    assert side % 64 == 0
    cells = summary.sides * side / summary.image_sides / 4
    assert (cells >= 8).mean() >= 0.9
    fewer = summary.sides * (side - 64) / summary.image_sides / 4
    assert (fewer >= 8).mean() < 0.92


@pytest.mark.parametrize(
    ('annotation', 'side', 'word'),
    [
        (dict(bbox=[0, 0, 4, 4]), 256, 'use --input-size 832'),
        (dict(bbox=[0, 0, 1, 1]), 256, 'into tiles'),
        (dict(keypoints=SINGLE), 256, 'never learned: body, tail'),
        (dict(keypoints=SINGLE), 256, '1 instance with one labelled'),
        (dict(keypoints=[0, 0, 2, 5, 5, 2, 9, 9, 2]), 256, r'at \(0, 0\)'),
        (dict(keypoints=[500, 5, 2, 5, 5, 2, 9, 9, 2]), 256, 'outside their'),
        (dict(area=3000), 256, r'AP \(L\) will be -1'),
        (dict(area=20000), 256, r'AP \(M\) will be -1'),
        (dict(area=100), 256, r'neither in AP \(M\) nor'),
        (dict(keypoints=UNLABELLED), 256, 'every AP will be -1'),
    ],
)
def test_unusual_datasets_get_advice(annotation, side, word):
    summary = summary_of({'keypoints': FULL, **annotation})
    advice = '\n'.join(advise(summary, summary, NAMES, side))
    assert re.search(word, advice)


def test_crowded_and_unannotated_images_get_advice():
    summary = summary_of(*[dict(keypoints=FULL)] * 21, images=3)
    advice = '\n'.join(advise(summary, summary, NAMES, 256))
    assert '2 images without annotation' in advice
    assert 'up to 21 instances' in advice


def test_usual_datasets_get_no_advice():
    people = [dict(keypoints=FULL, image_id=n) for n in range(1, 101)]
    people.append(dict(keypoints=FULL, area=10000, image_id=1))
    summary = summary_of(*people, images=100)
    assert advise(summary, summary, NAMES, 256) == []


def test_sizes_that_need_much_memory_are_refused():
    content = document(
        dict(keypoints=[1, 1, 2] * 3, segmentation=[[0, 0, 5, 0, 5, 5]])
    )
    content['images'][0].update(width=10**6, height=10**6)
    with pytest.raises(ValueError, match='size 1000000x1000000 .*at most'):
        complete_annotations(content, 3)
