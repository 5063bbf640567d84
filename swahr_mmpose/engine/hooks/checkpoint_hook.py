# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Atomic checkpoints: a training process may be killed at any time.

A checkpoint is written to a temporary file and then renamed. An older one is
removed only after the new one is complete.
"""

from __future__ import annotations

import glob
import os
import os.path as osp
import re
import zipfile
from typing import Any, List, Optional

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmpose.registry import HOOKS

from swahr_mmpose.utils.atomic_write import replaced_file

__all__ = ['AtomicFileBackend', 'SafeCheckpointHook', 'find_latest_checkpoint']


class AtomicFileBackend(LocalBackend):
    """MMEngine file backend for the local disk with atomic writes."""

    def put(self, obj: Any, filepath: Any) -> None:
        """Write a file atomically.

        Args:
            obj (bytes): Content.
            filepath (str): Target file.

        Raises:
            OSError: If writing fails. An existing file stays unchanged.
        """
        try:
            with replaced_file(str(filepath)) as stream:
                stream.write(obj)
        except OSError as error:
            raise OSError(
                f'{filepath} could not be written ({error}); a previous file '
                'of this name and earlier checkpoints are unchanged. Free '
                'disk space and continue with --resume'
            ) from error


register_backend('atomic_file', AtomicFileBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` of MMEngine with atomic writes.

    Args:
        *args: Positional arguments of ``CheckpointHook``.
        **kwargs: Keyword arguments of ``CheckpointHook``. ``backend_args``
            defaults to ``dict(backend='atomic_file')``; another backend must
            write atomically itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('backend_args', dict(backend='atomic_file'))
        super().__init__(*args, **kwargs)
        self.max_keep_ckpts: int

    def before_train(self, runner: Any) -> None:
        """Remove the temporary files of a killed process.

        Args:
            runner (Runner): Runner of the training.
        """
        super().before_train(runner)
        if is_main_process():
            for path in glob.glob(osp.join(self.out_dir, '*.pth.*.part')):
                os.remove(path)

    def _save_checkpoint_with_step(
        self, runner: Any, step: int, meta: dict
    ) -> None:
        """Save a checkpoint, and only then remove the oldest one."""
        oldest = self._update_kept_steps(runner, step)
        limit, self.max_keep_ckpts = self.max_keep_ckpts, -1
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = limit
        if oldest is not None and is_main_process():
            path = osp.join(self.out_dir, self.filename_tmpl.format(oldest))
            if osp.isfile(path):
                os.remove(path)

    def _update_kept_steps(self, runner: Any, step: int) -> Optional[int]:
        """Append a step to the kept ones; return the step to remove."""
        kept = self.keep_ckpt_ids if self.max_keep_ckpts > 0 else None
        if kept is None or (len(kept) and kept[-1] == step):
            return None
        oldest = kept.popleft() if len(kept) == self.max_keep_ckpts else None
        kept.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        return oldest


def find_latest_checkpoint(work_dir: str) -> Optional[str]:
    """Find the newest complete checkpoint of a work directory.

    This is the file named in ``last_checkpoint``. If that is missing or
    truncated, it is the complete file of the highest epoch or iteration.

    Args:
        work_dir (str): Work directory of a run.

    Returns:
        str | None: Path; None if there is no complete checkpoint.
    """
    candidates: List[str] = []
    pointer = osp.join(work_dir, 'last_checkpoint')
    if osp.isfile(pointer):
        with open(pointer, encoding='utf-8') as file:
            candidates = [file.read().strip()]
        # The directory may have been moved since.
        candidates.append(osp.join(work_dir, osp.basename(candidates[0])))
    files = os.listdir(work_dir) if osp.isdir(work_dir) else []
    numbers = {
        name: int(match[1])
        for name in files
        if (match := re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', name))
    }
    newest = sorted(numbers, key=numbers.__getitem__, reverse=True)
    candidates += [osp.join(work_dir, name) for name in newest]
    for path in candidates:
        if osp.isfile(path) and zipfile.is_zipfile(path):
            return path
    return None
