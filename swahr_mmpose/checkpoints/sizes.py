# Copyright (c) swahr_mmpose contributors. Licensed under Apache-2.0.
"""Checks of a checkpoint file before any of its tensors is allocated.

A small file may declare large content: compressed records, or tensors of any
shape. Here the archive's directory is compared with the size of the file,
every record with its checksum, and the pickle is read without its data:
storages and tensors become their sizes in bytes.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import os.path as osp
import zipfile
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Union

import torch

from .safe_unpickler import MAX_DEPTH, Unpickler, UnpicklingError

__all__ = [
    'OversizeError',
    'RefusedError',
    'check_archive',
    'check_sizes',
    'is_complete',
]

Path = Union[str, 'os.PathLike[str]']
# Entries may share a storage (tied weights), so that their sum exceeds the
# size of the file; each is copied when weights are converted or published.
_MAX_RATIO = 4
# Metadata, and empty or expanded tensors, of small files.
_ALLOWANCE = 1 << 20
_CONTAINERS = (dict, list, tuple, set)
_WRAPPERS = ('state_dict', 'ema_state_dict', 'model_state_dict')


class RefusedError(ValueError):
    """A file that no program for training writes."""


class OversizeError(RefusedError):
    """The content that a file declares is larger than the file."""


def check_archive(path: Path) -> None:
    """Check the records of a zip checkpoint: sizes, names and checksums.

    Args:
        path (str): Zip file of ``torch.save``.

    Raises:
        OversizeError: If the records are larger than the file (compressed or
            overlapping), two records have one name, or the file can be read
            as another archive.
        ValueError: If a record differs from its CRC-32.
        zipfile.BadZipFile: If the file is no complete zip archive.
    """
    size = osp.getsize(path)
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        _check_directory(path, archive.start_dir)
        total = sum(record.file_size for record in records)
        if total > size:
            raise OversizeError(
                f'its records have {total} bytes uncompressed, expected at '
                'most the size of the file (torch.save does not compress)'
            )
        names = {record.filename.lower() for record in records}
        if len(names) < len(records):
            raise OversizeError('two of its records have the same name')
        if any(r.filename != r.orig_filename for r in records):
            raise OversizeError('one of its records has two names')
        # torch.serialization.set_crc32_options(False) writes zeros.
        has_checksums = any(record.CRC for record in records)
        damaged = archive.testzip() if has_checksums else None
    if damaged is not None:
        raise ValueError(f'the checksum of record {damaged} differs')


def _check_directory(path: Path, start: int) -> None:
    """Check that torch finds the directory of records where Python does.

    Python computes its position from its size and searches the zip64 end
    beside the last record; torch uses the positions in the file. A file may
    therefore have two directories with records of different sizes.
    """
    size = osp.getsize(path)
    length = min(size, 98)  # zip64 end, its locator, end
    with open(path, 'rb') as file:
        file.seek(size - length)
        tail = file.read(length).rjust(98, b'\0')
    end, locator, end64 = tail[76:], tail[56:76], tail[:56]
    is_valid = end[:4] == b'PK\5\6'  # without a comment, as torch writes it
    found = int.from_bytes(end[16:20], 'little')
    if locator[:4] == b'PK\6\7':
        is_valid &= int.from_bytes(locator[8:16], 'little') == size - 98
        is_valid &= end64[:4] == b'PK\6\6'
        found = int.from_bytes(end64[48:56], 'little')
    if not is_valid or found != start:
        raise OversizeError('its directory of records is ambiguous')


def is_complete(path: Path) -> bool:
    """Whether a file is a zip checkpoint with valid checksums.

    Args:
        path (str): File.

    Returns:
        bool: False also if the file cannot be read.
    """
    try:
        check_archive(path)
    except Exception:  # damaged zip files raise various types
        return False
    return True


def check_sizes(path: Path, is_zip: bool) -> None:
    """Check the storages and tensors of a checkpoint against the file's size.

    Args:
        path (str): Checkpoint file.
        is_zip (bool): Whether it has the zip format of torch >= 1.6.

    Raises:
        OversizeError: If a storage is larger than its record, or the tensors
            have more bytes than four times the file.
        RefusedError: If containers are nested too deeply, or the name of a
            weight is not printable text.
        UnpicklingError: If the pickle needs more than the allow-list.
    """
    limit = osp.getsize(path)
    if is_zip:
        _check_content(_check_zip(path, limit))
    elif limit > 0:
        with open(path, 'rb') as stream, mmap.mmap(
            stream.fileno(), 0, access=mmap.ACCESS_READ
        ) as content:
            for _ in range(3):  # magic number, version, system
                Unpickler(content, encoding='utf-8').load()
            _check_content(_SizeUnpickler(content, None, limit).load())


def _check_content(content: Any) -> None:
    """Check nesting and names of the content with sizes for tensors.

    Deeply nested containers exhaust the stack of what copies or prints them,
    and names of weights are printed as they are, also by MMEngine.
    """
    level = [content]
    for _ in range(MAX_DEPTH):
        inner = {
            id(value): value
            for container in level
            for value in _iter_values(container)
            if isinstance(value, _CONTAINERS)
        }
        level = list(inner.values())
    if level:
        raise RefusedError(
            f'its values are nested in more than {MAX_DEPTH} containers'
        )
    wrappers = [content]
    if isinstance(content, dict):
        wrappers += [content.get(name) for name in _WRAPPERS]
    for name in (k for w in wrappers if isinstance(w, dict) for k in w):
        if not (isinstance(name, str) and name.isprintable()):
            raise RefusedError(
                f'its entries have the name {name!r:.60}, expected printable '
                'text'
            )


def _iter_values(container: Any) -> Iterator[Any]:
    """Iterate over the values of a container, and over keys of a dict."""
    if isinstance(container, dict):
        yield from container.values()
    yield from container if isinstance(container, _CONTAINERS) else ()


def _check_zip(path: Path, limit: int) -> Any:
    """Check the pickle of a zip file against its records; return it."""
    with zipfile.ZipFile(path) as archive:
        records = {r.filename: r.file_size for r in archive.infolist()}
        folder = next(iter(records), '').split('/', 1)[0]
        sizes = {
            name[len(folder) + 6 :]: size
            for name, size in records.items()
            if name.startswith(f'{folder}/data/')
        }
    # Read as torch reads it, which finds records in its own way.
    pickled = torch._C.PyTorchFileReader(str(path)).get_record('data.pkl')
    return _SizeUnpickler(io.BytesIO(pickled), sizes, limit).load()


class _Storage:
    """Size of a storage.

    Args:
        numel (int): Number of elements.
        itemsize (int): Bytes of an element.
    """

    def __init__(self, numel: int, itemsize: int) -> None:
        self.numel = numel
        self.itemsize = itemsize


class _Tensor:
    """Placeholder of a tensor."""


class _SizeUnpickler(Unpickler):
    """Restricted unpickler that reads sizes in the place of tensors.

    Args:
        file (BinaryIO): Stream.
        sizes (dict[str, int], optional): Bytes of each storage's record;
            None: storages follow the pickle in the same file.
        limit (int): Size of the file in bytes.
    """

    def __init__(
        self,
        file: Union[BinaryIO, mmap.mmap],
        sizes: Optional[Dict[str, int]],
        limit: int,
    ) -> None:
        super().__init__(file, encoding='utf-8')
        self._sizes = sizes
        self._limit = limit
        self._storages: Dict[str, int] = {}
        self._total = 0
        self._tensor_bytes = 0

    def find_class(self, module: str, name: str) -> Any:
        """Look up a name; tensors and storages are replaced.

        Args:
            module (str): Module in the file.
            name (str): Name in the module.

        Returns:
            Any: Object that the name stands for.

        Raises:
            UnpicklingError: If the name is not in the allow-list.
        """
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return _get_itemsize(name)
        replaced = {
            '_rebuild_parameter': _get_first,
            '_rebuild_tensor': self._measure_tensor,
            '_rebuild_tensor_v2': self._measure_tensor,
        }
        if module == 'torch._utils' and name in replaced:
            return replaced[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        """Measure a storage.

        Args:
            pid (tuple): ``('storage', type, key, location, numel, ...)``.

        Returns:
            _Storage: Its size.

        Raises:
            OversizeError: If its record is smaller.
            ValueError: If the file is smaller.
        """
        if len(pid) < 5 or not isinstance(pid[1], int):
            raise UnpicklingError('Unsupported storage: not as torch writes')
        _check_integers([pid[4]])
        itemsize, key, numel = pid[1], str(pid[2]), pid[4]
        if self._sizes is None:
            self._add_storage(key, numel * itemsize)
        elif numel * itemsize > self._sizes.get(key, 0):
            raise OversizeError(
                f'storage {key} is declared with {numel * itemsize} bytes, '
                f'but its record has {self._sizes.get(key, 0)}'
            )
        return _Storage(numel, itemsize)

    def _add_storage(self, key: str, size: int) -> None:
        """Add a storage that follows the pickle; raise if it is too large."""
        size = max(size, self._storages.get(key, 0))
        self._total += size - self._storages.get(key, 0)
        self._storages[key] = size
        if self._total > self._limit:
            # Also a truncated file.
            raise ValueError(
                f'storages of {self._total} bytes are declared, the file has '
                f'{self._limit}'
            )

    def _measure_tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any
    ) -> _Tensor:
        """Check that a tensor lies in its storage, and count its bytes."""
        if not isinstance(storage, _Storage) or len(size) != len(stride):
            raise UnpicklingError('Unsupported tensor: not as torch writes it')
        _check_integers([offset, *size, *stride])
        numel = math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride))
        if numel and last >= storage.numel:
            raise OversizeError(
                f'a tensor of shape {tuple(size)} exceeds its storage of '
                f'{storage.numel} elements'
            )
        self._tensor_bytes += numel * storage.itemsize
        allowed = _MAX_RATIO * self._limit + _ALLOWANCE
        if self._tensor_bytes > allowed:
            raise OversizeError(
                f'its tensors have more than {allowed} bytes, the last one '
                f'the shape {tuple(size)}'
            )
        return _Tensor()


def _get_first(value: Any, *rest: Any) -> Any:
    """Return the tensor of a parameter."""
    return value


def _get_itemsize(name: str) -> int:
    """Get the bytes of an element of a storage type of torch."""
    try:
        dtype = torch.serialization.StorageType(name).dtype
    except KeyError:
        raise UnpicklingError(
            f'Unsupported global: GLOBAL torch.{name} is not a storage'
        ) from None
    return torch.empty((), dtype=dtype).element_size()


def _check_integers(values: List[Any]) -> None:
    """Raise unless all values are integers that are not negative."""
    if not all(type(value) is int and value >= 0 for value in values):
        raise UnpicklingError(f'Unsupported sizes: {values!r:.80}')
