# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Atomic checkpoints: a training process may be killed at any time.

A checkpoint is written to a temporary file and then renamed. An older one is
removed only after the new one is complete. A checkpoint is written again
after the validation that follows it; without that, a resumed training
validates first.
"""

from __future__ import annotations

import glob
import inspect
import os
import os.path as osp
import re
from collections import deque
from typing import Any, Dict, Iterable, List, Optional

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop
from mmpose.registry import HOOKS

from swahr_mmpose.engine.schedule import SAVED_ITER
from swahr_mmpose.utils.atomic_write import replaced_file

from .run_state import (
    collect_early_stopping,
    collect_gradients,
    collect_sampler_seed,
    drop_foreign_files,
    get_position,
    is_validation_due,
    reduce_to_names,
    restore_early_stopping,
    restore_gradients,
    restore_sampler_seed,
    skip_trained_batches,
)
from .work_dir import (
    POINTER,
    find_latest_checkpoint,
    lock_work_dir,
    make_name_pattern,
    unlock_work_dir,
)

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


_SIGNATURE = inspect.signature(CheckpointHook.__init__)
# Entries that this hook adds to checkpoints.
_GRADIENTS = 'accumulated_gradients'
_EARLY_STOPPING = 'early_stopping'
_SAMPLER_SEED = 'sampler_seed'
# Entry of the message hub: position of the last validation.
_VALIDATED = 'validated_at'
# Entry of the message hub: files to remove once the checkpoint is written.
_OUTDATED = 'outdated_ckpts'


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` of MMEngine that survives interruptions.

    * Writes are atomic, and old files are removed last.
    * Checkpoints name files by name, not by path. Only files of the
      checkpoint folder that have the name of a checkpoint of this hook are
      removed, and never folders.
    * Accumulated gradients, the state of ``EarlyStoppingHook`` and the seed
      of the sampler are saved.
    * A validation that did not end before the interruption is made up.
    * An epoch that a checkpoint by iterations interrupts is continued.
    * Only one process can train in a work directory.

    Args:
        *args: Positional arguments of ``CheckpointHook``.
        **kwargs: Keyword arguments of ``CheckpointHook``. ``backend_args``
            defaults to ``dict(backend='atomic_file')``. With
            ``file_client_args`` or an ``out_dir`` that is a URL it defaults
            to None, and MMEngine chooses the backend. A backend other than
            ``atomic_file`` must write atomically itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = _SIGNATURE.bind_partial(self, *args, **kwargs).arguments
        is_url = '://' in str(given.get('out_dir'))
        is_chosen = given.get('file_client_args') is not None or is_url
        if not is_chosen and 'backend_args' not in given:
            kwargs['backend_args'] = dict(backend='atomic_file')
        super().__init__(*args, **kwargs)
        self.max_keep_ckpts: int
        self.best_ckpt_path: Optional[str]
        self.keep_ckpt_ids: deque
        self._loaded: Dict[str, Any] = {}
        self._loaded_iter = 0
        self._gradients: Optional[Dict[str, Any]] = None
        self._saved_step = -1
        self._old_best: List[str] = []
        self._is_best_new = False

    def before_run(self, runner: Any) -> None:
        """Lock the work directory; find the checkpoint to resume from.

        Args:
            runner (Runner): Runner of a training, validation or test.

        Raises:
            OSError: If the work directory is in use or cannot be written to.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            return
        if is_main_process():
            lock_work_dir(runner.work_dir)
        if runner._resume and runner._load_from is None:
            path = find_latest_checkpoint(
                runner.work_dir, self.out_dir, self.filename_tmpl
            )
            runner.logger.info(f'resuming from {path or "the start"}')
            runner._load_from = path
            runner._resume = path is not None

    def after_run(self, runner: Any) -> None:
        """Release the work directory.

        Args:
            runner (Runner): Runner of a training, validation or test.
        """
        unlock_work_dir(runner.work_dir)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take over the entries that this hook has added.

        Args:
            runner (Runner): Runner of a training, validation or test.
            checkpoint (dict): Content of the checkpoint.
        """
        if runner._resume and isinstance(runner._train_loop, BaseLoop):
            names = (_GRADIENTS, _EARLY_STOPPING)
            self._loaded = {name: checkpoint.get(name) for name in names}
            meta = checkpoint.get('meta', {})
            # MMEngine's checkpoints have the seed of the runner.
            seed = checkpoint.get(_SAMPLER_SEED, meta.get('seed'))
            self._loaded[_SAMPLER_SEED] = seed
            self._loaded_iter = meta.get(SAVED_ITER, meta.get('iter', 0))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add run state; reduce paths to file names.

        Args:
            runner (Runner): Runner of the training.
            checkpoint (dict): Content to save; changed in place.
        """
        reduce_to_names(checkpoint['message_hub']['runtime_info'])
        seed = collect_sampler_seed(runner)
        if seed is not None:
            checkpoint[_SAMPLER_SEED] = seed
        states = collect_early_stopping(runner)
        if states:
            checkpoint[_EARLY_STOPPING] = states
        if self._gradients is not None and 'optimizer' in checkpoint:
            checkpoint[_GRADIENTS] = self._gradients

    def before_train(self, runner: Any) -> None:
        """Restore run state, and make up for a missing validation.

        The temporary files of a killed process are removed.

        Args:
            runner (Runner): Runner of the training.
        """
        info = runner.message_hub.runtime_info
        kept = info.pop('keep_ckpt_ids', [])
        super().before_train(runner)
        if is_main_process():
            _remove_temporary(self.out_dir, '*.pth')
            _remove_temporary(runner.work_dir, POINTER)
        is_resumed = runner._resume and runner._load_from is not None
        self._restore_files(runner, kept)
        if is_resumed:
            restore_sampler_seed(runner, self._loaded.get(_SAMPLER_SEED))
            restore_early_stopping(runner, self._loaded.get(_EARLY_STOPPING))
            gradients = self._loaded.get(_GRADIENTS)
            restore_gradients(runner, gradients, self._loaded_iter)
            skip_trained_batches(runner)
            self._make_up_validation(runner)
        self._loaded = {}

    def _restore_files(self, runner: Any, kept: Any) -> None:
        """Set the files that this hook may remove later."""
        hub = runner.message_hub
        is_inside = runner._resume and self._is_in_out_dir(runner._load_from)
        reduce_to_names(hub.runtime_info)
        removed = drop_foreign_files(
            hub,
            lambda key, name: (
                is_inside and self._is_own(name, best=key != 'last_ckpt')
            ),
        )
        if removed:
            runner.logger.info(
                f'{", ".join(removed)} of {runner._load_from} are not in '
                f'{self.out_dir}, and are ignored'
            )
        paths = {
            key: self.file_backend.join_path(self.out_dir, name)
            for key, name in hub.runtime_info.items()
            if key == 'last_ckpt' or key.startswith('best_ckpt')
        }
        for key, path in paths.items():
            hub.update_info(key, path)
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = paths.get('best_ckpt')
        for key in getattr(self, 'best_ckpt_path_dict', {}):
            self.best_ckpt_path_dict[key] = paths.get(f'best_ckpt_{key}')
        if self.max_keep_ckpts > 0:
            self._restore_kept_steps(runner, kept if is_inside else [])
        if is_inside:
            self.last_ckpt = runner._load_from
            self._remove_outdated(hub, paths)

    def _restore_kept_steps(self, runner: Any, kept: Any) -> None:
        """Set the steps whose checkpoints are kept; remove older ones."""
        steps = kept if isinstance(kept, (list, tuple)) else []
        steps = [n for n in steps if type(n) is int and 0 <= n < 1 << 60]
        self._remove(
            self.filename_tmpl.format(step)
            for step in steps[: -self.max_keep_ckpts]
        )
        steps = steps[-self.max_keep_ckpts :]
        self.keep_ckpt_ids = deque(steps, self.max_keep_ckpts)
        runner.message_hub.update_info('keep_ckpt_ids', steps)

    def _remove_outdated(self, hub: Any, paths: Dict[str, str]) -> None:
        """Remove what the killed process was about to remove."""
        outdated = hub.runtime_info.get(_OUTDATED)
        if isinstance(outdated, list):
            used = {osp.basename(path) for path in paths.values()}
            self._remove(
                name
                for name in outdated
                if isinstance(name, str)
                and name not in used
                and (self._is_own(name, True) or self._is_own(name, False))
            )

    def _is_in_out_dir(self, path: Optional[str]) -> bool:
        """Whether a checkpoint lies in the folder of this hook."""
        folder = osp.realpath(osp.dirname(path or ''))
        return bool(path) and folder == osp.realpath(self.out_dir)

    def _is_own(self, name: Any, best: bool) -> bool:
        """Whether a name is that of an existing checkpoint of this hook."""
        form = make_name_pattern(self.filename_tmpl)
        if best:
            form = rf'best_[^/\\\0]*_{form}'
        if not isinstance(name, str) or not re.fullmatch(form, name):
            return False
        path = self.file_backend.join_path(self.out_dir, name)
        return self.file_backend.isfile(path)

    def _make_up_validation(self, runner: Any) -> None:
        """Validate first if the validation of the checkpoint is missing."""
        step = runner.epoch if self.by_epoch else runner.iter
        name = self.filename_tmpl.format(step)
        if self.last_ckpt and name == osp.basename(self.last_ckpt):
            self._saved_step = step
        loop = runner.train_loop
        if runner.val_loop is None or not is_validation_due(loop):
            return
        position = get_position(loop)
        if runner.message_hub.runtime_info.get(_VALIDATED) == position:
            return
        runner.logger.info(
            f'the validation after {name} did not end, and is done first'
        )
        runner.val_loop.run()

    def after_val(self, runner: Any) -> None:
        """Save the checkpoint again, with the results of the validation.

        Args:
            runner (Runner): Runner of a training or validation.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            return
        position = get_position(runner.train_loop)
        runner.message_hub.update_info(_VALIDATED, position)
        step = runner.epoch if self.by_epoch else runner.iter
        is_new, self._is_best_new = self._is_best_new, False
        if self._saved_step == step or (is_new and self.last_ckpt is not None):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, step, meta)
        self._remove(self._old_best)
        self._old_best = []

    def _save_best_checkpoint(self, runner: Any, metrics: Any) -> None:
        """Save a new best checkpoint; the old one is removed in after_val."""
        if not self.save_best:
            return
        before = self._get_best_paths()
        last, self.last_ckpt = self.last_ckpt, None  # saved again later
        self._set_best_paths(dict.fromkeys(before))  # not removed first
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.last_ckpt = last
            after = self._get_best_paths()
            self._set_best_paths(
                {key: after[key] or before.get(key) for key in after}
            )
        self._is_best_new = any(after.values())
        self._old_best += [
            osp.basename(path)
            for key, path in before.items()
            if path and after[key] and after[key] != path
        ]

    def _get_best_paths(self) -> Dict[str, Optional[str]]:
        """Get the best checkpoint of each metric."""
        if hasattr(self, 'best_ckpt_path_dict'):
            return dict(self.best_ckpt_path_dict)
        return {'': self.best_ckpt_path}

    def _set_best_paths(self, paths: Dict[str, Optional[str]]) -> None:
        """Set the best checkpoint of each metric."""
        if hasattr(self, 'best_ckpt_path_dict'):
            self.best_ckpt_path_dict = paths
        else:
            self.best_ckpt_path = paths['']

    def _save_checkpoint_with_step(
        self, runner: Any, step: int, meta: dict
    ) -> None:
        """Save a checkpoint, and only then remove the oldest one."""
        outdated = [*self._update_kept_steps(runner, step), *self._old_best]
        runner.message_hub.update_info(_OUTDATED, outdated)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._gradients = collect_gradients(runner)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        self._gradients = None
        self._saved_step = step
        if is_main_process():
            pointer = osp.join(runner.work_dir, POINTER)
            # A path, as MMEngine writes it for its own --resume; ours reads
            # the name alone, so that a copied folder resumes from itself.
            with replaced_file(pointer) as stream:
                stream.write(self.last_ckpt.encode('utf-8'))
        self._remove(outdated)

    def _remove(self, names: Iterable[str]) -> None:
        """Remove files of the checkpoint folder, in the first process."""
        for name in names if is_main_process() else ():
            path = self.file_backend.join_path(self.out_dir, name)
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _update_kept_steps(self, runner: Any, step: int) -> List[str]:
        """Append a step to the kept ones; list the file to remove."""
        kept = self.keep_ckpt_ids if self.max_keep_ckpts > 0 else None
        if kept is None or (len(kept) and kept[-1] == step):
            return []
        oldest = [kept.popleft()] if len(kept) == self.max_keep_ckpts else []
        kept.append(step)
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        return [self.filename_tmpl.format(number) for number in oldest]


def _remove_temporary(folder: str, name: str) -> None:
    """Remove the temporary files of atomic writes; ``name`` is a pattern."""
    for path in glob.glob(osp.join(glob.escape(folder), f'{name}.*.part')):
        if osp.islink(path) or osp.isfile(path):  # never a folder
            os.remove(path)
