# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""The metric of CrowdPose, on the whole set or any part of it."""

from __future__ import annotations

import contextlib
import io
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple, Union

import numpy as np
from mmengine.logging import MMLogger
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS
from xtcocotools.cocoeval import COCOeval

__all__ = ['CrowdPoseMetric', 'crowd_splits']

# The crowd index from which an image is medium, and from which it is hard
# ("CrowdPose", Li et al., CVPR 2019).
_MEDIUM, _HARD = 0.2, 0.8
_NOT_DEFINED = 'not defined'
Value = Union[float, str]


def crowd_splits(
    crowd_indices: Mapping[int, float], image_ids: Iterable[int]
) -> Dict[str, List[int]]:
    """Part images by how crowded they are.

    Args:
        crowd_indices (Mapping[int, float]): ``crowdIndex`` of each image.
        image_ids (Iterable[int]): The images to part.

    Returns:
        dict[str, list[int]]: Image ids of ``'E'`` (index below 0.2), ``'M'``
        (below 0.8) and ``'H'``, in the order given.
    """
    splits: Dict[str, List[int]] = dict(E=[], M=[], H=[])
    for image_id in image_ids:
        index = crowd_indices[image_id]
        name = 'E' if index < _MEDIUM else 'M' if index < _HARD else 'H'
        splits[name].append(image_id)
    return splits


def _mean(values: np.ndarray) -> Value:
    """The mean of what is defined; COCOeval marks the rest with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else _NOT_DEFINED


@METRICS.register_module()
class CrowdPoseMetric(CocoMetric):
    """AP, AR, and AP of easy, medium and hard images of CrowdPose.

    The numbers of ``crowdposetools`` and of xtcocotools' ``keypoints_crowd``,
    but: only images that were tested count, so that a part of the set (the
    dataset's ``indices``) gets its own AP; a split without people reads "not
    defined" (a string: not for ``save_best``), where those average in -1 or
    report 0; and an image that two processes tested counts once.

    Args:
        ann_file (str): Annotation file, with ``crowdIndex`` for each image.
        score_mode (str): As for CocoMetric; ``'bbox'``: an instance scores
            as its decoder says.
        nms_mode (str): As for CocoMetric.
        prefix (str): Of the names of the results.
        kwargs: Others of CocoMetric.
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
        lacking = [i for i in images if 'crowdIndex' not in images[i]]
        if lacking and not self.format_only:
            raise ValueError(
                f'{len(lacking)} of {len(images)} images of {ann_file} have '
                f'no crowdIndex, image {lacking[0]} for one; AP of easy, '
                'medium and hard images is defined by it. Take the files of '
                'CrowdPose, or CocoMetric for another data set.'
            )
        self.tested: List[int] = []

    def compute_metrics(self, results: list) -> Dict[str, Value]:
        """Evaluate the images that were tested.

        Args:
            results (list): From all processes.

        Returns:
            dict[str, float | str]: ``AP``, ``AP .5``, ``AP .75``, ``AR``,
            ``AR .5``, ``AR .75``, ``AP(E)``, ``AP(M)``, ``AP(H)``.
        """
        by_image = {found['img_id']: (found, gt) for found, gt in results}
        self.tested = sorted(by_image)
        return super().compute_metrics(list(by_image.values()))

    def _do_python_keypoint_eval(
        self, outfile_prefix: str
    ) -> List[Tuple[str, Value]]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = self.coco.loadRes(f'{outfile_prefix}.keypoints.json')
            stats = self._evaluate(found)
        shown = [f'{k} {_show(v)}' for k, v in stats]
        MMLogger.get_current_instance().info(
            f'CrowdPose, {len(self.tested)} of {len(self.coco.imgs)} images: '
            + ', '.join(shown)
        )
        return stats

    def _evaluate(self, found: Any) -> List[Tuple[str, Value]]:
        precision, recall = self._accumulate(found, self.tested)
        stats: List[Tuple[str, Value]] = []
        for name, values in (('AP', precision), ('AR', recall)):
            stats += [
                (name, _mean(values)),
                (f'{name} .5', _mean(values[0])),
                (f'{name} .75', _mean(values[5])),
            ]
        indices = {
            i: image['crowdIndex'] for i, image in self.coco.imgs.items()
        }
        for split, ids in crowd_splits(indices, self.tested).items():
            stats.append(
                (f'AP({split})', _mean(self._accumulate(found, ids)[0]))
            )
        return stats

    def _accumulate(
        self, found: Any, image_ids: Sequence[int]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Precision and recall by OKS threshold (0.5, 0.55 to 0.95)."""
        sigmas = self.dataset_meta['sigmas']
        evaluation = COCOeval(
            self.coco, found, self.iou_type, sigmas, self.use_area
        )
        evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        # of all sizes of people, and the one limit of 20 detections
        return (
            evaluation.eval['precision'][:, :, :, 0, 0],
            evaluation.eval['recall'][:, :, 0, 0],
        )


def _show(value: Value) -> str:
    return value if isinstance(value, str) else f'{value:.4f}'
