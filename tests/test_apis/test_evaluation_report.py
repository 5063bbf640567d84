"""A report shows what the metric evaluated."""

import base64
import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from helpers.tools import CONFIG, ann, data_options
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from PIL import Image

from swahr_mmpose.apis.evaluation_report import (
    _find_filled,
    _show_scales,
    _split_metrics,
)
from swahr_mmpose.commands.report import _read_results, main
from swahr_mmpose.evaluation.scale_statistics import PersonScales

IGNORE = 'ignore_orientation'

SECTIONS = [
    'Precision and recall',
    'AP by size',
    'AP by number of people in the image',
    'Kinds of keypoint errors',
    'Worst images',
]


def report(data, folder, *arguments, options=()):
    """Run the command; return the page and its section titles."""
    out = folder / 'report.html'
    main(
        [
            CONFIG,
            *map(str, arguments),
            '--out-file',
            str(out),
            '--work-dir',
            str(folder / 'work'),
            '--cfg-options',
            *data_options(data),
            *options,
        ]
    )
    page = out.read_text(encoding='utf-8')
    return page, re.findall('<h2>(.*?)</h2>', page)


@pytest.fixture
def results(synthetic, tmp_path):
    """The ground truth of the synthetic test set, as a result file."""
    content = json.loads(open(ann(synthetic)).read())
    path = tmp_path / 'truth.keypoints.json'
    path.write_text(
        json.dumps(
            [
                dict(
                    image_id=a['image_id'],
                    category_id=a['category_id'],
                    keypoints=a['keypoints'],
                    score=0.9,
                )
                for a in content['annotations']
                if not a['iscrowd'] and a['num_keypoints']
            ]
        )
    )
    return path


def test_ground_truth_as_prediction_is_perfect(synthetic, tmp_path, results):
    page, titles = report(synthetic, tmp_path, '--results', results)
    assert titles == SECTIONS
    assert page.count('<b>1.000</b>AP</div>') == 1
    assert 'coco/AP' not in page
    (total,) = re.findall('<tr><td>all</td>(.*?)</tr>', page)
    good, *errors = map(int, re.findall(r'<td>(\d+)</td>', total))
    assert good > 0
    assert errors == [0, 0, 0, 0]
    captions = re.findall('<figcaption>(.*?)</figcaption>', page)
    assert captions
    assert all(
        'score 1.00' in c and '0 missed, 0 false' in c for c in captions
    )


@pytest.mark.parametrize(
    ('names', 'rows', 'others'),
    [
        (
            ['coco/AP', 'coco/AP (M)', 'coco/AR', 'coco/AR .5'],
            [['AP', 'AP (M)'], ['AR', 'AR .5']],
            [],
        ),
        (
            ['crowdpose/AP', 'crowdpose/AR', 'crowdpose/AP(E)'],
            [['AP', 'AP(E)'], ['AR']],
            [],
        ),
        (['PCK', 'x/AUC'], [[], []], ['PCK', 'x/AUC']),
        (
            ['all/AP', 'small/AP', 'all/AR'],
            [['all/AP', 'small/AP'], ['AR']],
            [],
        ),
    ],
)
def test_each_metric_is_shown_once(names, rows, others):
    metrics = dict.fromkeys(names, 0.25)
    headline, rest = _split_metrics(metrics)
    assert [[name for name, _ in row] for row in headline] == rows
    assert rest == [(name, '0.250') for name in others]


def test_the_number_of_images_can_be_bounded(synthetic, tmp_path, results):
    page, _ = report(
        synthetic, tmp_path, '--results', results, '--max-images', 2,
        '--num-worst', 1,
    )  # fmt: skip
    assert '<dt>images</dt><dd>2</dd>' in page
    assert page.count('<figure>') == 1


