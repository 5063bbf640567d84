"""The COCO metric of bottom-up models evaluates the tested images."""

import json
from types import SimpleNamespace

import pytest
from helpers.datasets import META, make_set, predict
from mmpose.evaluation.metrics import CocoMetric

from swahr_mmpose import BottomupCocoMetric, CheckMetricHook
from swahr_mmpose.engine.schedule import SettingsError


def make_metric(kind, path, **kwargs):
    return kind(
        str(path), use_area=False, score_mode='bbox', nms_mode='none', **kwargs
    )


def evaluate(kind, path, samples):
    metric = make_metric(kind, path)
    metric.dataset_meta = META
    metric.process([], samples)
    return metric.evaluate(len(samples))


def select(content, ids):
    """Select images and their annotations."""
    return dict(
        content,
        images=[i for i in content['images'] if i['id'] in ids],
        annotations=[
            a for a in content['annotations'] if a['image_id'] in ids
        ],
    )


@pytest.fixture
def dataset(tmp_path):
    path, content = make_set(tmp_path, [0.5] * 20)
    return path, content, predict(content)


def test_all_images_score_as_with_the_metric_of_mmpose(dataset):
    path, _, samples = dataset
    ours = evaluate(BottomupCocoMetric, path, samples)
    assert ours == evaluate(CocoMetric, path, samples)
    assert 0.05 < ours['coco/AP'] < 0.95


def test_a_part_scores_as_a_dataset_of_its_own(tmp_path, dataset):
    path, content, samples = dataset
    tested = samples[5:15]
    part = tmp_path / 'part.json'
    ids = {s['img_id'] for s in tested}
    part.write_text(json.dumps(select(content, ids)))
    ours = evaluate(BottomupCocoMetric, path, tested)
    assert ours == evaluate(CocoMetric, part, tested)
    assert (
        ours['coco/AP'] > 1.5 * evaluate(CocoMetric, path, tested)['coco/AP']
    )


def test_an_evaluation_of_a_part_does_not_change_the_next_one(dataset):
    path, _, samples = dataset
    metric = make_metric(BottomupCocoMetric, path)
    metric.dataset_meta = META
    metric.process([], samples[:3])
    metric.evaluate(3)
    metric.process([], samples)
    expected = evaluate(CocoMetric, path, samples)
    assert metric.evaluate(len(samples)) == expected


def test_an_image_that_was_tested_twice_counts_once(dataset):
    path, _, samples = dataset
    once = evaluate(BottomupCocoMetric, path, samples)
    twice = evaluate(BottomupCocoMetric, path, [*samples, samples[0]])
    assert twice == once


def test_images_without_ground_truth_are_named(tmp_path, dataset):
    _, content, samples = dataset
    part = tmp_path / 'part.json'
    part.write_text(json.dumps(select(content, {100, 101})))
    with pytest.raises(ValueError, match=r'18 of 20 .* image 102.*part.json'):
        evaluate(BottomupCocoMetric, part, samples)


class Images:
    """A dataset of images; top-down ones have one sample per person."""

    def __init__(self, ids, bottomup=True):
        self.ids, self.bottomup = ids, bottomup

    def __len__(self):
        return len(self.ids)

    def get_data_info(self, index):
        return dict(img_id=self.ids[index], id=[] if self.bottomup else index)


def check(metric, dataset, stage):
    loader = SimpleNamespace(dataset=dataset)
    evaluator = SimpleNamespace(metrics=[metric])
    runner = SimpleNamespace(
        val_dataloader=loader,
        test_dataloader=loader,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        val_loop=object(),
        _train_loop=None,
    )
    getattr(CheckMetricHook(), stage)(runner)


@pytest.mark.parametrize(
    ('stage', 'split'),
    [('before_train', 'val'), ('before_val', 'val'), ('before_test', 'test')],
)
def test_a_part_is_refused_with_the_metric_of_mmpose(dataset, stage, split):
    metric = make_metric(CocoMetric, dataset[0])
    with pytest.raises(
        SettingsError,
        match=f'does not test 17 .*{split}_evaluator.type=BottomupCocoMetric',
    ):
        check(metric, Images([100, 101, 102]), stage)


def test_what_is_evaluated_correctly_is_accepted(tmp_path, dataset):
    path, part = dataset[0], Images([100, 101, 102])
    metric = make_metric(CocoMetric, path)
    check(metric, Images(list(range(100, 120))), 'before_test')
    # Detections may be missing in images of top-down models.
    check(metric, Images([100, 101], bottomup=False), 'before_test')
    check(make_metric(BottomupCocoMetric, path), part, 'before_test')
    formatting = make_metric(
        CocoMetric,
        path,
        format_only=True,
        outfile_prefix=str(tmp_path / 'results'),
    )
    check(formatting, part, 'before_test')
