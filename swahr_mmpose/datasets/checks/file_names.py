# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""File names of annotations: those that leave the folder, those misspelt.

Exporters write names of other systems: backslashes, URL-encoded characters,
absolute paths, another case, another Unicode normalization.
"""

from __future__ import annotations

import os
import os.path as osp
import unicodedata
from pathlib import PureWindowsPath
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import unquote

from .text import escape

__all__ = ['FolderIndex', 'is_inside', 'is_link_outside']

# Bound of the files of a folder among which a similar name is searched.
_MAX_FILES = 1_000_000


def is_inside(name: Any) -> bool:
    """Return whether a file name stays inside the folder it is relative to.

    Links are not followed, see :func:`is_link_outside`.

    Args:
        name: Value of ``file_name``; anything but a string is outside.
    """
    if not isinstance(name, str) or '\0' in name or '://' in name:
        return False
    path = PureWindowsPath(name)  # handles both kinds of slashes
    return bool(path.parts) and not path.anchor and '..' not in path.parts


def is_link_outside(
    path: str,
    folder: str,
    resolved: Dict[str, str],
    link_dir: Optional[str] = None,
) -> bool:
    """Return whether a path leads out of a folder by symbolic links.

    Args:
        path (str): Path of a file that is inside of ``folder`` by its name.
        folder (str): Folder; may be a link itself.
        resolved (dict): Resolved folders by name, kept between calls: most
            files share a folder, and resolving takes system calls for each
            part of a path.
        link_dir (str, optional): Another folder to which links may lead, as
            the cache of DVC or git-annex.  Defaults to ``None``.
    """
    parent, name = osp.split(path)
    folders = [folder, link_dir] if link_dir else [folder]
    try:
        for place in (parent, *folders):
            if place not in resolved:
                resolved[place] = osp.realpath(place)
        target = osp.join(resolved[parent], name)
        if osp.islink(target):
            target = osp.realpath(target)
    except ValueError:  # a zero byte, or no Unicode text
        return False
    return not any(
        target.startswith(osp.join(resolved[place], '')) for place in folders
    )


class FolderIndex:
    """Index of the files of a folder, to suggest a name for a missing one.

    Args:
        folder (str): Folder; it is listed when the first name is searched.
            Symbolic links to folders are not followed.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._names: Dict[str, List[str]] = {}
        self._listed = False

    def suggest(self, name: str) -> str:
        """Suggest an existing file for a name that does not exist.

        Args:
            name (str): Value of ``file_name``.

        Returns:
            str: End of a message, e.g. ``"; the folder has 'a/1.jpg', write
            that (the name has backslashes, as on Windows)"``.  Empty if there
            is no similar file.
        """
        if not self._listed:
            self._listed = True
            self._list_files()
        for variant, reasons in _iter_variants(name):
            for same in self._names.get(_normalize(variant), ()):
                why = list(reasons)
                if same != variant:
                    why.append(_explain_difference(same, variant))
                return (
                    f"; the folder has '{escape(same)}': write that "
                    f'(the name has {" and ".join(why)})'
                )
        if '\\' in name:
            return '; the name has backslashes, as on Windows: write slashes'
        return ''

    def find(self, name: str) -> List[str]:
        """Find the existing files that a name may mean.

        Args:
            name (str): Value of ``file_name``.

        Returns:
            list[str]: Relative names, with slashes, of the files that match
            with the fewest changes; empty if there is none.
        """
        if not self._listed:
            self._listed = True
            self._list_files()
        for variant, _ in _iter_variants(name):
            same = self._names.get(_normalize(variant))
            if same:
                return list(same)
        return []

    def _list_files(self) -> None:
        """Collect the relative names of the files, with slashes."""
        count = 0
        for root, _, files in os.walk(self.folder):
            prefix = osp.relpath(root, self.folder)
            prefix = '' if prefix == '.' else f'{prefix}/'.replace('\\', '/')
            for file in sorted(files):
                name = prefix + file
                self._names.setdefault(_normalize(name), []).append(name)
            count += len(files)
            if count > _MAX_FILES:
                return


def _normalize(name: str) -> str:
    """Fold case, Unicode normalization and the spelling of extensions."""
    stem, dot, end = name.rpartition('.')
    folded = unicodedata.normalize('NFC', name).casefold()
    if dot and end.casefold() == 'jpeg':
        folded = unicodedata.normalize('NFC', f'{stem}.jpg').casefold()
    return folded


def _iter_variants(name: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield (spelling, reasons): without escapes, folders dropped in turn."""
    reasons = []
    slashes = name.replace('\\', '/')
    if slashes != name:
        reasons.append('backslashes, as on Windows')
    plain = unquote(slashes)
    if plain != slashes:
        reasons.append('URL-encoded characters')
    path = PureWindowsPath(plain)
    parts = [p for p in path.parts if p not in (path.anchor, '..')]
    first = len(parts) == len(path.parts)
    for n in range(len(parts)):
        why = [] if first and n == 0 else ['folders that are not there']
        yield '/'.join(parts[n:]), reasons + why


def _explain_difference(name: str, variant: str) -> str:
    """Explain why two names of one normalization differ."""
    if name.casefold() == variant.casefold():
        return 'upper and lower case that differ'
    if _normalize(name[: name.rfind('.')]) == _normalize(
        variant[: variant.rfind('.')]
    ) and not name.lower().endswith(variant[variant.rfind('.') :].lower()):
        return 'another extension'
    return 'another Unicode normalization'
