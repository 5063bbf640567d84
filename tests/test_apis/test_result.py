import sys
import types
from xml.etree import ElementTree

import numpy as np
import pytest

from swahr_mmpose.apis import Result
from swahr_mmpose.apis.result_formats import labelstudio_config

NAMES = ['head', 'hip', 'foot "left"']


def make_result(people=2, **kwargs):
    rng = np.random.default_rng(0)
    given = dict(
        index=4,
        name='a.jpg',
        path=None,
        image=np.zeros((60, 80, 3), np.uint8),
        keypoints=rng.uniform(5, 55, (people, 3, 2)).astype(np.float32),
        keypoint_scores=np.full((people, 3), 0.5, np.float32),
        scores=np.linspace(0.9, 0.4, people).astype(np.float32),
        links=[(0, 1), (1, 2)],
        keypoint_names=NAMES,
    )
    return Result(**{**given, **kwargs})


def test_repr_is_one_line():
    assert repr(make_result()) == (
        "Result('a.jpg', 80x60 px, 2 people, scores 0.90 0.40)"
    )
    assert repr(make_result(0)) == "Result('a.jpg', 80x60 px, 0 people)"
    assert repr(make_result(9)).endswith(' ...)')
    assert len(make_result(9)) == 9


def test_keypoints_that_were_filled_in_are_drawn_on_request_only():
    filled = np.zeros((1, 3), bool)
    filled[0, 2] = True
    points = np.array([[[10, 10], [10, 50], [70, 50]]], np.float32)
    result = make_result(1, keypoints=points, filled=filled)
    assert not result.drawn()[:, 30:].any()
    assert result.drawn()[30, 10].any()
    assert result.drawn(draw_filled=True)[50, 68:72].any()


@pytest.mark.parametrize('method', ['drawn', 'to_labelstudio'])
def test_thresholds_are_scores(method):
    assert len(getattr(make_result(), method)(threshold=1)) > 0
    with pytest.raises(ValueError, match='threshold must be a score .* 0.3'):
        getattr(make_result(), method)(threshold=30)


def test_standard_deviations_are_drawn_as_circles():
    points = np.full((1, 3, 2), 30, np.float32)
    sigmas = np.array([[12.0, np.nan, 2.0]])
    result = make_result(1, keypoints=points, sigmas=sigmas)
    with_circles = result.drawn() != result.drawn(draw_sigmas=False)
    y, x = np.nonzero(with_circles.any(axis=2))
    distances = np.hypot(x - 30, y - 30)
    assert distances.max() == pytest.approx(12, abs=1.5)
    assert (distances > 10).sum() > 30


def test_coco_results_have_boxes_and_columns():
    filled = np.zeros((2, 3), bool)
    filled[1, 0] = True
    sigmas = np.array([[1.23456789, np.nan, 2], [3, 4, 5]])
    first, second = make_result(filled=filled, sigmas=sigmas).to_coco(7)
    assert first['image_id'] == 7
    assert first['keypoint_sigmas'] == [1.23457, None, 2.0]
    assert second['keypoints_filled'] == [1, 0, 0]
    points = np.reshape(first['keypoints'], (3, 3))[:, :2]
    x, y, w, h = first['bbox']
    np.testing.assert_allclose([x, y], points.min(axis=0), atol=2e-3)
    np.testing.assert_allclose([x + w, y + h], points.max(axis=0), atol=2e-3)
    plain = make_result().to_coco()
    assert plain[0]['image_id'] == 4
    assert 'keypoint_sigmas' not in plain[0]
    assert make_result(0).to_coco() == []


def test_a_label_studio_task_groups_keypoints_by_person():
    filled = np.zeros((2, 3), bool)
    filled[0, 1] = True
    scores = np.array([[0.5, 0.5, 0.05], [0.5, 0.5, 0.5]])
    result = make_result(filled=filled, keypoint_scores=scores)
    task = result.to_labelstudio('https://host/a.jpg')
    assert task['data'] == {'image': 'https://host/a.jpg'}
    (prediction,) = task['predictions']
    regions = prediction['result']
    assert len({r['id'] for r in regions}) == len(regions) == 2 + 1 + 3
    people = [r for r in regions if r['type'] == 'rectanglelabels']
    assert [p['score'] for p in people] == pytest.approx([0.9, 0.4])
    (only,) = [r for r in regions if r.get('parentID') == people[0]['id']]
    assert only['value']['keypointlabels'] == ['head']
    # Label Studio's conversion back to pixels.
    x = only['value']['x'] / 100 * only['original_width']
    y = only['value']['y'] / 100 * only['original_height']
    np.testing.assert_allclose([x, y], result.keypoints[0, 0], atol=1e-3)
    empty = make_result(0).to_labelstudio()
    assert empty['data'] == {'image': 'a.jpg'}
    assert empty['predictions'][0]['result'] == []


def test_the_labelling_configuration_has_the_tags_of_the_task():
    root = ElementTree.fromstring(labelstudio_config(NAMES, 'k', 'img'))
    image, boxes, points = root
    assert image.attrib == {'name': 'img', 'value': '$img'}
    assert boxes.get('name') == 'k_bbox'
    assert [label.get('value') for label in points] == NAMES
    task = make_result(1).to_labelstudio(from_name='k', to_name='img')
    for region in task['predictions'][0]['result']:
        tag = boxes if region['type'] == 'rectanglelabels' else points
        assert region['from_name'] == tag.get('name')
        assert region['to_name'] == tag.get('toName') == 'img'


class NewKeyPoints:
    """Signature of supervision 0.29 and later."""

    def __init__(
        self,
        xy,
        class_id=None,
        keypoint_confidence=None,
        detection_confidence=None,
        visible=None,
        data=None,
        *,
        confidence=None,
    ):
        self.__dict__.update(locals())


class OldKeyPoints:
    def __init__(self, xy, class_id=None, confidence=None, data=None):
        self.__dict__.update(locals())


@pytest.mark.parametrize('kind', [NewKeyPoints, OldKeyPoints])
@pytest.mark.parametrize('people', [0, 2])
def test_people_become_keypoints_of_supervision(monkeypatch, kind, people):
    module = types.SimpleNamespace(KeyPoints=kind)
    monkeypatch.setitem(sys.modules, 'supervision', module)
    filled = np.ones((people, 3), bool)
    sigmas = np.ones((people, 3))
    result = make_result(people, filled=filled, sigmas=sigmas)
    found = result.to_supervision()
    np.testing.assert_array_equal(found.xy, result.keypoints)
    assert found.class_id.tolist() == [0] * people
    assert found.data['class_name'].tolist() == ['person'] * people
    assert found.data['keypoint_sigmas'].shape == (people, 3)
    if kind is NewKeyPoints:
        assert found.confidence is None
        np.testing.assert_array_equal(
            found.detection_confidence, result.scores
        )
        assert not found.visible.any()
    else:
        np.testing.assert_array_equal(found.confidence, result.keypoint_scores)


def test_the_installed_supervision_accepts_people():
    supervision = pytest.importorskip('supervision')
    found = make_result(sigmas=np.ones((2, 3))).to_supervision()
    assert isinstance(found, supervision.KeyPoints)
    assert len(found) == 2
    assert len(make_result(0).to_supervision()) == 0


def test_a_missing_supervision_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ImportError, match='pip install supervision'):
        make_result().to_supervision()
