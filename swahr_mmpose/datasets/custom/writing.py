# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Write the folder of a custom dataset after its files have been checked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional

from .config_template import format_config, format_metainfo
from .prepare import SPLITS, PreparedDataset

__all__ = ['check_target', 'write_dataset']


def write_dataset(
    dataset: PreparedDataset,
    figure: bytes,
    overwrite: bool = False,
    check: Optional[Callable[[Path], None]] = None,
) -> Path:
    """Write the folder of a dataset.

    The files are written to a temporary folder beside it, checked, and moved.
    If the check fails, nothing remains.

    Args:
        dataset (PreparedDataset): Dataset to write.
        figure (bytes): Content of ``skeleton.png``.
        overwrite (bool): Whether to replace files that this function made.
            Defaults to False.
        check (callable, optional): Function of the path of the temporary
            config, which raises if the folder is invalid. Defaults to None.

    Returns:
        Path: The config.

    Raises:
        FileExistsError: If the folder is not empty and may not be replaced.
    """
    out = dataset.out_dir
    check_target(out, overwrite)
    with _make_staging_folder(out) as staging:
        for name, content in _format_files(dataset, figure).items():
            (staging / name).write_bytes(content)
        if check:
            check(staging / dataset.recipe.file_name)
        check_target(out, overwrite)
        _move_files(staging, out)
    return out / dataset.recipe.file_name


def check_target(out: Path, overwrite: bool) -> None:
    """Raise if a folder has files that may not be replaced.

    Args:
        out (Path): Folder to write, which need not exist.
        overwrite (bool): Whether files of this command may be replaced.

    Raises:
        FileExistsError: If the folder has other files.
    """
    if not out.exists():
        return
    if any(out.iterdir()) and not (
        overwrite and (out / 'metainfo.py').is_file()
    ):
        raise FileExistsError(
            f'{out} is not empty; choose another --out-dir, or give '
            '--overwrite if this command made it'
        )


@contextlib.contextmanager
def _make_staging_folder(out: Path) -> Iterator[Path]:
    """Make a temporary folder beside another; remove it in the end.

    Parent folders that had to be made are removed if they are empty.
    """
    new = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix='.new_dataset.', dir=out.parent))
    umask = os.umask(0)
    os.umask(umask)
    staging.chmod(0o777 & ~umask)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with contextlib.suppress(OSError):
            for folder in new:
                folder.rmdir()


def _format_files(dataset: PreparedDataset, figure: bytes) -> Dict[str, bytes]:
    """Format all files of the folder, by name; the config is the last."""
    files = {
        f'{split}.json': json.dumps(content, allow_nan=False)
        for split, content in zip(SPLITS, dataset.contents)
    }
    files['metainfo.py'] = format_metainfo(dataset.info)
    files['report.txt'] = '\n'.join([*dataset.report, ''])
    config = {dataset.recipe.file_name: format_config(dataset.recipe)}
    return {
        **{name: text.encode('utf-8') for name, text in files.items()},
        'skeleton.png': figure,
        **{name: text.encode('utf-8') for name, text in config.items()},
    }


def _move_files(staging: Path, out: Path) -> None:
    """Move a folder, or its files into an existing one, the config last."""
    if not out.exists():
        staging.rename(out)
        return
    for config in out.glob('swahr_*.py'):
        config.unlink()
    names = sorted(staging.iterdir(), key=lambda p: p.match('swahr_*.py'))
    for path in names:
        os.replace(path, out / path.name)
