# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of the records of a COCO keypoint annotation file.

Reports records that MMPose would silently drop or that would raise an error
during training or evaluation.
"""

from __future__ import annotations

import re
from collections import Counter
from reprlib import repr as short
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

__all__ = ['Problem', 'find_bad_annotations', 'summarize']

# Bound of coordinates; pycocotools crashes on much larger polygons.
_MAX_COORDINATE = 1e7
# Values in messages, which may differ between problems of one kind: quoted
# text and numbers.
_VALUE = re.compile(r"'[^']*'|-?\d[\d.e+-]*")


class Problem(NamedTuple):
    """Problem of an annotation file; subject and message form a sentence.

    Attributes:
        kind (str): Kind of object: file, record, image, annotation or image
            file.
        subject (str): Name of the object, e.g. ``'image 7'``.
        message (str): Problem, e.g. ``'has no width'``.
    """

    kind: str
    subject: str
    message: str


def find_bad_annotations(
    content: Any,
    num_keypoints: int,
    crowd_index: bool = False,
    required: Sequence[str] = (),
) -> List[Problem]:
    """Check the records of an annotation file.

    Args:
        content (Any): Parsed annotation file.
        num_keypoints (int): Keypoints per person, K.
        crowd_index (bool): Whether each image must have a ``crowdIndex``, as
            in CrowdPose.  Defaults to ``False``.
        required (Sequence[str]): Keys that each annotation must have for the
            metric, in addition to those for training.  Defaults to ().

    Returns:
        list[Problem]: All problems, in the order of the file.
    """
    if not isinstance(content, dict) or 'images' not in content:
        message = 'has no list "images"; is it a COCO annotation file?'
        return [Problem('file', 'the annotation file', message)]
    problems = list(_check_lists(content))
    images = _select_records(content, 'images')
    people = _select_records(content, 'annotations')
    problems += _find_duplicates('image', images)
    for image in images:
        subject = f'image {image.get("id")}'
        for message in _check_image(image, crowd_index):
            problems.append(Problem('image', subject, message))
    problems += _find_duplicates('annotation', people)
    sizes = {
        image['id']: (image.get('width'), image.get('height'))
        for image in images
        if _is_integer(image.get('id'))
    }
    for person in people:
        subject = (
            f'annotation {person.get("id")} of image {person.get("image_id")}'
        )
        messages = [
            *_check_annotation(person, sizes, num_keypoints),
            *_check_required(person, required),
        ]
        problems += [Problem('annotation', subject, m) for m in messages]
    return problems


def _select_records(content: dict, key: str) -> List[dict]:
    """Select the elements of a list that are dicts."""
    records = content.get(key)
    if not isinstance(records, list):
        return []
    return [r for r in records if isinstance(r, dict)]


def _check_lists(content: dict) -> Iterator[Problem]:
    """Check the three lists of the file and the type of their elements."""
    for key in ('images', 'annotations', 'categories'):
        records = content.get(key)
        if records is None:
            records = []
        if not isinstance(records, list):
            subject = f'"{key}" of the annotation file'
            message = f'is {short(records)}, expected a list'
            yield Problem('file', subject, message)
            continue
        for n, record in enumerate(records):
            if not isinstance(record, dict):
                message = f'is {short(record)}, expected {{"id": ...}}'
                yield Problem('record', f'{key}[{n}]', message)
    if not content.get('annotations'):
        return
    subject = 'the annotation file'
    if not content.get('categories'):
        yield Problem('file', subject, 'has no list "categories"')
    elif 1 not in [
        c.get('id') for c in _select_records(content, 'categories')
    ]:
        message = 'has no category with id 1, expected for people'
        yield Problem('file', subject, message)


def _find_duplicates(kind: str, records: Sequence[dict]) -> List[Problem]:
    """Find ids that occur more than once."""
    ids = [str(r['id']) for r in records if r.get('id') is not None]
    return [
        Problem(kind, f'{kind} id {name}', f'occurs {count} times')
        for name, count in Counter(ids).items()
        if count > 1
    ]


def _check_image(image: dict, crowd_index: bool) -> Iterator[str]:
    """Check the keys of an image record, except the file itself."""
    keys = ('file_name', 'height', 'id', 'width')
    missing = [key for key in keys if image.get(key) is None]
    if missing:
        yield f'has no {", ".join(missing)}'
    if 'id' not in missing and not _is_integer(image['id']):
        yield f'has the id {short(image["id"])}, expected an integer'
    if crowd_index and not _is_number(image.get('crowdIndex')):
        yield (
            'has no crowdIndex, which defines the AP of easy, medium and hard '
            'images'
        )


def _check_annotation(
    annotation: dict, sizes: Dict[Any, Any], num_keypoints: int
) -> Iterator[str]:
    """Check the keys that training reads."""
    for key in ('id', 'image_id', 'category_id', 'bbox', 'keypoints'):
        if annotation.get(key) is None:
            yield f'has no {key}'
    if annotation.get('id') is not None and not _is_integer(annotation['id']):
        yield f'has the id {short(annotation["id"])}, expected an integer'
    image_id = annotation.get('image_id')
    known = _is_integer(image_id) and image_id in sizes
    if not known:
        yield 'has an image_id that is not in "images"'
    meaning = f'(x, y, v) of {num_keypoints} keypoints'
    yield from _check_numbers(
        annotation, 'keypoints', 3 * num_keypoints, meaning
    )
    yield from _check_numbers(annotation, 'bbox', 4, '(x, y, w, h)')
    yield from _check_values(annotation)
    size = sizes[image_id] if known else (None, None)
    yield from _check_segmentation(annotation.get('segmentation'), size)


def _check_values(annotation: dict) -> Iterator[str]:
    """Check the box size, the category and the optional numbers."""
    box: Any = annotation.get('bbox')
    if _are_numbers(box) and len(box) == 4 and min(box[2:]) < 0:
        yield f'has a bbox of negative size, {box}, expected (x, y, w, h)'
    if annotation.get('category_id') not in (None, 1):
        category = short(annotation['category_id'])
        yield f'has category_id {category}, expected 1 for people'
    for key in ('area', 'iscrowd', 'num_keypoints'):
        value = annotation.get(key, 0)
        if value is not None and not (_is_number(value) and value >= 0):
            yield f'has {key} {short(value)}, expected 0 or more'


def _check_required(
    annotation: dict, required: Sequence[str]
) -> Iterator[str]:
    """Check the keys that only the metric reads."""
    for key in required:
        if annotation.get(key) is None:
            yield f'has no {key}, which the metric requires'


def _check_segmentation(segmentation: Any, size: Any) -> Iterator[str]:
    """Check a mask against the image size, or the form of polygons."""
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
            'has a segmentation that is neither an RLE mask nor a list of '
            'polygons with at least three points'
        )


def _check_mask(mask: dict, size: Any) -> Iterator[str]:
    """Check size and counts of an RLE mask against the image."""
    if not {'size', 'counts'} <= set(mask):
        yield 'has an RLE mask without size or counts'
    elif None not in size and mask['size'] != [size[1], size[0]]:
        yield (
            f'has an RLE mask of size {short(mask["size"])}, expected '
            f'[{size[1]}, {size[0]}] (height, width) as of its image'
        )
    elif all(_is_integer(side) for side in size):
        lengths = _decode_run_lengths(mask['counts'])
        if sum(lengths) != size[0] * size[1] or min(lengths) < 0:
            yield (
                'has an RLE mask whose counts add up to '
                f'{sum(lengths)} pixels, expected {size[0] * size[1]} as in '
                'its image'
            )


def _decode_run_lengths(counts: Any) -> List[int]:
    """Decode the run lengths of an RLE mask; ``[0]`` if malformed.

    In compressed counts a character has 5 bits, the last one of a number with
    the sign.  From the fourth run on, numbers are differences to the run two
    positions before.
    """
    if _are_numbers(counts):
        return counts or [0]
    lengths: List[int] = []
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
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths if lengths and not shift else [0]


def _check_numbers(
    annotation: dict, key: str, count: int, meaning: str
) -> Iterator[str]:
    """Check that a value is a list of ``count`` finite numbers."""
    values = annotation.get(key)
    if values is None:
        return
    if not isinstance(values, list) or len(values) != count:
        got = len(values) if isinstance(values, list) else short(values)
        yield f'has {got} numbers in {key}, expected {count}: {meaning}'
    elif not _are_numbers(values):
        yield (
            f'has values in {key} that are not finite numbers below '
            f'{_MAX_COORDINATE:.0e}'
        )


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number of usual magnitude."""
    return isinstance(value, (int, float)) and abs(value) < 1e15


