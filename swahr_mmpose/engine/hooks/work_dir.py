# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Work directory of a training: checks, lock and newest checkpoint.

Whatever a work directory or a checkpoint names is a file name within the
directory. A path is reduced to its last part, so that a copied or moved work
directory uses its own files, and no file elsewhere is read or removed.
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
    'unlock_work_dir',
]

LOCK = '.training.lock'
POINTER = 'last_checkpoint'
# Open lock files of this process, by process id (a fork inherits no lock)
# and directory.
_LOCKS: Dict[Tuple[int, str], IO[str]] = {}


def check_work_dir(work_dir: str) -> None:
    """Create a work directory if it is missing, and check that it is writable.

    Args:
        work_dir (str): Work directory.

    Raises:
        OSError: If the path is a file or a dangling link, or the directory
            cannot be created or written to.
    """
    remedy = 'choose another folder (--work-dir)'
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
    file = open(osp.join(work_dir, LOCK), 'a+', encoding='utf-8')
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
    work_dir: str, out_dir: Optional[str] = None
) -> Optional[str]:
    """Find the newest complete checkpoint of a work directory.

    This is the file named in ``last_checkpoint``. If that is missing, or its
    checksums show that it is truncated or damaged, it is the complete file of
    the highest epoch or iteration.

    Args:
        work_dir (str): Work directory of a run.
        out_dir (str, optional): ``out_dir`` of the checkpoint hook; its
            subfolder with the name of the work directory has the checkpoints.
            Defaults to None, the work directory.

    Returns:
        str | None: Path; None if there is no complete checkpoint.
    """
    folder = get_checkpoint_dir(work_dir, out_dir)
    names = [_read_pointer(work_dir), *_list_newest(folder)]
    for name in dict.fromkeys(names):
        path = osp.join(folder, name or '')
        if name is None or not osp.isfile(path):
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


def _list_newest(folder: str) -> List[str]:
    """List checkpoints by descending epoch or iteration."""
    files = os.listdir(folder) if osp.isdir(folder) else []
    numbers = {
        name: int(match[1])
        for name in files
        if (match := re.fullmatch(r'(?:epoch|iter)_(\d{1,18})\.pth', name))
    }
    return sorted(numbers, key=numbers.__getitem__, reverse=True)
