# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Merge COCO keypoint files, e.g. exports of several annotation tasks."""

from __future__ import annotations

import os.path as osp
import posixpath
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .ids import make_key

__all__ = ['merge_annotations', 'share_folder']


def merge_annotations(
    contents: Sequence[dict], names: Optional[Sequence[str]] = None
) -> Dict[str, Any]:
    """Merge annotation files, e.g. CrowdPose's train and val sets.

    Args:
        contents (Sequence[dict]): Parsed COCO files of different images with
            equal categories; ids of categories may differ.
        names (Sequence[str], optional): Names of the files, for messages.
            Defaults to their numbers.

    Returns:
        dict: All images and annotations in order. If image ids collide, all
        images are renumbered from 1, likewise the annotations.

    Raises:
        ValueError: If categories differ or an image file occurs in two files.
    """
    names = names or [f'file {n}' for n in range(1, len(contents) + 1)]
    _check_distinct_images(contents, names)
    parts = [
        _adopt_categories(content, contents[0], name)
        for content, name in zip(contents, names)
    ]
    if _have_repeated_ids([i for part in parts for i in part['images']]):
        parts = _renumber_images(parts)
    annotations = [a for part in parts for a in part['annotations']]
    if _have_repeated_ids(annotations):
        annotations = [dict(a, id=n) for n, a in enumerate(annotations, 1)]
    return dict(
        contents[0],
        images=[image for part in parts for image in part['images']],
        annotations=annotations,
    )


def _have_repeated_ids(records: Sequence[dict]) -> bool:
    """Return whether an id occurs more than once; absent ones do not."""
    ids = [make_key(r['id']) for r in records if r.get('id') is not None]
    return len(set(ids)) < len(ids)


def _check_distinct_images(
    contents: Sequence[dict], names: Sequence[str]
) -> None:
    """Raise if an image file occurs in two annotation files."""
    origin: Dict[str, int] = {}
    for number, content in enumerate(contents):
        for image in content['images']:
            file = str(image.get('file_name')).replace('\\', '/')
            first = origin.setdefault(posixpath.normpath(file), number)
            if first != number:
                raise ValueError(
                    f'image {file!r} is in {names[first]} and in '
                    f'{names[number]}; merge files of different images. If '
                    'they are in different folders, begin each file_name '
                    'with its folder (new_dataset: give one --img-dir per '
                    'file)'
                )


def _adopt_categories(content: dict, first: dict, name: str) -> dict:
    """Replace category ids by those of the first file, by name."""

    def strip_ids(categories: Any) -> List[dict]:
        records = [dict(c) for c in categories or []]
        for record in records:
            record.pop('id', None)
        return sorted(records, key=lambda c: str(c.get('name')))

    own, wanted = content.get('categories'), first.get('categories')
    annotations = content.get('annotations') or []
    if own == wanted:
        return dict(content, annotations=annotations)
    if strip_ids(own) != strip_ids(wanted):
        raise ValueError(
            f'{name} differs from the first file in "categories"; merge '
            'files with equal ones'
        )
    by_name = {str(c.get('name')): c.get('id') for c in wanted or []}
    ids = {
        make_key(c.get('id')): by_name[str(c.get('name'))] for c in own or []
    }
    annotations = [
        dict(a, category_id=ids.get(make_key(a.get('category_id'))))
        for a in annotations
    ]
    return dict(content, annotations=annotations)


def _renumber_images(parts: Sequence[dict]) -> List[dict]:
    """Renumber the images of all files from 1.

    Annotations of unknown images get the image id -1, which is unknown, too.
    """
    result, first = [], 1
    for part in parts:
        images = part['images']
        ids = {make_key(i['id']): n for n, i in enumerate(images, first)}
        first += len(images)
        renumbered = [dict(i, id=ids[make_key(i['id'])]) for i in images]
        annotations = [
            dict(a, image_id=ids.get(make_key(a.get('image_id')), -1))
            for a in part['annotations']
        ]
        result.append(dict(part, images=renumbered, annotations=annotations))
    return result


def share_folder(
    contents: Sequence[dict], folders: Sequence[str]
) -> Tuple[List[dict], str]:
    """Make the file names of several image folders relative to a common one.

    Args:
        contents (Sequence[dict]): Parsed COCO files; not modified.
        folders (Sequence[str]): Image folder of each, or one for all.

    Returns:
        tuple[list[dict], str]: The files, and the common folder.

    Raises:
        ValueError: If the numbers differ, or the folders have none in common.
    """
    if len(set(folders)) == 1:
        return list(contents), folders[0]
    if len(folders) != len(contents):
        raise ValueError(
            f'got {len(folders)} image folders for {len(contents)} annotation '
            'files, expected one for all or one for each; repeat --img-dir '
            '(--val-img-dir) in the order of the files'
        )
    paths = [osp.realpath(folder) for folder in folders]
    try:
        common = osp.commonpath(paths)
    except ValueError as error:  # two drives
        raise ValueError(
            f'the image folders {list(folders)} are not below one folder; '
            'move the images to one drive'
        ) from error
    parts = []
    for content, path in zip(contents, paths):
        prefix = osp.relpath(path, common).replace(osp.sep, '/')
        images = [
            dict(i, file_name=posixpath.join(prefix, str(i['file_name'])))
            for i in content['images']
        ]
        parts.append(dict(content, images=images))
    return parts, common
