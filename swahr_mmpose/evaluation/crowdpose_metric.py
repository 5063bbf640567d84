# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""CrowdPose metric for a complete dataset or a subset of it."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import MMLogger
from mmpose.registry import METRICS
from xtcocotools.cocoeval import COCOeval

from .coco_metric import BottomupCocoMetric

__all__ = ['CrowdPoseMetric', 'split_by_crowd_index']

# Smallest crowd index of medium and of hard images ("CrowdPose", Li et al.,
# CVPR 2019).
_MEDIUM, _HARD = 0.2, 0.8
_NOT_DEFINED = 'not defined'
Value = Union[float, str]


def split_by_crowd_index(
    crowd_indices: Mapping[int, float], image_ids: Iterable[int]
) -> Dict[str, List[int]]:
    """Split images into easy, medium and hard ones.

    Args:
        crowd_indices (Mapping[int, float]): ``crowdIndex`` by image id.
        image_ids (Iterable[int]): Images to split.

    Returns:
        dict[str, list[int]]: Image ids of ``'E'`` (index below 0.2), ``'M'``
        (below 0.8) and ``'H'``, in the given order.
    """
    splits: Dict[str, List[int]] = dict(E=[], M=[], H=[])
    for image_id in image_ids:
        index = crowd_indices[image_id]
        name = 'E' if index < _MEDIUM else 'M' if index < _HARD else 'H'
        splits[name].append(image_id)
    return splits


def _average(values: np.ndarray) -> Value:
    """Average the defined values; COCOeval marks undefined ones with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else _NOT_DEFINED


@METRICS.register_module()
class CrowdPoseMetric(BottomupCocoMetric):
    """AP, AR, and AP of easy, medium and hard images of CrowdPose.

    Values equal those of ``crowdposetools`` and of xtcocotools'
    ``keypoints_crowd``, with three differences:

    * Only tested images count, so that a subset (the dataset's ``indices``)
      gets its own AP.
    * A split without instances is ``'not defined'`` (a string, not usable for
      ``save_best``), where the other tools average -1 or report 0.
    * An image that two processes tested counts once.

    Args:
        ann_file (str): Annotation file, with ``crowdIndex`` of each image.
        score_mode (str): Instance score, see ``CocoMetric``. Defaults to
            ``'bbox'``, the score of the decoder.
        nms_mode (str): NMS, see ``CocoMetric``. Defaults to ``'none'``.
        prefix (str): Prefix of the metric names. Defaults to ``'crowdpose'``.
        **kwargs: Other arguments of ``CocoMetric``.

    Raises:
        ValueError: If images have no ``crowdIndex`` and ``format_only`` is
            False.
    """

    def __init__(
        self,
        ann_file: str,
        score_mode: str = 'bbox',
        nms_mode: str = 'none',
        prefix: str = 'crowdpose',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            ann_file=ann_file,
            iou_type='keypoints_crowd',
            use_area=False,
            score_mode=score_mode,
            nms_mode=nms_mode,
            prefix=prefix,
            **kwargs,
        )
        images = self.coco.imgs
        missing = [i for i in images if 'crowdIndex' not in images[i]]
        if missing and not self.format_only:
            raise ValueError(
                f'{len(missing)} of {len(images)} images of {ann_file} have '
                f'no crowdIndex, e.g. image {missing[0]}; it defines AP of '
                'easy, medium and hard images. Use the annotation files of '
                'CrowdPose, or BottomupCocoMetric for another dataset.'
            )

    def _do_python_keypoint_eval(
        self, outfile_prefix: str
    ) -> List[Tuple[str, Value]]:
        """Evaluate the result file; called by ``CocoMetric``."""
        with contextlib.redirect_stdout(io.StringIO()):
            predictions = self.coco.loadRes(f'{outfile_prefix}.keypoints.json')
            stats = self._evaluate(predictions)
        shown = [f'{k} {_format_value(v)}' for k, v in stats]
        MMLogger.get_current_instance().info(
            f'CrowdPose, {len(self.tested)} of {len(self.coco.imgs)} images: '
            + ', '.join(shown)
        )
        return stats

    def _evaluate(self, predictions: Any) -> List[Tuple[str, Value]]:
        """Compute all metrics of a COCO object of predictions."""
        precision, recall = self._accumulate(predictions, self.tested)
        stats: List[Tuple[str, Value]] = []
        for name, values in (('AP', precision), ('AR', recall)):
            stats += [
                (name, _average(values)),
                (f'{name} .5', _average(values[0])),
                (f'{name} .75', _average(values[5])),
            ]
        indices = {
            i: image['crowdIndex'] for i, image in self.coco.imgs.items()
        }
        for split, ids in split_by_crowd_index(indices, self.tested).items():
            precision = self._accumulate(predictions, ids)[0]
            stats.append((f'AP({split})', _average(precision)))
        return stats

    def _accumulate(
        self, predictions: Any, image_ids: Sequence[int]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Compute precision and recall for OKS thresholds 0.5:0.05:0.95."""
        sigmas = self.dataset_meta['sigmas']
        evaluation = COCOeval(
            self.coco, predictions, self.iou_type, sigmas, self.use_area
        )
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        # Last axes: area range "all", and the only limit of 20 detections.
        return (
            evaluation.eval['precision'][:, :, :, 0, 0],
            evaluation.eval['recall'][:, :, 0, 0],
        )


def _format_value(value: Value) -> str:
    """Format a metric with four decimals, or as the string that it is."""
    return value if isinstance(value, str) else f'{value:.4f}'
