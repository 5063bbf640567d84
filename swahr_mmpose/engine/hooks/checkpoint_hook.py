# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checkpoints of a training that may be killed at any time.

A file is written under another name and then renamed: it is there as a whole
or not at all, and an older one goes only when the new one stands.
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

__all__ = ['SafeCheckpointHook', 'WholeFileBackend', 'latest_checkpoint']


class WholeFileBackend(LocalBackend):
    """The local disk, whose files are replaced as a whole."""

    def put(self, obj: Any, filepath: Any) -> None:
        """Write bytes; where that fails, what was there before stays."""
        try:
            with replaced_file(str(filepath)) as stream:
                stream.write(obj)
        except OSError as error:
            raise OSError(
                f'{filepath} could not be written ({error}); what stood '
                'there, and earlier checkpoints, are as they were. Make room '
                'and go on with --resume'
            ) from error


register_backend('whole_file', WholeFileBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``; survives being killed while it writes.

    Arguments are those of ``CheckpointHook``; with a ``backend_args`` of
    yours, it is up to that backend to write whole files.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault('backend_args', dict(backend='whole_file'))
        super().__init__(*args, **kwargs)
        self.max_keep_ckpts: int

    def before_train(self, runner: Any) -> None:
        """Remove what a killed run left half written."""
        super().before_train(runner)
        if is_main_process():
            for path in glob.glob(osp.join(self.out_dir, '*.pth.*.part')):
                os.remove(path)

    def _save_checkpoint_with_step(
        self, runner: Any, step: int, meta: dict
    ) -> None:
        """Save, and only then remove what is one too many."""
        old = self._too_many(runner, step)
        most, self.max_keep_ckpts = self.max_keep_ckpts, -1
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.max_keep_ckpts = most
        if old is not None and is_main_process():
            path = osp.join(self.out_dir, self.filename_tmpl.format(old))
            if osp.isfile(path):
                os.remove(path)

    def _too_many(self, runner: Any, step: int) -> Optional[int]:
        """Count this step in; which one goes for it."""
        kept = self.keep_ckpt_ids if self.max_keep_ckpts > 0 else None
        if kept is None or (len(kept) and kept[-1] == step):
            return None
        old = kept.popleft() if len(kept) == self.max_keep_ckpts else None
        kept.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        return old


def latest_checkpoint(work_dir: str) -> Optional[str]:
    """The newest whole checkpoint of a work dir, or None.

    That which ``last_checkpoint`` names, unless it is missing or cut short;
    then the highest epoch or iteration whose file is whole.

    Args:
        work_dir (str): Of a run.
    """
    named: List[str] = []
    pointer = osp.join(work_dir, 'last_checkpoint')
    if osp.isfile(pointer):
        with open(pointer, encoding='utf-8') as file:
            named = [file.read().strip()]
        named.append(osp.join(work_dir, osp.basename(named[0])))
    files = os.listdir(work_dir) if osp.isdir(work_dir) else []
    numbers = {
        name: int(match[1])
        for name in files
        if (match := re.fullmatch(r'(?:epoch|iter)_(\d+)\.pth', name))
    }
    newest = sorted(numbers, key=numbers.__getitem__, reverse=True)
    for path in [*named, *(osp.join(work_dir, name) for name in newest)]:
        if osp.isfile(path) and zipfile.is_zipfile(path):
            return path
    return None
