# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""People of one image, with drawings and other tools' formats.

N people, K keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from swahr_mmpose.evaluation.coco_results import results_of
from swahr_mmpose.evaluation.pose_nms import boxes_of
from swahr_mmpose.utils.argument_checks import require_fraction
from swahr_mmpose.visualization.drawing import draw_poses

from . import result_formats

__all__ = ['Result']


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """People of one image, by descending score.

    Attributes:
        index: Index of the image in the inputs; frame number of a video.
        name: File name, index of an array, or name of a frame. With the
            folders that distinguish it, where inputs have equal file names.
        path: Image file; None for arrays and frames.
        image: BGR uint8, shape (h, w, 3).
        keypoints: Keypoints in image pixels, shape (N, K, 2).
        keypoint_scores: Keypoint scores, shape (N, K); 0 where a keypoint is
            missing.
        scores: Instance scores, shape (N,).
        links: Skeleton edges, pairs of keypoint indices.
        filled: Whether a keypoint was filled in after grouping: it is not a
            peak of its heatmap and may be far from the person, bool (N, K).
            None stands for no keypoint.
        sigmas: Standard deviations of the keypoints in image pixels, shape
            (N, K); NaN where a keypoint is missing. None without
            ``output_scales``.
        keypoint_names: K keypoint names.
    """

    index: int
    name: str
    path: Optional[str]
    image: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray
    links: List[Tuple[int, int]]
    filled: Any = None
    sigmas: Optional[np.ndarray] = None
    keypoint_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Replace ``filled=None``."""
        if self.filled is None:
            none = np.zeros(self.keypoint_scores.shape, bool)
            object.__setattr__(self, 'filled', none)

    def __repr__(self) -> str:
        """Format name, size, number of people and scores in one line."""
        height, width = self.image.shape[:2]
        scores = ' '.join(f'{score:.2f}' for score in self.scores[:5])
        more = ' ...' if len(self.scores) > 5 else ''
        people = f'{len(self.scores)} people'
        if len(self.scores):
            people += f', scores {scores}{more}'
        return f'Result({self.name!r}, {width}x{height} px, {people})'

    def __len__(self) -> int:
        """Count the people."""
        return len(self.scores)

    @property
    def boxes(self) -> np.ndarray:
        """Bounding boxes of the keypoints, ``x1, y1, x2, y2``, (N, 4)."""
        return boxes_of(self.keypoints, self.keypoint_scores)

    def drawn(
        self,
        threshold: float = 0.1,
        draw_filled: bool = False,
        draw_sigmas: bool = True,
    ) -> np.ndarray:
        """Draw the skeletons on the image.

        Args:
            threshold (float): Score above which keypoints are drawn, 0 to 1.
                Defaults to 0.1.
            draw_filled (bool): Whether to draw keypoints that were filled in.
                Defaults to False.
            draw_sigmas (bool): Whether to draw a circle with a radius of one
                standard deviation around each keypoint, if there are
                ``sigmas``. Defaults to True.

        Returns:
            np.ndarray: BGR uint8, shape (h, w, 3).

        Raises:
            ValueError: If the threshold is out of range.
        """
        require_fraction('threshold', threshold)
        hidden = self.filled & (not draw_filled)
        rgb = draw_poses(
            self.image[..., ::-1],
            self.keypoints,
            np.where(hidden, -np.inf, self.keypoint_scores),
            self.links,
            threshold,
            self.sigmas if draw_sigmas else None,
        )
        return np.ascontiguousarray(rgb[..., ::-1])

    def to_coco(self, image_id: Optional[int] = None) -> List[Dict[str, Any]]:
        """Convert the people to COCO results.

        Args:
            image_id (int, optional): Image id. Defaults to None, ``index``.

        Returns:
            list[dict]: Results of
            :func:`~swahr_mmpose.evaluation.coco_results.results_of`: score,
            keypoints, ``bbox``, ``keypoints_filled`` and, if estimated,
            ``keypoint_sigmas`` of each person.
        """
        return results_of(
            self.index if image_id is None else image_id,
            self.keypoints,
            self.keypoint_scores,
            self.scores,
            self.filled,
            self.sigmas,
        )

    def to_supervision(self) -> Any:
        """Convert the people to ``supervision.KeyPoints``.

        ``data`` holds ``class_name``, ``score`` and, if estimated,
        ``keypoint_sigmas``.

        Returns:
            supervision.KeyPoints: N people; keypoints that are missing or
            filled in are not visible.

        Raises:
            ImportError: If supervision is not installed.
        """
        return result_formats.to_supervision(
            self.keypoints,
            self.keypoint_scores,
            self.scores,
            self.filled,
            self.sigmas,
        )

    def to_labelstudio(
        self,
        image_url: Optional[str] = None,
        threshold: float = 0.1,
        from_name: str = 'keypoints',
        to_name: str = 'image',
        model_version: str = 'swahr_mmpose',
    ) -> Dict[str, Any]:
        """Convert the people to a pre-annotated task of Label Studio.

        A JSON list of tasks can be imported into a project with the labelling
        configuration of
        :func:`~swahr_mmpose.apis.result_formats.labelstudio_config`. Each
        person is a rectangle, the parent of its keypoints. Keypoints that
        were filled in are left out.

        Args:
            image_url (str, optional): Address of the image for Label Studio.
                Defaults to None, the name of the image.
            threshold (float): Score above which keypoints are written, 0 to
                1. Defaults to 0.1.
            from_name (str): Name of the ``KeyPointLabels`` tag; that of the
                ``RectangleLabels`` tag has ``_bbox`` appended. Defaults to
                ``'keypoints'``.
            to_name (str): Name of the ``Image`` tag. Defaults to ``'image'``.
            model_version (str): Version that Label Studio shows. Defaults to
                ``'swahr_mmpose'``.

        Returns:
            dict: Task with ``data`` and ``predictions``.

        Raises:
            ValueError: If the threshold is out of range.
        """
        require_fraction('threshold', threshold)
        scores = np.where(self.filled, 0, self.keypoint_scores)
        regions = result_formats.to_labelstudio_regions(
            self.keypoints,
            np.where(scores > threshold, scores, 0),
            self.scores,
            self.keypoint_names,
            (self.image.shape[1], self.image.shape[0]),
            (from_name, to_name),
        )
        prediction: Dict[str, Any] = dict(
            model_version=model_version, result=regions
        )
        if len(self.scores):
            prediction['score'] = round(float(self.scores.mean()), 6)
        return dict(
            data={to_name: self.name if image_url is None else image_url},
            predictions=[prediction],
        )
