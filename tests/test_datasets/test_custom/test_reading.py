"""Files as exporters deliver them: ids, names, several files, categories."""

import copy
import json

import cv2
import numpy as np
import pytest

from swahr_mmpose.datasets.checks.annotations import find_bad_annotations
from swahr_mmpose.datasets.custom.coco_json import (
    choose_categories,
    hold_out,
    select_categories,
)
from swahr_mmpose.datasets.custom.ids import normalize_ids
from swahr_mmpose.datasets.custom.image_names import correct_file_names
from swahr_mmpose.datasets.custom.merging import (
    merge_annotations,
    share_folder,
)
from swahr_mmpose.datasets.custom.prepare import (
    DatasetOptions,
    prepare_dataset,
    read_sample,
)
from swahr_mmpose.datasets.custom.reading import read_split

NAMES = ['head', 'body', 'tail']
FULL = [10, 20, 2, 50, 40, 1, 60, 60, 2]


def make(count=4, prefix='', categories=(1,), **changes):
    """A file with one instance per image, of the categories in turn."""
    return dict(
        images=[
            dict(id=n, file_name=f'{prefix}{n}.png', width=80, height=64)
            for n in range(1, count + 1)
        ],
        categories=[
            dict(id=k, name=f'kind{k}', keypoints=NAMES)
            for k in sorted(set(categories))
        ],
        annotations=[
            dict(
                dict(id=n, image_id=n, keypoints=FULL),
                category_id=categories[n % len(categories)],
                **changes,
            )
            for n in range(1, count + 1)
        ],
    )


def write_images(folder, content):
    for image in content['images']:
        path = folder / image['file_name']
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((64, 80, 3), 90, np.uint8))


def save(path, content):
    path.write_text(json.dumps(content))
    return str(path)


# Ids.


@pytest.mark.parametrize(
    'convert', [str, float, lambda n: f'img_{n}', lambda n: n * 10**16]
)
def test_ids_of_any_type_become_integers(convert):
    content = make(3)
    for image in content['images']:
        image['id'] = convert(image['id'])
    for annotation in content['annotations']:
        annotation['image_id'] = convert(annotation['image_id'])
        annotation['id'] = convert(annotation['id'])
    before = copy.deepcopy(content)
    found, _ = normalize_ids(content, 'a.json')
    assert content == before
    assert found == make(3)
    assert all(type(i['id']) is int for i in found['images'])


def test_integer_ids_are_kept():
    content = make(3)
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = 70
    found, rules = normalize_ids(content, 'a.json')
    assert found == content
    assert not sum(rules.values())


@pytest.mark.parametrize('ids', [[1, 1, 2], [1, None, 2], [1, 'x', 2]])
def test_annotation_ids_are_renumbered_if_one_is_illegal(ids):
    content = make(3)
    for annotation, number in zip(content['annotations'], ids):
        annotation['id'] = number
    found, rules = normalize_ids(content, 'a.json')
    assert [a['id'] for a in found['annotations']] == [1, 2, 3]
    assert sum(rules.values()) == 1


def test_orphans_are_dropped_and_counted_unless_they_are_all():
    content = make(3)
    content['annotations'][1]['image_id'] = 99
    found, rules = normalize_ids(content, 'a.json')
    assert len(found['annotations']) == 2
    assert rules['image_id not in images: dropped'] == 1
    for annotation in content['annotations']:
        annotation['image_id'] = str(annotation['image_id'])
    with pytest.raises(ValueError, match=r"a.json: no .* got '1', and .* 1;"):
        normalize_ids(content, 'a.json')


@pytest.mark.parametrize('key', ['images', 'categories'])
def test_repeated_ids_of_images_are_named(key):
    content = make(2, categories=(1, 2))
    content[key][1]['id'] = 1.0
    with pytest.raises(ValueError, match=r'a.json: 1 \w+ ids are repeated'):
        normalize_ids(content, 'a.json')


# Several files.


def test_files_whose_ids_begin_at_one_are_merged():
    parts = [make(3, 'a'), make(2, 'b')]
    before = copy.deepcopy(parts)
    merged = merge_annotations(parts)
    assert parts == before
    assert [i['id'] for i in merged['images']] == [1, 2, 3, 4, 5]
    assert [a['id'] for a in merged['annotations']] == [1, 2, 3, 4, 5]
    names = {i['id']: i['file_name'] for i in merged['images']}
    assert [names[a['image_id']] for a in merged['annotations']] == [
        i['file_name'] for part in parts for i in part['images']
    ]


