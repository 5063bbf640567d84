# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""What MMEngine writes into a training checkpoint besides tensors.

Each is given to the reader in a form that looks at what it is made of:
NumPy's own would take a file's word for where in memory an object lies.
"""

from __future__ import annotations

import importlib
from pickle import UnpicklingError
from typing import Any, Dict, List, Tuple

import numpy as np
from mmengine.logging.history_buffer import HistoryBuffer

__all__ = ['PlainArray', 'PlainBuffer', 'training_objects']

# Numbers, truth values and strings: the kinds that metainfo may hold.
_KINDS = '?bBhHiIlLqQefdU'
# numpy 2 moved numpy.core to numpy._core; pickles name either one.
_MULTIARRAY = importlib.import_module(
    'numpy._core.multiarray'
    if int(np.__version__.split('.')[0]) >= 2
    else 'numpy.core.multiarray'
)


def _check_plain(dtype: Any) -> None:
    """Raise unless a dtype is of numbers, truth values or strings."""
    if (
        not isinstance(dtype, np.dtype)
        or dtype.char not in _KINDS
        or dtype.names
        or dtype.subdtype
        or dtype.hasobject
        or dtype != np.dtype(dtype.str)
    ):
        raise UnpicklingError('Unsupported array: not of plain numbers')


class PlainArray(np.ndarray):
    """An array out of a checkpoint: of numbers or strings alone."""

    def __new__(cls, *args: Any, **kwargs: Any) -> PlainArray:
        """Never called for an array that NumPy pickled."""
        raise UnpicklingError('Unsupported array: not as NumPy pickles it')

    def __setstate__(self, state: Any) -> None:
        """Fill in shape, kind and content."""
        _check_plain(state[2])
        super().__setstate__(state)

    def __reduce__(self) -> Any:
        """Pickled and copied as an ordinary array."""
        return self.view(np.ndarray).__reduce__()


class PlainBuffer(HistoryBuffer):
    """A history of losses out of a checkpoint.

    MMEngine's takes functions out of the file into its class, for all
    buffers to come; this one takes numbers alone.
    """

    def __new__(cls, *args: Any) -> PlainBuffer:
        """Made empty, as pickles make it."""
        if args:
            raise UnpicklingError('Unsupported buffer: not as it is pickled')
        return super().__new__(cls)

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Take the histories and their greatest length."""
        self._set_default_statistics()
        self._log_history = np.array(state['_log_history'])
        self._count_history = np.array(state['_count_history'])
        self.max_length = int(state['max_length'])
        # Checked: from here on one of MMEngine's.
        self.__class__ = HistoryBuffer


def _scalar(dtype: np.dtype, content: bytes = b'') -> Any:
    """A number of NumPy."""
    _check_plain(dtype)
    return _MULTIARRAY.scalar(dtype, content)


def _no_bytes() -> bytes:
    """What is in an empty array."""
    return b''


def _statistic(owner: Any, name: str) -> Any:
    """Stands in for ``getattr`` while a checkpoint is read.

    Methods of ``HistoryBuffer`` are the only attributes that training
    checkpoints refer to by name, and hence all that it gives.
    """
    if owner is not PlainBuffer or name not in (
        'min',
        'max',
        'mean',
        'current',
    ):
        raise UnpicklingError(
            f'the checkpoint asks for attribute {name!r} of {owner!r}, which '
            'no training checkpoint needs; do not trust it'
        )
    return getattr(owner, name)


def training_objects() -> Tuple[Dict[str, Any], List[type]]:
    """What names in a file stand for, and whose objects have a state.

    Returns:
        tuple[dict, list]: From ``module.name`` to objects; and classes.
    """
    objects: Dict[str, Any] = {
        'mmengine.logging.history_buffer.HistoryBuffer': PlainBuffer,
        'numpy.ndarray': PlainArray,
        'numpy.dtype': np.dtype,
        'builtins.getattr': _statistic,
        '__builtin__.getattr': _statistic,
        'builtins.bytes': _no_bytes,
        '__builtin__.bytes': _no_bytes,
    }
    for home in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        objects[f'{home}._reconstruct'] = _MULTIARRAY._reconstruct
        objects[f'{home}.scalar'] = _scalar
    kinds = {type(np.dtype(code)) for code in _KINDS}
    return objects, [PlainBuffer, PlainArray, *kinds]
