# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""File names of images: those written on another system are corrected."""

from __future__ import annotations

import os.path as osp
import posixpath
from collections import Counter
from typing import Any, Dict, Set, Tuple

from swahr_mmpose.datasets.checks.file_names import FolderIndex, is_inside

__all__ = ['correct_file_names']

# Begin of the names of files in which macOS keeps attributes (AppleDouble).
_ATTRIBUTES = '._'


def correct_file_names(
    content: Dict[str, Any], folder: str
) -> Tuple[Dict[str, Any], Counter]:
    """Correct names of files that exist under another spelling.

    Spellings are those of :class:`.FolderIndex`: backslashes, URL-encoded
    characters, absolute paths, upper and lower case, Unicode normalization. A
    name is corrected if one file matches, and no other record has this file.
    Records of macOS's attribute files (``._a.jpg``) are dropped unless they
    have annotations.

    Args:
        content (dict): Parsed COCO file with legal ids; not modified.
        folder (str): Folder of the images.

    Returns:
        tuple[dict, Counter]: The file, and how often each rule was applied.
        Other missing files are left to the checks.
    """
    content, dropped = _drop_attribute_files(content)
    images = content['images']
    wrong = [i for i in images if not _exists(folder, i.get('file_name'))]
    found = _find_files(wrong, FolderIndex(folder))
    taken = Counter([*found.values(), *(str(i['file_name']) for i in images)])
    new = {k: name for k, name in found.items() if taken[name] == 1}
    corrected = [
        dict(i, file_name=new.get(i['id'], i.get('file_name'))) for i in images
    ]
    rules: Counter = Counter()
    rules['file_name of an attribute file of macOS: dropped'] = dropped
    rules['file_name of another system: corrected'] = len(new)
    return dict(content, images=corrected), rules


def _exists(folder: str, name: Any) -> bool:
    """Return whether a name is that of a file inside the folder."""
    return is_inside(name) and osp.isfile(osp.join(folder, name))


def _find_files(images: Any, index: FolderIndex) -> Dict[int, str]:
    """Find the only matching file of images, by image id."""
    matches = {
        image['id']: index.find(image['file_name'])
        for image in images
        if isinstance(image['file_name'], str)
    }
    return {k: files[0] for k, files in matches.items() if len(files) == 1}


def _drop_attribute_files(content: dict) -> Tuple[dict, int]:
    """Drop records of macOS's attribute files that have no annotations."""
    annotated: Set[Any] = {a['image_id'] for a in content['annotations']}

    def is_real(image: dict) -> bool:
        name = str(image.get('file_name')).replace('\\', '/')
        hidden = posixpath.basename(name).startswith(_ATTRIBUTES)
        return not hidden or image['id'] in annotated

    images = [image for image in content['images'] if is_real(image)]
    dropped = len(content['images']) - len(images)
    return dict(content, images=images), dropped