def test_ids_that_do_not_collide_are_kept():
    parts = [make(2, 'a'), make(2, 'b')]
    for image, annotation in zip(parts[1]['images'], parts[1]['annotations']):
        image['id'] = annotation['image_id'] = annotation['id'] = (
            image['id'] + 50
        )
    merged = merge_annotations(parts)
    assert [i['id'] for i in merged['images']] == [1, 2, 51, 52]
    assert [a['image_id'] for a in merged['annotations']] == [1, 2, 51, 52]
    assert [a['id'] for a in merged['annotations']] == [1, 2, 51, 52]


def test_categories_are_matched_by_name():
    parts = [make(4, 'a', (1, 2)), make(4, 'b', (1, 2))]
    for category in parts[1]['categories']:
        category['id'] += 10
    for annotation in parts[1]['annotations']:
        annotation['category_id'] += 10
    merged = merge_annotations(parts)
    expected = [2, 1, 2, 1]
    assert [a['category_id'] for a in merged['annotations']] == expected * 2
    assert merged['categories'] == parts[0]['categories']


def test_files_of_equal_images_or_other_categories_are_refused():
    with pytest.raises(ValueError, match=r"'1.png' is in x.json and in y.js"):
        merge_annotations([make(2), make(2)], ['x.json', 'y.json'])
    with pytest.raises(ValueError, match='y.json differs from the first'):
        merge_annotations(
            [make(2, 'a'), make(2, 'b', (1, 2))], ['x.json', 'y.json']
        )


def test_image_folders_get_a_common_one(tmp_path):
    for name in ('a/images', 'b/images'):
        (tmp_path / name).mkdir(parents=True)
    folders = [str(tmp_path / f'{n}/images') for n in 'ab']
    parts, common = share_folder([make(1), make(1)], folders)
    assert common == str(tmp_path.resolve())
    names = [part['images'][0]['file_name'] for part in parts]
    assert names == ['a/images/1.png', 'b/images/1.png']
    with pytest.raises(ValueError, match='2 image folders for 3'):
        share_folder([make(1)] * 3, folders)


def test_two_exports_are_one_dataset(tmp_path):
    paths = []
    for name in 'ab':
        write_images(tmp_path / name, make(3))
        paths.append(save(tmp_path / f'{name}.json', make(3)))
    folders = [str(tmp_path / 'a'), str(tmp_path / 'b')]
    dataset = prepare_dataset(DatasetOptions(paths, folders))
    images = [i for c in dataset.contents for i in c['images']]
    assert len(images) == 6
    assert all(
        (dataset.image_dirs[0] / image['file_name']).is_file()
        for image in images
    )
    assert read_sample(dataset).image.shape == (64, 80, 3)


# Names of other systems.


@pytest.mark.parametrize(
    ('real', 'given'),
    [
        ('images/a.png', 'images\\a.png'),
        ('a b.png', 'a%20b.png'),
        ('Fisch-ä.png', 'Fisch-%C3%A4.png'),
        ('IMG_1.PNG', 'img_1.png'),
        ('a.png', 'C:\\data\\a.png'),
        ('x/a.png', '/home/me/x/a.png'),
        ('é.png', 'e\u0301.png'),
    ],
)
def test_names_of_other_systems_are_corrected(tmp_path, real, given):
    content = make(1)
    content['images'][0]['file_name'] = real
    write_images(tmp_path, content)
    misspelt = copy.deepcopy(content)
    misspelt['images'][0]['file_name'] = given
    found, rules = correct_file_names(misspelt, str(tmp_path))
    assert found['images'] == content['images']
    assert rules['file_name of another system: corrected'] == 1
    assert correct_file_names(content, str(tmp_path))[0] == content


def test_a_file_is_given_to_one_record_only(tmp_path):
    content = make(2)
    content['images'][1]['file_name'] = 'x\\1.png'
    write_images(tmp_path, make(1))
    found, _ = correct_file_names(content, str(tmp_path))
    assert found == content
    content['images'][0]['file_name'] = 'y\\1.png'
    assert correct_file_names(content, str(tmp_path))[0] == content


def test_attribute_files_of_macos_are_dropped_unless_annotated(tmp_path):
    content = make(2)
    content['images'].append(
        dict(id=3, file_name='sub/._1.png', width=80, height=64)
    )
    found, rules = correct_file_names(content, str(tmp_path))
    assert len(found['images']) == 2
    assert rules['file_name of an attribute file of macOS: dropped'] == 1
    content['annotations'][0]['image_id'] = 3
    assert len(correct_file_names(content, str(tmp_path))[0]['images']) == 3