def _is_integer(value: Any) -> bool:
    """Return whether a value is a number without a fraction."""
    return _is_number(value) and value == int(value)


def _are_numbers(values: Any) -> bool:
    """Return whether a value is a list of valid coordinates."""
    return isinstance(values, list) and all(
        isinstance(v, (int, float)) and abs(v) < _MAX_COORDINATE
        for v in values
    )


def summarize(problems: Sequence[Problem], max_shown: int) -> List[str]:
    """Count problems by kind and list the first ones of each kind.

    Args:
        problems (Sequence[Problem]): Problems; two are of one kind if their
            messages differ only in values.
        max_shown (int): Maximum number of problems to list per kind; at least
            one is listed.

    Returns:
        list[str]: Lines of text, the total first.
    """
    groups: Dict[Tuple[str, str], List[str]] = {}
    for kind, subject, message in problems:
        key = (kind, _VALUE.sub('#', message))
        groups.setdefault(key, []).append(f'{subject} {message}')
    lines = [f'{len(problems)} problem(s) of {len(groups)} kind(s)']
    for (kind, _), texts in groups.items():
        plural = 's' if len(texts) > 1 else ''
        lines.append(f'  {len(texts)} {kind}{plural}: {texts[0]}')
        lines += [f'    {text}' for text in texts[1:max_shown]]
        if len(texts) > max(max_shown, 1):
            lines.append(f'    ... and {len(texts) - max(max_shown, 1)} more')
    return lines
