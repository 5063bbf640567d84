# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Check of a dataset: its annotation file and the images that it names."""

from __future__ import annotations

import json
import os.path as osp
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from swahr_mmpose.utils import annotation_paths

from .annotations import (
    Problem,
    find_bad_annotations,
    format_name,
    has_labels,
    select_records,
    summarize,
)
from .file_names import FolderIndex, is_inside, is_link_outside
from .image_files import (
    LINK_OUTSIDE,
    check_record,
    image_sizes,
    inspect_images,
)
from .plausibility import find_implausible
from .text import escape
from .trial import select_sample

__all__ = [
    'NO_LABELS',
    'DatasetReport',
    'check_dataset',
    'read_annotation_file',
    'require_annotation_file',
]

# Problem of a dataset in which nothing can be learned.
NO_LABELS = (
    'no instance has a labelled keypoint, v > 0, so that there is nothing to '
    'learn or to evaluate; write v = 2 for visible and v = 1 for occluded '
    'keypoints, or give another annotation file'
)

_ANNOTATION_REMEDY = (
    'Correct the annotation file, or the dataset type in the config.'
)
# Additional remedies of problems of annotations, by a part of the message.
_RECORD_REMEDIES = {
    'numbers in keypoints, expected': (
        'For keypoints of your own make a config with `swahr dataset new`, '
        'and check the file with --num-keypoints.'
    ),
    'has no bbox': (
        'Boxes and other keys that are missing are filled in by `swahr '
        'dataset new`, which makes a config for the complete file.'
    ),
}
# Remedies of problems of image files, by a part of the message. Messages with
# a semicolon have a remedy of their own; so have those on all annotations.
_IMAGE_REMEDIES = {
    'does not exist': (
        'Set data_prefix in the config, download the missing image files, or '
        'remove them from the annotation file.'
    ),
    'as in the annotation file': (
        'Correct the sizes in the annotation file (boxes are clipped to them, '
        'and people outside of them dropped), or use the image files that '
        'were annotated.'
    ),
    '': (
        'Download the damaged image files again, or remove them from the '
        'annotation file.'
    ),
}


class DatasetReport(NamedTuple):
    """Result of the check of a dataset without errors.

    Attributes:
        images (int): Number of images.
        annotations (int): Number of annotations.
        warnings (list[str]): What may be wrong, with remedies.
        paths (frozenset[str]): Absolute paths of the image files.
        sample (dict): Annotation file of a few images of each kind.
        labelled (int): Number of annotations with a labelled keypoint.
    """

    images: int
    annotations: int
    warnings: List[str]
    paths: frozenset
    sample: dict
    labelled: int


def check_dataset(
    ann_file: str,
    image_dir: str,
    num_keypoints: int,
    *,
    crowd_index: bool,
    required: Sequence[str],
    test_side: Optional[int],
    needs_annotations: bool = True,
    max_shown: int = 5,
    ignore_orientation: Optional[bool] = None,
    link_dir: Optional[str] = None,
    needs_labels: bool = True,
    fillable: Sequence[str] = (),
    content: Any = None,
) -> DatasetReport:
    """Check an annotation file and the images that it names.

    Args:
        ann_file (str): COCO annotation file.
        image_dir (str): Folder of the images.
        num_keypoints (int): Keypoints per person, K.
        crowd_index (bool): Whether each image must have a ``crowdIndex``.
        required (Sequence[str]): Keys of annotations that the metric
            requires.
        test_side (int, optional): Short side of test images after resizing,
            in pixels.  ``None`` or 0: the images are not used for testing.
        needs_annotations (bool): Whether a file without annotations, as of a
            test set, is an error.  Defaults to ``True``.
        max_shown (int): Maximum number of problems of a kind that the error
            lists.  Defaults to 5.
        ignore_orientation (bool, optional): Setting of the pipeline, see
            :class:`.BottomupLoadImage`.  Defaults to ``None``.
        link_dir (str, optional): Folder outside of ``image_dir`` to which
            links may lead.  Defaults to ``None``.
        needs_labels (bool): Whether annotations without any labelled keypoint
            are an error.  Defaults to ``True``.
        fillable (Sequence[str]): Keys that annotations may lack, see
            :func:`.find_bad_annotations`.  Defaults to ().
        content (Any): Parsed annotation file, if it has been read.  Defaults
            to ``None``.

    Returns:
        DatasetReport: Counts and warnings.

    Raises:
        FileNotFoundError: If there is no annotation file.
        ValueError: With all problems, counted by kind.
    """
    if content is None:
        content = read_annotation_file(ann_file)
    problems = find_bad_annotations(
        content, num_keypoints, crowd_index, required, fillable
    )
    broken, doubts = _check_images(
        content, image_dir, test_side, ignore_orientation, link_dir
    )
    people = content.get('annotations') if isinstance(content, dict) else None
    labelled = sum(map(has_labels, select_records(content, 'annotations')))
    if needs_annotations and not people:
        subject = 'the annotation file'
        broken.append(Problem('file', subject, 'has no annotations'))
    findings = find_implausible(
        content, num_keypoints, bool(test_side) and not crowd_index
    )
    stops = [finding.message for finding in findings if finding.stops]
    if needs_annotations and needs_labels and people and not labelled:
        stops = stops or [NO_LABELS]
    broken += [Problem('dataset', 'all annotations:', m) for m in stops]
    warnings = [f.message for f in findings if not f.stops]
    warnings += _format_doubts(doubts)
    _raise_problems(ann_file, [*problems, *broken], warnings, max_shown)
    return DatasetReport(
        len(content['images']),
        len(people or ()),
        warnings,
        frozenset(_list_paths(content, image_dir)),
        select_sample(content),
        labelled,
    )


