# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""COCO-style files of anybody: read, and parted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

__all__ = ['choose_category', 'hold_out', 'merge_annotations', 'read_coco']

_OF_IMAGES = 'id', 'file_name', 'width', 'height'


def read_coco(path: Union[str, Path]) -> Dict[str, Any]:
    """Read a file that has images.

    Args:
        path (str | Path): Of a JSON file.

    Raises:
        ValueError: If it is not JSON, has no images, or images lack id, name
            or size.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not valid JSON ({error})') from error
    images = content.get('images') if isinstance(content, dict) else None
    if not images or not isinstance(images, list):
        raise ValueError(
            f'{path} has no list "images"; is it a COCO annotation file?'
        )
    for key in ('images', 'annotations', 'categories'):
        strange = [r for r in content.get(key) or [] if not _is_record(r)]
        if strange:
            raise ValueError(
                f'{path}: {len(strange)} of {key} are no records, such as '
                f'{strange[0]!r}'
            )
    lacking = [
        image
        for image in images
        if any(image.get(key) is None for key in _OF_IMAGES)
    ]
    if lacking:
        raise ValueError(
            f'{path}: {len(lacking)} images have not all of '
            f'{", ".join(_OF_IMAGES)}; the first is {lacking[0]}'
        )
    return content


def _is_record(value: Any) -> bool:
    return isinstance(value, dict)


def choose_category(content: dict, wanted: Optional[str] = None) -> dict:
    """The category whose instances are to be learned.

    Args:
        content (dict): A parsed COCO file.
        wanted (str, optional): Its name; needed where there are several.

    Returns:
        dict: Empty if the file has no categories.
    """
    found = content.get('categories') or []
    names = [str(c.get('name')) for c in found]
    if wanted is not None and wanted not in names:
        raise ValueError(f'there is no category {wanted!r}, only {names}')
    if wanted is None and len(found) > 1:
        raise ValueError(
            f'there are {len(found)} categories, {names}; choose one, '
            f'--category {names[0]}'
        )
    return found[names.index(wanted) if wanted else 0] if found else {}


def hold_out(content: dict, share: float) -> Tuple[dict, dict]:
    """Part a file into training and validation, by every n-th image.

    Of images with annotations and of those without; the first two are parted
    where there are fewer than n. Frames of one video are alike: part such by
    hand.

    Args:
        content (dict): A parsed COCO file.
        share (float): Of validation, above 0 up to 0.5.

    Returns:
        tuple[dict, dict]: For training, for validation.
    """
    annotated = {a.get('image_id') for a in content.get('annotations') or []}
    images = [image['id'] for image in content['images']]
    shown = [i for i in images if i in annotated]
    if not 0 < share <= 0.5 or len(shown) < 2:
        raise ValueError(
            f'{len(shown)} image(s) with annotations and a validation share '
            f'of {share}: expected two or more and a share above 0 up to 0.5; '
            'or give a validation file, --val'
        )
    every = round(1 / share)
    empty = [i for i in images if i not in annotated]
    held = {*shown[every - 1 :: every], *empty[every - 1 :: every]}
    held |= set() if held & annotated else {shown[1]}
    parts = [
        dict(
            content,
            images=[
                i for i in content['images'] if (i['id'] in held) == of_val
            ],
            annotations=[
                a
                for a in content.get('annotations') or []
                if (a.get('image_id') in held) == of_val
            ],
        )
        for of_val in (False, True)
    ]
    return parts[0], parts[1]


def merge_annotations(contents: Sequence[dict]) -> dict:
    """One annotation file of several, as CrowdPose's train and val sets.

    Args:
        contents (Sequence[dict]): Parsed files, with the same categories.

    Returns:
        dict: All images and annotations, in order; where two annotations have
        the same id, all are numbered anew from 1.

    Raises:
        ValueError: If categories differ, or an image is in two files.
    """
    images = [image for content in contents for image in content['images']]
    ids = Counter(image['id'] for image in images)
    twice = [i for i, count in ids.items() if count > 1]
    if twice:
        raise ValueError(
            f'{len(twice)} images are in more than one file, image '
            f'{twice[0]} for one; merge files of different images'
        )
    categories = [content.get('categories') for content in contents]
    if any(c != categories[0] for c in categories):
        raise ValueError('the files differ in their categories')
    annotations = [a for content in contents for a in content['annotations']]
    if len({a['id'] for a in annotations}) < len(annotations):
        annotations = [dict(a, id=n) for n, a in enumerate(annotations, 1)]
    return dict(contents[0], images=images, annotations=annotations)
