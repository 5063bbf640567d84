# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Hook that checks which images a metric evaluates."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import HOOKS

from swahr_mmpose.engine.schedule import SettingsError
from swahr_mmpose.evaluation import BottomupCocoMetric

__all__ = ['CheckMetricHook']


@HOOKS.register_module()
class CheckMetricHook(Hook):
    """Refuse a metric that counts people of untested images as missed.

    MMPose's ``CocoMetric`` evaluates all images of its annotation file. If
    the dataset of a bottom-up model has only some of them, its values are too
    low. ``BottomupCocoMetric`` evaluates the tested images.
    """

    def before_train(self, runner: Any) -> None:
        """Check the metrics of the validation.

        Args:
            runner (Runner): Runner of the training.

        Raises:
            SettingsError: If a metric evaluates untested images.
        """
        if runner.val_loop is not None:
            _check_metrics(runner.val_dataloader, runner.val_evaluator, 'val')

    def before_val(self, runner: Any) -> None:
        """Check the metrics of a validation without training.

        Args:
            runner (Runner): Runner of the validation.

        Raises:
            SettingsError: If a metric evaluates untested images.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            _check_metrics(runner.val_dataloader, runner.val_evaluator, 'val')

    def before_test(self, runner: Any) -> None:
        """Check the metrics of the test.

        Args:
            runner (Runner): Runner of the test.

        Raises:
            SettingsError: If a metric evaluates untested images.
        """
        _check_metrics(runner.test_dataloader, runner.test_evaluator, 'test')


def _check_metrics(loader: Any, evaluator: Any, split: str) -> None:
    """Check the metrics of an evaluator; ``split`` is for the message."""
    metrics = [
        metric
        for metric in evaluator.metrics
        if isinstance(metric, CocoMetric)
        and not isinstance(metric, BottomupCocoMetric)
        and metric.coco is not None
        and not metric.format_only
    ]
    if not (metrics and hasattr(loader.dataset, 'get_data_info')):
        return
    infos = map(loader.dataset.get_data_info, range(len(loader.dataset)))
    # Top-down models are not tested on images without detections.
    tested = {
        info['img_id']
        for info in infos
        if 'img_id' in info and isinstance(info.get('id'), (list, tuple))
    }
    for metric in metrics:
        missing = len(set(metric.coco.imgs) - tested)
        if tested and missing:
            raise SettingsError(
                f'{split}_evaluator: {type(metric).__name__} evaluates all '
                f'{len(metric.coco.imgs)} images of {metric.ann_file}, but '
                f'{split}_dataloader does not test {missing} of them, whose '
                'people would count as missed. Add --cfg-options '
                f'{split}_evaluator.type=BottomupCocoMetric'
            )
