# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Average precision by OKS, size and number of people, and by image.

Everything is computed by xtcocotools' ``COCOeval`` from a result file, with
the settings of the metric that wrote it.

T OKS thresholds, R = 101 recalls, N detections, K keypoints.
"""

from __future__ import annotations

import contextlib
import io
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
from xtcocotools.cocoeval import COCOeval

from .error_analysis import People

__all__ = [
    'ImageScore',
    'Results',
    'average_precision_by_people',
    'average_precision_by_size',
    'find_matches',
    'precision_recall',
    'score_images',
]

# OKS from which a detection belongs to a person in the error analysis
# (Ronchi and Perona, ICCV 2017).
_MATCH_OKS = 0.1
_SIDES = {'small': (0, 32), 'medium': (32, 96), 'large': (96, 1e5)}
_GROUPS = {'1': (1, 1), '2-3': (2, 3), '4-6': (4, 6), '7 and more': (7, 10**9)}


class Results(NamedTuple):
    """Predictions, ground truth and settings of an evaluation.

    Attributes:
        coco (COCO): Ground truth.
        predictions (COCO): Predictions, from ``coco.loadRes``.
        image_ids (list[int]): Tested images.
        sigmas (np.ndarray): OKS sigmas, shape (K,).
        iou_type (str): ``'keypoints'`` or ``'keypoints_crowd'``.
        use_area (bool): Whether OKS uses the annotated area; else 0.53 times
            the area of the bounding box.
    """

    coco: Any
    predictions: Any
    image_ids: List[int]
    sigmas: np.ndarray
    iou_type: str = 'keypoints'
    use_area: bool = True


def _evaluate(
    results: Results, image_ids: Optional[Sequence[int]] = None, **params: Any
) -> COCOeval:
    """Run ``COCOeval.evaluate``, silently, with changed parameters."""
    evaluation = COCOeval(
        results.coco,
        results.predictions,
        results.iou_type,
        np.asarray(results.sigmas, float),
        results.use_area,
    )
    ids = results.image_ids if image_ids is None else image_ids
    evaluation.params.imgIds = list(ids)
    for name, value in params.items():
        setattr(evaluation.params, name, value)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    return evaluation


def _accumulate(evaluation: COCOeval) -> np.ndarray:
    """Compute precision by threshold, recall and area range, (T, R, A).

    Averaged over categories; -1 where there is no ground truth.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.accumulate()
    precision = evaluation.eval['precision'][..., -1]
    defined = (precision > -1).any(axis=(0, 1, 3))
    if not defined.any():
        return np.full((*precision.shape[:2], precision.shape[3]), -1.0)
    return precision[:, :, defined].mean(axis=2)


def _average(precision: np.ndarray) -> Optional[float]:
    """Average precisions (T, R); ``None`` without ground truth."""
    defined = precision[precision > -1]
    return float(defined.mean()) if defined.size else None


