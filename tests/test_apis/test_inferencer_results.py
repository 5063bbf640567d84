"""Options of the inferencer that add to results, or read images otherwise."""

import json

import cv2
import numpy as np
import pytest
from helpers.tools import CONFIG, save_random_weights
from PIL import Image

from swahr_mmpose.apis import Inferencer
from swahr_mmpose.commands.infer import main

SMALL = {
    'test_dataloader.dataset.pipeline.1.input_size': (64, 64),
    'model.head.decoder.input_size': (64, 64),
    'model.head.decoder.heatmap_sizes': [(16, 16), (32, 32)],
    'model.head.decoder.decode_topk': 4,
}
OPTIONS = [f'{key}={value}'.replace(' ', '') for key, value in SMALL.items()]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Random weights that detect people everywhere."""
    return save_random_weights(tmp_path_factory.mktemp('weights'), std=0.2)


def make_inferencer(checkpoint, **kwargs):
    options = {**SMALL, **kwargs.pop('cfg_options', {})}
    return Inferencer(
        CONFIG, checkpoint, 'cpu', threshold=0, cfg_options=options, **kwargs
    )


def make_image():
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (5, 7, 3), np.uint8)
    return cv2.resize(coarse, (90, 70), interpolation=cv2.INTER_CUBIC)


def test_filled_keypoints_are_marked_or_left_away(checkpoint):
    (filled,) = make_inferencer(checkpoint)(make_image())
    (plain,) = make_inferencer(checkpoint, fill_missing=False)(make_image())
    assert filled.filled.any()
    assert not plain.filled.any()
    np.testing.assert_array_equal(filled.scores, plain.scores)
    assert not plain.keypoint_scores[filled.filled].any()
    same = ~filled.filled
    np.testing.assert_array_equal(
        filled.keypoints[same], plain.keypoints[same]
    )


def test_standard_deviations_are_estimated_on_request(checkpoint):
    (plain,) = make_inferencer(checkpoint)(make_image())
    assert plain.sigmas is None
    (result,) = make_inferencer(checkpoint, output_scales=True)(make_image())
    assert result.sigmas.shape == result.keypoint_scores.shape
    found = result.keypoint_scores > 0
    np.testing.assert_array_equal(np.isfinite(result.sigmas), found)
    # s is 1 at the initialization: 2 cells of 2 px, zoom 70 / 64.
    assert result.sigmas[found] == pytest.approx(4 * 70 / 64, rel=1e-3)
    assert result.keypoint_names[0] == 'nose'


@pytest.mark.parametrize('ignore', [None, False, True])
def test_the_orientation_of_the_config_is_used(checkpoint, tmp_path, ignore):
    stored = Image.fromarray(np.zeros((40, 60, 3), np.uint8))
    exif = stored.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    stored.save(tmp_path / 'a.jpg', exif=exif)
    for configured in (True, False):
        key = 'test_dataloader.dataset.pipeline.0.ignore_orientation'
        infer = make_inferencer(
            checkpoint,
            ignore_orientation=ignore,
            cfg_options={key: configured},
        )
        (result,) = infer(tmp_path / 'a.jpg')
        stays = configured if ignore is None else ignore
        assert result.image.shape[:2] == ((40, 60) if stays else (60, 40))


def test_the_tool_writes_columns_and_keeps_folders_apart(
    checkpoint, tmp_path, capsys
):
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'x.png'), make_image())
    main(
        [
            CONFIG, checkpoint, str(tmp_path / 'a'), str(tmp_path / 'b'),
            '--out-file', str(tmp_path / 'p.json'),
            '--out-dir', str(tmp_path / 'out'),
            '--score-thr', '0', '--device', 'cpu', '--output-scales',
            '--draw-filled', '--cfg-options', *OPTIONS,
        ]
    )  # fmt: skip
    images = json.loads((tmp_path / 'p.images.json').read_text())['images']
    assert [i['file_name'] for i in images] == ['a/x.png', 'b/x.png']
    assert {i['id'] for i in images} == {0, 1}
    assert (tmp_path / 'out/b/x.png').is_file()
    people = json.loads((tmp_path / 'p.json').read_text())
    assert people
    for person in people:
        assert len(person['bbox']) == 4
        assert len(person['keypoint_sigmas']) == 17
        assert set(person['keypoints_filled']) <= {0, 1}
    assert any(1 in person['keypoints_filled'] for person in people)
    main(
        [
            CONFIG, checkpoint, str(tmp_path / 'a'), '--no-fill',
            '--out-file', str(tmp_path / 'q.json'),
            '--score-thr', '0', '--device', 'cpu', '--cfg-options', *OPTIONS,
        ]
    )  # fmt: skip
    for person in json.loads((tmp_path / 'q.json').read_text()):
        assert 1 not in person['keypoints_filled']
        assert 'keypoint_sigmas' not in person