def test_images_without_ascii_names_are_shown(tmp_path, monkeypatch):
    """On Windows cv2.imread fails on them."""
    content = make(2, 'фото-図')
    write_images(tmp_path, content)
    monkeypatch.setattr(cv2, 'imread', None)
    options = DatasetOptions(save(tmp_path / 'a.json', content), str(tmp_path))
    assert read_sample(prepare_dataset(options)).image.shape == (64, 80, 3)


def test_missing_images_are_named_with_a_suggestion(tmp_path):
    content = make(2)
    options = DatasetOptions(save(tmp_path / 'a.json', content), str(tmp_path))
    dataset = prepare_dataset(options)
    with pytest.raises(
        ValueError, match=r'none of 1 .* 1.png of .* not exist'
    ):
        read_sample(dataset)


# Schema.


@pytest.mark.parametrize(
    'change',
    [
        dict(keypoints=['10', *FULL[1:]]),
        dict(keypoints=[True, *FULL[1:]]),
        dict(keypoints=7),
        dict(bbox='0,0,5,5'),
        dict(bbox=[0, None, 5, 5]),
        dict(area='12'),
        dict(iscrowd='no'),
    ],
)
def test_odd_types_are_named_with_the_given_file(tmp_path, change):
    path = save(tmp_path / 'given.json', make(2, **{**change}))
    if 'keypoints' in change:
        content = make(2)
        for annotation in content['annotations']:
            annotation.update(change)
        save(tmp_path / 'given.json', content)
    with pytest.raises(ValueError, match=r'given.json: 2 problem') as error:
        read_split([path], [str(tmp_path)])
    assert 'annotation 1 of image 1' in str(error.value)


def test_what_is_prepared_passes_the_checks(tmp_path):
    content = make(6)
    first, second, third, *_ = content['annotations']
    first['keypoints'] = [FULL[n : n + 3] for n in (0, 3, 6)]
    second['segmentation'] = [[1, 2]]
    second.update(bbox=[0, 0, 60, 60], area=50)
    third['id'] = 1
    content['annotations'].append(dict(id=7, image_id=99, keypoints=FULL))
    options = DatasetOptions(save(tmp_path / 'a.json', content), str(tmp_path))
    for part in prepare_dataset(options).contents:
        assert not find_bad_annotations(part, 3, required=('area', 'iscrowd'))


# Categories.


def choose(content, *wanted):
    return [c['id'] for c in choose_categories(content, list(wanted) or None)]


def test_one_several_or_all_categories_are_chosen():
    content = make(4, categories=(1, 2, 3))
    content['categories'].append(dict(id=4, name='box'))
    assert choose(content, 'kind2') == [2]
    assert choose(content, 'kind3', 'kind1') == [1, 3]
    assert choose(content, 'all') == [1, 2, 3]
    assert choose(make(4)) == [1]
    with pytest.raises(ValueError, match="no category 'cat', expected one of"):
        choose(content, 'kind1', 'cat')
    kept, dropped = select_categories(
        content, choose_categories(content, ['kind2'])
    )
    assert {a['category_id'] for a in kept['annotations']} == {2}
    assert dropped == 4 - len(kept['annotations'])


def test_a_category_without_keypoints_is_not_proposed():
    content = make(2)
    content['categories'].insert(0, dict(id=5, name='box'))
    with pytest.raises(ValueError, match='--category kind1$'):
        choose(content)


def test_each_category_is_in_both_parts():
    rng = np.random.default_rng(0)
    for _ in range(30):
        content = make(int(rng.integers(8, 60)))
        kinds = int(rng.integers(1, 7))
        for annotation in content['annotations']:
            annotation['category_id'] = int(rng.integers(kinds) ** 2)
        parts = hold_out(content, 0.1)
        categories = [
            [a['category_id'] for a in part['annotations']] for part in parts
        ]
        for kind in {*categories[0], *categories[1]}:
            assert kind in categories[0]
            total = sum(c.count(kind) for c in categories)
            assert kind in categories[1] or total == 1


def test_the_validation_part_has_instances_of_a_rare_category(tmp_path):
    content = make(40, categories=(1, 1, 1, 1, 1, 1, 1, 1, 1, 2))
    options = DatasetOptions(
        save(tmp_path / 'a.json', content), str(tmp_path), category='kind2'
    )
    train, val = prepare_dataset(options).contents
    assert len(train['annotations']) == 3
    assert len(val['annotations']) == 1
    assert val['categories'] == [dict(id=1, name='kind2', keypoints=NAMES)]
    both = prepare_dataset(
        DatasetOptions(str(tmp_path / 'a.json'), str(tmp_path), category='all')
    )
    assert [c['name'] for c in both.contents[1]['categories']] == [
        'kind1 kind2'
    ]
    assert 'category kind2: 3 training and 1 validation instances' in (
        both.report
    )
