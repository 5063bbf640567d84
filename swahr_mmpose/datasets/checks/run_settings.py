# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Ranges of the numbers that data loaders and the training loop need."""

from __future__ import annotations

from typing import Any, Iterator, Sequence, Tuple

__all__ = ['check_run_settings']

# Smallest values by key.
_LOADER = dict(batch_size=1, num_workers=0)
_LOOP = dict(max_epochs=1, max_iters=1, val_interval=1)


def check_run_settings(cfg: Any, splits: Sequence[str]) -> None:
    """Check the numbers of data loaders and of the training loop.

    Args:
        cfg (Config): Complete config.
        splits (Sequence[str]): Splits of the run, among ``'train'``,
            ``'val'`` and ``'test'``.

    Raises:
        ValueError: If a number is no integer, or too small.
    """
    for key, value, least in _list_numbers(cfg, splits):
        if type(value) is not int or value < least:
            raise ValueError(
                f'{key} is {value!r}, expected an integer of {least} or more; '
                'correct it in the config or in --cfg-options'
            )


def _list_numbers(
    cfg: Any, splits: Sequence[str]
) -> Iterator[Tuple[str, Any, int]]:
    """Yield key, value and smallest value of the numbers that are set."""
    groups = [(f'{split}_dataloader', _LOADER) for split in splits]
    if 'train' in splits:
        groups.append(('train_cfg', _LOOP))
    for group, bounds in groups:
        settings = cfg.get(group) or {}
        for name, least in bounds.items():
            if settings.get(name) is not None:
                yield f'{group}.{name}', settings[name], least
