# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Generation of synthetic datasets."""

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swahr_mmpose.commands.make_synthetic_dataset import format_counts, main
from swahr_mmpose.datasets.synthetic import (
    KEYPOINT_NAMES,
    SyntheticConfig,
    is_complete,
    make_synthetic_dataset,
)
from swahr_mmpose.datasets.synthetic.clothed_people import draw_clothed_person
from swahr_mmpose.datasets.synthetic.coco_records import COCO_SIGMAS
from swahr_mmpose.datasets.synthetic.difficulty import reduce_quality
from swahr_mmpose.datasets.synthetic.people import draw_person

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/dataset_tools/make_synthetic_dataset.py'
# 24 images: two without people (7 and 19), three with a crowd (2, 10, 18).
MANY = {
    'num_train': 24,
    'num_val': 2,
    'image_size': (320, 256),
    'min_height': 24,
    'max_height': 240,
    'seed': 3,
}
FEW = {
    'num_train': 3,
    'num_val': 2,
    'image_size': (128, 96),
    'min_height': 20,
    'max_height': 90,
}


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """The folder of a dataset with every kind of image."""
    out = tmp_path_factory.mktemp('synthetic') / 'data'
    make_synthetic_dataset(out, **MANY)
    return out


@pytest.fixture(scope='module')
def coco(dataset):
    """The training annotations of the dataset."""
    return COCO(dataset / 'annotations' / 'person_keypoints_train.json')


@pytest.fixture(scope='module')
def people(coco):
    """The training annotations that are not crowds."""
    return coco.loadAnns(coco.getAnnIds(iscrowd=False))


