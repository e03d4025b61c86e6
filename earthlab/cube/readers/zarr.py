"""Regular grids in Zarr stores, of format 2 and 3, local or remote: only the chunks that the tile needs are read."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from odc.geo.geobox import GeoBox
from zarr.abc.store import Store
from zarr.errors import ZarrUserWarning
from zarr.storage import LocalStore, ObjectStore

from earthlab.catalog.signing import Signed
from earthlab.cube.readers.containers import Array, ArrayHead
from earthlab.cube.readers.gridded import OpenContainer, read_grid, reading
from earthlab.cube.readers.opened import Lender, signed_and_stamped
from earthlab.cube.readers.ranged import is_remote, is_web, local_path, open_bucket
from earthlab.cube.readers.webstore import WebStore
from earthlab.cube.readers.window import Window

if TYPE_CHECKING:
    from earthlab.cube.plan import Source

_MOST_IDLE = 64
_MOST_ARRAYS = 20_000
_DIMENSIONS = "_ARRAY_DIMENSIONS"
"""Where xarray keeps the names of dimensions in format 2, which has no place for them."""


def read_zarr(
    sources: "Sequence[Source]", geobox: GeoBox, *, resampling: str, anchor: tuple[float, float]
) -> list[Window | None]:
    """The raw values of one array on one tile, a window a source; a `Reader`.

    Exact where the grid lies on the tile's own lattice; any other is warped by GDAL. Of a chunk that holds many dates
    all that are wanted are taken at once. Metadata are kept for a while in each process.
    """
    source = sources[0]
    with reading(source.href, source.variable), open_zarr(source.href) as store:
        return read_grid(store, store.grid(source.variable), sources, geobox, resampling=resampling, anchor=anchor)


@contextmanager
def open_zarr(href: str) -> Iterator[OpenContainer]:
    """The store of an address, which is that of its root (see `split_root`).

    Raises
    ------
    OSError, ValueError, zarr.errors.GroupNotFoundError
        Where there is none.
    """
    signed, key = signed_and_stamped(href)
    with _stores.borrow((*key, _stamps(href)), lambda: OpenContainer(ZarrStore(href, signed))) as store:
        yield store


def _stamps(href: str) -> tuple[int, ...]:
    """When the root's metadata of a local store last changed: its folder does not tell."""
    if is_remote(href):
        return ()
    names = [local_path(href) / name for name in ("zarr.json", ".zmetadata", ".zgroup")]
    return tuple(name.stat().st_mtime_ns for name in names if name.is_file())


_stores: Lender[OpenContainer] = Lender(close=lambda store: store.close(), most=_MOST_IDLE)


def split_root(href: str) -> tuple[str, str]:
    """The address of the store's root and the path within: products hand out addresses of groups and arrays.

    The root is the last folder whose name ends in ``.zarr``; without one, the whole address is.
    """
    bare, mark, query = href.partition("?")
    parts = bare.rstrip("/").split("/")
    roots = [at for at, part in enumerate(parts) if part.endswith(".zarr")]
    if not roots:
        return bare.rstrip("/") + mark + query, ""
    return "/".join(parts[: roots[-1] + 1]) + mark + query, "/".join(parts[roots[-1] + 1 :])


class ZarrStore:
    """An open Zarr store; a `Container`. One that lists nothing, as over HTTP, needs consolidated metadata."""

    def __init__(self, href: str, signed: Signed) -> None:
        self._root = zarr.open_group(_open(href, signed), mode="r")
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._groups: dict[str, Mapping[str, Any]] = {"": self._root.attrs.asdict()}
        for path, node in _members(self._root):
            if isinstance(node, zarr.Array):
                self._arrays[path] = node
            else:
                self._groups[path] = node.attrs.asdict()
        self._heads = {path: _head(path, array) for path, array in self._arrays.items()}

    def heads(self) -> Mapping[str, ArrayHead]:
        """Every array by its path."""
        return self._heads

    def group_attrs(self, group: str) -> Mapping[str, Any]:
        """The attributes of a group."""
        return self._groups.get(group, {})

    def read(self, path: str, selection: Sequence[slice]) -> Array:
        """The raw values of a part of an array; chunks that are not there are the array's fill value."""
        return np.asarray(self._arrays[path][tuple(selection)])

    def close(self) -> None:
        """Nothing is held but metadata."""


def _open(href: str, signed: Signed) -> Store:
    if is_web(href):
        return WebStore(signed)
    if is_remote(href):
        return ObjectStore(open_bucket(signed), read_only=True)
    path = local_path(href)
    if not path.is_dir():
        raise FileNotFoundError("there is no such folder")
    return LocalStore(path, read_only=True)


def _members(root: "zarr.Group") -> Iterator[tuple[str, Any]]:
    if root.metadata.consolidated_metadata is None and not root.store.supports_listing:
        raise OSError("its metadata are not consolidated, and its server does not list what there is")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # of files beside the arrays, which are none of our business
        for count, member in enumerate(root.members(max_depth=None)):
            if count == _MOST_ARRAYS:
                raise ValueError(f"the store has more than {_MOST_ARRAYS} arrays and groups")
            yield member


def _head(path: str, array: "zarr.Array[Any]") -> ArrayHead:
    attrs = array.attrs.asdict()
    stated: Any = attrs.get(_DIMENSIONS) or getattr(array.metadata, "dimension_names", None) or ()
    dims = [str(name) if name else f"axis_{axis}" for axis, name in enumerate(stated)]
    if len(dims) != array.ndim:
        dims = [f"axis_{axis}" for axis in range(array.ndim)]
    fill = array.fill_value if array.metadata.zarr_format == 2 and np.isscalar(array.fill_value) else None
    return ArrayHead(path, tuple(dims), array.shape, array.dtype, attrs, array.chunks, _number(fill))


def _number(value: Any) -> float | None:
    return float(value) if value is not None and np.asarray(value).dtype.kind in "iuf" else None
