# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""A pickle that makes nothing but what it is told it may make.

For torch before 2.6, whose ``weights_only`` cannot be told of more than
tensors: given to ``torch.load`` as ``pickle_module``, it reads what
``weights_only=True`` reads there, and what was allowed besides.  Whatever
else a file asks for is an error before anything of it runs.
"""

from __future__ import annotations

import collections
import pickle
from typing import Any, BinaryIO, Dict, Mapping, Tuple

import torch

__all__ = ['Unpickler', 'UnpicklingError', 'allow', 'load']

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
