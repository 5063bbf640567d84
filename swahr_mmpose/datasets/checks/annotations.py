# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What in a COCO annotation file MMPose would drop or choke on."""

from __future__ import annotations

import re
from collections import Counter
from reprlib import repr as short
from typing import Any, Dict, Iterator, List, Sequence, Tuple

__all__ = ['Problem', 'find_bad_annotations', 'summarize']

# What kind of thing is wrong, which one, and what is wrong with it; the last
# two together are a sentence.
Problem = Tuple[str, str, str]
# Of coordinates; pycocotools crashes where polygons are much larger.
_LARGEST = 1e7
# What differs between problems of one kind: numbers and quoted text.
_VALUE = re.compile(r"'[^']*'|-?\d[\d.e+-]*")


def find_bad_annotations(
    content: Any,
    num_keypoints: int,
    crowd_index: bool = False,
    required: Sequence[str] = (),
) -> List[Problem]:
    """Check the records of an annotation file.

    Args:
        content: The parsed file.
        num_keypoints (int): Keypoints per person of the data set, K.
        crowd_index (bool): Whether each image has to have a ``crowdIndex``,
            as those of CrowdPose have.
        required (Sequence[str]): What each annotation must have beyond what
            training needs, because a metric does.

    Returns:
        list[Problem]: All problems.
    """
    if not isinstance(content, dict) or 'images' not in content:
        what = 'has no list "images"; is it a COCO annotation file?'
        return [('file', 'the annotation file', what)]
    problems = list(_check_lists(content))
    images, people = (_records(content, k) for k in ('images', 'annotations'))
    problems += _repeated('image', images)
    for image in images:
        name = f'image {image.get("id")}'
        found = _check_image(image, crowd_index)
        problems += [('image', name, what) for what in found]
    problems += _repeated('annotation', people)
    sizes = {
        i['id']: (i.get('width'), i.get('height'))
        for i in images
        if _is_whole(i.get('id'))
    }
    for person in people:
        name = (
            f'annotation {person.get("id")} of image {person.get("image_id")}'
        )
        found = _check_annotation(person, sizes, num_keypoints)
        problems += [('annotation', name, what) for what in found]
        problems += [
            ('annotation', name, f'has no {k}, which the metric needs')
            for k in required
            if person.get(k) is None
        ]
    return problems


def _records(content: dict, key: str) -> List[dict]:
    """The records of a list that are records."""
    records = content.get(key)
    if not isinstance(records, list):
        return []
    return [r for r in records if isinstance(r, dict)]


def _check_lists(content: dict) -> Iterator[Problem]:
    for key in ('images', 'annotations', 'categories'):
        records = content.get(key)
        if records is None:
            records = []
        if not isinstance(records, list):
            where = f'"{key}" of the annotation file'
            yield ('file', where, f'is {short(records)}, not a list')
            continue
        for n, record in enumerate(records):
            if not isinstance(record, dict):
                what = f'is {short(record)}, expected {{"id": ...}}'
                yield ('record', f'{key}[{n}]', what)
    if not content.get('annotations'):
        return
    where = 'the annotation file'
    if not content.get('categories'):
        yield ('file', where, 'has no list "categories"')
    elif 1 not in [c.get('id') for c in _records(content, 'categories')]:
        what = 'has no category with the id 1, which people are of'
        yield ('file', where, what)


def _repeated(kind: str, records: Sequence[dict]) -> List[Problem]:
    ids = [str(r['id']) for r in records if r.get('id') is not None]
    return [
        (kind, f'{kind} id {name}', f'is there {count} times')
        for name, count in Counter(ids).items()
        if count > 1
    ]


def _check_image(image: dict, crowd_index: bool) -> Iterator[str]:
    needed = ('file_name', 'height', 'id', 'width')
    lacking = [key for key in needed if image.get(key) is None]
    if lacking:
        yield f'has no {", ".join(lacking)}'
    if 'id' not in lacking and not _is_whole(image['id']):
        yield f'has the id {short(image["id"])}, expected a whole number'
    if crowd_index and not _is_number(image.get('crowdIndex')):
        yield (
            'has no crowdIndex, by which AP of easy, medium and hard images '
            'is defined'
        )


