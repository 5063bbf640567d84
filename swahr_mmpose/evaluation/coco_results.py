# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Predictions in the COCO result format, with a file of images beside them.

Instances are written to temporary files as they arrive. Both files appear
complete at the end of the ``with`` statement, or not at all after an error.

N instances, K keypoints.
"""

from __future__ import annotations

import json
import math
import os.path as osp
from contextlib import ExitStack
from typing import (
    Any,
    BinaryIO,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Tuple,
)

import numpy as np

from swahr_mmpose.utils.atomic_write import replaced_file

from .pose_nms import boxes_of

__all__ = ['CocoResultsWriter', 'image_ids', 'images_file', 'results_of']

_PERSON = 1  # category id in COCO and in CrowdPose


def image_ids(names: Iterable[str]) -> Optional[List[int]]:
    """Convert file names to image ids, as in COCO.

    Args:
        names (Iterable[str]): File names, e.g. ``000000000139.jpg``.

    Returns:
        list[int] | None: Image ids; None if a name is not an integer or two
        ids are equal.
    """
    stems = [osp.splitext(osp.basename(name))[0] for name in names]
    if not all(stem.isascii() and stem.isdigit() for stem in stems):
        return None
    ids = [int(stem) for stem in stems]
    return ids if len(set(ids)) == len(ids) else None


def results_of(
    image_id: int,
    keypoints: np.ndarray,
    keypoint_scores: np.ndarray,
    scores: np.ndarray,
    filled: Optional[np.ndarray] = None,
    sigmas: Optional[np.ndarray] = None,
) -> List[Dict[str, Any]]:
    """Convert the instances of an image to COCO results.

    Args:
        image_id (int): Image id.
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Keypoint scores, shape (N, K).
        scores (np.ndarray): Instance scores, shape (N,).
        filled (np.ndarray, optional): Keypoints that were filled in, bool
            (N, K). Defaults to None, not written.
        sigmas (np.ndarray, optional): Standard deviations of the keypoints in
            pixels, shape (N, K). Defaults to None, not written.

    Returns:
        list[dict]: ``image_id``, ``category_id``, ``keypoints`` (x, y, score
        of each keypoint; pixels are rounded to 1e-3), ``score``, ``bbox`` (x,
        y, width, height of the keypoints that are not missing), and if given
        ``keypoints_filled`` (0 or 1) and ``keypoint_sigmas`` (None for a
        keypoint that is missing).
    """
    boxes = boxes_of(keypoints, keypoint_scores)
    boxes[:, 2:] -= boxes[:, :2]
    people: List[Dict[str, Any]] = [
        dict(
            image_id=image_id,
            category_id=_PERSON,
            keypoints=[
                number
                for (x, y), s in zip(xy.tolist(), xy_scores.tolist())
                for number in (round(x, 3), round(y, 3), round(s, 6))
            ],
            score=round(float(score), 6),
            bbox=[round(number, 3) for number in box.tolist()],
        )
        for xy, xy_scores, score, box in zip(
            keypoints, keypoint_scores, scores, boxes
        )
    ]
    for n, person in enumerate(people):
        if filled is not None:
            person['keypoints_filled'] = filled[n].astype(int).tolist()
        if sigmas is not None:
            person['keypoint_sigmas'] = [
                round(sigma, 5) if math.isfinite(sigma) else None
                for sigma in sigmas[n].tolist()
            ]
    return people


def images_file(path: str) -> str:
    """Name the file of images for a result file.

    Args:
        path (str): Result file, e.g. ``a.json``.

    Returns:
        str: File of images, e.g. ``a.images.json``.
    """
    stem, extension = osp.splitext(path)
    return f'{stem}.images{extension}'


class CocoResultsWriter:
    """Context manager that writes COCO results and the file of images.

    The file of images, ``NAME.images.json`` beside ``NAME.json``, is an
    annotation file without annotations, for use as
    ``COCO(images).loadRes(results)``.

    Args:
        path (str): Result file, ``.json``.
        metainfo (Mapping): Dataset metainfo with ``keypoint_id2name`` and
            ``skeleton_links``.

    Raises:
        ValueError: If the file does not end in ``.json``.
    """

    def __init__(self, path: str, metainfo: Mapping[str, Any]) -> None:
        if not path.lower().endswith('.json'):
            raise ValueError(f'results go into a .json file, got {path}')
        self.path, self.metainfo = path, metainfo
        self.stack = ExitStack()

    def __enter__(self) -> CocoResultsWriter:
        """Open temporary files for results and images."""
        category = json.dumps([_make_category(self.metainfo)])
        head = f'{{"annotations": [], "categories": {category}, "images": ['
        with ExitStack() as stack:
            self.images = _JsonListWriter(
                stack, images_file(self.path), head, ']}'
            )
            self.results = _JsonListWriter(stack, self.path, '[', ']')
            self.stack = stack.pop_all()
        return self

    def write(
        self,
        image_id: int,
        name: str,
        size: Tuple[int, int],
        people: List[Dict[str, Any]],
    ) -> None:
        """Append an image and its instances.

        Args:
            image_id (int): Image id, unique in the file.
            name (str): File name for the file of images.
            size (tuple): Image size ``(w, h)`` in pixels.
            people (list[dict]): Instances from :func:`results_of`.
        """
        self.images.append(
            dict(id=image_id, file_name=name, width=size[0], height=size[1])
        )
        for person in people:
            self.results.append(person)

    def __exit__(self, *error: Any) -> Optional[bool]:
        """Move the files into place, or remove them after an error."""
        return self.stack.__exit__(*error)


class _JsonListWriter:
    """Writer of a JSON list, one entry per line.

    Args:
        stack (ExitStack): Stack on which the file is closed.
        path (str): Target file.
        head (str): Text before the list.
        tail (str): Text after the list.
    """

    def __init__(
        self, stack: ExitStack, path: str, head: str, tail: str
    ) -> None:
        self.stream: BinaryIO = stack.enter_context(replaced_file(path))
        self.tail, self.separator = tail, '\n'
        self.stream.write(head.encode())
        stack.push(self._finish)

    def append(self, entry: Any) -> None:
        """Write an entry; raise ValueError for NaN or infinity."""
        line = json.dumps(entry, allow_nan=False)
        self.stream.write(f'{self.separator}{line}'.encode())
        self.separator = ',\n'

    def _finish(self, kind: Any, *_: Any) -> None:
        """Write the end of the list, unless there was an error."""
        if kind is None:
            end = '\n' if self.separator != '\n' else ''
            self.stream.write(f'{end}{self.tail}\n'.encode())


def _make_category(metainfo: Mapping[str, Any]) -> Dict[str, Any]:
    """Make the COCO category ``person`` from dataset metainfo."""
    names = metainfo['keypoint_id2name']
    return dict(
        id=_PERSON,
        name='person',
        keypoints=[names[n] for n in sorted(names, key=int)],
        skeleton=[[a + 1, b + 1] for a, b in metainfo['skeleton_links']],
    )