def _raise_problems(
    ann_file: str,
    problems: Sequence[Problem],
    warnings: Sequence[str],
    max_shown: int,
) -> None:
    """Raise if there are problems; the message has the warnings as well."""
    if problems:
        text = _format_problems(ann_file, problems, max_shown)
        raise ValueError('\n'.join([text, *_format_warnings(warnings)]))


def _format_doubts(doubts: Sequence[Problem]) -> List[str]:
    """Format equal doubts about image files as one warning."""
    groups: Dict[str, List[str]] = {}
    for doubt in doubts:
        groups.setdefault(doubt.message, []).append(doubt.subject)
    return [
        f'{len(paths)} image file(s), e.g. {paths[0]}: each {message}'
        for message, paths in groups.items()
    ]


def _format_warnings(warnings: Sequence[str]) -> List[str]:
    """Format the warnings that follow errors."""
    return [f'warning: {text}' for text in warnings]


def _list_paths(content: dict, image_dir: str) -> List[str]:
    """List the absolute paths of the image files."""
    folder = osp.abspath(image_dir)
    return [
        osp.join(folder, image['file_name']) for image in content['images']
    ]


def require_annotation_file(ann_file: str) -> None:
    """Raise if an annotation file of a config does not exist.

    Args:
        ann_file (str): Path of a file.

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder.
    """
    annotation_paths.require_annotation_file(
        ann_file,
        'set data_root and ann_file in the config, or correct the path',
    )


def read_annotation_file(ann_file: str) -> Any:
    """Parse an annotation file.

    Args:
        ann_file (str): Path of the file.

    Returns:
        Any: Content, of any type.

    Raises:
        OSError: If it does not exist, is a folder or cannot be read.
        ValueError: If it is no JSON file; names it.
    """
    require_annotation_file(ann_file)
    if osp.getsize(ann_file) == 0:
        raise ValueError(
            f'annotation file {ann_file} is empty; download it again'
        )
    try:
        with open(ann_file, encoding='utf-8') as file:
            return json.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'annotation file {ann_file} is not valid JSON '
            f'({error}); download it again'
        ) from error


def _check_images(
    content: Any,
    image_dir: str,
    test_side: Optional[int],
    ignore_orientation: Optional[bool],
    link_dir: Optional[str],
) -> Tuple[List[Problem], List[Problem]]:
    """Check names and sizes in image records, and the files.

    Returns:
        tuple[list, list]: Problems, and doubts about the orientation.
    """
    images = select_records(content, 'images')
    index = FolderIndex(image_dir)
    problems = [
        Problem('image', format_name('image', image), message)
        for image in images
        for message in _check_image(image, test_side, index)
    ]
    names = image_sizes(images)
    resolved: Dict[str, str] = {}
    sizes = {}
    for name, size in names.items():
        path = osp.join(image_dir, name)
        if is_link_outside(path, image_dir, resolved, link_dir):
            problems.append(Problem('image file', escape(path), LINK_OUTSIDE))
        else:
            sizes[path] = (name, size)
    return _inspect_files(problems, sizes, index, ignore_orientation)


def _check_image(
    image: dict, test_side: Optional[int], index: FolderIndex
) -> List[str]:
    """Check name and size of a record; suggest a name inside the folder."""
    messages = list(check_record(image, test_side))
    name = image.get('file_name')
    if messages and isinstance(name, str) and not is_inside(name):
        messages[0] += index.suggest(name)
    return messages


def _inspect_files(
    problems: List[Problem],
    files: Dict[str, Tuple[str, Any]],
    index: FolderIndex,
    ignore_orientation: Optional[bool],
) -> Tuple[List[Problem], List[Problem]]:
    """Add the problems of the files, by (name, size) by path."""
    doubts = []
    sizes = {path: size for path, (_, size) in files.items()}
    reports = inspect_images(sizes, ignore_orientation)
    for path, report in reports.items():
        subject = escape(path)
        if report.doubt:
            doubts.append(Problem('image file', subject, report.doubt))
        if report.problem:
            message = report.problem
            if message == 'does not exist':
                message += index.suggest(files[path][0])
            problems.append(Problem('image file', subject, message))
    return problems, doubts


def _format_problems(
    ann_file: str, problems: Sequence[Problem], max_shown: int
) -> str:
    """Format the problems of a dataset, followed by the remedies."""
    total, *lines = summarize(problems, max_shown)
    return '\n'.join(
        [f'{ann_file}: {total}', *lines, *_collect_remedies(problems)]
    )


def _collect_remedies(problems: Sequence[Problem]) -> List[str]:
    """Collect the remedies of problems whose message has none."""
    remedies = []
    for problem in problems:
        if problem.kind not in ('image file', 'dataset'):
            remedies.append(_ANNOTATION_REMEDY)
            remedies += [
                text
                for part, text in _RECORD_REMEDIES.items()
                if problem.kind == 'annotation' and part in problem.message
            ]
        elif problem.kind == 'image file' and ';' not in problem.message:
            remedies.append(
                next(
                    text
                    for part, text in _IMAGE_REMEDIES.items()
                    if part in problem.message
                )
            )
    return list(dict.fromkeys(remedies))