def _check_annotation(
    annotation: dict, sizes: Dict[Any, Any], num_keypoints: int
) -> Iterator[str]:
    for key in ('id', 'image_id', 'category_id', 'bbox', 'keypoints'):
        if annotation.get(key) is None:
            yield f'has no {key}'
    if annotation.get('id') is not None and not _is_whole(annotation['id']):
        yield f'has the id {short(annotation["id"])}, expected a whole number'
    image_id = annotation.get('image_id')
    known = _is_whole(image_id) and image_id in sizes
    if not known:
        yield 'belongs to no image of the file'
    of_points = f'(x, y, v) of {num_keypoints}'
    yield from _check_numbers(
        annotation, 'keypoints', 3 * num_keypoints, of_points
    )
    yield from _check_numbers(annotation, 'bbox', 4, '(x, y, w, h)')
    box: Any = annotation.get('bbox')
    if _are_numbers(box) and len(box) == 4 and min(box[2:]) < 0:
        yield f'has a bbox of negative size, {box}, expected (x, y, w, h)'
    if annotation.get('category_id') not in (None, 1):
        category = short(annotation['category_id'])
        yield f'is of category {category}, people are of 1'
    for key in ('area', 'iscrowd', 'num_keypoints'):
        value = annotation.get(key, 0)
        if value is not None and not (_is_number(value) and value >= 0):
            yield f'has {key} {short(value)}, expected 0 or more'
    size = sizes[image_id] if known else (None, None)
    yield from _check_segmentation(annotation.get('segmentation'), size)


def _check_segmentation(segmentation: Any, size: Any) -> Iterator[str]:
    if not segmentation:
        return
    if isinstance(segmentation, dict):
        yield from _check_mask(segmentation, size)
        return
    polygons: Any = segmentation if isinstance(segmentation, list) else [0]
    if not all(
        _are_numbers(p) and len(p) >= 6 and len(p) % 2 == 0 for p in polygons
    ):
        yield (
            'has a segmentation that is neither a mask nor a list of '
            'polygons of three points or more'
        )


def _check_mask(mask: dict, size: Any) -> Iterator[str]:
    if not {'size', 'counts'} <= set(mask):
        yield 'has a mask without size or counts'
    elif None not in size and mask['size'] != [size[1], size[0]]:
        yield (
            f'has a mask of size {short(mask["size"])}, its image '
            f'[{size[1]}, {size[0]}] (height, width)'
        )
    elif all(_is_whole(side) for side in size):
        runs = _runs(mask['counts'])
        if sum(runs) != size[0] * size[1] or min(runs) < 0:
            yield (
                f'has a mask whose counts are of {sum(runs)} pixels, expected '
                f'{size[0] * size[1]}, those of its image'
            )


def _runs(counts: Any) -> List[int]:
    """The lengths of a mask's runs, ``[0]`` where they cannot be read.

    Compressed ones have 5 bits to a character, the last one with the sign;
    from the fourth on they are differences to the last but one.
    """
    if _are_numbers(counts):
        return counts or [0]
    runs: List[int] = []
    value = shift = 0
    for char in counts if isinstance(counts, str) else '':
        code = ord(char) - 48
        if not 0 <= code < 64 or shift > 60:
            return [0]
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        value -= (code & 16) << (shift - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs if runs and not shift else [0]


def _check_numbers(
    annotation: dict, key: str, count: int, meaning: str
) -> Iterator[str]:
    values = annotation.get(key)
    if values is None:
        return
    if not isinstance(values, list) or len(values) != count:
        got = len(values) if isinstance(values, list) else short(values)
        yield f'has {got} numbers in {key}, expected {count}, {meaning}'
    elif not _are_numbers(values):
        yield f'has something else than numbers in {key}'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) < 1e15


def _is_whole(value: Any) -> bool:
    return _is_number(value) and value == int(value)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(v, (int, float)) and abs(v) < _LARGEST for v in values
    )


def summarize(problems: Sequence[Problem], shown: int) -> List[str]:
    """Count problems by kind, and write out the first ``shown`` of each."""
    kinds: Dict[Tuple[str, str], List[str]] = {}
    for record, where, what in problems:
        kind = (record, _VALUE.sub('#', what))
        kinds.setdefault(kind, []).append(f'{where} {what}')
    lines = [f'{len(problems)} problem(s) of {len(kinds)} kind(s)']
    for (record, _), found in kinds.items():
        plural = 's' if len(found) > 1 else ''
        lines.append(f'  {len(found)} {record}{plural}: {found[0]}')
        lines += [f'    {line}' for line in found[1:shown]]
        if len(found) > max(shown, 1):
            lines.append(f'    ... and {len(found) - max(shown, 1)} more')
    return lines
