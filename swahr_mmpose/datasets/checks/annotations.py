# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of the records of a COCO keypoint annotation file.

Reports records that MMPose would silently drop or that would raise an error
during training or evaluation.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import (
    Any,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from .run_lengths import decompress_run_lengths
from .schema import (
    MAX_COORDINATE,
    are_coordinates,
    are_finite,
    find_perimeter_problem,
    find_type_problems,
    is_integer,
    is_number,
)
from .text import escape, short

__all__ = [
    'Problem',
    'find_bad_annotations',
    'find_segmentation_problem',
    'format_name',
    'has_labels',
    'read_keypoint_lists',
    'select_records',
    'summarize',
]

# Values in messages, which may differ between problems of one kind: quoted
# text and numbers.
_VALUE = re.compile(r"'[^']*'|-?\d[\d.e+-]*")


class Problem(NamedTuple):
    """Problem of an annotation file; subject and message form a sentence.

    Attributes:
        kind (str): Kind of object: file, record, image, annotation,
            category, image file or dataset.
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
    fillable: Sequence[str] = (),
) -> List[Problem]:
    """Check the records of an annotation file.

    Args:
        content (Any): Parsed annotation file.
        num_keypoints (int): Keypoints per person, K.
        crowd_index (bool): Whether each image must have a ``crowdIndex``, as
            in CrowdPose.  Defaults to ``False``.
        required (Sequence[str]): Keys that each annotation must have for the
            metric, in addition to those for training.  Defaults to ().
        fillable (Sequence[str]): Keys of annotations that may be missing,
            because a complete file is made before training.  With
            ``category_id`` among them, all categories are allowed.  Defaults
            to ().

    Returns:
        list[Problem]: All problems, in the order of the file.
    """
    if not isinstance(content, dict) or 'images' not in content:
        message = 'has no list "images"; is it a COCO annotation file?'
        return [Problem('file', 'the annotation file', message)]
    problems = list(_check_lists(content, 'category_id' in fillable))
    images = select_records(content, 'images')
    people = select_records(content, 'annotations')
    problems += _find_duplicates('image', images)
    for image in images:
        subject = format_name('image', image)
        for message in _check_image(image, crowd_index):
            problems.append(Problem('image', subject, message))
    problems += _find_duplicates('annotation', people)
    sizes = {
        image['id']: (image.get('width'), image.get('height'))
        for image in images
        if is_integer(image.get('id'))
    }
    for person in people:
        messages = [
            *_check_annotation(person, sizes, num_keypoints, fillable),
            *_check_required(person, required),
        ]
        if messages:
            subject = format_name('annotation', person)
            problems += [Problem('annotation', subject, m) for m in messages]
    for category in select_records(content, 'categories'):
        subject = format_name('category', category)
        for message in find_type_problems(category, 'categories').values():
            problems.append(Problem('category', subject, message))
    return problems


def read_keypoint_lists(content: Any) -> List[list]:
    """Read the keypoint names of each category that has some.

    Args:
        content: Parsed annotation file.

    Returns:
        list[list]: Lists of names, in the order of the categories.
    """
    lists = [c.get('keypoints') for c in select_records(content, 'categories')]
    return [names for names in lists if names and isinstance(names, list)]


def format_name(kind: str, record: dict) -> str:
    """Name a record by its id and image id, escaped for a terminal."""
    name = f'{kind} {escape(record.get("id"), 40)}'
    if kind != 'annotation':
        return name
    return f'{name} of image {escape(record.get("image_id"), 40)}'


def select_records(content: Any, key: str) -> List[dict]:
    """Select the elements of a list that are dicts.

    Args:
        content: Parsed annotation file.
        key (str): ``'images'``, ``'annotations'`` or ``'categories'``.

    Returns:
        list[dict]: Records; empty if there is no such list.
    """
    records = content.get(key) if isinstance(content, dict) else None
    if not isinstance(records, list):
        return []
    return [r for r in records if isinstance(r, dict)]


def _check_lists(content: dict, any_category: bool) -> Iterator[Problem]:
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
    if not content.get('annotations') or any_category:
        return
    subject = 'the annotation file'
    if not content.get('categories'):
        yield Problem('file', subject, 'has no list "categories"')
    elif 1 not in [c.get('id') for c in select_records(content, 'categories')]:
        message = 'has no category with id 1, expected for people'
        yield Problem('file', subject, message)


def _find_duplicates(kind: str, records: Sequence[dict]) -> List[Problem]:
    """Find ids that occur more than once."""
    ids = [escape(r['id'], 40) for r in records if r.get('id') is not None]
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
    yield from find_type_problems(image, 'images').values()
    index = image.get('crowdIndex')
    if crowd_index and not is_number(index):
        got = '' if index is None else f' but {short(index)}'
        yield (
            f'has no crowdIndex{got}, expected a number, which defines the '
            'AP of easy, medium and hard images'
        )


def _check_annotation(
    annotation: dict,
    sizes: Dict[Any, Any],
    num_keypoints: int,
    fillable: Sequence[str],
) -> Iterator[str]:
    """Check the keys that training reads."""
    yield from _find_missing(annotation, fillable)
    wrong = find_type_problems(annotation, 'annotations')
    yield from wrong.values()
    image_id = annotation.get('image_id')
    known = is_integer(image_id) and image_id in sizes
    if not known and 'image_id' not in wrong:
        yield 'has an image_id that is not in "images"'
    if 'keypoints' not in wrong:
        yield from _check_keypoints(annotation.get('keypoints'), num_keypoints)
    if 'bbox' not in wrong:
        yield from _check_box(annotation.get('bbox'))
    any_category = 'category_id' in (*wrong, *fillable)
    category = annotation.get('category_id')
    if not any_category and category not in (None, 1):
        yield f'has category_id {short(category)}, expected 1 for people'
    size = sizes[image_id] if known else (None, None)
    yield from _check_segmentation(annotation.get('segmentation'), size)


def _find_missing(annotation: dict, fillable: Sequence[str]) -> Iterator[str]:
    """Name the keys without which MMPose fails or drops an annotation."""
    for key in ('id', 'image_id', 'category_id', 'bbox', 'keypoints'):
        if annotation.get(key) is None and key not in fillable:
            yield f'has no {key}'


def has_labels(annotation: dict) -> bool:
    """Return whether an annotation, no crowd, has a labelled keypoint.

    Args:
        annotation (dict): Annotation; keypoints that are no flat list of
            numbers are not labelled.
    """
    keypoints = annotation.get('keypoints')
    if annotation.get('iscrowd') or not isinstance(keypoints, list):
        return False
    return any(is_number(v) and v > 0 for v in keypoints[2::3])


def _check_keypoints(values: Any, num_keypoints: int) -> Iterator[str]:
    """Check number and magnitude; unlabelled keypoints may be NaN."""
    if values is None:
        return
    count = 3 * num_keypoints
    if len(values) != count:
        yield (
            f'has {len(values)} numbers in keypoints, expected {count}: '
            f'(x, y, v) of {num_keypoints} keypoints'
        )
    elif not are_finite(values):
        labelled = [
            number
            for n in range(0, count, 3)
            for number in (values[n : n + 3] if values[n + 2] != 0 else ())
        ]
        if not are_finite(labelled):
            yield (
                'has values in keypoints that are not finite numbers below '
                f'{MAX_COORDINATE:.0e}'
            )


def _check_box(box: Any) -> Iterator[str]:
    """Check number, magnitude and sign of (x, y, w, h)."""
    if box is None:
        return
    if len(box) != 4:
        yield f'has {len(box)} numbers in bbox, expected 4: (x, y, w, h)'
    elif not are_finite(box):
        yield (
            'has values in bbox that are not finite numbers below '
            f'{MAX_COORDINATE:.0e}'
        )
    elif min(box[2:]) < 0:
        yield f'has a bbox of negative size, {box}, expected (x, y, w, h)'


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
        are_coordinates(p) and len(p) >= 6 and len(p) % 2 == 0
        for p in polygons
    ):
        yield (
            'has a segmentation that is neither an RLE mask nor a list of '
            'polygons with at least three points'
        )
    elif all(is_integer(side) for side in size):
        problem = find_perimeter_problem(polygons, size)
        if problem:
            yield f'{problem}; correct the segmentation'


def find_segmentation_problem(segmentation: Any, size: Any) -> Optional[str]:
    """Find what is wrong with a segmentation.

    Args:
        segmentation: RLE mask or list of polygons; ``None`` and empty ones
            are valid.
        size (tuple): ``(width, height)`` of the image, or ``None`` twice.

    Returns:
        str, optional: Problem, or ``None``.
    """
    return next(_check_segmentation(segmentation, size), None)


def _check_mask(mask: dict, size: Any) -> Iterator[str]:
    """Check size and counts of an RLE mask against the image."""
    if not {'size', 'counts'} <= set(mask):
        yield 'has an RLE mask without size or counts'
    elif None not in size and mask['size'] != [size[1], size[0]]:
        yield (
            f'has an RLE mask of size {short(mask["size"])}, expected '
            f'[{size[1]}, {size[0]}] (height, width) as of its image'
        )
    elif all(is_integer(side) for side in size):
        lengths = _decode_run_lengths(mask['counts'])
        if sum(lengths) != size[0] * size[1] or min(lengths) < 0:
            yield (
                'has an RLE mask whose counts add up to '
                f'{sum(lengths)} pixels, expected {size[0] * size[1]} as in '
                'its image'
            )


def _decode_run_lengths(counts: Any) -> List[int]:
    """Decode the run lengths of an RLE mask; ``[0]`` if malformed."""
    if isinstance(counts, list):
        valid = all(is_integer(n) for n in counts)
        return counts if counts and valid else [0]
    try:
        return decompress_run_lengths(counts) or [0]
    except (TypeError, ValueError):
        return [0]


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
