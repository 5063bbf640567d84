# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Figures of targets and scale maps during training."""

from __future__ import annotations

from typing import Any, List

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmpose.registry import HOOKS

from swahr_mmpose.datasets.seeding import SeededIndex
from swahr_mmpose.visualization.inspection import inspect_sample, links_of
from swahr_mmpose.visualization.target_figures import (
    figure_to_image,
    scale_figure,
    target_figure,
)

__all__ = ['BottomupVisualizationHook']


@HOOKS.register_module()
class BottomupVisualizationHook(Hook):
    """Draw targets, predictions and scale maps of a few training samples.

    The samples and their augmentation are the same each time. Figures go to
    the runner's visualizer and so to all its ``vis_backends``: files in the
    work directory, TensorBoard, W&B. The hook uses no global random numbers,
    so that it does not change the training.

    Args:
        interval (int): Epochs between figures. Defaults to 10.
        num_samples (int): Number of samples, the first ones of the dataset.
            Defaults to 2.

    Raises:
        ValueError: If an argument is below 1.
    """

    def __init__(self, interval: int = 10, num_samples: int = 2) -> None:
        if interval < 1 or num_samples < 1:
            raise ValueError(
                f'interval is {interval} and num_samples {num_samples}, '
                'expected at least 1 each; to draw nothing, remove the hook '
                'from custom_hooks'
            )
        self.interval = interval
        self.num_samples = num_samples

    def after_train_epoch(self, runner: Any) -> None:
        """Draw in the main process every ``interval`` epochs.

        Args:
            runner (Runner): Runner of the training.
        """
        if not self.every_n_epochs(runner, self.interval):
            return
        if is_main_process():
            self._draw(runner)

    def _draw(self, runner: Any) -> None:
        """Draw figures of all samples and add them to the visualizer."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        dataset = runner.train_dataloader.dataset
        links: List[Any] = links_of(dataset.metainfo)
        for index in range(min(self.num_samples, len(dataset))):
            sample = dataset[SeededIndex(index, (0, 0, index))]
            inspection = inspect_sample(model, sample)
            figures = dict(targets=target_figure(inspection, links))
            if inspection.scale_maps is not None:
                figures['scale_maps'] = scale_figure(inspection, links)
            for name, figure in figures.items():
                runner.visualizer.add_image(
                    f'{name}_{index}',
                    figure_to_image(figure, dpi=70),
                    step=runner.epoch + 1,
                )
