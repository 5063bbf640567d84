# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""People in the formats of supervision and Label Studio.

N people, K keypoints.
"""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, Optional, Sequence, Tuple
from xml.sax.saxutils import quoteattr

import numpy as np

from swahr_mmpose.evaluation.pose_nms import boxes_of

__all__ = ['labelstudio_config', 'to_labelstudio_regions', 'to_supervision']

_PERSON = 'person'


def to_supervision(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    filled: np.ndarray,
    sigmas: Optional[np.ndarray] = None,
) -> Any:
    """Convert people to ``supervision.KeyPoints``.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Keypoint scores, shape (N, K).
        scores (np.ndarray): Instance scores, shape (N,).
        filled (np.ndarray): Keypoints that were filled in, bool (N, K).
        sigmas (np.ndarray, optional): Standard deviations of the keypoints,
            shape (N, K). Defaults to None.

    Returns:
        supervision.KeyPoints: N people of class 0.

    Raises:
        ImportError: If supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise ImportError(
            'to_supervision() requires the package supervision, which cannot '
            f'be imported ({error}): pip install supervision'
        ) from error
    people = len(scores)
    data: Dict[str, Any] = dict(
        class_name=np.full(people, _PERSON), score=scores.astype(np.float32)
    )
    if sigmas is not None:
        data['keypoint_sigmas'] = sigmas
    arguments: Dict[str, Any] = dict(
        xy=keypoints.astype(np.float32),
        class_id=np.zeros(people, int),
        data=data,
    )
    point_scores = keypoint_scores.astype(np.float32)
    # Since version 0.29 there are scores of keypoints and of people.
    known = inspect.signature(supervision.KeyPoints).parameters
    if 'keypoint_confidence' in known:
        arguments.update(
            keypoint_confidence=point_scores,
            detection_confidence=scores.astype(np.float32),
            visible=(keypoint_scores > 0) & ~filled,
        )
    else:
        arguments['confidence'] = point_scores
    return supervision.KeyPoints(**arguments)


def to_labelstudio_regions(
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    size: Tuple[int, int],
    tags: Tuple[str, str],
) -> List[Dict[str, Any]]:
    """Convert people to regions of a Label Studio prediction.

    Args:
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Keypoint scores, shape (N, K); keypoints
            of score 0 are left out.
        scores (np.ndarray): Instance scores, shape (N,).
        names (Sequence[str]): K keypoint names.
        size (tuple): Image size ``(w, h)`` in pixels.
        tags (tuple): Names of the ``KeyPointLabels`` and the ``Image`` tag.

    Returns:
        list[dict]: For each person with keypoints a rectangle and its
        keypoints. Coordinates are percentages of the image size, as
        https://labelstud.io/tags/keypointlabels and
        https://labelstud.io/guide/predictions define.
    """
    common = dict(
        to_name=tags[1],
        original_width=size[0],
        original_height=size[1],
        image_rotation=0,
    )
    percent = 100 / np.array(size, float)
    boxes = boxes_of(keypoints, keypoint_scores)
    parts: List[Dict[str, Any]] = []
    for n in np.flatnonzero((keypoint_scores > 0).any(axis=1)):
        name = f'person-{n}'
        box = boxes[n].reshape(2, 2) * percent
        parts.append(_make_rectangle(name, box, scores[n], tags[0]))
        for k in np.flatnonzero(keypoint_scores[n] > 0):
            point = (*keypoints[n, k] * percent, percent[0])
            score = keypoint_scores[n, k]
            region = _make_point(names[k], point, score, tags[0])
            parts.append(dict(region, id=f'{name}-{k}', parentID=name))
    return [dict(common, **part) for part in parts]


def _make_rectangle(
    name: str, box: np.ndarray, score: float, tag: str
) -> Dict[str, Any]:
    """Make the region of a person; ``box`` has two corners in percent."""
    values = [*box[0], *(box[1] - box[0])]
    value = _round(dict(zip(('x', 'y', 'width', 'height'), values)))
    return dict(
        id=name,
        from_name=f'{tag}_bbox',
        type='rectanglelabels',
        value=dict(value, rotation=0, rectanglelabels=[_PERSON]),
        score=round(float(score), 6),
    )


def _make_point(
    label: str, point: Sequence[float], score: float, tag: str
) -> Dict[str, Any]:
    """Make the region of a keypoint; x, y and width are in percent."""
    value = _round(dict(zip(('x', 'y', 'width'), point)))
    return dict(
        from_name=tag,
        type='keypointlabels',
        value=dict(value, keypointlabels=[label]),
        score=round(float(score), 6),
    )


def _round(values: Dict[str, Any]) -> Dict[str, float]:
    """Round numbers to 1e-4 percent of the image size."""
    return {name: round(float(value), 4) for name, value in values.items()}


def labelstudio_config(
    keypoint_names: Sequence[str],
    from_name: str = 'keypoints',
    to_name: str = 'image',
) -> str:
    """Format the labelling configuration for pre-annotated tasks.

    Args:
        keypoint_names (Sequence[str]): K keypoint names.
        from_name (str): Name of the ``KeyPointLabels`` tag. Defaults to
            ``'keypoints'``.
        to_name (str): Name of the ``Image`` tag, and key of its address in
            the task. Defaults to ``'image'``.

    Returns:
        str: XML for *Settings, Labeling Interface, Code*.
    """
    names = [quoteattr(text) for text in (from_name, to_name)]
    lines = [
        '<View>',
        f'  <Image name={names[1]} value={quoteattr("$" + to_name)}/>',
        f'  <RectangleLabels name={quoteattr(from_name + "_bbox")} '
        f'toName={names[1]}>',
        f'    <Label value="{_PERSON}"/>',
        '  </RectangleLabels>',
        f'  <KeyPointLabels name={names[0]} toName={names[1]}>',
        *(f'    <Label value={quoteattr(n)}/>' for n in keypoint_names),
        '  </KeyPointLabels>',
        '</View>',
    ]
    return '\n'.join(lines) + '\n'
