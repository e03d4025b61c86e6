"""Regular grids in NetCDF (classic and 4) and HDF5, local or remote: only the part wanted is read."""

import atexit
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, product
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import h5netcdf  # type: ignore[import-untyped]
import h5py  # type: ignore[import-untyped]
import numpy as np
from odc.geo.geobox import GeoBox

from earthlab.catalog.signing import Signed
from earthlab.cube.readers.classic import ClassicFile
from earthlab.cube.readers.containers import Array, ArrayHead, Container
from earthlab.cube.readers.gridded import OpenContainer, read_grid, reading
from earthlab.cube.readers.opened import Lender, signed_and_stamped
from earthlab.cube.readers.ranged import RangedFile, is_remote, local_path, open_remote
from earthlab.cube.readers.window import Window

if TYPE_CHECKING:
    import xarray as xr

    from earthlab.cube.plan import Source

_MOST_IDLE = 60
_HDF5 = b"\x89HDF\r\n\x1a\n"
_CHUNK_CACHE = 2**24
_OF_THE_FORMAT = {"CLASS", "DIMENSION_LABELS", "DIMENSION_LIST", "NAME", "REFERENCE_LIST", "_Netcdf4Dimid"}
"""Attributes by which HDF5 and NetCDF 4 keep dimensions, slow to read and of no use here."""

_MOST_CHUNKS = 4096
"""Chunks of one remote read that are looked up so as to be fetched side by side, at most."""


def read_netcdf(
    sources: "Sequence[Source]", geobox: GeoBox, *, resampling: str, anchor: tuple[float, float]
) -> list[Window | None]:
    """The raw values of one variable on one tile, a window a source; a `Reader`.

    Exact where the grid lies on the tile's own lattice; any other is warped by GDAL. Files stay open for a while, a
    few in each process; one that changed is opened anew.
    """
    source = sources[0]
    with reading(source.href, source.variable), open_netcdf(source.href) as file:
        return read_grid(file, file.grid(source.variable), sources, geobox, resampling=resampling, anchor=anchor)


def open_swath(href: str, group: str = "") -> "xr.Dataset":
    """One group of a NetCDF 4 or HDF5 file as xarray has it, lazily: for what is no regular grid.

    Latitudes and longitudes of two dimensions become coordinates; packing and dates are decoded. Put it on a grid with
    pyresample or xESMF, or take the pixels that count.

    Parameters
    ----------
    href : str
        A path, or an http(s) or s3 address; of remote files only the bytes that are used are fetched.
    group : str
        Path of a group within the file: ``"PRODUCT"`` for Sentinel-5P.

    Returns
    -------
    xarray.Dataset
        It holds the file open until it is closed.

    Raises
    ------
    ReadFault
        Where the file cannot be read or has no such group.
    """
    import xarray as xr

    with reading(href, group):
        file = open_remote(signed_and_stamped(href)[0]) if is_remote(href) else None
        try:
            opened = xr.open_dataset(cast("Any", file or local_path(href)), engine="h5netcdf", group=group or None)
        except BaseException:
            if file:
                file.close()
            raise
    names = [str(name) for name in opened.data_vars if str(name).lower() in {"latitude", "longitude", "lat", "lon"}]
    return opened.set_coords(names)


@contextmanager
def open_netcdf(href: str) -> Iterator[OpenContainer]:
    """The file of an address, lent for the block and kept open for later.

    Raises
    ------
    OSError, ValueError
        Where there is none, or it is of another kind.
    """
    signed, key = signed_and_stamped(href)
    with _files.borrow(key, lambda: OpenContainer(_open(href, signed))) as file:
        yield file


_files: Lender[OpenContainer] = Lender(close=lambda file: file.close(), most=_MOST_IDLE)
atexit.register(_files.clear)  # HDF5 calls back into Python for remote files: not after Python has gone


def _open(href: str, signed: Signed) -> Container:
    file = open_remote(signed) if is_remote(href) else local_path(href).open("rb")
    try:
        if _is_classic(file):
            return ClassicFile(cast("BinaryIO", file))
        if isinstance(file, RangedFile):
            return Hdf5File(file)
        file.close()
        return Hdf5File(str(local_path(href)))
    except BaseException:
        file.close()
        raise


def _is_classic(file: Any) -> bool:
    first = file.read(8)
    file.seek(0)
    if first[:3] != b"CDF" and first != _HDF5:
        raise ValueError("it is neither NetCDF nor HDF5")
    return bool(first != _HDF5)


class Hdf5File:
    """An open NetCDF 4 or HDF5 file; a `Container`."""

    def __init__(self, file: RangedFile | str) -> None:
        self._remote = file if isinstance(file, RangedFile) else None
        self._h5 = h5netcdf.File(file, "r", phony_dims="access", decode_vlen_strings=True, rdcc_nbytes=_CHUNK_CACHE)
        self._datasets: dict[str, Any] = {}
        self._heads: dict[str, ArrayHead] = {}

    def heads(self) -> Mapping[str, ArrayHead]:
        """Every variable by its path; one of a type that numpy lacks is left out."""
        if not self._heads:
            for path, variable in _walk(self._h5, ""):
                dataset = variable._h5ds  # noqa: SLF001 - h5netcdf looks it up anew each time, and hides the chunks
                head = _head(path, tuple(variable.dimensions), dataset)
                if head is not None:
                    self._heads[path], self._datasets[path] = head, dataset
        return self._heads

    def group_attrs(self, group: str) -> Mapping[str, Any]:
        """The attributes of a group."""
        return _attributes(self._h5[group] if group else self._h5)

    def read(self, path: str, selection: Sequence[slice]) -> Array:
        """The raw values of a part of a variable."""
        self.heads()
        dataset = self._datasets[path]
        if self._remote is not None and dataset.chunks:
            self._remote.prefetch(_stored(dataset, selection))
        return np.asarray(dataset[tuple(selection)])

    def close(self) -> None:
        """Close the file."""
        self._datasets.clear()
        self._h5.close()
        if self._remote is not None:
            self._remote.close()


def _walk(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, variable in group.variables.items():
        yield f"{path}{name}", variable
    for name, inner in group.groups.items():
        yield from _walk(inner, f"{path}{name}/")


def _head(path: str, dims: tuple[str, ...], dataset: Any) -> ArrayHead | None:
    try:
        dtype = np.dtype(dataset.dtype)
    except TypeError:
        return None
    return ArrayHead(path, dims, tuple(dataset.shape), dtype, _attributes(dataset), dataset.chunks)


def _attributes(thing: Any) -> dict[str, Any]:
    return {name: _plain(thing.attrs[name]) for name in thing.attrs if name not in _OF_THE_FORMAT}


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return _plain(value.reshape(-1)[0])
    return value


def _stored(dataset: Any, selection: Sequence[slice]) -> Iterator[tuple[int, int]]:
    """Where the chunks of a selection lie in the file."""
    spans = [
        range(span.start // size, -(-span.stop // size)) for span, size in zip(selection, dataset.chunks, strict=True)
    ]
    for places in islice(product(*spans), _MOST_CHUNKS):
        corner = tuple(place * size for place, size in zip(places, dataset.chunks, strict=True))
        chunk = dataset.id.get_chunk_info_by_coord(corner)
        if chunk.byte_offset is not None:
            yield chunk.byte_offset, chunk.byte_offset + chunk.size
