import contextlib
import io
import json

import numpy as np
import pytest
from helpers.datasets import META, evaluate, make_set, predict
from mmpose.datasets import CrowdPoseDataset  # noqa: F401  (its sigmas)
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from swahr_mmpose import CrowdPoseMetric
from swahr_mmpose.evaluation.crowdpose_metric import split_by_crowd_index

NAMES = (
    'AP',
    'AP .5',
    'AP .75',
    'AR',
    'AR .5',
    'AR .75',
    'AP(E)',
    'AP(M)',
    'AP(H)',
)


def evaluate_with_xtcocotools(path, samples):
    """Evaluate with xtcocotools, which equals crowdposetools."""
    results = [
        dict(
            image_id=s['img_id'],
            category_id=1,
            keypoints=np.concatenate([k, c[:, None]], 1).reshape(-1).tolist(),
            score=float(b),
        )
        for s in samples
        for k, c, b in zip(
            s['pred_instances']['keypoints'],
            s['pred_instances']['keypoint_scores'],
            s['pred_instances']['bbox_scores'],
        )
    ]
    result_file = path.parent / 'results.json'
    result_file.write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        evaluation = COCOeval(
            coco,
            coco.loadRes(str(result_file)),
            'keypoints_crowd',
            META['sigmas'],
            use_area=False,
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats))


@pytest.mark.parametrize('seed', range(4))
def test_the_full_set_scores_as_with_xtcocotools(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path, content = make_set(tmp_path, rng.random(20), seed)
    samples = predict(content, seed)
    ours = evaluate(path, samples)
    theirs = evaluate_with_xtcocotools(path, samples)
    assert tuple(ours) == NAMES
    for name in NAMES:  # xtcocotools rounds the splits to four digits
        tolerance = 5.1e-5 if name.endswith(')') else 1e-12
        assert ours[name] == pytest.approx(theirs[name], abs=tolerance)
    assert 0.05 < ours['AP'] < 0.95


def test_a_part_of_the_set_scores_as_a_set_of_its_own(tmp_path):
    rng = np.random.default_rng(0)
    path, content = make_set(tmp_path, rng.random(20))
    samples = predict(content)[5:15]
    ours = evaluate(path, samples)
    ids = {s['img_id'] for s in samples}
    part = dict(
        content,
        images=[i for i in content['images'] if i['id'] in ids],
        annotations=[
            a for a in content['annotations'] if a['image_id'] in ids
        ],
    )
    (tmp_path / 'part').mkdir()
    part_path = tmp_path / 'part/crowdpose.json'
    part_path.write_text(json.dumps(part))
    theirs = evaluate_with_xtcocotools(part_path, samples)
    for name in NAMES:
        assert ours[name] == pytest.approx(theirs[name], abs=5.1e-5)


def test_a_split_without_images_is_not_defined_and_changes_nothing(tmp_path):
    path, content = make_set(tmp_path, [0.1] * 6 + [0.5] * 6)
    samples = predict(content)
    ours = evaluate(path, samples)
    assert ours['AP(H)'] == 'not defined'
    theirs = evaluate_with_xtcocotools(path, samples)
    assert theirs['AP(H)'] == -1  # looks like a broken model
    for name in ('AP', 'AP(E)', 'AP(M)'):
        assert ours[name] == pytest.approx(theirs[name], abs=5.1e-5)


def test_without_any_prediction_ap_is_zero(tmp_path):
    path, content = make_set(tmp_path, [0.1, 0.5, 0.9] * 4)
    samples = predict(content)
    for sample in samples:
        instances = sample['pred_instances']
        sample['pred_instances'] = {k: v[:0] for k, v in instances.items()}
    ours = evaluate(path, samples)
    assert ours['AP'] == ours['AP(E)'] == ours['AP(H)'] == 0


def test_images_without_people_alone_leave_ap_undefined(tmp_path):
    path, content = make_set(tmp_path, [0.1, 0.5, 0.9])
    content['annotations'] = []
    path.write_text(json.dumps(content))
    ours = evaluate(path, predict(content))
    assert set(ours.values()) == {'not defined'}


def test_a_missing_crowd_index_is_named(tmp_path):
    path, content = make_set(tmp_path, [0.1, 0.5, 0.9])
    del content['images'][1]['crowdIndex']
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='1 of 3 images .* image 101'):
        CrowdPoseMetric(str(path))


def test_limits_belong_to_the_more_crowded_split():
    indices = dict(enumerate([0.0, 0.19, 0.2, 0.79, 0.8, 1.0]))
    assert split_by_crowd_index(indices, indices) == dict(
        E=[0, 1], M=[2, 3], H=[4, 5]
    )


def test_an_image_that_was_tested_twice_counts_once(tmp_path):
    path, content = make_set(tmp_path, [0.1, 0.5, 0.9] * 4)
    samples = predict(content)
    assert evaluate(path, samples + samples[:5]) == evaluate(path, samples)
