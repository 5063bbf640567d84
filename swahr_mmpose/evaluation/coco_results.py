# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Results as COCO writes them, one file of people and one of images.

Files are written as people are found, and are there as a whole once the
``with`` statement ends, or not at all.
"""

from __future__ import annotations

import json
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

__all__ = ['CocoResultsWriter', 'image_ids', 'images_file', 'results_of']

_PERSON = 1  # its category in COCO and in CrowdPose


def image_ids(names: Iterable[str]) -> Optional[List[int]]:
    """The numbers that file names are, as in COCO, if all of them are.

    Args:
        names (Iterable[str]): As ``000000000139.jpg``.

    Returns:
        list[int] | None: None if a name is no number, or two are the same.
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
) -> List[Dict[str, Any]]:
    """The people of an image in COCO's results form.

    There is no box: COCO takes that of the keypoints, also for MMPose's
    results.

    Args:
        image_id (int): Of the image.
        keypoints (np.ndarray): Pixels, shape (N, K, 2).
        keypoint_scores (np.ndarray): Shape (N, K).
        scores (np.ndarray): Shape (N,).

    Returns:
        list[dict]: ``image_id``, ``category_id``, ``keypoints`` (x, y, score
        for each, in thousandths of a pixel) and ``score``.
    """
    return [
        dict(
            image_id=image_id,
            category_id=_PERSON,
            keypoints=[
                number
                for (x, y), s in zip(person.tolist(), seen.tolist())
                for number in (round(x, 3), round(y, 3), round(s, 6))
            ],
            score=round(float(score), 6),
        )
        for person, seen, score in zip(keypoints, keypoint_scores, scores)
    ]


def images_file(path: str) -> str:
    """Name of the file of images that stands beside one of results."""
    stem, extension = osp.splitext(path)
    return f'{stem}.images{extension}'


class CocoResultsWriter:
    """Writes results, and beside them the table of images.

    The table, ``NAME.images.json`` beside ``NAME.json``, is an annotation
    file without annotations: ``COCO(table).loadRes(results)`` reads both.

    Args:
        path (str): File of results.
        metainfo (Mapping): Of the data set: names of keypoints, skeleton.
    """

    def __init__(self, path: str, metainfo: Mapping[str, Any]) -> None:
        if not path.lower().endswith('.json'):
            raise ValueError(f'results go into a .json file, got {path}')
        self.path, self.metainfo = path, metainfo
        self.stack = ExitStack()

    def __enter__(self) -> CocoResultsWriter:
        """Begin both files, under other names."""
        category = json.dumps([_category(self.metainfo)])
        head = f'{{"annotations": [], "categories": {category}, "images": ['
        with ExitStack() as stack:
            self.images = _List(stack, images_file(self.path), head, ']}')
            self.people = _List(stack, self.path, '[', ']')
            self.stack = stack.pop_all()
        return self

    def write(
        self,
        image_id: int,
        name: str,
        size: Tuple[int, int],
        people: List[Dict[str, Any]],
    ) -> None:
        """Append an image and its people.

        Args:
            image_id (int): Each once.
            name (str): For the table of images.
            size (tuple): ``(w, h)``.
            people (list[dict]): See :func:`results_of`.
        """
        self.images.append(
            dict(id=image_id, file_name=name, width=size[0], height=size[1])
        )
        for person in people:
            self.people.append(person)

    def __exit__(self, *error: Any) -> Optional[bool]:
        """Put the files in their places, or remove them on an error."""
        return self.stack.__exit__(*error)


class _List:
    """A list in JSON, one entry a line."""

    def __init__(
        self, stack: ExitStack, path: str, head: str, tail: str
    ) -> None:
        self.stream: BinaryIO = stack.enter_context(replaced_file(path))
        self.tail, self.separator = tail, '\n'
        self.stream.write(head.encode())
        stack.push(self._end)

    def append(self, entry: Any) -> None:
        line = json.dumps(entry, allow_nan=False)
        self.stream.write(f'{self.separator}{line}'.encode())
        self.separator = ',\n'

    def _end(self, kind: Any, *_: Any) -> None:
        """The last line, unless something went wrong."""
        if kind is None:
            end = '\n' if self.separator != '\n' else ''
            self.stream.write(f'{end}{self.tail}\n'.encode())


def _category(metainfo: Mapping[str, Any]) -> Dict[str, Any]:
    names = metainfo['keypoint_id2name']
    return dict(
        id=_PERSON,
        name='person',
        keypoints=[names[n] for n in sorted(names, key=int)],
        skeleton=[[a + 1, b + 1] for a, b in metainfo['skeleton_links']],
    )
