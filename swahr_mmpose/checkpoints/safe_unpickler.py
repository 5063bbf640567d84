# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Restricted unpickling of checkpoints.

* :class:`Unpickler` looks names up in an allow-list and raises for any other
  name before code of the file runs. This module is the ``pickle_module`` of
  ``torch.load`` for torch before 2.6, whose ``weights_only=True`` accepts
  tensors only and cannot be extended.
* :func:`training_objects` lists what MMEngine's training checkpoints hold
  besides tensors: NumPy arrays and scalars, and ``HistoryBuffer``. Classes of
  this module that validate their state replace the originals. The list
  extends this module's allow-list, and torch's from 2.6 on.
"""

from __future__ import annotations

import collections
import importlib
import pickle
from typing import Any, BinaryIO, Dict, List, Mapping, Tuple

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

__all__ = [
    'MAX_DEPTH',
    'PlainArray',
    'PlainBuffer',
    'Unpickler',
    'UnpicklingError',
    'allow',
    'load',
    'training_objects',
]

UnpicklingError = pickle.UnpicklingError


def _encode(text: str, encoding: str) -> bytes:
    """Encode bytes, which pickles of protocol 2 write as latin1 strings."""
    if encoding != 'latin1':
        raise UnpicklingError(f'bytes in {encoding!r}, expected latin1')
    return text.encode(encoding)


# Allow-list: name in the file, object that it stands for.
_ALLOWED: Dict[str, Any] = {
    '_codecs.encode': _encode,
    'builtins.set': set,
    '__builtin__.set': set,
    'collections.Counter': collections.Counter,
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
# Types whose instances may receive a state (opcode BUILD). For any other
# type, BUILD could set attributes of functions and classes.
_STATEFUL: Tuple[type, ...] = (collections.OrderedDict,)


def allow(objects: Mapping[str, Any], stateful: Tuple[type, ...] = ()) -> None:
    """Extend the allow-list.

    Args:
        objects (Mapping[str, Any]): Objects by ``module.name``. None of them
            may execute its arguments.
        stateful (tuple[type]): Types whose instances may receive a state;
            their ``__setstate__`` must validate it. Defaults to ().
    """
    global _STATEFUL
    _ALLOWED.update(objects)
    _STATEFUL = tuple(dict.fromkeys((*_STATEFUL, *stateful)))


# Maximum nesting of containers; that of a training checkpoint is below 10.
MAX_DEPTH = 50


def _limit(load_tuple: Any) -> Any:
    """Extend the handler of an opcode for tuples by a limit of the depth."""

    def load(unpickler: Any) -> None:
        load_tuple(unpickler)
        unpickler._limit_tuple()

    return load


# The pure Python implementation: its opcode handlers can be overridden.
_PythonUnpickler: Any = pickle._Unpickler


class Unpickler(_PythonUnpickler):
    """Standard unpickler restricted to the allow-list."""

    dispatch: Dict[int, Any] = dict(_PythonUnpickler.dispatch)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._depths: Dict[int, int] = {}  # of tuples, by id

    def find_class(self, module: str, name: str) -> Any:
        """Look up a name in the allow-list.

        Args:
            module (str): Module in the file.
            name (str): Name in the module.

        Returns:
            Any: Object that the name stands for.

        Raises:
            UnpicklingError: If the name is not in the allow-list.
        """
        try:
            return _ALLOWED[f'{module}.{name}']
        except KeyError:
            raise UnpicklingError(
                f'Unsupported global: GLOBAL {module}.{name} is not an '
                'allowed object of checkpoints'
            ) from None

    def load_build(self) -> None:
        """Set the state of an object; raise for types without one."""
        kind = type(self.stack[-2])
        if kind not in _STATEFUL:
            raise UnpicklingError(f'Unsupported state of {kind.__name__}')
        super().load_build()

    def load_binpersid(self) -> None:
        """Look up a storage; raise for source code, which torch accepts."""
        name = self.stack[-1]
        if not isinstance(name, tuple) or name[:1] != ('storage',):
            # Not formatted: shared tuples may have exponentially many items.
            kind = type(name).__name__
            raise UnpicklingError(f'Unsupported persistent id ({kind})')
        super().load_binpersid()

    def load_persid(self) -> None:
        """Raise for persistent ids in text, which torch never writes."""
        raise UnpicklingError('Unsupported persistent id in text')

    def load_bytearray8(self) -> None:
        """Raise: a bytearray is allocated before its content is read."""
        raise UnpicklingError('Unsupported bytearray')

    def load_frozenset(self) -> None:
        """Raise: checkpoints have none."""
        raise UnpicklingError('Unsupported frozenset')

    def _limit_tuple(self) -> None:
        """Raise if the tuple on top of the stack is nested too deeply.

        The hash of a tuple, as a key of a dict, is computed by recursion in
        C, which overflows the stack of the process.
        """
        new = self.stack[-1]
        depths = (self._depths.get(id(v), 0) for v in new if type(v) is tuple)
        depth = 1 + max(depths, default=0)
        if depth > MAX_DEPTH:
            raise UnpicklingError(f'Unsupported nesting: {depth} tuples')
        self._depths[id(new)] = depth

    dispatch[pickle.FROZENSET[0]] = load_frozenset
    for _code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
        dispatch[_code[0]] = _limit(dispatch[_code[0]])
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.BINPERSID[0]] = load_binpersid
    dispatch[pickle.PERSID[0]] = load_persid
    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def load(file: BinaryIO, **kwargs: Any) -> Any:
    """Load a pickle, with the signature of ``pickle.load``.

    Args:
        file (BinaryIO): Stream.
        **kwargs: Arguments of :class:`pickle.Unpickler`.

    Returns:
        Any: The object.

    Raises:
        UnpicklingError: If the pickle needs more than the allow-list.
    """
    return Unpickler(file, **kwargs).load()


# Type codes of NumPy that metainfo may use: bool, numbers and strings.
_DTYPE_CHARS = '?bBhHiIlLqQefdU'
# NumPy 2 renamed numpy.core to numpy._core; pickles hold either name.
_MULTIARRAY = importlib.import_module(
    'numpy._core.multiarray'
    if int(np.__version__.split('.')[0]) >= 2
    else 'numpy.core.multiarray'
)


def _check_dtype(dtype: Any) -> None:
    """Raise unless a dtype is bool, a number or a string."""
    if (
        not isinstance(dtype, np.dtype)
        or dtype.char not in _DTYPE_CHARS
        or dtype.names
        or dtype.subdtype
        or dtype.hasobject
        or dtype != np.dtype(dtype.str)
    ):
        raise UnpicklingError('Unsupported array: not of plain numbers')


class PlainArray(np.ndarray):
    """NumPy array of a checkpoint, restricted to bool, numbers and strings."""

    def __new__(cls, *args: Any, **kwargs: Any) -> PlainArray:
        """Raise: NumPy's own pickles never call this."""
        raise UnpicklingError('Unsupported array: not as NumPy pickles it')

    def __setstate__(self, state: Any) -> None:
        """Set shape, dtype and content; raise for other dtypes."""
        _check_dtype(state[2])
        super().__setstate__(state)

    def __reduce__(self) -> Any:
        """Pickle and copy as an ordinary array."""
        return self.view(np.ndarray).__reduce__()


