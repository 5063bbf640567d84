# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""COCO metric of bottom-up models, for a complete dataset or a part of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Collection, Dict, Iterator, List

from mmengine.logging import MMLogger
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

__all__ = ['BottomupCocoMetric', 'restrict_images']


@contextmanager
def restrict_images(coco: Any, image_ids: Collection[int]) -> Iterator[None]:
    """Restrict ``COCO.getImgIds`` to some images within the context.

    ``COCOeval`` evaluates the images that it returns.

    Args:
        coco (COCO): Ground truth.
        image_ids (Collection[int]): Ids of images of ``coco``.
    """
    images, selected = coco.imgs, set(image_ids)
    coco.imgs = {i: image for i, image in images.items() if i in selected}
    try:
        yield
    finally:
        coco.imgs = images


@METRICS.register_module()
class BottomupCocoMetric(CocoMetric):
    """``CocoMetric`` that evaluates the tested images alone.

    MMPose's ``CocoMetric`` evaluates all images of the annotation file: the
    people of images that are not tested, as with the dataset's ``indices``,
    count as missed. If all images are tested, the values are equal. An image
    that two processes tested counts once, so that each image needs a single
    sample: results of top-down models (a sample per person) are not for it.

    Args:
        *args: Positional arguments of ``CocoMetric``.
        **kwargs: Keyword arguments of ``CocoMetric``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tested: List[int] = []

    def compute_metrics(self, results: list) -> Dict[str, Any]:
        """Evaluate the tested images.

        Args:
            results (list): Pairs of prediction and ground truth of all
                processes.

        Returns:
            dict[str, float | str]: Values by name, see ``CocoMetric``.

        Raises:
            ValueError: If a tested image is not in the annotation file.
        """
        by_image = {pred['img_id']: (pred, gt) for pred, gt in results}
        self.tested = sorted(by_image)
        if self.coco is not None and not self.format_only:
            self._refuse_unknown_images()
        return super().compute_metrics(list(by_image.values()))

    def _refuse_unknown_images(self) -> None:
        """Raise ValueError if tested images have no ground truth."""
        known = self.coco.imgs
        unknown = [i for i in self.tested if i not in known]
        if unknown:
            raise ValueError(
                f'{len(unknown)} of {len(self.tested)} tested images, e.g. '
                f'image {unknown[0]}, are not in {self.ann_file}; the '
                'evaluator (val_evaluator, test_evaluator) needs the ann_file '
                'of its dataset'
            )

    def _do_python_keypoint_eval(self, outfile_prefix: str) -> list:
        """Evaluate the result file; called by ``CocoMetric``."""
        total = len(self.coco.imgs)
        if len(self.tested) < total:
            MMLogger.get_current_instance().info(
                f'AP of {len(self.tested)} of the {total} images of '
                f'{self.ann_file}: the others were not tested'
            )
        with restrict_images(self.coco, self.tested):
            return super()._do_python_keypoint_eval(outfile_prefix)
