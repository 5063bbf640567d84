# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of the paths of annotation files and image folders."""

from __future__ import annotations

import glob
import os.path as osp
from typing import List, Sequence

__all__ = ['require_annotation_file', 'require_image_dir']


def require_annotation_file(
    path: str, remedy: str, img_dirs: Sequence[str] = ()
) -> None:
    """Raise if an annotation file does not exist or is a folder.

    Args:
        path (str): Path of the file.
        remedy (str): What to do if it does not exist.
        img_dirs (Sequence[str]): Values of ``--img-dir``, by which exchanged
            arguments are recognized. Defaults to ().

    Raises:
        FileNotFoundError: If there is no such file.
        IsADirectoryError: If it is a folder; names an annotation file near
            it, if there is one.
    """
    if osp.isdir(path):
        raise IsADirectoryError(
            f'annotation file {path} is a folder, expected a file; '
            f'{_suggest_file(path, img_dirs)}'
        )
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'annotation file {path} does not exist; {remedy}'
        )


def require_image_dir(path: str, remedy: str) -> None:
    """Raise if an image folder does not exist or is a file.

    Args:
        path (str): Path of the folder.
        remedy (str): What to do.

    Raises:
        FileNotFoundError: If there is no such folder.
        NotADirectoryError: If it is a file.
    """
    if osp.isdir(path):
        return
    if osp.exists(path):
        raise NotADirectoryError(
            f'image folder {path} is a file, expected a folder; {remedy}'
        )
    raise FileNotFoundError(f'image folder {path} does not exist; {remedy}')


def _suggest_file(folder: str, img_dirs: Sequence[str]) -> str:
    """Suggest an annotation file in place of a folder."""
    exchanged = [d for d in img_dirs if osp.isfile(d)]
    if exchanged:
        return (
            'the arguments may be exchanged: give '
            f'{exchanged[0]} --img-dir {folder}'
        )
    found = _find_json_files(folder)
    if found:
        return f'give a file, such as {found[0]}'
    return 'give the .json file with the annotations of the images'


def _find_json_files(folder: str) -> List[str]:
    """Find the JSON files in a folder of a dataset, or near it.

    Files whose name contains that of the folder, such as ``train``, go first.
    """
    name = osp.basename(osp.abspath(folder))
    above = [osp.normpath(osp.join(folder, *['..'] * n)) for n in range(3)]
    for place in (folder, *(osp.join(f, 'annotations') for f in above)):
        files = glob.glob(osp.join(glob.escape(place), '*.json'))
        if files:
            return sorted(files, key=lambda file: (name not in file, file))
    return []
