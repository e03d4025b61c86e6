"""NetCDF classic files (CDF-1, CDF-2, CDF-5), of which only the header and the parts wanted are read.

After "The NetCDF Classic Format Specification" of Unidata and the CDF-5 appendix of PnetCDF.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from earthlab.cube.readers.containers import Array, ArrayHead

_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
_DIMENSION, _VARIABLE, _ATTRIBUTE = 10, 11, 12
_MOST = 100_000
"""Dimensions, variables or attributes in one list, at most: more is no header but noise."""

_MOST_TEXT = 2**24


@dataclass(frozen=True, slots=True)
class _Place:
    head: ArrayHead
    begin: int
    record: bool


class ClassicFile:
    """An open NetCDF classic file; a `Container` without groups."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places, self._attrs, self._record_size = _Header(file).parse()

    def heads(self) -> Mapping[str, ArrayHead]:
        """Every variable by its name."""
        return {name: place.head for name, place in self._places.items()}

    def group_attrs(self, group: str) -> Mapping[str, Any]:
        """The file's attributes: there are no groups."""
        return {} if group else self._attrs

    def read(self, path: str, selection: Sequence[slice]) -> Array:
        """The raw values of a part of a variable, in the file's byte order."""
        place = self._places[path]
        if not place.record:
            return self._read_block(place.begin, place.head.dtype, place.head.shape, selection)
        records = [
            self._read_block(
                place.begin + at * self._record_size, place.head.dtype, place.head.shape[1:], selection[1:]
            )
            for at in range(selection[0].start, selection[0].stop)
        ]
        rest = [span.stop - span.start for span in selection[1:]]
        return np.stack(records) if records else np.empty((0, *rest), place.head.dtype)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_block(self, begin: int, dtype: np.dtype[Any], shape: Sequence[int], selection: Sequence[slice]) -> Array:
        """The rows of the first dimension that are wanted are read whole: one stretch of the file."""
        if not shape:
            return self._numbers(begin, dtype, 1).reshape(())
        row = math.prod(shape[1:])
        first, last = selection[0].start, selection[0].stop
        if len(shape) > 2 and last - first > 0 and selection[1] != slice(0, shape[1]):
            parts = [
                self._read_block(begin + at * row * dtype.itemsize, dtype, shape[1:], selection[1:])
                for at in range(first, last)
            ]
            return np.stack(parts)
        values = self._numbers(begin + first * row * dtype.itemsize, dtype, max(last - first, 0) * row)
        whole = values.reshape(max(last - first, 0), *shape[1:])
        return whole[(slice(None), *selection[1:])]

    def _numbers(self, begin: int, dtype: np.dtype[Any], count: int) -> Array:
        self._file.seek(begin)
        data = self._file.read(count * dtype.itemsize)
        if len(data) != count * dtype.itemsize:
            raise OSError("the file ends before its data does")
        return np.frombuffer(data, dtype)


class _Header:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def parse(self) -> tuple[dict[str, _Place], dict[str, Any], int]:
        magic = self._take(4)
        if magic[:3] != b"CDF" or magic[3] not in {1, 2, 5}:
            raise ValueError("it is no NetCDF classic file")
        self._wide = magic[3] == 5
        self._offset = ">i4" if magic[3] == 1 else ">i8"
        self._records = self._count(streaming=True)
        if self._records < 0:
            raise ValueError("it was never closed by what wrote it: the number of its records is not known")
        self._dims = [(self._name(), self._count()) for _ in range(self._list(_DIMENSION))]
        attrs = self._attributes()
        found = [self._variable() for _ in range(self._list(_VARIABLE))]
        size = _record_size([(place, size) for place, size in found if place.record])
        return {place.head.path: place for place, _ in found}, attrs, size

    def _variable(self) -> tuple[_Place, int]:
        name = self._name()
        axes = [self._count() for _ in range(self._length())]
        if any(axis >= len(self._dims) for axis in axes):
            raise ValueError(f"its variable {name!r} has a dimension that does not exist")
        attrs = self._attributes()
        dtype = np.dtype(self._type())
        self._count(streaming=True)
        begin = int(np.frombuffer(self._take(np.dtype(self._offset).itemsize), self._offset)[0])
        record = bool(axes) and self._dims[axes[0]][1] == 0
        shape = tuple(self._dims[axis][1] for axis in axes)
        shape = (self._records, *shape[1:]) if record else shape
        head = ArrayHead(name, tuple(self._dims[axis][0] for axis in axes), shape, dtype, attrs)
        return _Place(head, begin, record), math.prod(shape[1:] if record else shape) * dtype.itemsize

    def _attributes(self) -> dict[str, Any]:
        return {self._name(): self._values() for _ in range(self._list(_ATTRIBUTE))}

    def _values(self) -> Any:
        dtype, count = np.dtype(self._type()), self._count()
        if count * dtype.itemsize > _MOST_TEXT:
            raise ValueError("it has an attribute longer than 16 MiB")
        data = self._padded(count * dtype.itemsize)
        if dtype.kind == "S":
            return data.decode("utf-8", "replace").rstrip("\0")
        values = np.frombuffer(data, dtype)
        native = values.astype(values.dtype.newbyteorder("="))
        return native[0] if count == 1 else native

    def _type(self) -> str:
        (code,) = struct.unpack(">i", self._take(4))
        if code not in _TYPES:
            raise ValueError(f"it has a type of number that is not known ({code})")
        return _TYPES[code]

    def _list(self, tag: int) -> int:
        (found,) = struct.unpack(">i", self._take(4))
        length = self._length()
        if found not in {0, tag} or (found == 0 and length):
            raise ValueError("its header is broken")
        return length

    def _length(self) -> int:
        length = self._count()
        if length > _MOST:
            raise ValueError(f"its header lists {length} things, more than {_MOST}")
        return length

    def _count(self, *, streaming: bool = False) -> int:
        (number,) = struct.unpack(">q", self._take(8)) if self._wide else struct.unpack(">i", self._take(4))
        if number < 0 and not streaming:
            raise ValueError("its header has a negative length")
        return int(number)

    def _name(self) -> str:
        length = self._length()
        return self._padded(length).decode("utf-8", "replace")

    def _padded(self, length: int) -> bytes:
        return self._take(length + -length % 4)[:length]

    def _take(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) != length:
            raise ValueError("its header breaks off")
        return data


def _record_size(found: Sequence[tuple[_Place, int]]) -> int:
    """Bytes from one record to the next: each variable's part is filled up to four, unless it is the only one."""
    sizes = [size for _, size in found]
    return sizes[0] if len(sizes) == 1 else sum(size + -size % 4 for size in sizes)
