# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Read the annotation files of a split: checked, with legal ids and names."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

from swahr_mmpose.datasets.checks.annotations import (
    Problem,
    format_name,
    summarize,
)
from swahr_mmpose.datasets.checks.schema import find_type_problems
from swahr_mmpose.utils.annotation_paths import require_image_dir

from .coco_json import read_coco
from .completion import clean_keypoints
from .ids import normalize_ids
from .image_names import correct_file_names
from .merging import merge_annotations, share_folder

__all__ = ['OneOrMore', 'Split', 'as_list', 'raise_problems', 'read_split']

OneOrMore = Union[str, Sequence[str]]
# Maximum number of problems of a kind that an error lists.
_MAX_SHOWN = 5


class Split(NamedTuple):
    """Annotations and image folder of training or validation.

    Attributes:
        name (str): Names of the annotation files, for messages.
        content (dict): Parsed COCO file.
        folder (Path): Folder of the images, absolute.
        rules (Counter): How often each rule was applied.
    """

    name: str
    content: Dict[str, Any]
    folder: Path
    rules: Counter


def as_list(value: Optional[OneOrMore]) -> List[str]:
    """Return a list of strings.

    Args:
        value (str | Sequence[str], optional): One, several, or None.
    """
    if value is None:
        return []
    return [value] if isinstance(value, str) else [str(v) for v in value]


def read_split(ann_files: Sequence[str], img_dirs: Sequence[str]) -> Split:
    """Read annotation files, check the types of their values, merge them.

    Args:
        ann_files (Sequence[str]): Annotation files of different images.
        img_dirs (Sequence[str]): Image folder of each, or one for all.

    Returns:
        Split: Merged file with legal ids and corrected file names.

    Raises:
        OSError: If a file cannot be read or a folder does not exist.
        ValueError: If a file is invalid; names it and all problems.
    """
    for folder in img_dirs:
        require_image_dir(folder, 'correct --img-dir or --val-img-dir')
    rules: Counter = Counter()
    contents = [_read_file(path, rules) for path in ann_files]
    contents, common = share_folder(contents, img_dirs)
    name = ', '.join(ann_files)
    content = contents[0]
    if len(contents) > 1:
        content = merge_annotations(contents, ann_files)
        rules[f'annotation of {len(contents)} files: merged'] = len(
            content['annotations']
        )
    folder = str(Path(common).resolve())
    content, corrected = correct_file_names(content, folder)
    return Split(name, content, Path(folder), rules + corrected)


def _read_file(path: str, rules: Counter) -> Dict[str, Any]:
    """Read a file; make ids and keypoints legal, and check all types."""
    content, counts = normalize_ids(read_coco(path), path)
    rules.update(counts)
    content, counts = clean_keypoints(content)
    rules.update(counts)
    problems = [
        Problem(kind, format_name(kind, record), message)
        for kind in ('image', 'annotation')
        for record in content[f'{kind}s']
        for message in find_type_problems(record, f'{kind}s').values()
    ]
    raise_problems(path, problems)
    return content


def raise_problems(name: str, problems: Sequence[Problem]) -> None:
    """Raise if there are problems.

    Args:
        name (str): Name of the file.
        problems (Sequence[Problem]): Problems of its records.

    Raises:
        ValueError: With all problems, counted by kind.
    """
    if problems:
        lines = summarize(problems, _MAX_SHOWN)
        raise ValueError(
            '\n'.join([f'{name}: {lines[0]}', *lines[1:]])
            + '\nCorrect the annotation file; nothing was written.'
        )
