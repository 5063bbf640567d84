# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A pickle that makes nothing but what it is told it may make.

For torch before 2.6, whose ``weights_only`` cannot be told of more than
tensors: given to ``torch.load`` as ``pickle_module``, it reads what
``weights_only=True`` reads there, and what was allowed besides.  Whatever
else a file asks for is an error before anything of it runs.
"""

from __future__ import annotations

import collections
import importlib
import pickle
from typing import Any, BinaryIO, Dict, List, Mapping, Tuple

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

__all__ = ['Unpickler', 'UnpicklingError', 'allow', 'load', 'training_objects']

UnpicklingError = pickle.UnpicklingError


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as pickles of protocol 2 write them."""
    if encoding != 'latin1':
        raise UnpicklingError(f'bytes in {encoding!r}, expected latin1')
    return text.encode(encoding)


# What files ask for by name, and what they are given.
_ALLOWED: Dict[str, Any] = {
    '_codecs.encode': _encode,
    'builtins.set': set,
    '__builtin__.set': set,
    'collections.OrderedDict': collections.OrderedDict,
    'collections.defaultdict': collections.defaultdict,
    'torch.Size': torch.Size,
    'torch.device': torch.device,
    'torch.serialization._get_layout': torch.serialization._get_layout,
}
_ALLOWED.update(
    (f'torch._utils.{name}', getattr(torch._utils, name))
    for name in ('_rebuild_parameter', '_rebuild_tensor', '_rebuild_tensor_v2')
)
_ALLOWED.update(
    (f'torch.{name}', kind)
    for name, kind in vars(torch).items()
    if isinstance(kind, torch.dtype)
)
# Whose objects a file may give a state; of nothing else, neither a function
# nor a class, may it set an attribute.
_STATEFUL: Tuple[type, ...] = (collections.OrderedDict,)


def allow(objects: Mapping[str, Any], stateful: Tuple[type, ...] = ()) -> None:
    """Allow more.

    Args:
        objects (Mapping[str, Any]): What ``module.name`` in a file stands
            for.  None of them may run what it is called with.
        stateful (tuple[type]): Whose objects may be given a state; it is up
            to their ``__setstate__`` to look at it.
    """
    global _STATEFUL
    _ALLOWED.update(objects)
    _STATEFUL = tuple(dict.fromkeys((*_STATEFUL, *stateful)))


# The one in Python: its steps can be looked at.
_Plain: Any = pickle._Unpickler


class Unpickler(_Plain):
    """Of the standard library, with a list of what may be looked up."""

    dispatch: Dict[int, Any] = dict(_Plain.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """Look a name up, or refuse it."""
        try:
            return _ALLOWED[f'{module}.{name}']
        except KeyError:
            raise UnpicklingError(
                f'Unsupported global: GLOBAL {module}.{name} is not among '
                'what checkpoints are made of'
            ) from None

    def load_build(self) -> None:
        """Give an object a state, if it is of a kind that has one."""
        kind = type(self.stack[-2])
        if kind not in _STATEFUL:
            raise UnpicklingError(f'Unsupported state of {kind.__name__}')
        super().load_build()

    def load_binpersid(self) -> None:
        """Look up a storage; torch would also take source code."""
        name = self.stack[-1]
        if not isinstance(name, tuple) or name[:1] != ('storage',):
            raise UnpicklingError(f'Unsupported persistent id {name!r:.80}')
        super().load_binpersid()

    def load_persid(self) -> None:
        """Refuse what torch never writes."""
        raise UnpicklingError('Unsupported persistent id in text')

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BINPERSID[0]] = load_binpersid
    dispatch[pickle.PERSID[0]] = load_persid


def load(file: BinaryIO, **kwargs: Any) -> Any:
    """As ``pickle.load``."""
    return Unpickler(file, **kwargs).load()


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