@pytest.mark.slow
def test_a_checkpoint_is_tested_first(synthetic, tmp_path):
    init_default_scope('mmpose')
    model = MODELS.build(Config.fromfile(CONFIG).model)
    model.init_weights()
    checkpoint = tmp_path / 'random.pth'
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    page, titles = report(synthetic, tmp_path, checkpoint)
    assert titles == [*SECTIONS, 'Learned scales', 'Speed']
    assert 'images per second on cpu' in page
    assert str(checkpoint) in page


def test_other_files_are_refused_in_a_sentence(
    synthetic, tmp_path, results, capsys
):
    with pytest.raises(SystemExit, match='not a file of COCO results'):
        report(synthetic, tmp_path, '--results', ann(synthetic))
    content = json.loads(results.read_text())
    results.write_text(json.dumps([dict(content[0], image_id=999)]))
    with pytest.raises(SystemExit, match='image 999, are not in'):
        report(synthetic, tmp_path, '--results', results)
    with pytest.raises(SystemExit, match='no checkpoint for .*swahr_'):
        report(synthetic, tmp_path)
    with pytest.raises(SystemExit) as failure:
        report(synthetic, tmp_path, 'a.pth', '--results', results)
    assert failure.value.code == 2
    assert 'a checkpoint or --results FILE' in capsys.readouterr().err


def test_keypoints_that_were_filled_in_are_found_in_any_order():
    points = np.random.default_rng(0).uniform(0, 100, (3, 4, 2))
    filled = np.zeros((3, 4), bool)
    filled[0, 1] = filled[2, 3] = True
    found = _find_filled(points[[2, 0]] + 1e-3, points, filled)
    assert found.tolist() == filled[[2, 0]].tolist()


def decode_first_image(page):
    """Decode the first image pair of the gallery."""
    data = re.search('data:image/jpeg;base64,([^"]+)', page)[1]
    return cv2.imdecode(
        np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR
    )


@pytest.mark.parametrize('ignored', [True, False])
def test_images_are_drawn_in_the_frame_of_the_annotations(
    synthetic, tmp_path, results, ignored
):
    data = tmp_path / 'turned'
    shutil.copytree(synthetic, data)
    content = json.loads(open(ann(data)).read())
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    for image in content['images']:
        path = data / 'images/val' / image['file_name']
        Image.open(path).save(path, exif=exif)
        if not ignored:
            image.update(width=image['height'], height=image['width'])
    for annotation in content['annotations']:
        annotation['segmentation'] = []  # masks have the size of the image
    with open(ann(data), 'w') as stream:
        json.dump(content, stream)
    page, _ = report(
        data, tmp_path, '--results', results, '--num-worst', 1,
        options=[f'test_dataloader.dataset.pipeline.0.{IGNORE}={ignored}'],
    )  # fmt: skip
    height, width = decode_first_image(page).shape[:2]
    # Images of 160 x 128 pixels, side by side with a gap.
    assert (height, width) == ((128, 326) if ignored else (160, 262))


def test_scales_that_are_not_finite_are_left_out():
    people = PersonScales(
        np.array([10.0, 20, 30, 40]),
        np.array([[1, np.nan, 1.1, 1.2], [1, 1, np.inf, 1.3], [1, 1, 1, 1.4]]),
        *np.ones((3, 3, 4)),
    )
    section = _show_scales(people, [4, 2, 1])
    assert section.note.startswith('Scale s of 2 annotated people')
    assert section.note.endswith('1.00 at 1/4, 1.00 at 1/2, 1.00 at 1/1.')


def test_without_a_finite_scale_there_is_no_section_of_them(
    synthetic, tmp_path, results, monkeypatch
):
    people = PersonScales(
        np.array([10.0, 20]), np.full((2, 2), np.nan), *np.ones((3, 2, 2))
    )
    monkeypatch.setattr(
        'swahr_mmpose.commands.report._read_results',
        lambda *args: _read_results(*args)._replace(
            scales=people, strides=[4, 2]
        ),
    )
    _, titles = report(synthetic, tmp_path, '--results', results)
    assert titles == SECTIONS
