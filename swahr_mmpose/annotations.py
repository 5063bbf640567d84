# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What in a COCO annotation file MMPose would drop or choke on."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

__all__ = ['find_bad_annotations', 'merge_annotations']


def find_bad_annotations(
    content: Any,
    num_keypoints: int,
    crowd_index: bool = False,
    required: Sequence[str] = (),
) -> List[str]:
    """Check the records of an annotation file.

    Args:
        content: The parsed file.
        num_keypoints (int): Keypoints per person of the data set, K.
        crowd_index (bool): Whether each image has to have a ``crowdIndex``,
            as those of CrowdPose have.
        required (Sequence[str]): What each annotation must have beyond what
            training needs, because a metric does.

    Returns:
        list[str]: One line per problem.
    """
    if not isinstance(content, dict) or 'images' not in content:
        return ['there is no list "images"; is it a COCO annotation file?']
    problems = _check_images(content['images'], crowd_index)
    annotations = content.get('annotations', ())
    problems += _repeated('annotation', annotations)
    if annotations and not content.get('categories'):
        problems.append('there is no list "categories"')
    sizes = {
        image.get('id'): (image.get('height'), image.get('width'))
        for image in content['images']
    }
    for annotation in annotations:
        name = (
            f'annotation {annotation.get("id")} of image '
            f'{annotation.get("image_id")}'
        )
        found = _check_annotation(annotation, sizes, num_keypoints)
        problems += [f'{name} {problem}' for problem in found]
        problems += [
            f'{name} has no {key}, which the metric needs'
            for key in required
            if annotation.get(key) is None
        ]
    return problems


def _check_images(images: Sequence[dict], crowd_index: bool) -> List[str]:
    problems = _repeated('image', images)
    for image in images:
        name = f'image {image.get("id")}'
        lacking = {'id', 'file_name', 'width', 'height'} - set(image)
        if lacking:
            problems.append(f'{name} has no {", ".join(sorted(lacking))}')
        if crowd_index and not _is_finite(image.get('crowdIndex')):
            problems.append(
                f'{name} has no crowdIndex, by which AP of easy, medium and '
                'hard images is defined'
            )
    return problems


def _repeated(kind: str, records: Sequence[dict]) -> List[str]:
    counts = Counter(str(record.get('id')) for record in records)
    return [
        f'{kind} id {name} is there {count} times'
        for name, count in counts.items()
        if count > 1
    ]


def _check_annotation(
    annotation: dict, sizes: Dict[Any, Tuple[Any, Any]], num_keypoints: int
) -> Iterator[str]:
    for key in ('id', 'image_id', 'category_id', 'bbox', 'keypoints'):
        if annotation.get(key) is None:
            yield f'has no {key}'
    image_id = annotation.get('image_id')
    if image_id not in sizes:
        yield 'belongs to no image of the file'
    yield from _check_numbers(
        annotation,
        'keypoints',
        3 * num_keypoints,
        f'(x, y, v) of {num_keypoints}',
    )
    yield from _check_numbers(annotation, 'bbox', 4, '(x, y, w, h)')
    if annotation.get('category_id') not in (None, 1):
        yield f'is of category {annotation["category_id"]}, people are of 1'
    yield from _check_segmentation(
        annotation.get('segmentation'), sizes.get(image_id)
    )


def _check_segmentation(
    segmentation: Any, size: Optional[Tuple[Any, Any]]
) -> Iterator[str]:
    if not segmentation:
        return
    if isinstance(segmentation, dict):
        if not {'size', 'counts'} <= set(segmentation):
            yield 'has a mask without size or counts'
        elif size and list(segmentation['size']) != list(size):
            yield (
                f'has a mask of size {list(segmentation["size"])}, its image '
                f'{list(size)} (height, width)'
            )
        return
    for polygon in segmentation if isinstance(segmentation, list) else [0]:
        if (
            not isinstance(polygon, list)
            or len(polygon) < 6
            or len(polygon) % 2
            or not all(_is_finite(v) for v in polygon)
        ):
            yield (
                'has a segmentation that is neither a mask nor a list of '
                'polygons of three points or more'
            )
            return


def _check_numbers(
    annotation: dict, key: str, count: int, meaning: str
) -> Iterator[str]:
    values = annotation.get(key)
    if values is None:
        return
    if not isinstance(values, list) or len(values) != count:
        got = len(values) if isinstance(values, list) else repr(values)
        yield f'has {got} numbers in {key}, expected {count}, {meaning}'
    elif not all(_is_finite(v) for v in values):
        yield f'has something else than numbers in {key}'


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


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
