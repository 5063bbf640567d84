"""A stand-in for an accelerator, so that tests see what a GPU would see.

Inside ``with SecondDevice() as device`` tensors can be moved to
``device.name``. They are computed on the CPU, with its numbers, but

* an operation that mixes them with CPU tensors raises (CPU scalars may mix),
* ``numpy()`` raises, and values that the host reads are counted,
* operations that launch a kernel, and the bytes they touch, are counted,
* float64 raises if the device has none, as Apple's MPS.

Times mean nothing here. The device has torch's type ``lazy``, which has no
other use here and whose gradients are computed in the thread that asks.
"""

import contextlib
import sys
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = 'lazy'

# Operations that launch no kernel: views and uninitialized memory.
FREE = set(
    'view _unsafe_view reshape _reshape_alias expand permute transpose t '
    'slice select narrow unsqueeze squeeze detach alias as_strided split '
    'split_with_sizes chunk unbind diagonal unfold view_as_real '
    'empty empty_like new_empty empty_strided new_empty_strided'.split()
)
# Operations whose result has a size that depends on values: a GPU waits.
WAITS = set(
    '_local_scalar_dense repeat_interleave item equal is_nonzero nonzero '
    'masked_select bincount _unique _unique2 unique_dim '
    'unique_consecutive'.split()
)
COPIES = {'_to_copy', 'copy_', '_copy_from'}
# With these, CPU indices are allowed: torch copies them to the device.
INDEXING = {'index', 'index_put', 'index_put_', '_index_put_impl_'}


@dataclass
class Counts:
    """What the device was asked to do; read-backs name lines of code."""

    read_backs: Counter = field(default_factory=Counter)
    uploads: Counter = field(default_factory=Counter)
    kernels: Counter = field(default_factory=Counter)
    bytes: int = 0

    @property
    def mebibytes(self):
        return self.bytes / 2**20

    def assert_within(self, read_backs, kernels, mebibytes=None):
        """Check upper bounds."""
        found = [sum(c.values()) for c in (self.read_backs, self.kernels)]
        assert found[0] <= read_backs, (found, self.read_backs)
        assert found[1] <= kernels, (found, self.kernels)
        assert mebibytes is None or self.mebibytes <= mebibytes, found


class _SecondTensor(torch.Tensor):
    """Tensor of the device; its values are in ``host``, a CPU tensor."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, host):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            host.shape,
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, host):
        self.host = host

    def __repr__(self):
        return f'_SecondTensor({tuple(self.shape)}, {self.dtype})'

    def tolist(self):
        _current().read_back('tolist')
        return self.host.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError(f'numpy() of a tensor of the device: {_find_line()}')

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _current().run(function, args, kwargs or {})


_DEVICES = []  # devices in use, the last one is current
_LIBRARIES = []  # what is registered, once per process


def _current():
    if not _DEVICES:
        raise RuntimeError('a tensor outlived its SecondDevice context')
    return _DEVICES[-1]


def _register():
    """Register what C++ calls below the modes, for lists used as indices."""
    if _LIBRARIES:
        return

    def empty_strided(size, stride, dtype=None, **kwargs):
        return _SecondTensor(torch.empty_strided(size, stride, dtype=dtype))

    def empty(size, dtype=None, **kwargs):
        return _SecondTensor(torch.empty(size, dtype=dtype))

    def copy_from(source, target, non_blocking=False):
        _current().counts.uploads[_find_line()] += 1
        _get_host(target).copy_(_get_host(source))
        return target

    library = torch.library.Library('aten', 'IMPL')
    for name, function in {
        'empty_strided': empty_strided,
        'empty.memory_format': empty,
        '_copy_from': copy_from,
    }.items():
        library.impl(name, function, 'Lazy')
    _LIBRARIES.append(library)


class _Dispatch(TorchDispatchMode):
    """Sends operations without tensors of the device to it as well."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _current().run(function, args, kwargs or {})


