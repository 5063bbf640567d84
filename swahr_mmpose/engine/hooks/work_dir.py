# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Work directory of a training: checks, lock and newest checkpoint.

Whatever a work directory or a checkpoint names is a file name within the
directory. A path is reduced to its last part, so that a copied or moved work
directory uses its own files, and no file elsewhere is read or removed.
Symbolic links are not followed out of the directory.
"""

from __future__ import annotations

import os
import os.path as osp
import re
import socket
import tempfile
from typing import IO, Dict, List, Optional, Tuple

from swahr_mmpose.checkpoints.sizes import is_complete

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    'check_work_dir',
    'find_latest_checkpoint',
    'lock_work_dir',
    'make_name_pattern',
    'unlock_work_dir',
]

LOCK = '.training.lock'
POINTER = 'last_checkpoint'
# Names of checkpoints by default.
_NUMBERED = r'(?:epoch|iter)_(\d{1,18})\.pth'
# Open lock files of this process, by process id (a fork inherits no lock)
# and directory.
_LOCKS: Dict[Tuple[int, str], IO[str]] = {}


def check_work_dir(work_dir: str) -> None:
    """Create a work directory if it is missing, and check that it is writable.

    Args:
        work_dir (str): Work directory.

    Raises:
        OSError: If the path is a file or a dangling link, or the directory
            cannot be created or written to, or has a link through which a
            file elsewhere would be written.
    """
    remedy = 'choose another folder (--work-dir)'
    try:
        osp.abspath(work_dir).encode('utf-8')
    except UnicodeEncodeError as error:
        raise OSError(
            f'work_dir {work_dir!a} has a name that is not UTF-8, which '
            f'torch cannot open; {remedy}'
        ) from error
    if osp.islink(work_dir) and not osp.exists(work_dir):
        raise FileNotFoundError(
            f'work_dir {work_dir} is a link to {os.readlink(work_dir)}, which '
            f'does not exist; remove the link or {remedy}'
        )
    try:
        os.makedirs(work_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=work_dir):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f'work_dir {work_dir} is or lies below a file, expected a folder; '
            f'{remedy}'
        ) from error
    except OSError as error:
        raise OSError(
            f'work_dir {work_dir} cannot be written to ({error.strerror}); '
            f'{remedy} or change its permissions'
        ) from error
    _refuse_links(work_dir)
    _refuse_folders(work_dir)


def _refuse_folders(work_dir: str) -> None:
    """Raise for a folder in the place of a file that a training writes.

    The training would end at its first checkpoint.
    """
    with os.scandir(work_dir) as entries:
        for entry in entries:
            is_own = re.fullmatch(rf'{_NUMBERED}|{POINTER}', entry.name)
            if is_own and entry.is_dir(follow_symlinks=False):
                raise OSError(
                    f'work_dir {work_dir} has a folder {entry.name!r}, '
                    'expected a file of this name or none; rename it or '
                    'choose another folder (--work-dir)'
                )


def _refuse_links(work_dir: str) -> None:
    """Raise for a link through which a training writes a file elsewhere.

    A training writes its config, log folders and lock. Checkpoints are
    replaced, and other linked folders are not written to.
    """
    with os.scandir(work_dir) as entries:
        links = [e for e in entries if e.is_symlink() and _is_outside(e.path)]
    for link in links:
        is_folder = osp.isdir(link.path)
        if link.name.endswith('.pth') or link.name == POINTER:
            continue
        if not is_folder or re.match(r'\d{8}_\d{6}', link.name):
            raise OSError(
                f'work_dir {work_dir} has the link {link.name!r} to '
                f'{os.readlink(link.path)!r}, outside of it; a training could '
                'overwrite that: remove the link or choose another folder '
                '(--work-dir)'
            )


def _is_outside(path: str) -> bool:
    """Whether links lead from a path out of the folder that it names."""
    folder = osp.join(osp.realpath(osp.dirname(path) or os.curdir), '')
    return not osp.realpath(path).startswith(folder)


def lock_work_dir(work_dir: str) -> None:
    """Reserve a work directory for the trainings of this process.

    The lock ends with the process, also if it is killed. A second call of the
    same process has no effect.

    Args:
        work_dir (str): Work directory; it is created if missing.

    Raises:
        BlockingIOError: If another process trains in the directory.
        OSError: See :func:`check_work_dir`.
    """
    check_work_dir(work_dir)
    key = os.getpid(), osp.realpath(work_dir)
    if fcntl is None or key in _LOCKS:
        return
    path = osp.join(work_dir, LOCK)
    if osp.lexists(path) and (osp.islink(path) or not osp.isfile(path)):
        raise OSError(f'{path} is not a regular file, expected one; remove it')
    file = open(path, 'a+', encoding='utf-8')
    try:
        # Not inherited by data workers, which may outlive a killed training.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        owner = file.read(200).strip() or 'another process'
        file.close()
        raise BlockingIOError(
            f'work_dir {work_dir} is in use by a training of {owner}; wait '
            'for its end or choose another folder (--work-dir)'
        ) from error
    except OSError as error:  # file system without locks
        file.close()
        print(
            f'note: {work_dir} cannot be locked ({error.strerror}); start '
            'only one training in it'
        )
        return
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    _LOCKS[key] = file


def unlock_work_dir(work_dir: str) -> None:
    """Release the lock of this process, if it has one.

    Args:
        work_dir (str): Work directory.
    """
    file = _LOCKS.pop((os.getpid(), osp.realpath(work_dir)), None)
    if file is not None:
        file.close()


def find_latest_checkpoint(
    work_dir: str,
    out_dir: Optional[str] = None,
    filename_tmpl: Optional[str] = None,
) -> Optional[str]:
    """Find the newest complete checkpoint of a work directory.

    This is the file named in ``last_checkpoint``. If that is missing, or its
    checksums show that it is truncated or damaged, it is the complete file of
    the highest epoch or iteration. Links out of the folder are ignored.

    Args:
        work_dir (str): Work directory of a run.
        out_dir (str, optional): ``out_dir`` of the checkpoint hook; its
            subfolder with the name of the work directory has the checkpoints.
            Defaults to None, the work directory.
        filename_tmpl (str, optional): ``filename_tmpl`` of the checkpoint
            hook, besides its defaults. Defaults to None.

    Returns:
        str | None: Path; None if there is no complete checkpoint.
    """
    folder = get_checkpoint_dir(work_dir, out_dir)
    names = [_read_pointer(work_dir), *_list_newest(folder, filename_tmpl)]
    for name in dict.fromkeys(names):
        path = osp.join(folder, name or '')
        if name is None or not osp.isfile(path):
            continue
        if _is_outside(path):
            print(
                f'{path} is a link to {osp.realpath(path)!r}, outside of the '
                'folder, and is not resumed from unless named'
            )
            continue
        if is_complete(path):
            return path
        print(f'{path} is truncated or damaged, and is not resumed from')
    return None


def get_checkpoint_dir(work_dir: str, out_dir: Optional[str]) -> str:
    """Get the folder of checkpoints, as MMEngine's hook joins it.

    Args:
        work_dir (str): Work directory of a run.
        out_dir (str, optional): ``out_dir`` of the checkpoint hook.

    Returns:
        str: Folder.
    """
    if out_dir is None or out_dir == work_dir:
        return work_dir
    return osp.join(out_dir, osp.basename(work_dir.rstrip(osp.sep)))


def _read_pointer(work_dir: str) -> Optional[str]:
    """Read the file name in ``last_checkpoint``; None if it has none."""
    path = osp.join(work_dir, POINTER)
    if not osp.isfile(path):
        return None
    with open(path, 'rb') as file:
        content = file.read(4096)
    # A path as MMEngine writes it, which a copied work directory keeps.
    name = re.split(rb'[/\\]', content.strip())[-1]
    if re.fullmatch(rb'[^\x00-\x1f\x7f]+', name):
        try:
            return name.decode('utf-8')
        except UnicodeDecodeError:
            pass
    print(f'{path} has no file name, and is ignored')
    return None


def make_name_pattern(filename_tmpl: str) -> str:
    """Make the regular expression of a template's file names.

    Args:
        filename_tmpl (str): Template with a number in braces.

    Returns:
        str: Pattern; its group is the number.
    """
    before, *after = re.split(r'\{.*?\}', filename_tmpl, maxsplit=1)
    return rf'{re.escape(before)}(\d{{1,18}}){re.escape("".join(after))}'


def _list_newest(folder: str, filename_tmpl: Optional[str]) -> List[str]:
    """List checkpoints by descending epoch or iteration."""
    files = os.listdir(folder) if osp.isdir(folder) else []
    form = _NUMBERED
    if filename_tmpl:
        own = make_name_pattern(filename_tmpl)
        form = rf'(?:{own}|{form})'
    numbers = {
        name: int(match[match.lastindex or 1])
        for name in files
        if (match := re.fullmatch(form, name))
    }
    return sorted(numbers, key=numbers.__getitem__, reverse=True)