def read_files(root):
    """All files of a folder, as {relative path: bytes}."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


def keypoints_of(annotation):
    """The keypoints (x, y, v) of an annotation, (17, 3)."""
    return np.array(annotation['keypoints'], float).reshape(17, 3)


def test_same_arguments_give_the_same_files(tmp_path):
    for name in ('one', 'two'):
        make_synthetic_dataset(tmp_path / name, **FEW)
    files = read_files(tmp_path / 'one')
    assert files == read_files(tmp_path / 'two')
    assert sorted(files) == [
        'annotations/person_keypoints_train.json',
        'annotations/person_keypoints_val.json',
        'dataset.json',
        'images/train/000000000001.jpg',
        'images/train/000000000002.jpg',
        'images/train/000000000003.jpg',
        'images/val/000000000004.jpg',
        'images/val/000000000005.jpg',
    ]


def test_another_seed_gives_other_images(tmp_path):
    for seed in (0, 1):
        make_synthetic_dataset(tmp_path / str(seed), **FEW, seed=seed)
    name = 'images/train/000000000001.jpg'
    assert (tmp_path / '0' / name).read_bytes() != (
        tmp_path / '1' / name
    ).read_bytes()


def test_an_image_depends_on_seed_split_and_index_only(tmp_path):
    make_synthetic_dataset(tmp_path / 'few', **FEW)
    make_synthetic_dataset(tmp_path / 'more', **{**FEW, 'num_train': 5})
    few, more = (read_files(tmp_path / n) for n in ('few', 'more'))
    for index in (1, 2, 3):
        name = f'images/train/{index:012d}.jpg'
        assert few[name] == more[name]
    assert (
        few['images/val/000000000004.jpg']
        == more['images/val/000000000006.jpg']
    )
    assert (
        few['images/train/000000000001.jpg']
        != few['images/val/000000000004.jpg']
    )


def test_annotations_load_in_pycocotools_and_match_the_images(dataset, coco):
    assert len(coco.imgs) == MANY['num_train']
    assert coco.cats[1]['keypoints'] == KEYPOINT_NAMES
    assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))
    for image_id, image in coco.imgs.items():
        assert image['file_name'] == f'{image_id:012d}.jpg'
        pixels = cv2.imread(
            str(dataset / 'images' / 'train' / image['file_name'])
        )
        assert pixels.shape == (image['height'], image['width'], 3)
        assert (image['width'], image['height']) == MANY['image_size']


def test_image_ids_are_unique_across_the_splits(dataset, coco):
    val = json.loads(
        (dataset / 'annotations' / 'person_keypoints_val.json').read_text()
    )
    assert not {i['id'] for i in val['images']} & set(coco.imgs)


def test_keypoints_lie_in_the_box_and_the_image(people):
    width, height = MANY['image_size']
    assert people
    for person in people:
        x, y, w, h = person['bbox']
        assert min(x, y, width - x - w, height - y - h) >= 0
        points = keypoints_of(person)
        labelled = points[points[:, 2] > 0]
        assert len(labelled) == person['num_keypoints'] > 0
        assert (labelled[:, :2] >= (x, y)).all()
        assert (labelled[:, :2] <= (x + w, y + h)).all()
        assert not points[points[:, 2] == 0].any()


def test_every_person_has_visible_keypoints(people):
    shares = [(keypoints_of(p)[:, 2] == 2).mean() for p in people]
    assert min(shares) >= 0.3


def test_segmentations_cover_the_area_and_contain_the_keypoints(coco, people):
    for person in people:
        mask = coco.annToMask(person).astype(np.uint8)
        # A polygon runs through the centres of the border's pixels and
        # excludes half of these; holes are filled.
        assert 0.6 < mask.sum() / person['area'] < 1.5
        mask = cv2.dilate(mask, np.ones((3, 3), np.uint8))
        x, y, v = keypoints_of(person).T
        column, row = (np.rint(c[v > 0]).astype(int) for c in (x, y))
        assert mask[row, column].mean() > 0.9


def test_a_visible_keypoint_has_its_marker(dataset, coco, people):
    # The right wrist is a bright blue disc, with a dot if large enough.
    wrist = KEYPOINT_NAMES.index('right_wrist')
    values = []
    for person in people:
        x, y, v = keypoints_of(person)[wrist].round().astype(int)
        if v == 2 and person['bbox'][3] > 80:
            name = coco.imgs[person['image_id']]['file_name']
            image = cv2.imread(str(dataset / 'images' / 'train' / name))
            around = image[max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6]
            blue, green, red = np.moveaxis(around.astype(int), -1, 0)
            values.append((blue - np.maximum(green, red)).max())
    assert len(values) > 5
    assert np.mean(np.array(values) > 80) > 0.9


def test_sizes_span_the_range(people):
    heights = [p['bbox'][3] for p in people if p['num_keypoints'] == 17]
    # Bent legs reduce the standing height.
    assert min(heights) < 1.5 * MANY['min_height']
    assert max(heights) > 0.7 * MANY['max_height']


def test_a_crowd_is_one_rle_mask_without_keypoints(coco):
    crowds = coco.loadAnns(coco.getAnnIds(iscrowd=True))
    assert [c['image_id'] - 1 for c in crowds] == [2, 10, 18]
    for crowd in crowds:
        rle = mask_utils.frPyObjects(
            crowd['segmentation'], *MANY['image_size'][::-1]
        )
        assert mask_utils.area(rle) == crowd['area'] > 0
        assert mask_utils.toBbox(rle).tolist() == crowd['bbox']
        assert crowd['num_keypoints'] == 0
        assert crowd['keypoints'] == [0] * 51


def test_some_images_have_no_instance(coco):
    empty = [i - 1 for i in coco.imgs if not coco.getAnnIds(imgIds=[i])]
    assert {7, 19} <= set(empty)
    assert len(empty) <= 4


def test_some_keypoints_are_hidden_and_most_are_visible(people):
    flags = np.concatenate([keypoints_of(p)[:, 2] for p in people])
    assert (flags == 1).any()
    assert (flags == 2).mean() > 0.8


def test_a_directory_with_files_is_refused(tmp_path):
    (tmp_path / 'mine.txt').write_text('keep')
    with pytest.raises(FileExistsError, match='choose another'):
        make_synthetic_dataset(tmp_path, **FEW)
    with pytest.raises(FileExistsError, match='remove it yourself'):
        make_synthetic_dataset(tmp_path, **FEW, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ['mine.txt']


def test_overwrite_replaces_a_dataset(tmp_path):
    make_synthetic_dataset(tmp_path / 'data', **FEW)
    make_synthetic_dataset(tmp_path / 'data', **FEW, seed=1, overwrite=True)
    assert is_complete(tmp_path / 'data', **FEW, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == ['data']


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / 'data').mkdir()
    make_synthetic_dataset(tmp_path / 'data', **FEW)
    assert is_complete(tmp_path / 'data', **FEW)


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_behind(tmp_path, error):

    def fail(done, total):
        if done == 2:
            raise error

    with pytest.raises(error):
        make_synthetic_dataset(tmp_path / 'data', **FEW, progress=fail)
    assert not list(tmp_path.iterdir())


def test_a_failure_keeps_the_dataset_to_overwrite(tmp_path):
    make_synthetic_dataset(tmp_path / 'data', **FEW)
    before = read_files(tmp_path)

    def fail(done, total):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        make_synthetic_dataset(
            tmp_path / 'data', **FEW, overwrite=True, progress=fail
        )
    assert read_files(tmp_path) == before


def test_progress_counts_up_to_the_total(tmp_path):
    calls = []
    make_synthetic_dataset(
        tmp_path / 'data', **FEW, progress=lambda *call: calls.append(call)
    )
    assert calls == [(n, 5) for n in (1, 2, 3, 4, 5)]


def test_is_complete_requires_the_same_arguments_and_all_files(tmp_path):
    out = tmp_path / 'data'
    assert not is_complete(out, **FEW)
    make_synthetic_dataset(out, **FEW)
    assert is_complete(out, **FEW)
    assert is_complete(out, **{**FEW, 'image_size': [128, 96]})
    assert not is_complete(out, **FEW, seed=1)
    assert not is_complete(out)
    (out / 'images' / 'val' / '000000000004.jpg').unlink()
    assert not is_complete(out, **FEW)


@pytest.mark.parametrize('content', ['', '[]', '{}', '{"arguments": 1}'])
def test_is_complete_rejects_an_invalid_record(tmp_path, content):
    (tmp_path / 'dataset.json').write_text(content)
    assert not is_complete(tmp_path, **FEW)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_train': -1}, r'\(-1, 48, 0\), expected integers of at least 0'),
        ({'num_val': 1.5}, 'expected integers'),
        ({'seed': -3}, 'expected integers'),
        ({'image_size': (512,)}, 'expected two integers'),
        ({'min_height': 4}, 'min_height 4 .* expected 16 <= min_height'),
        ({'min_height': 90, 'max_height': 80}, 'min_height <= max_height'),
        ({'max_height': 500}, 'max_height <= 360, the height of the images'),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(
    tmp_path, wrong, message
):
    with pytest.raises(ValueError, match=message):
        make_synthetic_dataset(tmp_path / 'data', **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('size', [(64, 64), (64, 416), (416, 64)])
def test_unusual_image_shapes_work(tmp_path, size):
    counts = make_synthetic_dataset(
        tmp_path / 'data',
        num_train=4,
        num_val=0,
        image_size=size,
        max_height=size[1],
    )['train']
    assert counts['images'] == 4


def run_tool(*arguments):
    """Run the tool as from a checkout; return the finished process."""
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        env={**os.environ, 'PYTHONPATH': path},
        capture_output=True,
        text=True,
    )


def test_the_tool_writes_a_dataset_and_prints_its_path(tmp_path):
    out = tmp_path / 'data'
    done = run_tool(out, '--num-train', 4, '--num-val', 2)
    assert done.returncode == 0, done.stderr
    assert f'Wrote {out}' in done.stdout
    assert 'train: 4 images' in done.stdout
    assert is_complete(out, num_train=4, num_val=2)


def test_the_tool_overwrites_another_dataset_only(tmp_path, capsys):
    out, few = tmp_path / 'data', ['--num-train', '1', '--num-val', '1']
    main([str(out), *few])
    main([str(out), *few, '--overwrite'])
    assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='pass overwrite'):
        main([str(out), *few, '--seed', '1'])
    main([str(out), *few, '--seed', '1', '--overwrite'])
    assert is_complete(out, num_train=1, num_val=1, seed=1)


@pytest.mark.parametrize(
    ('crowds', 'text'),
    [
        (0, '9 images, 20 beetles'),
        (1, '9 images, 21 annotations (20 beetles, 1 crowd)'),
        (64, '9 images, 84 annotations (20 beetles, 64 crowds)'),
    ],
)
def test_crowds_are_counted_as_annotations(crowds, text):
    counts = dict(images=9, people=20, crowds=crowds)
    assert format_counts(counts, 'beetles') == text


def test_the_help_has_examples_and_the_defaults_of_the_function():
    done = run_tool('--help')
    assert done.returncode == 0, done.stderr
    assert 'Examples:' in done.stdout
    for field in dataclasses.fields(SyntheticConfig):
        assert '--' + field.name.replace('_', '-') in done.stdout
        if field.default is not False:  # flags print none
            assert f'(default: {field.default})' in done.stdout


NOISY = {**FEW, 'num_train': 6, 'num_val': 3, 'image_size': (320, 256)}


def make(folder, **arguments):
    """Make a dataset and return its annotations by split, and its files."""
    make_synthetic_dataset(folder, **{**NOISY, **arguments})
    return {
        split: json.loads(
            (folder / f'annotations/person_keypoints_{split}.json').read_text()
        )['annotations']
        for split in ('train', 'val')
    }, read_files(folder / 'images')


def test_annotation_noise_moves_the_labels_of_the_training_set_only(tmp_path):
    clean, images = make(tmp_path / 'clean')
    noisy, same_images = make(tmp_path / 'noisy', annotation_noise=1)
    assert images == same_images
    assert noisy['val'] == clean['val']
    assert noisy['train'] != clean['train']
    for one, other in zip(clean['train'], noisy['train']):
        assert one['area'] == other['area']
        assert one['segmentation'] == other['segmentation']
        visible = [keypoints_of(a)[:, 2].tolist() for a in (one, other)]
        assert visible[0] == visible[1]


def test_annotation_noise_is_that_of_oks(tmp_path):
    """Standard deviation sigma_k * sqrt(area) in x and in y."""
    data = {'num_train': 40, 'num_val': 0, 'max_height': 120}
    clean, _ = make(tmp_path / 'clean', **data)
    noisy, _ = make(tmp_path / 'noisy', **data, annotation_noise=0.5)
    offsets = []
    for one, other in zip(clean['train'], noisy['train']):
        if one['iscrowd']:
            continue
        before, after = keypoints_of(one), keypoints_of(other)
        kept = (before[:, 2] > 0) & (after[:, :2] > 0).all(1)
        unit = np.sqrt(one['area']) * np.array(COCO_SIGMAS)[:, None]
        offsets.append(((after - before)[:, :2] / unit)[kept])
    offsets = np.concatenate(offsets)
    assert len(offsets) > 500
    assert abs(offsets.mean()) < 0.05
    np.testing.assert_allclose(offsets.std(axis=0), 0.5, rtol=0.15)


def test_noisy_labels_stay_in_the_image_and_in_their_box(tmp_path):
    noisy, _ = make(tmp_path / 'noisy', annotation_noise=20)
    for annotation in noisy['train']:
        points = keypoints_of(annotation)
        x, y = points[points[:, 2] > 0, :2].T
        left, top, width, height = annotation['bbox']
        assert ((x >= 0) & (x <= 319) & (y >= 0) & (y <= 255)).all()
        assert ((x >= left) & (x <= left + width)).all()
        assert ((y >= top) & (y <= top + height)).all()


def test_small_people_lose_contrast_and_sharpness():
    rng = np.random.default_rng(0)
    person = draw_person(rng, 100, 0.0)
    colours, alpha = np.split(person.layer.astype(float), [3], axis=2)
    assert reduce_quality(person, 0) is person
    worst = reduce_quality(person, 1)
    faded, thin = np.split(worst.layer.astype(float), [3], axis=2)
    inside = cv2.erode(alpha, np.ones((9, 9))) > 0
    assert faded[inside].std() < 0.6 * colours[inside].std()
    assert ((thin > 0) & (thin < 255)).sum() > (
        2 * ((alpha > 0) & (alpha < 255)).sum()
    )
    np.testing.assert_array_equal(worst.keypoints, person.keypoints)


def test_the_tallest_people_keep_their_quality(tmp_path):
    equal = {'min_height': 90, 'max_height': 90}
    _, images = make(tmp_path / 'plain', **equal)
    assert make(tmp_path / 'same', **equal, small_difficulty=1)[1] == images
    _, images = make(tmp_path / 'sizes')
    assert make(tmp_path / 'hard', small_difficulty=1)[1] != images


def test_clothed_people_have_no_markers_and_a_darker_left_side():
    rng = np.random.default_rng(0)
    brighter = []
    for tint in np.linspace(0, 1, 6):
        person = draw_clothed_person(rng, 300, tint)
        x, y = np.rint(person.keypoints).astype(int).T
        colours = person.layer[y, x, :3].astype(int).max(axis=1)
        # Thighs, as far as no arm hides them.
        brighter.append(colours[12] > colours[11])
        assert person.keypoints.shape == (17, 2)
        assert person.silhouette[y, x].mean() > 0.9
    assert np.mean(brighter) > 0.6


def test_clothed_people_are_people_for_coco(tmp_path):
    records, _ = make(tmp_path / 'clothed', kind='clothed_people')
    plain, _ = make(tmp_path / 'people')
    assert records['train'] != plain['train']
    assert records['train'][0].keys() == plain['train'][0].keys()
    assert any(a['iscrowd'] for a in records['train'])
    assert is_complete(tmp_path / 'clothed', **NOISY, kind='clothed_people')
    assert not is_complete(tmp_path / 'clothed', **NOISY)


def test_no_image_has_more_people_than_the_maximum(tmp_path):
    people = {}
    for number in (1, 3, 6):
        out = tmp_path / str(number)
        make_synthetic_dataset(
            out, num_train=24, num_val=0, kind='beetles', max_people=number
        )
        path = out / 'annotations/beetle_keypoints_train.json'
        document = json.loads(path.read_text())
        counts = Counter(a['image_id'] for a in document['annotations'])
        people[number] = sorted(set(counts.values()))
    assert people[1] == [1]
    assert people[3] == [1, 2, 3]
    assert max(people[6]) > 4


def test_the_maximum_is_part_of_the_dataset(tmp_path):
    make(tmp_path / 'a', max_people=2)
    assert is_complete(tmp_path / 'a', **NOISY, max_people=2)
    assert not is_complete(tmp_path / 'a', **NOISY)


def test_arguments_must_be_in_range(tmp_path):
    for arguments in (
        {'annotation_noise': -1},
        {'small_difficulty': 1.5},
        {'max_people': 0},
        {'max_people': 7},
        {'max_people': 2.0},
    ):
        with pytest.raises(ValueError, match='got (annot|small|max_people)'):
            make_synthetic_dataset(tmp_path / 'a', **FEW, **arguments)
    assert not (tmp_path / 'a').exists()


def test_other_noise_is_another_dataset(tmp_path):
    make(tmp_path / 'a', annotation_noise=1)
    assert is_complete(tmp_path / 'a', **NOISY, annotation_noise=1)
    assert not is_complete(tmp_path / 'a', **NOISY, annotation_noise=2)
    assert not is_complete(tmp_path / 'a', **NOISY)


def test_the_constants_are_those_of_pycocotools():
    expected = COCOeval(iouType='keypoints').params.kpt_oks_sigmas
    np.testing.assert_allclose(COCO_SIGMAS, expected)