class _Factories(TorchFunctionMode):
    """``torch.tensor(data, device=)``, which operations do not show."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        makes = function in (torch.tensor, torch.as_tensor)
        if makes and _is_second(kwargs.get('device')):
            device = kwargs.pop('device')
            requires_grad = kwargs.pop('requires_grad', False)
            made = function(*args, **kwargs)
            return made.to(device).requires_grad_(requires_grad)
        return function(*args, **kwargs)


class SecondDevice:
    """The device, see the module.

    Args:
        float64: Whether it has float64.
    """

    def __init__(self, float64=True):
        self.float64 = float64
        self.counts = Counts()
        self.name = f'{NAME}:0'

    def __enter__(self):
        _register()
        _DEVICES.append(self)
        self.stack = contextlib.ExitStack()
        future = torch.__future__
        before = future.get_overwrite_module_params_on_conversion()
        future.set_overwrite_module_params_on_conversion(True)
        self.stack.callback(
            future.set_overwrite_module_params_on_conversion, before
        )
        self.stack.enter_context(_Factories())
        self.stack.enter_context(_Dispatch())
        return self

    def __exit__(self, *exception):
        self.stack.close()
        _DEVICES.remove(self)

    @contextlib.contextmanager
    def counting(self):
        """Count from here to the end of the context."""
        before, self.counts = self.counts, Counts()
        try:
            yield self.counts
        finally:
            self.counts = before

    def put(self, value):
        """Move the tensors of a nested structure to the device."""
        return tree_map(
            lambda v: v.to(self.name) if torch.is_tensor(v) else v, value
        )

    @staticmethod
    def fetch(value):
        """Get the values of a nested structure of tensors, not counted."""
        return tree_map(
            lambda v: (
                v.detach().host.clone() if isinstance(v, _SecondTensor) else v
            ),
            value,
        )

    def read_back(self, kind):
        self.counts.read_backs[f'{kind}, {_find_line()}'] += 1

    def run(self, function, args, kwargs):
        """Run an operation on the host tensors, checked and counted."""
        name = function._schema.name.split('::')[1]
        tensors = [
            v
            for v in tree_flatten((args, kwargs))[0]
            if isinstance(v, torch.Tensor)
        ]
        inside = [t for t in tensors if isinstance(t, _SecondTensor)]
        if name in COPIES:
            result = self._copy(name, function, args, kwargs)
        elif inside or _is_second(kwargs.get('device')):
            self._check(name, args, kwargs, tensors)
            result = self._compute(function, args, kwargs, inside)
        else:
            return function(*args, **kwargs)
        self._count(name, inside, result)
        return result

    def _copy(self, name, function, args, kwargs):
        """Copy within a side or across."""
        if name == '_to_copy':
            source, kwargs = args[0], dict(kwargs)
            default = NAME if isinstance(source, _SecondTensor) else 'cpu'
            to_device = _is_second(kwargs.pop('device', None) or default)
            kwargs.pop('pin_memory', None)
            kwargs.pop('non_blocking', None)
            result = function(_get_host(source), **kwargs)
            result = _SecondTensor(result) if to_device else result
        else:
            result, source = args[0], args[1]
            function(_get_host(result), _get_host(source), *args[2:], **kwargs)
            to_device = isinstance(result, _SecondTensor)
        from_device = isinstance(source, _SecondTensor)
        if from_device and not to_device:
            self.read_back('copy to the host')
        if to_device and not from_device:
            self.counts.uploads[_find_line()] += 1
        return result

    def _check(self, name, args, kwargs, tensors):
        """Raise for tensors of both sides; count what makes the host wait."""
        outside = [t for t in tensors if not isinstance(t, _SecondTensor)]
        if name in INDEXING:
            outside = [args[0], *args[2:3]]
            outside = [t for t in outside if type(t) is torch.Tensor]
            flags = (torch.bool, torch.uint8)
            if any(t is not None and t.dtype in flags for t in args[1]):
                self.read_back('boolean index')
        if len(outside) < len(tensors) and any(t.dim() for t in outside):
            raise RuntimeError(
                f'{name} mixes tensors of the device and the CPU: '
                f'{_find_line()}'
            )
        if name in WAITS and kwargs.get('output_size') is None:
            self.read_back(name)

    def _compute(self, function, args, kwargs, inside):
        """Compute on the host tensors; results that were inputs stay these."""
        kwargs = {
            k: 'cpu' if k == 'device' else v
            for k, v in kwargs.items()
            if k != 'pin_memory'
        }
        result = function(
            *tree_map(_get_host, args), **tree_map(_get_host, kwargs)
        )
        same = {id(t.host): t for t in inside}

        def wrap(value):
            if not isinstance(value, torch.Tensor):
                return value
            wrapped = same.get(id(value))
            if wrapped is None:
                wrapped = _SecondTensor(value)
            if wrapped.shape != value.shape:
                raise NotImplementedError(
                    f'{function} changes the shape of its input in place: '
                    f'{_find_line()}'
                )
            return wrapped

        return tree_map(wrap, result)

    def _count(self, name, inside, result):
        made = [
            t for t in tree_flatten(result)[0] if isinstance(t, _SecondTensor)
        ]
        if not self.float64 and any(t.dtype == torch.float64 for t in made):
            raise TypeError(f'{name} makes float64: {_find_line()}')
        if (inside or made) and name not in FREE:
            self.counts.kernels[name] += 1
            self.counts.bytes += sum(
                t.numel() * t.element_size() for t in (*inside, *made)
            )


def _is_second(device):
    return device is not None and torch.device(device).type == NAME


def _get_host(value):
    return value.host if isinstance(value, _SecondTensor) else value


def _find_line():
    """Find the line of the package that is being run, else of a test."""
    frame, fallback = sys._getframe(1), 'unknown line'
    while frame is not None:
        path = frame.f_code.co_filename.replace('\\', '/')
        line = f'{"/".join(path.split("/")[-2:])}:{frame.f_lineno}'
        if '/swahr_mmpose/' in path:
            return line
        if '/tests/' in path and path != __file__ and 'unknown' in fallback:
            fallback = line
        frame = frame.f_back
    return fallback