class PlainBuffer(HistoryBuffer):
    """Loss history of a checkpoint, restricted to numbers.

    The state of MMEngine's ``HistoryBuffer`` holds functions, which it
    registers in its class for all buffers; this class ignores them.
    """

    def __new__(cls, *args: Any) -> PlainBuffer:
        """Create an empty buffer; raise for arguments."""
        if args:
            raise UnpicklingError('Unsupported buffer: not as it is pickled')
        return super().__new__(cls)

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Set the histories and their maximum length."""
        self._set_default_statistics()
        self._log_history = _copy_numbers(state['_log_history'])
        self._count_history = _copy_numbers(state['_count_history'])
        self.max_length = int(state['max_length'])
        # Validated: from here on an ordinary HistoryBuffer.
        self.__class__ = HistoryBuffer


def _copy_numbers(values: Any) -> np.ndarray:
    """Copy an array, or a list of numbers; raise for nested lists.

    Shared lists may have exponentially many values.
    """
    numbers = (bool, int, float, np.generic)
    if not isinstance(values, np.ndarray) and not (
        isinstance(values, (list, tuple))
        and all(isinstance(value, numbers) for value in values)
    ):
        raise UnpicklingError('Unsupported history: not a list of numbers')
    return np.array(values)


def _make_empty_array(kind: Any, shape: Any, code: Any) -> PlainArray:
    """Make the empty array whose state follows; raise for other shapes."""
    if kind is not PlainArray or shape != (0,) or code not in (b'b', 'b'):
        raise UnpicklingError('Unsupported array: not as NumPy pickles it')
    return _MULTIARRAY._reconstruct(kind, (0,), b'b')


def _make_scalar(dtype: np.dtype, content: bytes = b'') -> Any:
    """Make a NumPy scalar; raise for other dtypes."""
    _check_dtype(dtype)
    return _MULTIARRAY.scalar(dtype, content)


def _make_empty_bytes() -> bytes:
    """Make the content of an empty array."""
    return b''


def _get_statistic(owner: Any, name: str) -> Any:
    """Get a method of ``HistoryBuffer``: a restricted ``getattr``.

    Training checkpoints refer to no other attributes by name.
    """
    if owner is not PlainBuffer or name not in (
        'min',
        'max',
        'mean',
        'current',
    ):
        raise UnpicklingError(
            f'Unsupported attribute {name!r} of {owner!r}; training '
            'checkpoints do not need it, do not trust the file'
        )
    return getattr(owner, name)


def training_objects() -> Tuple[Dict[str, Any], List[type]]:
    """List the objects of MMEngine's training checkpoints.

    Returns:
        tuple[dict, list]: Objects by ``module.name``, and the types whose
        instances receive a state.
    """
    objects: Dict[str, Any] = {
        'mmengine.logging.history_buffer.HistoryBuffer': PlainBuffer,
        'numpy.ndarray': PlainArray,
        'numpy.dtype': np.dtype,
        'builtins.getattr': _get_statistic,
        '__builtin__.getattr': _get_statistic,
        'builtins.bytes': _make_empty_bytes,
        '__builtin__.bytes': _make_empty_bytes,
    }
    for home in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        objects[f'{home}._reconstruct'] = _make_empty_array
        objects[f'{home}.scalar'] = _make_scalar
    kinds = {type(np.dtype(code)) for code in _DTYPE_CHARS}
    return objects, [PlainBuffer, PlainArray, *kinds]
