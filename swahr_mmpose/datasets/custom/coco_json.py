# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Read COCO keypoint files, choose categories, and hold out images."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Hashable,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from swahr_mmpose.datasets.checks.text import count

__all__ = [
    'choose_categories',
    'hold_out',
    'is_instance',
    'read_coco',
    'require_labels',
    'select_categories',
]

_IMAGE_KEYS = 'id', 'file_name', 'width', 'height'
# Value of --category for every category that has keypoints.
ALL = 'all'


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
        content = json.loads(Path(path).read_text(encoding='utf-8-sig'))
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
        _check_records(path, key, content.get(key))
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


def _check_records(path: Union[str, Path], key: str, records: Any) -> None:
    """Check that a value is a list of objects, or absent."""
    if records is not None and not isinstance(records, list):
        raise ValueError(
            f'{path}: "{key}" is {records!r:.80}, expected a list of JSON '
            'objects; correct the file'
        )
    wrong = [entry for entry in records or [] if not isinstance(entry, dict)]
    if wrong:
        raise ValueError(
            f'{path}: {len(wrong)} entries of "{key}" are not JSON '
            f'objects, e.g. {wrong[0]!r:.80}; correct the file'
        )


def choose_categories(
    content: dict, wanted: Optional[Sequence[str]] = None
) -> List[dict]:
    """Choose the categories whose instances are used.

    Args:
        content (dict): Parsed COCO file.
        wanted (Sequence[str], optional): Names, or ``['all']`` for every
            category that has keypoints; required if there are several.
            Defaults to None.

    Returns:
        list[dict]: Categories; empty if the file has none.

    Raises:
        ValueError: If there is no category of a name, or several and none is
            chosen.
    """
    categories = content.get('categories') or []
    names = [str(c.get('name')) for c in categories]
    usable = [c for c in categories if c.get('keypoints')] or categories
    if wanted and list(wanted) == [ALL] and ALL not in names:
        return usable
    if wanted:
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise ValueError(
                f'no category {unknown[0]!r}, expected one of {names}'
            )
        return [c for c, name in zip(categories, names) if name in wanted]
    if len(categories) > 1:
        choices = [shlex.quote(str(c.get('name'))) for c in usable]
        several = ''
        if len(choices) > 1:
            several = (
                f', or several with the same keypoints: --category '
                f'{" ".join(choices[:2])}, or --category {ALL}'
            )
        raise ValueError(
            f'there are {len(categories)} categories, {names}; choose one, '
            f'e.g. --category {choices[0]}{several}'
        )
    return categories


def select_categories(
    content: dict, categories: Sequence[dict]
) -> Tuple[dict, int]:
    """Select the annotations of some categories.

    Args:
        content (dict): Parsed COCO file; not modified.
        categories (Sequence[dict]): Result of :func:`choose_categories`. If
            the file has one category or none, annotations of any category
            are kept.

    Returns:
        tuple[dict, int]: The file, and the number of dropped annotations.
    """
    annotations = content.get('annotations') or []
    kept = annotations
    if len(content.get('categories') or []) > 1:
        ids = [c.get('id') for c in categories]
        kept = [a for a in annotations if a.get('category_id') in ids]
    selected = dict(content, annotations=kept, categories=list(categories))
    return selected, len(annotations) - len(kept)


def is_instance(annotation: dict) -> bool:
    """Return whether an annotation has a labelled keypoint and is no crowd.

    Args:
        annotation (dict): Annotation of a COCO file.
    """
    labels = (annotation.get('keypoints') or ())[2::3]
    return any(v > 0 for v in labels) and not annotation.get('iscrowd')


