# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Read, split and merge COCO keypoint files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Tuple, Union

__all__ = ['choose_category', 'hold_out', 'merge_annotations', 'read_coco']

_IMAGE_KEYS = 'id', 'file_name', 'width', 'height'


def read_coco(path: Union[str, Path]) -> Dict[str, Any]:
    """Read a COCO annotation file.

    Args:
        path (str | Path): JSON file.

    Returns:
        dict: Content of the file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not valid JSON, has no images, has entries that
            are not objects, or images lack id, file name or size.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'{path} is not valid JSON ({error}); expected a COCO annotation '
            'file'
        ) from error
    images = content.get('images') if isinstance(content, dict) else None
    if not images or not isinstance(images, list):
        raise ValueError(
            f'{path} has no list "images"; expected a COCO annotation file'
        )
    for key in ('images', 'annotations', 'categories'):
        wrong = [e for e in content.get(key) or [] if not isinstance(e, dict)]
        if wrong:
            raise ValueError(
                f'{path}: {len(wrong)} entries of "{key}" are not JSON '
                f'objects, e.g. {wrong[0]!r}; correct the file'
            )
    incomplete = [
        image
        for image in images
        if any(image.get(key) is None for key in _IMAGE_KEYS)
    ]
    if incomplete:
        raise ValueError(
            f'{path}: {len(incomplete)} images lack at least one of '
            f'{", ".join(_IMAGE_KEYS)}, e.g. {incomplete[0]}; add what is '
            'missing'
        )
    return content


def choose_category(content: dict, wanted: Optional[str] = None) -> dict:
    """Choose the category whose instances are used.

    Args:
        content (dict): Parsed COCO file.
        wanted (str, optional): Name of the category; required if there are
            several. Defaults to None.

    Returns:
        dict: The category; empty if the file has no categories.

    Raises:
        ValueError: If there is no category of that name, or several and none
            is chosen.
    """
    categories = content.get('categories') or []
    names = [str(c.get('name')) for c in categories]
    if wanted is not None and wanted not in names:
        raise ValueError(f'no category {wanted!r}, expected one of {names}')
    if wanted is None and len(categories) > 1:
        raise ValueError(
            f'there are {len(categories)} categories, {names}; choose one, '
            f'e.g. --category {names[0]}'
        )
    index = names.index(wanted) if wanted else 0
    return categories[index] if categories else {}


def hold_out(content: dict, share: float) -> Tuple[dict, dict]:
    """Split a file into training and validation set, by every n-th image.

    n is ``1 / share``, rounded. Images with and without annotations are
    split separately. If there are fewer than n annotated images, the second
    one goes to validation. Neighbouring frames of a video are nearly
    identical: split such files manually.

    Args:
        content (dict): Parsed COCO file.
        share (float): Fraction of images for validation, in (0, 0.5].

    Returns:
        tuple[dict, dict]: Training and validation content.

    Raises:
        ValueError: If ``share`` is out of range, or fewer than two images
            have annotations.
    """
    annotated = {a.get('image_id') for a in content.get('annotations') or []}
    images = [image['id'] for image in content['images']]
    labelled = [i for i in images if i in annotated]
    if not 0 < share <= 0.5 or len(labelled) < 2:
        raise ValueError(
            f'got {len(labelled)} image(s) with annotations and a validation '
            f'share of {share}, expected at least 2 and a share above 0 up to '
            '0.5; change --val-share or give a validation file, --val'
        )
    step = round(1 / share)
    empty = [i for i in images if i not in annotated]
    held_out = {*labelled[step - 1 :: step], *empty[step - 1 :: step]}
    if not held_out & annotated:
        held_out.add(labelled[1])
    return (
        _filter_images(content, lambda i: i not in held_out),
        _filter_images(content, lambda i: i in held_out),
    )


def _filter_images(content: dict, select: Callable[[Any], bool]) -> dict:
    """Keep images and annotations whose image id is selected."""
    annotations = content.get('annotations') or []
    return dict(
        content,
        images=[i for i in content['images'] if select(i['id'])],
        annotations=[a for a in annotations if select(a.get('image_id'))],
    )


def merge_annotations(contents: Sequence[dict]) -> dict:
    """Merge annotation files, e.g. CrowdPose's train and val sets.

    Args:
        contents (Sequence[dict]): Parsed COCO files with equal categories.

    Returns:
        dict: All images and annotations in order. If annotation ids collide,
        all annotations are renumbered from 1.

    Raises:
        ValueError: If categories differ or an image id occurs twice.
    """
    images = [image for content in contents for image in content['images']]
    ids = Counter(image['id'] for image in images)
    repeated = [i for i, count in ids.items() if count > 1]
    if repeated:
        raise ValueError(
            f'{len(repeated)} image ids occur more than once, e.g. '
            f'{repeated[0]}; merge files of different images'
        )
    categories = [content.get('categories') for content in contents]
    if any(c != categories[0] for c in categories):
        raise ValueError(
            'the files differ in "categories"; merge files with equal ones'
        )
    annotations = [a for content in contents for a in content['annotations']]
    if len({a['id'] for a in annotations}) < len(annotations):
        annotations = [dict(a, id=n) for n, a in enumerate(annotations, 1)]
    return dict(contents[0], images=images, annotations=annotations)
