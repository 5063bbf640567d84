import contextlib
import io
import json

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from pycocotools.coco import COCO

from swahr_mmpose.evaluation.coco_results import (
    CocoResultsWriter,
    image_ids,
    images_file,
    results_of,
)

META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))


def people(n, image_id=7):
    rng = np.random.default_rng(n)
    return results_of(
        image_id,
        rng.uniform(0, 100, (n, 17, 2)).astype(np.float32),
        rng.uniform(0, 1, (n, 17)).astype(np.float32),
        rng.uniform(0, 1, n).astype(np.float32),
    )


def test_names_that_are_numbers_are_ids():
    assert image_ids(['a/000000000139.jpg', '7.png']) == [139, 7]
    assert image_ids([]) == []
    for names in (['1.jpg', 'b.jpg'], ['1.jpg', '01.png'], ['-1.jpg'], ['²']):
        assert image_ids(names) is None


def test_results_hold_x_y_score_of_each_keypoint():
    keypoints = np.arange(34.0).reshape(1, 17, 2) + 0.12349
    scores = np.linspace(0, 1, 17)[None]
    (person,) = results_of(3, keypoints, scores, np.array([0.5]))
    triples = np.reshape(person['keypoints'], (17, 3))
    np.testing.assert_allclose(triples[:, :2], keypoints[0], atol=5e-4)
    np.testing.assert_allclose(triples[:, 2], scores[0], atol=5e-7)
    assert {k: v for k, v in person.items() if k != 'keypoints'} == dict(
        image_id=3, category_id=1, score=0.5, bbox=[2.123, 3.123, 30, 30]
    )  # the first keypoint is missing
    assert people(0) == []


def test_coco_reads_images_and_results(tmp_path):
    path = str(tmp_path / 'new/a.json')
    with CocoResultsWriter(path, META) as results:
        results.write(7, 'a.jpg', (40, 30), people(2))
        results.write(9, 'b.jpg', (50, 20), people(0, 9))
        results.write(12, 'c.jpg', (50, 20), people(3, 12))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(images_file(path))
        results = coco.loadRes(path)
    assert sorted(coco.imgs) == [7, 9, 12]
    assert coco.imgs[9]['width'] == 50
    assert len(results.getAnnIds(imgIds=[7])) == 2
    assert len(results.getAnnIds(imgIds=[9])) == 0
    assert json.loads((tmp_path / 'new/a.json').read_text()) == [
        *people(2), *people(3, 12)
    ]  # fmt: skip
    (category,) = coco.loadCats(1)
    assert category['keypoints'][0] == 'nose'
    assert min(min(link) for link in category['skeleton']) == 1


@pytest.mark.parametrize('images', [0, 2])
def test_no_instances_are_an_empty_list(tmp_path, images):
    path = str(tmp_path / 'a.json')
    with CocoResultsWriter(path, META) as results:
        for n in range(images):
            results.write(n, f'{n}.jpg', (40, 30), [])
    assert json.loads((tmp_path / 'a.json').read_text()) == []
    table = json.loads((tmp_path / 'a.images.json').read_text())
    assert len(table['images']) == images


def stop_within(path):
    with CocoResultsWriter(path, META) as results:
        results.write(7, 'a.jpg', (40, 30), people(2))
        raise KeyboardInterrupt


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('old')
    with pytest.raises(KeyboardInterrupt):
        stop_within(str(path))
    assert [p.name for p in tmp_path.iterdir()] == ['a.json']
    assert path.read_text() == 'old'


def test_results_go_into_json_files():
    with pytest.raises(ValueError, match='json file, got a.txt'):
        CocoResultsWriter('a.txt', META)