def require_labels(content: dict, name: str, dropped: int = 0) -> None:
    """Raise if no annotation has a labelled keypoint; name the cause.

    Args:
        content (dict): Parsed COCO file with the chosen categories only.
        name (str): Name of the file, for the message.
        dropped (int): Number of annotations of other categories, which are
            not in ``content``. Defaults to 0.

    Raises:
        ValueError: If there is no instance with a labelled keypoint.
    """
    annotations = content.get('annotations') or []
    if any(map(is_instance, annotations)):
        return
    with_keypoints = sum(bool(a.get('keypoints')) for a in annotations)
    if not annotations and dropped:
        cause = (
            f'its {dropped} annotations are of other categories; choose '
            'another --category'
        )
    elif not annotations:
        cause = (
            'it has no annotations; give the file that has the keypoints of '
            'the training images'
        )
    elif not with_keypoints:
        cause = (
            f'none of its {len(annotations)} annotations has "keypoints"; '
            'give a file with keypoints, as a file of boxes or segmentations '
            'is not enough'
        )
    else:
        cause = (
            f'v is 0, or iscrowd 1, in all {with_keypoints} annotations with '
            '"keypoints"; write v = 2 for visible and 1 for occluded keypoints'
        )
    raise ValueError(
        f'{name} has no instance with a labelled keypoint, v > 0: {cause}'
    )


def hold_out(content: dict, share: float) -> Tuple[dict, dict]:
    """Split a file into training and validation set, by every n-th image.

    n is ``1 / share``, rounded. Images with and without instances are split
    separately. If there are fewer than n images with instances, the second
    one goes to validation. Each category that is in two images or more is in
    both parts, if possible. Neighbouring frames of a video are nearly
    identical: split such files manually.

    Args:
        content (dict): Parsed COCO file with the chosen categories only.
        share (float): Fraction of images for validation, in (0, 0.5].

    Returns:
        tuple[dict, dict]: Training and validation content.

    Raises:
        ValueError: If ``share`` is out of range, or fewer than two images
            have instances.
    """
    groups = _group_images(content)
    annotated = {i for group in groups for i in group}
    images = [image['id'] for image in content['images']]
    labelled = [i for i in images if i in annotated]
    if not 0 < share <= 0.5:
        raise ValueError(
            f'got a validation share of {share}, expected above 0 up to 0.5; '
            'change --val-share'
        )
    if len(labelled) < 2:
        raise ValueError(
            f'got {count(len(labelled), "image")} with labelled keypoints, '
            'expected at least 2, one of them for validation; give a '
            'validation file, --val'
        )
    step = round(1 / share)
    empty = [i for i in images if i not in annotated]
    held_out = {*labelled[step - 1 :: step], *empty[step - 1 :: step]}
    _balance_categories(held_out, groups)
    if not held_out & annotated:
        held_out.add(labelled[1])
    return (
        _filter_images(content, lambda i: i not in held_out),
        _filter_images(content, lambda i: i in held_out),
    )


def _group_images(content: dict) -> List[List[Hashable]]:
    """Group the ids of images with instances by category, rarest first."""
    known = {image['id'] for image in content['images']}
    groups: Dict[Any, Dict[Hashable, None]] = {}
    for annotation in content.get('annotations') or []:
        image = annotation.get('image_id')
        if image in known and is_instance(annotation):
            groups.setdefault(annotation.get('category_id'), {})[image] = None
    return sorted(map(list, groups.values()), key=len)


def _balance_categories(
    held_out: Set[Any], groups: Sequence[List[Hashable]]
) -> None:
    """Move images until both parts have each category, if possible.

    Args:
        held_out (set): Ids of the validation images; modified.
        groups (Sequence[list]): Ids of the images of each category.
    """
    for group in groups:
        if held_out.issuperset(group):
            held_out.discard(group[0])
    for group in groups:
        if held_out.isdisjoint(group):
            rest = [set(other) - held_out for other in groups]
            movable = [
                i
                for i in [*group[1:], group[0]]
                if all(len(r) > 1 for r in rest if i in r)
            ]
            held_out.update(movable[:1])


def _filter_images(content: dict, select: Callable[[Any], bool]) -> dict:
    """Keep images and annotations whose image id is selected."""
    annotations = content.get('annotations') or []
    return dict(
        content,
        images=[i for i in content['images'] if select(i['id'])],
        annotations=[a for a in annotations if select(a.get('image_id'))],
    )