def precision_recall(
    results: Results,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the curves of precision against recall.

    Args:
        results (Results): Results.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: OKS thresholds (T,),
        recalls (R,), and precisions (T, R), -1 without ground truth.
    """
    evaluation = _evaluate(results)
    precision = _accumulate(evaluation)[..., 0]
    return evaluation.params.iouThrs, evaluation.params.recThrs, precision


def average_precision_by_size(
    results: Results,
) -> Dict[str, Tuple[int, Optional[float]]]:
    """Compute AP of small, medium and large people, by area as in COCO.

    The limits are areas of 32 x 32 and 96 x 96 px. COCO itself reports no AP
    of small people.

    Args:
        results (Results): Results.

    Returns:
        dict[str, tuple[int, float | None]]: Number of people and AP by name
        of the range; AP is ``None`` without people.
    """
    ranges = [[low**2, high**2] for low, high in _SIDES.values()]
    evaluation = _evaluate(results, areaRng=ranges, areaRngLbl=list(_SIDES))
    precision = _accumulate(evaluation)
    counts = _count_by_range(evaluation, ranges)
    return {
        name: (counts[a], _average(precision[..., a]))
        for a, name in enumerate(_SIDES)
    }


def _count_by_range(evaluation: COCOeval, ranges: List[Any]) -> List[int]:
    """Count the people that count in each area range."""
    return [
        sum(
            int((image['gtIgnore'] == 0).sum())
            for image in evaluation.evalImgs
            if image is not None and list(image['aRng']) == limits
        )
        for limits in ranges
    ]


def average_precision_by_people(
    results: Results,
) -> Dict[str, Tuple[int, Optional[float]]]:
    """Compute AP of images by their number of annotated people.

    Args:
        results (Results): Results.

    Returns:
        dict[str, tuple[int, float | None]]: Number of images and AP by range
        of the number of people; AP is ``None`` without images.
    """
    numbers = {
        i: int(sum(_counts(a) for a in _annotations(results, i)))
        for i in results.image_ids
    }
    table: Dict[str, Tuple[int, Optional[float]]] = {}
    for name, (low, high) in _GROUPS.items():
        ids = [i for i, number in numbers.items() if low <= number <= high]
        value = None
        if ids:
            value = _average(_accumulate(_evaluate(results, ids))[..., 0])
        table[name] = (len(ids), value)
    return table


def _annotations(results: Results, image_id: int) -> List[Dict[str, Any]]:
    """List the annotations of an image."""
    coco = results.coco
    return coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))


def _counts(annotation: Dict[str, Any]) -> bool:
    """Whether an annotation is a person of the ground truth."""
    visible = annotation.get('keypoints', [])[2::3]
    return not annotation.get('iscrowd') and any(v > 0 for v in visible)


def _make_people(
    results: Results, annotations: Sequence[Dict[str, Any]]
) -> People:
    """Convert annotations to arrays."""
    keypoints = np.array([a['keypoints'] for a in annotations], float)
    keypoints = keypoints.reshape(len(annotations), -1, 3)
    areas = [
        a['area'] if results.use_area else a['bbox'][2] * a['bbox'][3] * 0.53
        for a in annotations
    ]
    return People(
        keypoints[..., :2], keypoints[..., 2] > 0, np.array(areas, float)
    )


def _iterate_matches(
    results: Results,
) -> Iterator[Tuple[Dict[str, Any], COCOeval]]:
    """Match detections and people at an OKS of .1, image by image."""
    evaluation = _evaluate(
        results,
        iouThrs=np.array([_MATCH_OKS]),
        areaRng=[[0, 1e10]],
        areaRngLbl=['all'],
    )
    for image in evaluation.evalImgs:
        if image is not None:
            yield image, evaluation


def find_matches(results: Results) -> List[Tuple[np.ndarray, People, int]]:
    """Find the detections that belong to an annotated person.

    Args:
        results (Results): Results.

    Returns:
        list[tuple]: Detection (K, 2), people of its image, and index of the
        matched person, for :func:`~.error_analysis.count_errors`.
    """
    matches = []
    for image, _ in _iterate_matches(results):
        annotations = [
            a for a in _annotations(results, image['image_id']) if _counts(a)
        ]
        index = {a['id']: g for g, a in enumerate(annotations)}
        people = _make_people(results, annotations) if annotations else None
        for detected, person in zip(image['dtIds'], image['dtMatches'][0]):
            if people is not None and person in index:
                entry = results.predictions.anns[detected]
                points = np.array(entry['keypoints'], float).reshape(-1, 3)
                matches.append((points[:, :2], people, index[person]))
    return matches


class ImageScore(NamedTuple):
    """Quality of the predictions of an image.

    Attributes:
        image_id (int): Image id.
        score (float): Sum of the OKS of matched people over the number of
            annotated people and false detections, 0 to 1.
        num_people (int): Number of annotated people.
        num_missed (int): Number of people without a detection.
        num_false (int): Number of detections without a person.
    """

    image_id: int
    score: float
    num_people: int
    num_missed: int
    num_false: int


def score_images(
    results: Results, score_threshold: float = 0.2
) -> List[ImageScore]:
    """Score the images, worst first.

    Detections and people are matched at an OKS of .1. Detections on people
    that do not count (crowds, no keypoints) are not false.

    Args:
        results (Results): Results.
        score_threshold (float): Instance score from which a detection is
            taken into account. Defaults to 0.2.

    Returns:
        list[ImageScore]: Scores of images with people or false detections.
    """
    scores = [
        _score_image(image, evaluation, score_threshold)
        for image, evaluation in _iterate_matches(results)
    ]
    given = [s for s in scores if s.num_people + s.num_false > 0]
    return sorted(given, key=lambda s: (s.score, -s.num_people, s.image_id))


def _score_image(
    image: Dict[str, Any], evaluation: COCOeval, threshold: float
) -> ImageScore:
    """Score an entry of ``evalImgs``, see :class:`ImageScore`."""
    key = image['image_id'], image['category_id']
    ids = [g['id'] for g in evaluation._gts[key]]
    shown = np.array(image['dtScores'], float) >= threshold
    matched = np.asarray(image['dtMatches'][0])
    ignored = np.asarray(image['dtIgnore'][0], bool)
    hits = [
        evaluation.ious[key][d, ids.index(matched[d])]
        for d in np.flatnonzero(shown & (matched >= 0) & ~ignored)
    ]
    num_false = int((shown & (matched < 0) & ~ignored).sum())
    num_people = int((np.asarray(image['gtIgnore']) == 0).sum())
    score = float(sum(hits)) / max(num_people + num_false, 1)
    return ImageScore(
        image['image_id'], score, num_people, num_people - len(hits), num_false
    )
