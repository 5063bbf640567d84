# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Identifiers of a COCO file: legal ones, or all renumbered.

MMPose and COCO's metric require integers. Exporters also write text, floats,
and ids that are repeated or refer to nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Dict, Hashable, List, Sequence, Tuple

from swahr_mmpose.datasets.checks.schema import is_integer
from swahr_mmpose.datasets.checks.text import escape, short

__all__ = ['make_key', 'normalize_ids']


def make_key(value: Any) -> Hashable:
    """Make a key that is equal for equal ids: 7 and 7.0, not 7 and '7'.

    Args:
        value: Id of a JSON file, of any type.

    Returns:
        Hashable: An integer, or the id as JSON text.
    """
    return int(value) if is_integer(value) else json.dumps(value)


def normalize_ids(
    content: Dict[str, Any], name: str
) -> Tuple[Dict[str, Any], Counter]:
    """Make all ids integers, and annotation ids unique.

    Args:
        content (dict): Parsed COCO file; not modified.
        name (str): Name of the file, for messages.

    Returns:
        tuple[dict, Counter]: The file, and how often each rule was applied.
        Annotations of unknown images are dropped.

    Raises:
        ValueError: If an image id is repeated, or no annotation belongs to
            an image.
    """
    rules: Counter = Counter()
    images = content['images']
    categories = content.get('categories') or []
    for kind, records in (('image', images), ('category', categories)):
        _check_unique(kind, records, name)
    ids, category_ids = _map_ids(images), _map_ids(categories)
    changed = sum(ids[make_key(i['id'])] != i['id'] for i in images)
    rules['image id not an integer: all renumbered'] = changed
    annotations = content.get('annotations') or []
    known = [a for a in annotations if make_key(a.get('image_id')) in ids]
    rules['image_id not in images: dropped'] = len(annotations) - len(known)
    if annotations and not known:
        got, expected = annotations[0].get('image_id'), images[0]['id']
        raise ValueError(
            f'{name}: no annotation has an image_id that is in "images": got '
            f'{short(got)}, and image ids like {short(expected)}; correct the '
            'file'
        )
    annotations = [
        _replace_ids(annotation, ids, category_ids) for annotation in known
    ]
    rules.update(_number_annotations(annotations))
    normalized = dict(
        content,
        images=[dict(i, id=ids[make_key(i['id'])]) for i in images],
        annotations=annotations,
        categories=[
            dict(c, id=category_ids[make_key(c.get('id'))]) for c in categories
        ],
    )
    return normalized, rules


def _check_unique(kind: str, records: Sequence[dict], name: str) -> None:
    """Raise if an id of images or categories is repeated."""
    counts = Counter(make_key(r.get('id')) for r in records)
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            f'{name}: {len(repeated)} {kind} ids are repeated, e.g. '
            f'{escape(repeated[0], 40)}, so that annotations cannot be '
            'assigned; correct the file, or give the files of which it '
            'consists'
        )


def _map_ids(records: Sequence[dict]) -> Dict[Hashable, int]:
    """Map ids to integers: to themselves, or all to numbers from 1."""
    keys = dict.fromkeys(make_key(r.get('id')) for r in records)
    numbers: Dict[Hashable, int] = {k: k for k in keys if isinstance(k, int)}
    if len(numbers) == len(keys):
        return numbers
    return {key: n for n, key in enumerate(keys, 1)}


def _replace_ids(
    annotation: dict,
    images: Dict[Hashable, int],
    categories: Dict[Hashable, int],
) -> dict:
    """Replace the ids of image and category in an annotation."""
    category = annotation.get('category_id')
    return dict(
        annotation,
        image_id=images[make_key(annotation.get('image_id'))],
        category_id=categories.get(make_key(category)),
    )


def _number_annotations(annotations: List[dict]) -> Counter:
    """Renumber annotations from 1 if an id is missing or not legal."""
    rules: Counter = Counter()
    given = [a.get('id') for a in annotations]
    keys = [make_key(i) for i in given if i is not None]
    rules['id missing: all renumbered'] = len(given) - len(keys)
    texts = sum(not isinstance(key, int) for key in keys)
    rules['id not an integer: all renumbered'] = texts
    rules['id repeated: all renumbered'] = len(keys) - len(set(keys))
    if any(rules.values()):
        for number, annotation in enumerate(annotations, 1):
            annotation['id'] = number
    else:
        for annotation in annotations:
            annotation['id'] = int(annotation['id'])
    return rules
